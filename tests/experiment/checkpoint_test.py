"""The fields of a config that name a checkpoint."""

import hashlib
import json
import pathlib
import shutil

import pytest

from s3_jax import experiment, hosts
from s3_jax.clip import load_clip
from s3_jax.experiment import checkpoint as fields
from s3_jax.fields import read


def test_all_fields_reach_load_clip(monkeypatch, checkpoint):
  calls = []
  clip = load_clip(checkpoint)

  def fake(*args, **options):
    calls.append((args, options))
    return clip

  monkeypatch.setattr(fields, "load_clip", fake)
  given = {
    "model": "x.pt",
    "model_spec": "openai/RN50",
    "tokenizer": "bpe.txt.gz",
    "revision": "main",
    "cache_dir": "cache",
  }
  fields.load_checkpoint(read(fields.CheckpointSource, given))
  assert calls.pop() == (
    ("x.pt",),
    {
      "spec": "openai/RN50",
      "tokenizer": "bpe.txt.gz",
      "revision": "main",
      "cache_dir": pathlib.Path("cache"),
    },
  )
  bare = {"model": "openai/RN50", "cache_dir": "", "tokenizer": ""}
  fields.load_checkpoint(read(fields.CheckpointSource, bare))
  nothing = dict.fromkeys(("spec", "tokenizer", "revision", "cache_dir"))
  assert calls.pop() == (("openai/RN50",), nothing)


def test_an_unknown_row_is_refused_before_anything_is_loaded(read_config):
  config = read_config("pictographs", model_spec="openai/RN51")
  with pytest.raises(ValueError, match="`config.model_spec` must be one of"):
    experiment.dry_run(config)


def test_results_say_which_checkpoint(checkpoint):
  clip = load_clip(checkpoint)
  model = fields.describe_model(clip._replace(revision="f" * 40))
  assert model["name"] == "tiny"
  assert model["sha256"] == clip.sha256
  content = (checkpoint / "tokenizer.json").read_bytes()
  digest = hashlib.sha256(content).hexdigest()
  assert model["tokenizer_sha256"] == clip.tokenizer_sha256 == digest
  assert model["revision"] == "f" * 40
  assert model["spec"]["image_size"] == 16
  assert model["spec"]["source"]["repository"] == ""
  assert json.loads(json.dumps(model, allow_nan=False)) == model


def test_hosts_compare_the_tokenizer(checkpoint, monkeypatch):
  """Two processes whose tokenizers differ are told which fact differs."""
  clip = load_clip(checkpoint)
  other = clip._replace(tokenizer_sha256="0" * 64)
  both = [fields.checkpoint_facts(each) for each in (clip, other)]
  monkeypatch.setattr(hosts, "count", lambda: 2)
  facts = [
    {name: json.dumps(value) for name, value in each.items()} for each in both
  ]
  monkeypatch.setattr(hosts, "gather_json", lambda own: [own, facts[1]])
  with pytest.raises(ValueError, match="the tokenizer's sha256"):
    hosts.agree(both[0])


def test_an_evaluation_of_a_bare_file(
  checkpoint, read_config, tmp_path, monkeypatch, make_small
):
  """A file with its settings in the zoo is as good as a folder."""
  from s3_jax.clip import ZOO

  make_small(monkeypatch)
  clip = load_clip(checkpoint)
  monkeypatch.setitem(ZOO, "tiny/row", clip.spec._replace(name="tiny/row"))
  file = tmp_path / "bare.safetensors"
  shutil.copy(checkpoint / "model.safetensors", file)
  config = read_config(
    "pictographs",
    model=str(file),
    model_spec="tiny/row",
    tokenizer=str(checkpoint / "tokenizer.json"),
    test_sets=("plain",),
    methods=("class_name",),
    figure_classes=(),
    cache_dir=str(tmp_path / "cache"),
  )
  results = experiment.run(config, str(tmp_path / "workdir"))
  assert results["model"]["name"] == "tiny/row"
  assert results["model"]["sha256"] == clip.sha256
  assert results["model"]["revision"] is None
