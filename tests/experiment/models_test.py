"""The list of checkpoints: printed, written, and the page that is committed."""

import json

import pytest

from s3_jax import experiment
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.zoo import ModelSpec, Source


@pytest.fixture(scope="module")
def listed(read_config, tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  config = read_config("models", contains="openai/ViT-B")
  return folder, experiment.run(config, str(folder))


def test_the_table_is_printed(read_config, tmp_path, capsys):
  config = read_config("models", contains="siglip-large-patch16-256")
  experiment.run(config, str(tmp_path))
  head, row = capsys.readouterr().out.splitlines()
  assert head.split()[0] == "name" and head.split()[-1] == "licence"
  for cell in ("ViT/16 24 x 1024", "652.2 M", "256", "gelu_tanh", "apache-2.0"):
    assert cell in row
  # Columns are aligned.
  assert head.index("activation") == row.index("gelu_tanh")


def test_the_file_holds_every_setting(listed):
  folder, entries = listed
  document = json.loads((folder / "models.json").read_text("utf-8"))
  assert document["schema"] == 1
  assert document["models"] == json.loads(json.dumps(entries))
  for entry in document["models"]:
    fields = dict(entry["spec"])
    source = Source(**fields.pop("source"))
    tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    spec = ModelSpec(**{**fields, **tuples, "source": source})
    assert spec == ZOO[spec.name]
    parameters = entry["parameters"]
    both = parameters["image"] + parameters["text"]
    assert parameters["total"] == both + 1, "and the logit scale"
  assert len(entries) == 2


def test_the_page_has_every_row(listed, repository):
  page = (repository / "docs" / "MODELS.md").read_text("utf-8")
  names = [
    line.split(" | ")[0][2:] for line in page.splitlines() if "| " in line
  ]
  assert names[2:] == list(ZOO)
  part = (listed[0] / "models.md").read_text("utf-8")
  lines = part.splitlines()
  assert len(lines) == len(page.splitlines()) - len(ZOO) + 2
  assert set(lines) <= set(page.splitlines())


def test_a_word_that_no_name_has(read_config, tmp_path):
  config = read_config("models", contains="no such model")
  with pytest.raises(ValueError, match="`config.contains` must be part of"):
    experiment.run(config, str(tmp_path))
