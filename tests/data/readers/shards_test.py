"""Parquet and WebDataset shards: benchmarks and images of one's own."""

import concurrent.futures
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s3_jax.data.datasets import (
  DATASETS,
  check_counts,
  official_names,
  open_dataset,
)
from s3_jax.data.inventory import take_inventory
from s3_jax.data.readers.own import open_own, spelled_wnids
from tests.benchmark_replicas import BENCHMARKS
from tests.shard_replicas import (
  add,
  samples,
  write_parquet,
  write_webdataset,
)

WRITERS = {"parquet": write_parquet, "webdataset": write_webdataset}
PETS = DATASETS["oxford_pets"]
ANIMALS = ["ant", "sea lion", "zebra"]

layouts = pytest.mark.parametrize("layout", list(WRITERS))


def read_all(opened) -> list[tuple[bytes, int]]:
  records = [opened.records[index] for index in range(len(opened.records))]
  return [(record["image"], record["label"]) for record in records]


def expected(items, labels) -> list[tuple[bytes, int]]:
  return [(i.image, label) for i, label in zip(items, labels, strict=True)]


@layouts
@pytest.mark.parametrize("name", BENCHMARKS)
def test_labels_of_a_benchmark_are_joined_by_name(layout, name, tmp_path):
  spec = DATASETS[name]
  names = list(official_names(spec))
  if name == "imagenet_v2":  # as some copies call its classes
    names = [str(label) for label in range(spec.classes)]
  # Stored in another order, but for the names that two classes share.
  order = [
    label for label in range(spec.classes) if names.count(names[label]) == 1
  ][::-1]
  if len(order) < spec.classes:
    order = list(range(spec.classes))
  stored = [names[label] for label in order]
  items = samples([0, 5, spec.classes - 1, 5, 2, 1, 0])
  WRITERS[layout](tmp_path / spec.folders[-1], items, stored)
  opened = open_dataset(spec, tmp_path)
  assert opened.layout == layout
  assert read_all(opened) == expected(items, [order[i.label] for i in items])
  assert "7 images" in opened.found and "split test" in opened.found
  assert open_dataset(spec, tmp_path).fingerprint == opened.fingerprint
  with pytest.raises(ValueError, match=f"must hold {spec.examples} images"):
    check_counts(spec, opened)


WORDNET = ["tench, Tinca tinca", "cock", "crane", "ear, spike, capitulum"]


def test_wordnets_words_are_imagenets_classes(tmp_path):
  spec = DATASETS["imagenet"]
  names = list(official_names(spec))
  names[0], names[7], names[998] = WORDNET[0], WORDNET[1], WORDNET[3]
  names[134] = names[517] = "crane"
  items = samples([134, 0, 517, 998, 7, 657, 744, 836, 837])
  write_parquet(tmp_path / "imagenet", items, names, split="validation")
  opened = open_dataset(spec, tmp_path)
  assert [label for _, label in read_all(opened)] == [i.label for i in items]
  assert "names of several classes placed by their order" in opened.found
  names[0], names[1] = names[1], names[0]  # no longer their order
  write_parquet(tmp_path / "imagenet", items, names, split="validation")
  with pytest.raises(ValueError, match="must have the class"):
    open_dataset(spec, tmp_path)


def test_one_wrong_name_is_refused_and_not_placed(tmp_path):
  names = list(official_names(PETS))
  names[4] = "eagle"
  write_webdataset(tmp_path / "oxford_pets", samples([0, 1]), names)
  with pytest.raises(ValueError, match="must have the class 'beagle'"):
    open_dataset(PETS, tmp_path)


@layouts
def test_indices_alone_are_refused_for_a_benchmark(layout, tmp_path):
  WRITERS[layout](tmp_path / "dtd", samples([0, 1]))
  with pytest.raises(ValueError, match="put classnames.txt, a class a line"):
    open_dataset(DATASETS["dtd"], tmp_path)
  names = official_names(DATASETS["dtd"])
  (tmp_path / "dtd" / "classnames.txt").write_text("\n".join(names[::-1]))
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  assert [label for _, label in read_all(opened)] == [46, 45]


@layouts
def test_labels_may_be_names(layout, tmp_path):
  labels = [3, 11, 3]
  names = [official_names(PETS)[label].replace(" ", "_") for label in labels]
  items = samples(names)
  WRITERS[layout](tmp_path / "oxford_pets", items)
  opened = open_dataset(PETS, tmp_path)
  assert read_all(opened) == expected(items, labels)


