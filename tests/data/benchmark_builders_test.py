"""Benchmarks stored by our TFDS builder are what the readers found."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow_datasets as tfds

from s3_jax.data import stored_builder
from s3_jax.data.benchmark_builders import prepare
from s3_jax.data.datasets import DATASETS, official_names, wnids
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.readers import coop
from s3_jax.data.readers.listing import ListedImage, open_files
from s3_jax.data.readers.tfds import read
from tests.benchmark_replicas import make_replica

DTD = DATASETS["dtd"]


def opened_as(spec, data_dir, images):
  """Opens files of given contents; None is a file that is not there."""
  for file, _, data in images:
    if data is not None:
      (data_dir / file).parent.mkdir(parents=True, exist_ok=True)
      (data_dir / file).write_bytes(data)
  listed = [ListedImage(file, label) for file, label, _ in images]
  return open_files(
    data_dir, listed, layout="coop", found=f"{spec.name}'s list"
  )


def some(count):
  return [(f"a/{i}é.jpg", (7 * i) % 47, b"%d\0\0" % i) for i in range(count)]


@pytest.mark.parametrize(
  "name",
  [
    "caltech101",
    "oxford_flowers102",
    "food101",
    "dtd",
    "eurosat",
    "fgvc_aircraft",
    "ucf101",
    "oxford_pets",
    "imagenet_a",
  ],
)
def test_what_a_reader_found_is_what_is_read(name, tmp_path):
  spec = DATASETS[name]
  replica = make_replica(name, tmp_path / "raw", classes=[5, 0, 9])
  opened = coop.read(spec, replica.data_dir)
  assert opened is not None
  prepared = prepare(spec, opened, tmp_path / "out")
  assert prepared.folder == tmp_path / "out" / "benchmarks" / name / "1.0.0"
  assert prepared.examples == 3 and prepared.empty == ()
  again = read(spec, tmp_path / "out")
  assert again is not None and len(again.records) == 3
  assert opened.found in again.found
  assert list(again.files) == replica.files
  assert [again.records[i]["label"] for i in range(3)] == replica.labels
  assert [again.records[i]["image"] for i in range(3)] == replica.images
  names = (prepared.folder / "label.labels.txt").read_text().splitlines()
  ids = list(wnids(spec))
  assert names == (ids if ids[0] else list(official_names(spec)))


def test_it_is_a_tfds_data_set_like_any_other(tmp_path):
  opened = opened_as(DTD, tmp_path, some(3))
  folder = prepare(DTD, opened, tmp_path / "out").folder
  builder = tfds.builder_from_directory(folder)
  assert builder.info.full_name == "benchmarks/dtd/1.0.0"
  assert builder.info.splits["test"].num_examples == 3
  assert builder.info.file_format.value == "array_record"
  assert builder.info.description == ("DTD, test, CoOp's split; dtd's list")
  skip = {"image": tfds.decode.SkipDecoding()}
  record = builder.as_data_source("test", decoders=skip)[2]
  assert record["file_name"].decode() == "a/2é.jpg"
  assert record["label"] == 14 and record["image"] == b"2\0\0"


def test_large_data_sets_are_written_piece_by_piece(tmp_path, monkeypatch):
  """TFDS's usual way needs TensorFlow as soon as its memory is full."""
  from tensorflow_datasets.core import shuffle

  monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
  monkeypatch.setattr(stored_builder, "SHARD", 4)
  images = some(11)
  folder = prepare(
    DTD, opened_as(DTD, tmp_path, images), tmp_path / "out"
  ).folder
  assert len(list(folder.glob("*.array_record*"))) == 3
  opened = read(DTD, tmp_path / "out")
  assert opened is not None
  assert list(opened.files) == [file for file, *_ in images]
  records = [opened.records[i] for i in range(11)]
  assert [r["label"] for r in records] == [label for _, label, _ in images]
  assert [r["image"] for r in records] == [data for *_, data in images]


def test_damaged_images_are_stored_as_they_are(tmp_path):
  images = [("a.jpg", 0, b"not a picture"), ("b.jpg", 46, b"\xff\xd8\xff cut")]
  prepare(DTD, opened_as(DTD, tmp_path, images), tmp_path / "out")
  opened = read(DTD, tmp_path / "out")
  assert opened is not None
  bad = {}
  (batch,) = padded_batches(opened.records, np.asarray, batch_size=2, bad=bad)
  assert set(bad) == {0, 1} and batch["label"].tolist() == [0, 46]


