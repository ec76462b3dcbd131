"""The table of data sets, and opening them by name in every layout."""

import concurrent.futures
import os

import pytest

from s3_jax.data.datasets import (
  DATASETS,
  check_counts,
  find_dataset,
  official_names,
  open_dataset,
  wnids,
)
from s3_jax.data.readers import READERS
from s3_jax.lexicon.synonyms import load_lexicon
from tests.benchmark_replicas import BENCHMARKS, COOP, TPT, make_replica
from tests.lexicon.registry import TABLES

# Images of the test splits: D2TPT's Table 1 and CoOp's split files.
SIZES = {
  "imagenet": (1000, 50000),
  "imagenet_v2": (1000, 10000),
  "imagenet_a": (200, 7500),
  "imagenet_r": (200, 30000),
  "imagenet_sketch": (1000, 50889),
  "caltech101": (100, 2465),
  "oxford_pets": (37, 3669),
  "stanford_cars": (196, 8041),
  "oxford_flowers102": (102, 2463),
  "food101": (101, 30300),
  "fgvc_aircraft": (100, 3333),
  "sun397": (397, 19850),
  "dtd": (47, 1692),
  "eurosat": (10, 8100),
  "ucf101": (101, 3783),
}
# CoOp's single template of each data set; all others have "a photo of a {}.".
TEMPLATES = {
  "oxford_pets": "a photo of a {}, a type of pet.",
  "oxford_flowers102": "a photo of a {}, a type of flower.",
  "food101": "a photo of {}, a type of food.",
  "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
  "dtd": "{} texture.",
  "eurosat": "a centered satellite photo of {}.",
  "ucf101": "a photo of a person doing {}.",
}


def test_the_table_has_the_fifteen_benchmarks():
  sizes = {
    name: (DATASETS[name].classes, DATASETS[name].examples)
    for name in BENCHMARKS
  }
  assert sizes == SIZES


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_row_agrees_with_the_lexicon(name):
  spec = DATASETS[name]
  assert spec.name == name and spec.folders[0] == name
  assert spec.template == TEMPLATES.get(name, "a photo of a {}.")
  assert spec.title.startswith(TABLES[spec.lexicon].title)
  assert len(official_names(spec)) == len(wnids(spec)) == spec.classes
  assert set(spec.layouts) <= set(READERS) and spec.source and spec.licence
  assert {COOP.get(name, name), TPT.get(name, name)} <= set(spec.folders)


def test_subsets_take_their_classes_in_order():
  table = load_lexicon("imagenet")
  for name in ("imagenet_a", "imagenet_r"):
    spec = DATASETS[name]
    entries = [table.classes[index] for index in table.subsets[name]]
    assert official_names(spec) == tuple(entry.name for entry in entries)
    ids = wnids(spec)
    assert ids == tuple(entry.wnid for entry in entries)
    assert list(ids) == sorted(map(str, ids))  # as CoOp's labels are


def test_a_data_set_of_ones_own_has_no_official_names():
  spec = DATASETS["dtd"]._replace(name="mine", lexicon="")
  with pytest.raises(ValueError, match="'mine' must have a packaged table"):
    official_names(spec)


