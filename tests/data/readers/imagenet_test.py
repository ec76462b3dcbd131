"""ImageNet's archive and flat folder, and the lists of labels."""

import io
import tarfile

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers import ground_truth
from s3_jax.data.readers.ground_truth import OFFICIAL, find_truth
from s3_jax.data.readers.imagenet import ARCHIVE
from tests.benchmark_replicas import (
  TRUTHS,
  encoded,
  make_replica,
  write_truth,
)

IMAGENET = DATASETS["imagenet"]
CLASSES = (999, 0, 500, 7)


def labels(opened):
  return [opened.records[n]["label"] for n in range(len(opened.records))]


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("layout", ["tar", "flat"])
def test_every_list_of_labels_is_understood(layout, truth, tmp_path):
  replica = make_replica(
    "imagenet", tmp_path, layout=layout, classes=CLASSES, truth=truth
  )
  opened = open_dataset(IMAGENET, tmp_path)
  assert opened.layout == layout and truth in opened.found
  assert list(opened.files) == replica.files
  assert labels(opened) == replica.labels == [7, 500, 0, 999]
  read = [opened.records[n]["image"] for n in range(4)]
  assert read == replica.images


def test_the_list_of_tfds_stands_in(tmp_path):
  """Caffe's val.txt begins with the labels 65 (sea snake) and 970 (alp)."""
  make_replica("imagenet", tmp_path, layout="tar", classes=(0, 1), truth="")
  opened = open_dataset(IMAGENET, tmp_path)
  assert labels(opened) == [65, 970]
  assert "labels from the list in tensorflow-datasets" in opened.found
  truth = find_truth([tmp_path])
  counts = [list(truth.labels.values()).count(label) for label in range(1000)]
  assert counts == [50] * 1000


def test_without_any_list_the_lists_are_named(tmp_path, monkeypatch):
  find_spec = ground_truth.importlib.util.find_spec
  monkeypatch.setattr(
    ground_truth.importlib.util,
    "find_spec",
    lambda name: None if name == "tensorflow_datasets" else find_spec(name),
  )
  with pytest.raises(ValueError, match="one of LOC_val_solution.csv, val.txt"):
    find_truth([tmp_path])


@pytest.mark.parametrize("index", ["", "imagenet", "downloads/manual"])
def test_where_the_archive_may_lie(tmp_path, index):
  make_replica("imagenet", tmp_path, layout="tar", classes=CLASSES)
  folder = tmp_path / index
  folder.mkdir(parents=True, exist_ok=True)
  (tmp_path / "imagenet" / ARCHIVE).rename(folder / ARCHIVE)
  assert labels(open_dataset(IMAGENET, tmp_path)) == [7, 500, 0, 999]


@pytest.mark.parametrize(
  "index", ["val", "images/val", "ILSVRC/Data/CLS-LOC/val"]
)
def test_where_the_flat_folder_may_lie(tmp_path, index):
  truth = "LOC_val_solution.csv"
  make_replica(
    "imagenet", tmp_path, layout="flat", classes=CLASSES, truth=truth
  )
  folder = tmp_path / "imagenet" / index
  folder.mkdir(parents=True)
  for file in (tmp_path / "imagenet").glob("*.JPEG"):
    file.rename(folder / file.name)
  assert labels(open_dataset(IMAGENET, tmp_path)) == [7, 500, 0, 999]


