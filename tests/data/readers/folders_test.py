"""Class folders: whose they are, what is skipped, what is refused."""

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers.folders import list_folder, read
from s3_jax.data.readers.naming import sort_names
from tests.benchmark_replicas import encoded

JPEG = encoded(0, 0, 8)


@pytest.fixture
def put(tmp_path):
  """Writes files under the folder of all data sets."""

  def write(*files, data=JPEG):
    for file in files:
      path = tmp_path / file
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)

  return write


def labels(opened):
  return [opened.records[n]["label"] for n in range(len(opened.records))]


def test_labels_come_from_names_not_from_order(put, tmp_path):
  put("eurosat/SeaLake/a.jpg", "eurosat/river/a.jpg", "eurosat/forest/a.jpg")
  opened = open_dataset(DATASETS["eurosat"], tmp_path)
  assert opened.layout == "folders" and labels(opened) == [1, 8, 9]
  assert list(opened.files) == ["forest/a.jpg", "river/a.jpg", "SeaLake/a.jpg"]
  assert "3 images, 3 of 10 classes" in opened.found


def test_caltech_s_capitals_do_not_matter_and_two_folders_are_dropped(
  put, tmp_path
):
  """Sorted without regard to case, accordion would be class 0."""
  put(
    "caltech101/Faces/a.jpg",
    "caltech101/Faces_easy/a.jpg",
    "caltech101/BACKGROUND_Google/a.jpg",
    "caltech101/BACKGROUND_Google/tmp",
    "caltech101/accordion/a.jpg",
    "caltech101/airplanes/a.jpg",
    "caltech101/Leopards/a.jpg",
    "caltech101/Motorbikes/a.jpg",
  )
  opened = open_dataset(DATASETS["caltech101"], tmp_path)
  assert [file.split("/")[0] for file in opened.files] == [
    "Faces",
    "Leopards",
    "Motorbikes",
    "accordion",
    "airplanes",
  ]
  assert labels(opened) == [0, 1, 2, 3, 4]
  assert "left out BACKGROUND_Google and Faces_easy" in opened.found


@pytest.mark.parametrize("part", ["", "test/", "val/", "images/"])
def test_they_may_lie_one_folder_down(put, tmp_path, part):
  put(f"dtd/{part}banded/a.png")
  assert labels(open_dataset(DATASETS["dtd"], tmp_path)) == [0]


def test_sketch_as_it_unpacks_and_kaggle_s_imagenet(put, tmp_path):
  put("imagenet-sketch/sketch/n01440764/a.JPEG")
  put("imagenet/ILSVRC/Data/CLS-LOC/val/n01443537/a.JPEG")
  assert labels(open_dataset(DATASETS["imagenet_sketch"], tmp_path)) == [0]
  assert labels(open_dataset(DATASETS["imagenet"], tmp_path)) == [1]


def test_what_is_skipped_is_counted(put, tmp_path):
  put(
    "dtd/banded/a.jpg",
    "dtd/banded/.hidden.jpg",
    "dtd/banded/._a.jpg",
    "dtd/banded/Thumbs.db",
    "dtd/banded/notes.txt",
    "dtd/.git/config",
    "dtd/__MACOSX/banded/a.jpg",
    "dtd/banded/@eaDir/a.jpg",
    "dtd/LICENSE",
  )
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  assert list(opened.files) == ["banded/a.jpg"]
  assert "skipped 8 names (._a.jpg, .git, .hidden.jpg, ...)" in opened.found


def test_images_outside_of_class_folders_are_counted(put, tmp_path):
  put("dtd/banded/a.jpg", "dtd/stray.jpg")
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  assert len(opened.records) == 1
  assert "left out 1 image outside of class folders (stray.jpg" in opened.found


@pytest.mark.parametrize(
  ("files", "rule"),
  [
    (
      ["dtd/banded/a.jpg", "dtd/bandy/a.jpg"],
      "each folder in .*dtd must name a class of DTD, got 'bandy'; 'banded' is",
    ),
    (
      ["dtd/banded/a.jpg", "dtd/Banded/b.jpg"],
      "one folder a class, and 'Banded' and 'banded' both are class 0",
    ),
    (
      ["dtd/banded/deeper/a.jpg"],
      "banded must hold images and no folders, got 'deeper'",
    ),
    (["dtd/banded/a.txt"], "must hold images in its class folders, got none"),
    (
      ["imagenet_a/n01498041/a.jpg", "imagenet_a/n01440764/a.jpg"],
      "must name a class of ImageNet-A, got 'n01440764'",
    ),
    (
      ["imagenet/missile/a.jpg"],
      "'missile' is the name of classes 657 and 744 of ImageNet: use WordNet",
    ),
    (
      ["imagenet_v2/1/a.jpg", "imagenet_v2/01/a.jpg"],
      "'01' and '1' both are class 1",
    ),
    (["imagenet_v2/1/a.jpg", "imagenet_v2/1000/a.jpg"], "got '1000'"),
    (
      ["oxford_flowers102/pink primrose/a.jpg", "oxford_flowers102/2/a.jpg"],
      "must name a class of Flowers102, got '2'",
    ),
  ],
)
def test_folders_that_are_refused(put, tmp_path, files, rule):
  put(*files)
  name = files[0].split("/")[0]
  with pytest.raises(ValueError, match=rule):
    open_dataset(DATASETS[name], tmp_path)


def test_other_folders_are_another_layout(put, tmp_path):
  put("dtd/3.0.1/dataset_info.json", "food101/meta/test.txt")
  put("oxford_flowers102/1/a.jpg", "oxford_flowers102/102/a.jpg")
  for name in ("dtd", "food101", "oxford_flowers102", "imagenet_v2"):
    assert read(DATASETS[name], tmp_path) is None


def test_links_to_folders_and_files(put, tmp_path):
  put("real/a.jpg")
  (tmp_path / "dtd" / "blotchy").mkdir(parents=True)
  (tmp_path / "dtd" / "banded").symlink_to(tmp_path / "real")
  (tmp_path / "dtd/blotchy/b.jpg").symlink_to(tmp_path / "real/a.jpg")
  (tmp_path / "dtd/blotchy/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  assert labels(opened._replace(records=_first(opened.records, 2))) == [0, 1]
  assert "1 file listed, but absent" in opened.found


class _first:
  def __init__(self, records, count):
    self._records, self._count = records, count

  def __len__(self):
    return self._count

  def __getitem__(self, index):
    return self._records[index]


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
  with pytest.raises(ValueError, match="gone must be readable: No such file"):
    list_folder(tmp_path / "gone")


def test_numbers_are_sorted_as_numbers():
  assert sort_names(["10", "9", "1"]) == ["1", "9", "10"]
  assert sort_names(["1", "02", "01"]) == ["01", "1", "02"]
  assert sort_names(["10", "9", "a"]) == ["10", "9", "a"]
  assert sort_names([]) == []
