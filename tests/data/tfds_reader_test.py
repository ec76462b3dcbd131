"""Data sets that TFDS's own builders prepared, read by class names."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from s3_jax.data.datasets import DATASETS, official_names, wnids
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.readers.tfds import (
  class_keys,
  expects,
  own_source,
  read,
)
from s3_jax.data.specs import TfdsSource
from tests.tfds_replicas import encoded, prepare_official

OFFICIAL = (
  "imagenet",
  "imagenet_v2",
  "imagenet_a",
  "imagenet_r",
  "imagenet_sketch",
  "oxford_pets",
  "stanford_cars",
  "sun397",
)


def tfds_names(name: str, tmp_path: pathlib.Path) -> list[str]:
  source = DATASETS[name].tfds
  assert source is not None
  full = f"{source.builder}/{source.config}".rstrip("/")
  builder = tfds.builder(full, data_dir=str(tmp_path / "unused"))
  assert str(builder.version) == source.version
  return builder.info.features["label"].names


def prepare(name: str, data_dir: pathlib.Path, rows, **options):
  source = DATASETS[name].tfds
  assert source is not None
  return prepare_official(
    data_dir,
    source.builder,
    rows,
    config=source.config or None,
    split=source.split,
    **options,
  )


def two_pets(data_dir: pathlib.Path) -> pathlib.Path:
  rows = [{"image": encoded(i), "label": i} for i in (36, 0)]
  return prepare("oxford_pets", data_dir, rows)


PETS = DATASETS["oxford_pets"]


@pytest.mark.parametrize("name", OFFICIAL)
def test_labels_are_the_benchmark_s(name, tmp_path):
  spec = DATASETS[name]
  names = tfds_names(name, tmp_path)
  known = set(class_keys(spec)) if spec.subset else set(names)
  chosen = [n for n in names if n in known][:: max(len(known) // 40, 1)]
  rows = [{"image": encoded(names.index(n)), "label": n} for n in chosen]
  folder = prepare(name, tmp_path, rows)
  opened = read(spec, tmp_path)
  assert opened is not None and opened.layout == "tfds"
  assert str(folder) in opened.found
  assert len(opened.records) == len(opened.files) == len(rows)
  # By image: TFDS has an order of its own.
  found = {}
  for index in range(len(rows)):
    record = opened.records[index]
    assert set(record) == {"image", "label"}
    found[record["image"]] = record["label"]
  for name_there, row in zip(chosen, rows, strict=True):
    label = found[row["image"]]
    if spec.family == "imagenet":
      assert wnids(spec)[label] == name_there
    else:  # the same words in some order; SUN397's paths begin with a letter
      official = official_names(spec)[label]
      assert words_of(official) == words_of(re.sub("^/./", "", name_there))


def words_of(name: str) -> list[str]:
  return sorted(re.findall("[a-z0-9]+", name.lower()))


def test_every_class_of_every_official_builder_is_found(tmp_path):
  """One image is enough: names are joined when the data set is opened."""
  for name in ("stanford_cars", "sun397", "oxford_pets"):
    names = tfds_names(name, tmp_path)
    rows = [{"image": encoded(i), "label": i} for i in range(len(names))]
    prepare(name, tmp_path, rows)
    opened = read(DATASETS[name], tmp_path)
    assert opened is not None
    labels = [opened.records[i]["label"] for i in range(len(names))]
    assert sorted(labels) == list(range(len(names)))
    # TFDS happens to have the benchmark's order in these three.
    order = {encoded(i): i for i in range(len(names))}
    assert labels == [
      order[opened.records[i]["image"]] for i in range(len(names))
    ]


def test_a_year_may_stand_last(tmp_path):
  names = tfds_names("stanford_cars", tmp_path)
  label = names.index("Audi TTS Coupe 2012")
  rows = [{"image": encoded(1), "label": "Audi TTS Coupe 2012"}]
  prepare("stanford_cars", tmp_path, rows)
  opened = read(DATASETS["stanford_cars"], tmp_path)
  assert opened is not None and opened.records[0]["label"] == label
  official = official_names(DATASETS["stanford_cars"])[label]
  assert official == "2012 Audi TTS Coupe"


def test_thousand_way_labels_become_two_hundred(tmp_path):
  spec = DATASETS["imagenet_a"]
  names = tfds_names("imagenet_a", tmp_path)
  ids = class_keys(spec)
  indices = [6, 11, 13, 988]  # the first three and the last of its list
  rows = [{"image": encoded(i), "label": names[i]} for i in indices]
  prepare("imagenet_a", tmp_path, rows)
  opened = read(spec, tmp_path)
  assert opened is not None
  found = {
    opened.records[i]["image"]: opened.records[i]["label"] for i in range(4)
  }
  assert [found[encoded(i)] for i in indices] == [0, 1, 2, 199]
  assert ids[199] == names[988]


def test_an_image_of_another_class_is_refused(tmp_path):
  names = tfds_names("imagenet_a", tmp_path)
  rows = [{"image": encoded(6), "label": names[6]}]
  rows.append({"image": encoded(0), "label": names[0]})  # no class of the 200
  prepare("imagenet_a", tmp_path, rows)
  opened = read(DATASETS["imagenet_a"], tmp_path)
  assert opened is not None
  rule = "'imagenet_a' must have images of its own 200 classes.*'n01440764'"
  with pytest.raises(ValueError, match=rule):
    [opened.records[i] for i in range(2)]
  batches = padded_batches(opened.records, lambda image: image, batch_size=1)
  with pytest.raises(ValueError, match=rule):
    list(batches)


def test_an_image_without_a_label_is_refused(tmp_path):
  """TFDS writes -1 for what has no label; it is not the last class."""
  rows = [{"image": encoded(1), "label": -1}, {"image": encoded(2), "label": 3}]
  prepare("oxford_pets", tmp_path, rows)
  opened = read(PETS, tmp_path)
  assert opened is not None
  labels, refused = [], 0
  for index in range(2):
    try:
      labels.append(opened.records[index]["label"])
    except ValueError as error:
      refused += 1
      assert "labels from 0 to 36, and image" in str(error)
      assert "has -1 (-1 is an image without a label)" in str(error)
  assert len(labels) == refused == 1
  with pytest.raises(ValueError, match="has -1"):
    list(padded_batches(opened.records, np.asarray, batch_size=2))


def test_names_come_from_the_records(tmp_path):
  two_pets(tmp_path)
  opened = read(PETS, tmp_path)
  assert opened is not None
  assert sorted(opened.files) == ["photo_0.jpg", "photo_1.jpg"]
  assert opened.files[-1] == opened.files[1]
  assert opened.files[0:2] == list(opened.files)
  for index in (0, 1):
    number = {0: 1, 36: 0}[opened.records[index]["label"]]
    assert opened.files[index] == f"photo_{number}.jpg"
  with pytest.raises(IndexError):
    opened.files[2]


def test_cars_are_called_by_their_ids(tmp_path):
  prepare("stanford_cars", tmp_path, [{"image": encoded(1), "label": 3}])
  opened = read(DATASETS["stanford_cars"], tmp_path)
  assert opened is not None and list(opened.files) == ["00000"]


def test_without_a_name_the_place_is_one(tmp_path):
  folder = two_pets(tmp_path)
  features = json.loads((folder / "features.json").read_text())
  del features["featuresDict"]["features"]["file_name"]
  (folder / "features.json").write_text(json.dumps(features))
  opened = read(PETS, tmp_path)
  assert opened is not None and list(opened.files) == ["test[0]", "test[1]"]


def test_nothing_there(tmp_path):
  assert read(PETS, tmp_path) is None
  assert read(PETS, tmp_path / "absent") is None
  (tmp_path / "oxford_iiit_pet" / "images").mkdir(parents=True)
  assert read(PETS, tmp_path) is None
  assert read(DATASETS["dtd"], tmp_path) is None


def test_what_is_expected():
  own = "benchmarks/oxford_pets/1.0.0"
  words = f"oxford_iiit_pet/4.0.0 or {own}, prepared as array_record"
  assert expects(PETS) == words
  dtd = DATASETS["dtd"]
  words = "benchmarks/dtd/1.0.0, prepared as array_record"
  assert expects(dtd._replace(tfds=None)) == words
  assert expects(dtd._replace(tfds=own_source(dtd))) == words
  assert own_source(dtd) == TfdsSource("benchmarks", "dtd", "test", "1.0.0")


@pytest.mark.parametrize(
  ("form", "rule"),
  [
    (
      "tfrecord",
      "must be array_record, got tfrecord: prepare it again in another folder,"
      " `tfds build oxford_iiit_pet --file_format=array_record",
    ),
    ("riegeli", "must be array_record, got riegeli"),
    ("parquet", "must be array_record, got parquet, of which TFDS writes half"),
  ],
)
def test_other_formats_are_refused(form, rule, tmp_path):
  folder = two_pets(tmp_path)
  change_info(folder, fileFormat=form)
  for path in folder.glob("*.array_record*"):
    path.rename(str(path).replace("array_record", form))
  with pytest.raises(ValueError, match=rule):
    read(PETS, tmp_path)


def test_the_config_is_part_of_the_advice(tmp_path):
  rows = [{"image": encoded(1), "label": 0}]
  change_info(prepare("sun397", tmp_path, rows), fileFormat="tfrecord")
  with pytest.raises(ValueError, match="build sun397/standard-part1-120k --fi"):
    read(DATASETS["sun397"], tmp_path)


def change_info(folder: pathlib.Path, **changes) -> None:
  path = folder / "dataset_info.json"
  info = json.loads(path.read_text())
  path.write_text(json.dumps(info | changes))


def test_another_version_is_refused(tmp_path):
  folder = two_pets(tmp_path)
  folder.rename(folder.parent / "3.2.0")
  rule = "'oxford_pets' must be prepared in version 4.0.0, got 3.2.0 in"
  with pytest.raises(ValueError, match=rule):
    read(PETS, tmp_path)


def test_sun397_s_default_config_is_another_data_set(tmp_path):
  rows = [{"image": encoded(1), "label": 0}]
  prepare_official(tmp_path, "sun397", rows, config="tfds")
  assert read(DATASETS["sun397"], tmp_path) is None


def test_another_split_is_refused(tmp_path):
  folder = two_pets(tmp_path)
  info = json.loads((folder / "dataset_info.json").read_text())
  info["splits"][0]["name"] = "train"
  change_info(folder, splits=info["splits"])
  with pytest.raises(ValueError, match="must have a split 'test', got train"):
    read(PETS, tmp_path)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_folder_that_is_not_whole(file, content, tmp_path):
  path = two_pets(tmp_path) / file
  if content is None:
    path.unlink()
  else:
    path.write_text(content)
  with pytest.raises(ValueError, match="data set 'oxford_pets' in .* must "):
    read(PETS, tmp_path)


def shard_of(folder: pathlib.Path) -> pathlib.Path:
  (shard,) = folder.glob("*.array_record*")
  return shard


def test_files_that_are_absent_or_cut_off(tmp_path):
  shard = shard_of(two_pets(tmp_path))
  data = shard.read_bytes()
  for content in (b"", data[:100], data[:-10]):
    shard.write_bytes(content)
    rule = "must hold 2 examples, and example 1 cannot be read"
    with pytest.raises(ValueError, match=rule):
      read(PETS, tmp_path)
  shard.unlink()
  with pytest.raises(ValueError, match="must have all its files, and .*array"):
    read(PETS, tmp_path)


def test_more_examples_are_promised_than_there_are(tmp_path):
  folder = two_pets(tmp_path)
  info = json.loads((folder / "dataset_info.json").read_text())
  info["splits"][0]["shardLengths"] = ["4"]
  change_info(folder, splits=info["splits"])
  rule = "must hold 4 examples, and example 3 cannot be read"
  with pytest.raises(ValueError, match=rule):
    read(PETS, tmp_path)


def test_a_damaged_record_is_a_bad_image(tmp_path):
  shard = shard_of(two_pets(tmp_path))
  data = shard.read_bytes()
  # A byte of the first record, after the headers of file, block and chunk. The
  # second record is read when the data set is opened.
  shard.write_bytes(data[:150] + bytes([data[150] ^ 255]) + data[151:])
  opened = read(PETS, tmp_path)
  assert opened is not None
  bad = {}
  (batch,) = padded_batches(
    opened.records, np.asarray, batch_size=2, bad=bad, threads=1
  )
  assert bad == {0: "cannot be read: damaged record"}
  assert batch["label"].tolist() == [-1, opened.records[1]["label"]]
  assert batch["mask"].tolist() == [False, True]
  assert opened.files[0] == "test[0]"
  assert opened.files[1].startswith("photo_")


def test_other_classes_are_refused(tmp_path):
  folder = two_pets(tmp_path)
  labels = folder / "label.labels.txt"
  names = labels.read_text().splitlines()
  rule = "must have the class 'beagle', and 1 of 37 classes are missing"
  labels.write_text("\n".join(n.replace("beagle", "eagle") for n in names))
  with pytest.raises(ValueError, match=rule):
    read(PETS, tmp_path)
  labels.write_text("\n".join([*names, "eagle"]))
  rule = "must have the data set's 37 classes only, got 38 with 'eagle'"
  with pytest.raises(ValueError, match=rule):
    read(PETS, tmp_path)


def test_the_order_of_the_names_does_not_matter(tmp_path):
  folder = two_pets(tmp_path)
  labels = folder / "label.labels.txt"
  names = labels.read_text().splitlines()
  labels.write_text("\n".join(names[::-1]))
  opened = read(PETS, tmp_path)
  assert opened is not None
  found = {
    opened.records[i]["image"]: opened.records[i]["label"] for i in (0, 1)
  }
  assert found == {encoded(0): 36, encoded(36): 0}


def test_the_fingerprint_follows_the_data(tmp_path):
  folder = two_pets(tmp_path / "a")

  def current(data_dir=tmp_path / "a"):
    opened = read(PETS, data_dir)
    assert opened is not None
    return opened.fingerprint

  first = current()
  assert first == current() and re.fullmatch("[0-9a-f]{64}", first)
  shutil.copytree(tmp_path / "a", tmp_path / "b")  # keeps times
  assert current(tmp_path / "b") == first
  labels = folder / "label.labels.txt"
  names = labels.read_text()
  labels.write_text("\n".join(names.splitlines()[::-1]))
  assert current() != first
  labels.write_text(names)
  assert current() == first
  shard = shard_of(folder)
  shard.write_bytes(shard.read_bytes())  # another time
  assert current() != first