@pytest.mark.parametrize("layout", ["coop", "tpt", "folders", "csv"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_layout_gives_the_images_and_labels(name, layout, tmp_path):
  classes = (0, 1, 5, DATASETS[name].classes - 1)
  replica = make_replica(
    name, tmp_path, layout=layout, classes=classes, images_per_class=2
  )
  opened = open_dataset(DATASETS[name], tmp_path)
  plain = layout == "tpt" and name.startswith("imagenet")
  expected = "folders" if plain else {"tpt": "coop"}.get(layout, layout)
  assert opened.layout == expected and str(tmp_path) in opened.found
  assert list(opened.files) == replica.files
  records = [opened.records[index] for index in range(len(opened.records))]
  assert [record["label"] for record in records] == replica.labels
  assert [record["image"] for record in records] == replica.images
  again = open_dataset(DATASETS[name], tmp_path, layout=opened.layout)
  assert again.fingerprint == opened.fingerprint


@pytest.mark.parametrize("name", ["sun397", "eurosat", "fgvc_aircraft"])
def test_all_classes_at_once(name, tmp_path):
  replica = make_replica(name, tmp_path, size=8)
  opened = open_dataset(DATASETS[name], tmp_path)
  labels = [
    opened.records[index]["label"] for index in range(len(opened.files))
  ]
  assert labels == replica.labels
  assert set(labels) == set(range(DATASETS[name].classes))


def test_threads_read_at_once(tmp_path):
  replica = make_replica("eurosat", tmp_path, images_per_class=9)
  records = open_dataset(DATASETS["eurosat"], tmp_path).records
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    read = list(pool.map(records.__getitem__, range(len(records))))
  assert [record["image"] for record in read] == replica.images


def test_the_fingerprint_follows_the_files(tmp_path):
  make_replica("dtd", tmp_path, classes=(0, 1))

  def fingerprint():
    return open_dataset(DATASETS["dtd"], tmp_path).fingerprint

  before = fingerprint()
  image = tmp_path / "dtd/images/banded/banded_0001.jpg"
  image.write_bytes(image.read_bytes() + b" ")
  changed = fingerprint()
  image.unlink()
  assert len({before, changed, fingerprint()}) == 3


def test_nothing_there_says_all_that_was_looked_for(tmp_path):
  with pytest.raises(ValueError) as error:
    open_dataset(DATASETS["fgvc_aircraft"], tmp_path)
  text = str(error.value)
  assert "\n" not in text
  for words in (
    "data set 'fgvc_aircraft' must lie under",
    "fgvc_aircraft or fgvc-aircraft-2013b",
    "coop: images_variant_test.txt beside images",
    "csv: test.csv with lines of path,label",
    "folders: a folder a class",
    "fgvc-aircraft-2013b.tar.gz; docs/DATASETS.md",
  ):
    assert words in text
  assert find_dataset(DATASETS["fgvc_aircraft"], tmp_path) is None
  with pytest.raises(
    ValueError, match="ILSVRC2012_img_val.tar there or beside"
  ):
    open_dataset(DATASETS["imagenet"], tmp_path)


def test_the_folder_of_all_must_exist(tmp_path):
  with pytest.raises(
    ValueError, match="`data_dir` must be the folder .*nothin"
  ):
    open_dataset(DATASETS["dtd"], tmp_path / "nothing")


def test_a_layout_may_be_asked_for(tmp_path):
  make_replica("dtd", tmp_path, layout="coop", classes=(0,))
  make_replica("dtd", tmp_path, layout="csv", classes=(0, 1))
  found = open_dataset(DATASETS["dtd"], tmp_path)
  assert (found.layout, len(found.records)) == ("coop", 1)
  found = open_dataset(DATASETS["dtd"], tmp_path, layout="csv")
  assert (found.layout, len(found.records)) == ("csv", 2)
  rule = "`layout` of 'dtd' must be one of auto, coop, .*, got 'tar'"
  with pytest.raises(ValueError, match=rule):
    open_dataset(DATASETS["dtd"], tmp_path, layout="tar")
  with pytest.raises(ValueError, match=r"nothing was found \(coop: split_zhou"):
    open_dataset(DATASETS["eurosat"], tmp_path, layout="coop")


def test_counts_are_checked(tmp_path):
  make_replica("dtd", tmp_path, layout="folders")
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  rule = "'dtd' .test, CoOp's split. must hold 1692 images, got 47 from class"
  with pytest.raises(ValueError, match=rule) as error:
    check_counts(DATASETS["dtd"], opened)
  assert "add split_zhou_DescribableTextures.json beside images" in str(
    error.value
  )
  assert str(error.value).endswith("or make it whole.")
  check_counts(DATASETS["dtd"]._replace(examples=47), opened)
  check_counts(DATASETS["dtd"]._replace(examples=0), opened)


def test_what_is_listed_and_not_there_is_absent(tmp_path):
  replica = make_replica("dtd", tmp_path)
  opened = open_dataset(DATASETS["dtd"], replica.data_dir)
  spec = DATASETS["dtd"]._replace(examples=len(opened.records))
  check_counts(spec, opened)
  first, second = opened.files[:2]
  (tmp_path / "dtd" / "images" / first).unlink()
  pipe = tmp_path / "dtd" / "images" / second
  pipe.unlink()
  os.mkfifo(pipe)
  less = open_dataset(spec, replica.data_dir)
  assert len(less.records) == spec.examples and less.absent == 2
  with pytest.raises(
    ValueError,
    match=rf"must hold {spec.examples} images, got {spec.examples - 2} from",
  ):
    check_counts(spec, less)


def test_pictographs_are_opened_like_the_rest(monkeypatch, tmp_path):
  from s3_jax.data import drawn_sets

  drawn = [{"image": b"", "label": 3}] * 2
  opened = []
  monkeypatch.setattr(
    drawn_sets,
    "open_drawn",
    lambda spec, folder: opened.append(spec.name) or drawn,
  )
  new = tmp_path / "not there yet"
  plain = open_dataset(DATASETS["plain"]._replace(examples=2), new)
  assert len(plain.records) == 2 and plain.layout == "pictographs"
  assert list(plain.files) == ["plain/0", "plain/1"]
  assert not opened, "nothing is drawn before an image is asked for"
  assert plain.records[1] == plain.records[0] == drawn[0]
  assert opened == ["plain"]
  outline = open_dataset(DATASETS["outline"], new)
  assert plain.fingerprint != outline.fingerprint
  assert drawn_sets.read_drawn(DATASETS["dtd"], new) is None
