"""CoOp's lists: what they say is checked before an image is read."""

import json

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers.coop import read
from tests.benchmark_replicas import make_replica


@pytest.fixture
def dtd(tmp_path):
  """Writes DTD's list anew; its images are those of three classes."""
  make_replica("dtd", tmp_path, classes=(0, 1, 2))
  file = tmp_path / "dtd" / DATASETS["dtd"].coop.listing

  def write(*entries, **others):
    table = {"test": list(entries), **others}
    file.write_text(json.dumps(table))
    return open_dataset(DATASETS["dtd"], tmp_path)

  return write


GOOD = ["banded/banded_0001.jpg", 0, "banded"]


def test_only_the_test_images_are_taken(dtd):
  other = ["blotchy/blotchy_0001.jpg", 1, "blotchy"]
  opened = dtd(GOOD, train=[other], val=[other])
  assert list(opened.files) == [GOOD[0]]


@pytest.mark.parametrize(
  ("entry", "rule"),
  [
    (
      ["banded/banded_0001.jpg", 1, "banded"],
      "entry 1 of `test` gives label 1 to 'banded', whose label is 0",
    ),
    (["a.jpg", 0, "bandy"], "entry 1 .* must name a class of DTD, got 'bandy'"),
    (["a.jpg", 47, "banded"], "a label must lie in 0 to 46, got 47"),
    (["a.jpg", -1, "banded"], "a label must lie in 0 to 46, got -1"),
    (["a.jpg", "0", "banded"], "must be .path, label, class name., got"),
    (["a.jpg", True, "banded"], "must be .path, label, class name., got"),
    (["a.jpg", 0], "must be .path, label, class name., got"),
    ({"path": "a.jpg"}, "must be .path, label, class name., got"),
    (["../a.jpg", 0, "banded"], "must stay inside the data set's folder, got"),
    (["/etc/passwd", 0, "banded"], "must stay inside .*'/etc/passwd'"),
    (["b/../../a.jpg", 0, "banded"], "must stay inside"),
    (["C:\\a.jpg", 0, "banded"], "must stay inside"),
    (["..\\a.jpg", 0, "banded"], "must stay inside"),
    (["a\0.jpg", 0, "banded"], "must stay inside"),
  ],
)
def test_entries_that_are_refused(dtd, entry, rule):
  with pytest.raises(ValueError, match=rule):
    dtd(GOOD, entry)


@pytest.mark.parametrize(
  "text", ["", "[]", "{}", '{"test": []}', '{"test": 3}', "[" * 9999]
)
def test_lists_that_are_no_lists(tmp_path, text):
  make_replica("dtd", tmp_path, classes=(0,))
  (tmp_path / "dtd" / DATASETS["dtd"].coop.listing).write_text(text)
  with pytest.raises(ValueError, match="split_zhou_Desc.* must (be|hold)"):
    open_dataset(DATASETS["dtd"], tmp_path)


def test_absent_and_empty_images_are_counted_not_dropped(dtd, tmp_path):
  (tmp_path / "dtd/images/blotchy/blotchy_0001.jpg").write_bytes(b"")
  opened = dtd(
    GOOD,
    ["banded/gone.jpg", 0, "banded"],
    ["blotchy/blotchy_0001.jpg", 1, "blotchy"],
  )
  assert "3 images listed; 1 file listed, but absent; 1 file empty" in (
    opened.found
  )
  assert len(opened.records) == 3 and opened.records[2]["image"] == b""
  with pytest.raises(FileNotFoundError):
    opened.records[1]


def test_no_image_at_all_names_the_places(dtd):
  rule = "lists 1 image, and none lies in .*/images or .*/dtd .a/b.jpg first."
  with pytest.raises(ValueError, match=rule):
    dtd(["a/b.jpg", 0, "banded"])


def test_the_list_may_lie_apart_as_in_tpt(tmp_path):
  make_replica("oxford_pets", tmp_path, layout="tpt", classes=(0, 4))
  spec = DATASETS["oxford_pets"]
  assert len(open_dataset(spec, tmp_path).records) == 2
  (tmp_path / "data_splits" / DATASETS["oxford_pets"].coop.listing).rename(
    tmp_path / DATASETS["oxford_pets"].coop.listing
  )
  assert len(open_dataset(spec, tmp_path).records) == 2