@layouts
def test_a_dropped_class_is_left_out_and_counted(layout, tmp_path):
  spec = DATASETS["caltech101"]
  names = ["BACKGROUND_Google", "Faces_easy", *official_names(spec)]
  items = samples([2, 0, 3, 1, 0])
  WRITERS[layout](tmp_path / "caltech101", items, names)
  opened = open_dataset(spec, tmp_path)
  assert read_all(opened) == [(items[0].image, 0), (items[2].image, 1)]
  assert "left out BACKGROUND_Google and Faces_easy (3)" in opened.found


@layouts
def test_a_subset_may_be_stored_with_all_classes(layout, tmp_path):
  spec, whole = DATASETS["imagenet_a"], DATASETS["imagenet"]
  names = official_names(whole)
  inside = names.index(official_names(spec)[3])
  WRITERS[layout](tmp_path / "imagenet_a", samples([inside] * 2), names)
  assert [label for _, label in read_all(open_dataset(spec, tmp_path))] == [
    3,
    3,
  ]
  WRITERS[layout](tmp_path / "imagenet_a", samples([0, 0]), names)
  with pytest.raises(ValueError, match="one of the data set's 200 classes"):
    open_dataset(spec, tmp_path)


@layouts
@pytest.mark.parametrize("label", [-1, 37])
def test_labels_outside_of_the_names_are_refused(layout, label, tmp_path):
  items = samples([0, label])
  WRITERS[layout](tmp_path / "oxford_pets", items, official_names(PETS))
  with pytest.raises(ValueError, match=f"label from 0 to 36, got {label}"):
    open_dataset(PETS, tmp_path)


@layouts
def test_the_test_split_is_taken(layout, tmp_path):
  folder, names = tmp_path / "oxford_pets", official_names(PETS)
  train, val, test = samples([0] * 3), samples([1] * 2), samples([2] * 4)
  WRITERS[layout](folder, train, names, split="train")
  assert "split train" in open_dataset(PETS, tmp_path).found
  WRITERS[layout](folder, val, names, split="validation")
  assert len(open_dataset(PETS, tmp_path).records) == 2
  WRITERS[layout](folder, test, names)
  opened = open_dataset(PETS, tmp_path)
  assert read_all(opened) == expected(test, [2] * 4)
  assert "left out train and validation" in opened.found
  imagenet = DATASETS["imagenet"]
  names = official_names(imagenet)
  WRITERS[layout](tmp_path / "imagenet", samples([-1, -1]), names)
  WRITERS[layout](tmp_path / "imagenet", samples([9, 9]), names, split="val")
  assert read_all(open_dataset(imagenet, tmp_path))[0][1] == 9


def test_other_names_of_shards(tmp_path):
  names, items = official_names(PETS), samples(range(30))
  for number, (writer, pattern, shards) in enumerate(
    (
      (write_parquet, "default/{split}/{number:04d}.parquet", 3),
      (write_parquet, "{split}.parquet", 1),
      (write_parquet, "pets-{split}-{number}.parquet", 12),
      (write_webdataset, "pets-{split}-{number:02d}.tar", 12),
      (write_webdataset, "{number}.tar", 12),
    )
  ):
    root = tmp_path / str(number)
    folder = root / "oxford_pets"
    writer(folder, items, names, shards=shards, pattern=pattern)
    assert read_all(open_dataset(PETS, root)) == expected(items, range(30))


def test_two_configs_are_refused(tmp_path):
  folder, items = tmp_path / "dtd", samples(["dotted"])
  for config in ("split_1", "split_2"):
    pattern = config + "/{split}-{number}.parquet"
    write_parquet(folder, items, shards=1, pattern=pattern)
  with pytest.raises(ValueError, match="in split_1 and split_2: keep one"):
    open_dataset(DATASETS["dtd"], tmp_path)


@layouts
def test_a_lacking_shard_is_told(layout, tmp_path):
  names = official_names(PETS)
  paths = WRITERS[layout](
    tmp_path / "oxford_pets", samples(range(8)), names, shards=4
  )
  last = paths[-1].read_bytes()
  paths[-1].unlink()
  with pytest.raises(ValueError, match="4 shards, got 3, and number 3 is miss"):
    open_dataset(PETS, tmp_path)
  paths[-1].write_bytes(last)
  paths[1].unlink()
  with pytest.raises(ValueError, match="4 shards, got 3, and number 1 is miss"):
    open_dataset(PETS, tmp_path)


