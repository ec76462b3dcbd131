"""Downloads become data sets that the TFDS reader finds."""

import json
import runpy

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers import tfds
from s3_jax.experiment import Common
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import prepare_data as prepare
from tests.benchmark_replicas import make_replica
from tests.segmentation_replicas import make_segmentation
from tests.video_replicas import write_ucf101


def run(repository, folder, **changes):
  """Runs the config with some fields changed."""
  config = runpy.run_path(str(repository / "configs" / "prepare_data.py"))
  fields = config["get_config"]().to_dict() | changes
  settings = Settings(fields)
  settings.read(Common)
  task = prepare.read_settings(settings)
  settings.finish()
  folder.mkdir(parents=True, exist_ok=True)
  return task(folder)


@pytest.fixture
def prepare_with(repository, tmp_path):
  def call(**changes):
    fields = {"data_dir": str(tmp_path / "data"), "partial": True} | changes
    return run(repository, tmp_path / "run", **fields)

  return call


def report(tmp_path):
  return json.loads((tmp_path / "run" / "preparation.json").read_text())


def test_two_data_sets(prepare_with, tmp_path, capsys):
  replicas = [
    make_replica(name, tmp_path / "data", classes=[3, 1])
    for name in ("dtd", "eurosat")
  ]
  folders = prepare_with(dataset="dtd, eurosat", to=str(tmp_path / "to"))
  expected = [
    tmp_path / "to/benchmarks" / n / "1.0.0" for n in ("dtd", "eurosat")
  ]
  assert folders == expected
  shown = capsys.readouterr().out.splitlines()
  assert shown == [f"{location}: written, 2 images" for location in expected]
  document = report(tmp_path)
  assert document["schema"] == 1
  for name, replica, written in zip(
    ("dtd", "eurosat"), replicas, document["datasets"], strict=True
  ):
    opened = open_dataset(DATASETS[name], tmp_path / "to")
    assert opened.layout == "tfds"
    assert list(opened.files) == replica.files
    assert written["dataset"] == name and written["examples"] == 2
    assert written["state"] == "written" and written["empty"] == []
    assert written["fingerprint"] == opened.fingerprint
    assert "2 images listed" in written["found"]


def test_what_is_prepared_is_kept(prepare_with, tmp_path, capsys):
  make_replica("dtd", tmp_path / "data", classes=[3, 1])
  (location,) = prepare_with()
  assert location == tmp_path / "data/benchmarks/dtd/1.0.0"
  before = {path: path.stat().st_mtime_ns for path in location.iterdir()}
  first = report(tmp_path)["datasets"][0]
  make_replica("eurosat", tmp_path / "data", classes=[3, 1])
  prepare_with(dataset="dtd,eurosat")
  assert {
    path: path.stat().st_mtime_ns for path in location.iterdir()
  } == before
  kept, new = report(tmp_path)["datasets"]
  assert kept["state"] == "kept" and new["state"] == "written"
  assert kept["fingerprint"] == first["fingerprint"]
  assert f"{location}: kept, 2 images" in capsys.readouterr().out


def test_what_is_prepared_and_damaged_is_an_error(prepare_with, tmp_path):
  make_replica("dtd", tmp_path / "data", classes=[3, 1])
  (location,) = prepare_with()
  next(location.glob("*.array_record*")).write_bytes(b"")
  with pytest.raises(ValueError, match="must hold 2 examples, and example 1"):
    prepare_with()


def test_the_number_of_images_must_be_the_published_one(prepare_with, tmp_path):
  make_replica("dtd", tmp_path / "data", classes=[3, 1])
  with pytest.raises(
    ValueError, match="must hold 1692 .* got 2 .*partial=True"
  ):
    prepare_with(partial=False)
  assert not (tmp_path / "data/benchmarks").exists()
  assert not (tmp_path / "run/preparation.json").exists()


def test_the_first_stays_when_the_second_fails(prepare_with, tmp_path):
  make_replica("dtd", tmp_path / "data", classes=[3, 1])
  with pytest.raises(ValueError, match="'eurosat' must lie under"):
    prepare_with(dataset="dtd,eurosat")
  assert [each["dataset"] for each in report(tmp_path)["datasets"]] == ["dtd"]
  assert tfds.read(DATASETS["dtd"], tmp_path / "data") is not None


def test_coop_s_frames_come_before_the_videos(prepare_with, tmp_path):
  replica = make_replica("ucf101", tmp_path / "data", classes=[3, 1])
  write_ucf101(tmp_path / "data")
  prepare_with(dataset="ucf101")
  opened = tfds.read(DATASETS["ucf101"], tmp_path / "data")
  assert opened is not None and list(opened.files) == replica.files
  prepare_with(dataset="ucf101", layout="videos", to=str(tmp_path / "to"))
  opened = tfds.read(DATASETS["ucf101"], tmp_path / "to")
  assert opened is not None and opened.files[0] == "YoYo/v_YoYo_g01_c01.avi"


def test_videos_without_frames(prepare_with, tmp_path, capfd):
  write_ucf101(tmp_path / "data")
  dead = "YoYo/v_YoYo_g02_c01.avi"
  (tmp_path / "data/ucf101/UCF-101" / dead).write_bytes(b"not a video")
  with pytest.raises(ValueError, match=f"1 hold none: {dead}"):
    prepare_with(dataset="ucf101")
  prepare_with(dataset="ucf101", allow_empty=True)
  (written,) = report(tmp_path)["datasets"]
  assert written["examples"] == 3 and written["empty"] == [dead]
  assert "middle frames of 3 videos, made here" in written["found"]
  assert f"  {dead}: nothing in it, stored empty\n" in capfd.readouterr().out


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"dataset": "mnist"}, "of imagenet, .*; got 'mnist' in 'mnist'"),
    ({"dataset": "dtd,dtd"}, "must be different names .* got 'dtd'"),
    ({"dataset": ""}, "`config.dataset` must be different names"),
    ({"dataset": "plain"}, "got 'plain'"),
    ({"layout": "tfds"}, "`layout` of 'dtd' must be one of auto, coop"),
    ({"layout": "videos"}, "`layout` of 'dtd' must be one of auto, coop"),
    (
      {"dataset": "ucf101", "layout": "videos"},
      "'ucf101' must have its videos under .*ucf101 or .*UCF101/UCF-101",
    ),
    ({"data_dir": "/absent"}, "which is no folder"),
  ],
)
def test_settings_have_rules(prepare_with, tmp_path, changes, rule):
  (tmp_path / "data").mkdir()
  with pytest.raises(ValueError, match=rule):
    prepare_with(**changes)


def test_masks_are_prepared_too(prepare_with, tmp_path, capsys):
  make_segmentation("voc20", tmp_path / "data")
  (location,) = prepare_with(dataset="voc20", to=str(tmp_path / "to"))
  assert location == tmp_path / "to/segmentation/voc20/1.0.0"
  assert capsys.readouterr().out == f"{location}: written, 3 images\n"
  assert report(tmp_path)["datasets"][0]["state"] == "written"
  prepare_with(dataset="voc20", to=str(tmp_path / "to"))
  assert report(tmp_path)["datasets"][0]["state"] == "kept"
  with pytest.raises(ValueError, match="must hold 1449 .* got 3.*partial=True"):
    prepare_with(dataset="voc20", to=str(tmp_path / "x"), partial=False)
  with pytest.raises(ValueError, match="must be auto or mmseg, got 'coop'"):
    prepare_with(dataset="voc20", to=str(tmp_path / "x"), layout="coop")
  with pytest.raises(ValueError, match="must lie under"):
    prepare_with(dataset="ade20k")
