"""The task "check_data": one table, printed and written down."""

import json

import pytest

from s3_jax.data.datasets import (
  DATASETS,
  AbsentDataset,
  DatasetSpec,
  check_counts,
  official_names,
  open_dataset,
)
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.check_data import read_settings
from s3_jax.results.escaping import escape_markdown
from tests.benchmark_replicas import BENCHMARKS, make_replica
from tests.segmentation_replicas import MASKED, make_segmentation


@pytest.fixture
def check(tmp_path):
  """Runs the task on `tmp_path/data`, into `tmp_path/out`."""
  (tmp_path / "out").mkdir()

  def run(**fields):
    settings = Settings({"data_dir": str(tmp_path / "data"), **fields})
    task = read_settings(settings)
    settings.finish()
    return task(tmp_path / "out")

  return run


def test_the_table_says_what_is_there(check, tmp_path, capsys):
  make_replica("dtd", tmp_path / "data", images_per_class=36)
  make_replica("eurosat", tmp_path / "data", classes=(0,))
  findings = check(datasets=())
  assert [finding.name for finding in findings] == [*BENCHMARKS, *MASKED]
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].split()[:3] == ["data", "set", "status"]
  start = lines[0].index("layout")
  assert all(line[start - 1] == " " for line in lines[:24])
  rows = dict(line.split(maxsplit=1) for line in lines[1:24])
  assert rows["dtd"].startswith("complete") and "1,692 of 1,692" in rows["dtd"]
  assert "1 of 8,100" in rows["eurosat"] and "coop" in rows["eurosat"]
  assert rows["sun397"].startswith("missing") and "get it:" in rows["sun397"]
  assert rows["voc21"].startswith("missing") and "0 of" not in rows["voc21"]
  assert lines[-1].startswith("1 of 23 complete under")


def test_a_new_data_set_is_one_row(check, tmp_path, monkeypatch):
  spec = DatasetSpec(
    name="tiles",
    title="Tiles",
    lexicon="eurosat",
    classes=10,
    folders=("tiles",),
    source="https://tiles.example",
    examples=10,
  )
  monkeypatch.setitem(DATASETS, "tiles", spec)
  with pytest.raises(AbsentDataset) as error:
    open_dataset(spec, tmp_path / "out")
  assert "(csv: test.csv with lines of path,label; tfds: " in str(error.value)
  for name in official_names(spec):
    (tmp_path / "data/tiles" / name).mkdir(parents=True)
    (tmp_path / "data/tiles" / name / "1.png").write_bytes(b"a picture")
  (finding,) = check(datasets=("tiles",))
  assert (finding.status, finding.layout) == ("complete", "folders")
  opened = open_dataset(spec, tmp_path / "data")
  check_counts(spec, opened)
  assert [opened.records[i]["label"] for i in range(10)] == list(range(10))


def test_the_files_hold_the_same(check, tmp_path):
  make_replica("dtd", tmp_path / "data", classes=(0,))
  (finding,) = check(datasets=("dtd",))
  document = json.loads((tmp_path / "out/data.json").read_text())
  assert document["schema"] == 1
  assert document["datasets"] == [finding._asdict()]
  page = (tmp_path / "out/data.md").read_text()
  assert "| dtd | incomplete | 1 of 1,692 | 1 of 47 | coop |" in page
  assert escape_markdown(finding.source) in page and finding.licence in page


def test_a_bar_in_a_path_does_not_break_the_table(check, tmp_path):
  data = tmp_path / "data"
  make_replica("dtd", data, layout="folders", classes=(0,))
  (data / "dtd" / "notes|.txt").touch()
  check(datasets=("dtd",))
  page = (tmp_path / "out/data.md").read_text()
  assert r"(notes\|.txt)" in page


def test_masks_are_looked_for_as_well(check, tmp_path):
  make_segmentation("cityscapes", tmp_path / "data")
  (finding,) = check(datasets=("cityscapes",))
  assert (finding.status, finding.images) == ("incomplete", 3)
  page = (tmp_path / "out/data.md").read_text()
  assert "| cityscapes | incomplete | 3 of 500 | - of 19 | mmseg |" in page


def test_the_fields_may_be_left_out(check, tmp_path):
  (tmp_path / "data").mkdir()
  assert len(check()) == 23


@pytest.mark.parametrize(
  ("fields", "rule"),
  [
    (
      {"datasets": ("cifar10",)},
      "`config.datasets` must hold one of .*imagenet.* and 19 others, got",
    ),
    (
      {"datasets": ("plain",)},
      "`config.datasets` must hold one of .*imagenet.* and 19 others, got",
    ),
    ({"datasets": ("dtd", "dtd")}, "`config.datasets` must not repeat 'dtd'"),
    ({"datasets": "dtd"}, "`config.datasets` must be of type list or tuple"),
    ({"data_dir": 3}, "`config.data_dir` must be of type str"),
    ({"data": "x"}, "`config.data`: unknown field"),
    ({}, "`data_dir` must be the folder that holds the data sets"),
  ],
)
def test_settings_that_are_refused(check, fields, rule):
  with pytest.raises(ValueError, match=rule):
    check(**fields)