@layouts
@pytest.mark.parametrize("part", ["head", "half", "tail", "pointer", "empty"])
def test_a_damaged_shard_is_named(layout, part, tmp_path):
  names = official_names(PETS)
  paths = WRITERS[layout](tmp_path / "oxford_pets", samples(range(8)), names)
  data = paths[1].read_bytes()
  paths[1].write_bytes(
    {
      "head": b"x" * 300 + data[300:],
      "half": data[: len(data) // 2],
      "tail": data[: len(data) // 8 * 7]
      if layout == "parquet"
      else data[:1300],
      "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
      "empty": b"",
    }[part]
  )
  if (layout, part) == (
    "parquet",
    "head",
  ):  # whose list of columns is at its end
    paths[1].write_bytes(data[:-4] + b"xxxx")
  with pytest.raises(ValueError, match=f"{paths[1].name} must be a whole"):
    open_dataset(PETS, tmp_path)
  assert take_inventory([PETS], tmp_path)[0].status == "broken"


def test_a_damaged_row_group_is_an_image_that_cannot_be_read(tmp_path):
  names = official_names(PETS)
  (path,) = write_parquet(
    tmp_path / "oxford_pets", samples(range(6)), names, shards=1
  )
  with pq.ParquetFile(path) as file:
    chunk = file.metadata.row_group(0).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
  data = bytearray(path.read_bytes())
  data[start : start + 40] = b"\xff" * 40
  path.write_bytes(data)
  opened = open_dataset(PETS, tmp_path)
  with pytest.raises(OSError, match="damaged row group 0"):
    opened.records[0]
  assert opened.records[3]["label"] == 3


def test_a_row_without_bytes_is_an_empty_file(tmp_path):
  items = samples([0, 1])
  items[0] = items[0]._replace(image=None)
  write_parquet(tmp_path / "oxford_pets", items, official_names(PETS))
  opened = open_dataset(PETS, tmp_path)
  assert read_all(opened) == [(b"", 0), (items[1].image, 1)]


def test_of_several_columns_that_of_the_classes_is_taken(tmp_path):
  items = samples([0, 1, 2])
  further = {"label_cat_dog": ([0, 1, 1], ["cat", "dog"])}
  names = official_names(PETS)
  folder = tmp_path / "oxford_pets"
  write_parquet(folder, items, names, label="breed", further=further)
  assert read_all(open_dataset(PETS, tmp_path)) == expected(items, range(3))
  with pytest.raises(ValueError, match="one column of labels, got breed"):
    open_own(folder)


def test_plain_columns_of_bytes(tmp_path):
  items = samples(["zebra", "ant"])
  table = pa.table(
    {
      "jpg": pa.array([i.image for i in items], pa.large_binary()),
      "cls": pa.array([i.label for i in items]).dictionary_encode(),
    }
  )
  pq.write_table(table, tmp_path / "mine.parquet")
  opened, names = open_own(tmp_path / "mine.parquet")
  assert names == ("ant", "zebra")
  assert read_all(opened) == expected(items, [1, 0])


@layouts
def test_images_of_ones_own(layout, tmp_path):
  items = samples([2, 0, 1, 2])
  WRITERS[layout](tmp_path, items, ANIMALS)
  opened, names = open_own(tmp_path)
  assert names == tuple(ANIMALS) and opened.layout == layout
  assert read_all(opened) == expected(items, [2, 0, 1, 2])
  given = ["zebra", "sea-lion", "ant", "bee"]  # whose order counts
  opened, names = open_own(tmp_path, given)
  assert read_all(opened) == expected(items, [0, 2, 1, 0])
  with pytest.raises(ValueError, match="3 with 'zebra'|2 classes only"):
    open_own(tmp_path, ["ant", "sea lion"])


@layouts
def test_ones_own_without_names(layout, tmp_path):
  WRITERS[layout](tmp_path, samples([1, 0]))
  with pytest.raises(ValueError, match="must name its classes"):
    open_own(tmp_path)
  opened, _ = open_own(tmp_path, ["ant", "bee"])
  assert [label for _, label in read_all(opened)] == [1, 0]
  assert "labels are indices" in opened.found
  with pytest.raises(ValueError, match="label from 0 to 0, got 1"):
    open_own(tmp_path, ["ant"])
  WRITERS[layout](tmp_path, samples([1, 2]))
  with pytest.raises(ValueError, match="subtract 1 if they count from 1"):
    open_own(tmp_path, ["ant", "bee", "cat"])


@layouts
def test_wordnet_ids_of_ones_own(layout, tmp_path):
  ids = ["n02123045", "n02690373"]
  WRITERS[layout](tmp_path, samples([1, 0]), ids)
  assert spelled_wnids(tmp_path) == tuple(ids)
  assert open_own(tmp_path)[1] == ("tabby cat", "airliner")


@layouts
def test_two_spellings_of_one_class_are_refused(layout, tmp_path):
  WRITERS[layout](tmp_path, samples([1, 0]), ["sea lion", "Sea_Lion"])
  with pytest.raises(ValueError, match="spell each class in one way"):
    open_own(tmp_path)


def test_class_folders_come_before_an_archive_beside_them(tmp_path):
  (tmp_path / "ant").mkdir()
  (tmp_path / "ant" / "1.jpg").write_bytes(samples([0])[0].image)
  write_webdataset(tmp_path, samples([0]), ["bee"], pattern="{number}.tar")
  assert open_own(tmp_path)[1] == ("ant",)


def test_a_tar_without_labels_is_no_webdataset(tmp_path):
  folder = tmp_path / "oxford_pets"
  folder.mkdir()
  with tarfile.open(folder / "images.tar", "w") as tar:
    add(tar, "images/a.jpg", b"1")
    add(tar, "images/b.jpg", b"2")
  with pytest.raises(ValueError, match="nothing was found"):
    open_dataset(PETS, tmp_path)


@pytest.mark.parametrize(
  ("members", "rule"),
  [
    ({"a.cls": b"0", "b.cls": b"0", "b.jpg": b"x"}, "'a' has no image"),
    ({"a.cls": b"0", "a.jpg": b"x", "b.jpg": b"x"}, "'b' has no .cls"),
    ({"a.cls": b"0", "a.jpg": b"x", "a.png": b"x"}, "two of 'a'"),
    ({"a.cls": b" ", "a.jpg": b"x"}, "a class in each .cls, got ''"),
    ({"a.cls": b"0", "../a.jpg": b"x"}, "must stay inside"),
  ],
)
def test_samples_are_whole(members, rule, tmp_path):
  folder = tmp_path / "oxford_pets"
  folder.mkdir()
  with tarfile.open(folder / "test.tar", "w") as tar:
    for name, data in members.items():
      add(tar, name, data)
  with pytest.raises(ValueError, match=rule):
    open_dataset(PETS, tmp_path)


def test_further_parts_of_samples_are_counted(tmp_path):
  folder = tmp_path / "oxford_pets"
  (path,) = write_webdataset(
    folder, samples([0]), official_names(PETS), shards=1, ending="seg.webp"
  )
  with pytest.raises(ValueError, match="no image"):
    open_dataset(PETS, tmp_path)  # seg.webp is another part than webp
  (path,) = write_webdataset(
    folder, samples([0]), official_names(PETS), shards=1, ending="webp"
  )
  with tarfile.open(path, "a") as tar:
    add(tar, "s0000000.json", b"{}")
  opened = open_dataset(PETS, tmp_path)
  assert "skipped 1 name (test/0.tar/s0000000.json)" in opened.found
  assert list(opened.files) == ["test/0.tar/s0000000.webp"]


def test_many_labels_an_image_are_refused(tmp_path):
  folder = tmp_path / "oxford_pets"
  write_webdataset(folder, samples([0]), official_names(PETS), shards=1)
  (folder / "dataset_type.txt").write_text("multilabel")
  with pytest.raises(ValueError, match="one class an image"):
    open_dataset(PETS, tmp_path)


@layouts
def test_threads_read_at_once_and_stamps_tell_changes(layout, tmp_path):
  names, items = official_names(PETS), samples(range(30))
  folder = tmp_path / "oxford_pets"
  WRITERS[layout](folder, items, names, shards=3)
  opened = open_dataset(PETS, tmp_path)
  order = [(7 * index) % 30 for index in range(90)]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    read = list(pool.map(opened.records.__getitem__, order))
  assert [record["label"] for record in read] == order
  assert [r["image"] for r in read] == [items[index].image for index in order]
  stamps = opened.stamps()
  assert len(set(stamps.digests)) == 30 and min(stamps.newest) > 0
  WRITERS[layout](folder, items[:29] + samples([29] * 30)[29:], names, shards=3)
  again = open_dataset(PETS, tmp_path).stamps()
  assert stamps.digests[-1] != again.digests[-1]


@layouts
def test_the_inventory_counts_images_and_classes(layout, tmp_path):
  spec = DATASETS["dtd"]._replace(examples=47)
  items = samples(range(47))
  WRITERS[layout](tmp_path / "dtd", items, official_names(spec))
  (finding,) = take_inventory([spec], tmp_path)
  assert finding.status == "complete" and finding.layout == layout
  assert (finding.images, finding.classes) == (47, 47)