def test_the_images_may_lie_in_another_folder_of_that_name(tmp_path):
  """TFDS calls its own folder caltech101, whatever else it holds."""
  make_replica("caltech101", tmp_path, layout="tpt", classes=(0, 4))
  (tmp_path / "caltech101" / "3.0.2").mkdir(parents=True)
  opened = open_dataset(DATASETS["caltech101"], tmp_path)
  assert str(tmp_path / "Caltech101") in opened.found


def test_links_are_followed(tmp_path):
  make_replica("dtd", tmp_path / "elsewhere", classes=(0, 1))
  (tmp_path / "data").mkdir()
  (tmp_path / "data" / "DTD").symlink_to(tmp_path / "elsewhere" / "dtd")
  opened = open_dataset(DATASETS["dtd"], tmp_path / "data")
  assert len(opened.records[0]["image"]) > 100


@pytest.fixture
def aircraft(tmp_path):
  make_replica("fgvc_aircraft", tmp_path, classes=(0, 1))
  return tmp_path / "fgvc_aircraft"


def test_aircraft_lie_where_the_archive_has_them(tmp_path, aircraft):
  unpacked = tmp_path / "fgvc-aircraft-2013b"
  unpacked.mkdir()
  aircraft.rename(unpacked / "data")
  opened = open_dataset(DATASETS["fgvc_aircraft"], tmp_path)
  assert [r["label"] for r in map(opened.records.__getitem__, (0, 1))] == [1, 0]


def test_aircraft_need_the_order_of_variants(tmp_path, aircraft):
  file = aircraft / "variants.txt"
  names = file.read_text().split("\n")
  file.write_text("\n".join([names[1], names[0], *names[2:]]))
  rule = "variants.txt, line 1 gives label 0 to '727-200', whose label is 1"
  with pytest.raises(ValueError, match=rule):
    read(DATASETS["fgvc_aircraft"], tmp_path)
  file.unlink()
  assert read(DATASETS["fgvc_aircraft"], tmp_path) is not None


def test_aircraft_lines_that_are_refused(tmp_path, aircraft):
  file = aircraft / DATASETS["fgvc_aircraft"].coop.listing
  for text, rule in (
    ("0000001 Boeing 707", "line 1 must name a class of FGVCAircraft"),
    ("../0000001 707-320", "line 1: a path must stay inside"),
    ("\n", "must list images, got an empty file"),
  ):
    file.write_text(text)
    with pytest.raises(ValueError, match=rule):
      read(DATASETS["fgvc_aircraft"], tmp_path)
  file.write_bytes(b"\xff\xfe")
  with pytest.raises(ValueError, match="must be a text file"):
    read(DATASETS["fgvc_aircraft"], tmp_path)


def test_a_folder_without_a_list_is_another_layout(tmp_path):
  for name in ("dtd", "fgvc_aircraft", "imagenet_a"):
    (tmp_path / name).mkdir()
    assert read(DATASETS[name], tmp_path) is None


def test_names_files_beside_imagenet_s_folders_are_no_classes(tmp_path):
  replica = make_replica("imagenet_a", tmp_path, classes=(0, 3))
  folder = tmp_path / "imagenet-adversarial"
  (folder / "classnames.txt").write_text("n01440764 tench\n")
  (folder / "imagenet-a" / "README.txt").write_text("about")
  opened = open_dataset(DATASETS["imagenet_a"], tmp_path)
  assert list(opened.files) == replica.files and opened.layout == "coop"
  assert "skipped 1 name (README.txt)" in opened.found


def test_labels_of_imagenet_a_count_its_own_classes(tmp_path):
  make_replica("imagenet_a", tmp_path)
  opened = open_dataset(DATASETS["imagenet_a"], tmp_path)
  labels = [opened.records[n]["label"] for n in range(len(opened.records))]
  assert labels == list(range(200))
  folders = [file.split("/")[0] for file in opened.files]
  assert folders == sorted(folders)  # CoOp's labels


def test_numbers_of_imagenet_v2_are_no_words(tmp_path):
  """Sorted as words, 0, 1, 10, 100 would get the labels 0, 1, 2, 3."""
  make_replica("imagenet_v2", tmp_path, classes=(0, 1, 2, 10, 100))
  opened = open_dataset(DATASETS["imagenet_v2"], tmp_path)
  labels = [opened.records[n]["label"] for n in range(5)]
  assert labels == [0, 1, 2, 10, 100]
  assert [file.split("/")[0] for file in opened.files] == list(map(str, labels))