def test_files_that_cannot_be_read_are_all_listed(tmp_path):
  images = [*some(2), ("b.jpg", 1, None), ("c.jpg", 2, None)]
  opened = opened_as(DTD, tmp_path, images)
  rule = (
    "'dtd' must have images that can be read, and 2 cannot: b.jpg"
    r" \(No such file or directory\), c.jpg \(No such"
  )
  for allowed in (False, True):
    with pytest.raises(ValueError, match=rule):
      prepare(DTD, opened, tmp_path / "out", allow_empty=allowed)
    assert read(DTD, tmp_path / "out") is None
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_can_be_read(tmp_path):
  opened = opened_as(DTD, tmp_path, [("b.jpg", 1, None)])
  with pytest.raises(ValueError, match="and 1 cannot: b.jpg"):
    prepare(DTD, opened, tmp_path / "out")


def test_empty_files_need_leave_and_stay_in_their_place(tmp_path):
  images = [*some(2), ("b.jpg", 5, b""), ("c.jpg", 6, b"")]
  opened = opened_as(DTD, tmp_path, images)
  rule = "must have a picture in every file, and 2 hold none: b.jpg, c.jpg; rep"
  with pytest.raises(ValueError, match=rule):
    prepare(DTD, opened, tmp_path / "out")
  assert read(DTD, tmp_path / "out") is None
  prepared = prepare(DTD, opened, tmp_path / "out", allow_empty=True)
  assert prepared.examples == 4 and prepared.empty == ("b.jpg", "c.jpg")
  again = read(DTD, tmp_path / "out")
  assert again is not None
  bad = {}
  (batch,) = padded_batches(again.records, np.asarray, batch_size=4, bad=bad)
  assert batch["label"].tolist()[2:] == [5, 6]
  assert (bad[2], bad[3]) == ("empty file", "empty file")


def test_what_is_there_is_never_overwritten(tmp_path):
  opened = opened_as(DTD, tmp_path, some(2))
  folder = prepare(DTD, opened, tmp_path / "out").folder
  before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
  with pytest.raises(ValueError, match="must not be prepared yet, and .*1.0.0"):
    prepare(DTD, opened, tmp_path / "out")
  after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
  assert before == after


def test_no_image(tmp_path):
  rule = "'dtd' must have an image, got none from dtd's list"
  with pytest.raises(ValueError, match=rule):
    prepare(DTD, opened_as(DTD, tmp_path, []), tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_an_interruption_leaves_nothing(tmp_path):
  opened = opened_as(DTD, tmp_path, some(5))

  class Stopped:
    def __len__(self):
      return 5

    def __getitem__(self, index):
      if index == 3:
        raise KeyboardInterrupt
      return opened.records[index]

  with pytest.raises(KeyboardInterrupt):
    prepare(DTD, opened._replace(records=Stopped()), tmp_path / "out")
  assert list((tmp_path / "out").iterdir()) == []


KILLED = """
  import os, pathlib, signal, sys
  from s3_jax.data import benchmark_builders, stored_builder
  from s3_jax.data.datasets import DATASETS
  from s3_jax.data.readers.listing import ListedImage, open_files

  root = pathlib.Path(sys.argv[1])
  images = [ListedImage(f"{i}.jpg", i) for i in range(20)]
  opened = open_files(root, images, layout="coop", found="")

  class Killed:
    def __len__(self):
      return 20

    def __getitem__(self, index):
      if index == 17:
        os.kill(os.getpid(), signal.SIGKILL)
      return opened.records[index]

  stored_builder.SHARD = 4
  benchmark_builders.prepare(
    DATASETS["dtd"], opened._replace(records=Killed()), root / "out"
  )
"""


def test_a_killed_preparation_is_not_read(tmp_path, repository):
  images = [(f"{i}.jpg", i, b"picture") for i in range(20)]
  opened = opened_as(DTD, tmp_path, images)
  code = textwrap.dedent(KILLED)
  done = subprocess.run(
    [sys.executable, "-c", code, tmp_path], check=False, cwd=repository
  )
  assert done.returncode == -signal.SIGKILL
  (left,) = (tmp_path / "out").iterdir()  # four of five files were written
  assert left.name.endswith(".tmp") and len(list(left.rglob("*record*"))) > 3
  assert read(DTD, tmp_path / "out") is None
  assert prepare(DTD, opened, tmp_path / "out").examples == 20
  again = read(DTD, tmp_path / "out")
  assert again is not None and len(again.records) == 20


def test_tfds_stays_silent(tmp_path, capsys):
  prepare(DTD, opened_as(DTD, tmp_path, some(2)), tmp_path / "out")
  shown = capsys.readouterr()
  assert shown.out == ""
  assert "Downloading" not in shown.err and "custom data" not in shown.err


def test_the_classes_of_one_s_own_data_set_are_not_known(tmp_path):
  spec = DTD._replace(name="mine", lexicon="")
  with pytest.raises(ValueError, match="'mine' must have a packaged table"):
    prepare(spec, opened_as(spec, tmp_path, some(2)), tmp_path / "out")
  assert not (tmp_path / "out").exists()