def test_numbers_without_meta_are_refused(tmp_path):
  make_replica(
    "imagenet", tmp_path, layout="flat", classes=CLASSES, truth=OFFICIAL
  )
  meta = next(tmp_path.rglob("meta.mat"))
  text = meta.read_bytes()
  meta.unlink()
  rule = "numbers its classes in the order of meta.mat, not of WordNet ids"
  with pytest.raises(ValueError, match=rule):
    open_dataset(IMAGENET, tmp_path)
  meta.write_bytes(text[: len(text) // 2])
  with pytest.raises(ValueError, match="meta.mat of .* must hold the synsets"):
    open_dataset(IMAGENET, tmp_path)


def test_meta_must_number_the_thousand_classes(tmp_path):
  import numpy as np
  from scipy.io import savemat

  make_replica(
    "imagenet", tmp_path, layout="flat", classes=CLASSES, truth=OFFICIAL
  )
  meta = next(tmp_path.rglob("meta.mat"))
  table = np.zeros(2, [("ILSVRC2012_ID", "O"), ("WNID", "O")])
  table[:] = [(1, "n01440764"), (2, "n01443537")]
  savemat(meta, {"synsets": table})
  with pytest.raises(ValueError, match="must number the 1000 classes from 1"):
    open_dataset(IMAGENET, tmp_path)


@pytest.mark.parametrize(
  ("text", "rule"),
  [
    ("1\n2\n", "line 1 must hold a WordNet id, or a name with a label"),
    ("n01440764\nn99999999\n", "line 2 must hold ImageNet's classes, got 'n9"),
    ("ILSVRC2012_val_00000001.JPEG 1000\n", "label from 0 to 999, got '1000'"),
    ("ILSVRC2012_val_00000001.JPEG -1\n", "label from 0 to 999, got '-1'"),
    ("ILSVRC2012_val_00000001.JPEG\n", "an image's name and its class"),
    ("ILSVRC2012_val_00000001.JPEG 1 2\n", "an image's name and its class"),
    ("cat.JPEG 1\n", "must be an image's name and its class, .* got 'cat.JPEG"),
    ("n01440764\n", "must have a label for image 2 of .*, and has 1 labels"),
  ],
)
def test_lists_that_are_refused(tmp_path, text, rule):
  make_replica(
    "imagenet", tmp_path, layout="flat", classes=CLASSES, truth="val.txt"
  )
  (tmp_path / "imagenet" / "val.txt").write_text(text)
  with pytest.raises(ValueError, match=rule):
    open_dataset(IMAGENET, tmp_path)


def test_official_ids_out_of_range_are_refused(tmp_path):
  write_truth(OFFICIAL, tmp_path, [3])
  listed = next(tmp_path.rglob(OFFICIAL))
  for word in ("0", "1001", "n01440764"):
    listed.write_text(f"1\n{word}\n")
    with pytest.raises(ValueError, match="line 2 must hold an id of meta.mat"):
      find_truth([tmp_path])


def test_a_broken_devkit_is_refused(tmp_path):
  (tmp_path / ground_truth.DEVKIT).write_bytes(b"no tar")
  with pytest.raises(ValueError, match="devkit_t12.* must be a whole tar"):
    find_truth([tmp_path])
  with tarfile.open(tmp_path / ground_truth.DEVKIT, "w:gz") as tar:
    tar.addfile(tarfile.TarInfo("readme.txt"))
  with pytest.raises(
    ValueError, match="must hold .* and meta.mat, got neither"
  ):
    find_truth([tmp_path])


def archive(folder, *members):
  """Writes an archive of members given as name, or as TarInfo."""
  data = encoded(0, 0, 8)
  folder.mkdir(exist_ok=True)
  with tarfile.open(folder / ARCHIVE, "w") as tar:
    for member in members:
      if isinstance(member, str):
        member = tarfile.TarInfo(member)
        member.size = len(data)
      tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
  return folder / ARCHIVE


GOOD = "ILSVRC2012_val_00000001.JPEG"


@pytest.mark.parametrize(
  ("name", "rule"),
  [
    ("../ILSVRC2012_val_00000002.JPEG", "must stay inside the data set's"),
    ("/tmp/ILSVRC2012_val_00000002.JPEG", "must stay inside the data set's"),
    ("cat.JPEG", "must hold images called ILSVRC2012_val_00000001.JPEG"),
    ("ILSVRC2012_val_99999999.JPEG", "must have a label for image 99999999"),
  ],
)
def test_members_that_are_refused(tmp_path, name, rule):
  archive(tmp_path / "imagenet", GOOD, name)
  with pytest.raises(ValueError, match=rule):
    open_dataset(IMAGENET, tmp_path)


def test_folders_links_and_texts_in_an_archive_are_skipped(tmp_path):
  folder, link = tarfile.TarInfo("val"), tarfile.TarInfo("val/link.JPEG")
  folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "/"
  archive(tmp_path / "imagenet", folder, link, "readme.txt", f"./val/{GOOD}")
  opened = open_dataset(IMAGENET, tmp_path)
  assert list(opened.files) == [f"val/{GOOD}"] and labels(opened) == [65]
  assert "skipped 2 names (readme.txt, val/link.JPEG)" in opened.found


@pytest.mark.parametrize("cut", [100, 600, 3000, 8 * 1536 - 900])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, cut):
  names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 9)]
  file = archive(tmp_path / "imagenet", *names)
  file.write_bytes(file.read_bytes()[:cut])  # in a header, or in an image
  with pytest.raises(ValueError, match="img_val.tar must .* fetch it again"):
    open_dataset(IMAGENET, tmp_path)


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100])
def test_a_file_that_is_no_archive_is_refused(tmp_path, data):
  (tmp_path / "imagenet").mkdir()
  (tmp_path / "imagenet" / ARCHIVE).write_bytes(data)
  with pytest.raises(ValueError, match="must be a whole, uncompressed tar"):
    open_dataset(IMAGENET, tmp_path)


def test_an_archive_that_shrinks_is_noticed_when_it_is_read(tmp_path):
  file = archive(tmp_path / "imagenet", GOOD)
  records = open_dataset(IMAGENET, tmp_path).records
  file.write_bytes(file.read_bytes()[:600])
  with pytest.raises(OSError, match="img_val.tar ends before"):
    records[0]


def test_an_empty_archive_holds_nothing(tmp_path):
  archive(tmp_path / "imagenet")
  with pytest.raises(ValueError, match="must hold whole images, got 0 members"):
    open_dataset(IMAGENET, tmp_path)
