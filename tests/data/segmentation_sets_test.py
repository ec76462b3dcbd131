"""The eight segmentation benchmarks, read from their real folders."""

import numpy as np
import pytest
from PIL import Image

from s3_jax.data.decoding import BadImage
from s3_jax.data.masks import decode_labels
from s3_jax.data.readers.prepared_masks import own_mask_source
from s3_jax.data.segmentation_sets import (
  SEGMENTATION_SETS,
  benchmark_names,
  check_mask_counts,
  class_entries,
  find_masks,
  open_masks,
)
from s3_jax.segmentation import SEGMENTATION_PROTOCOLS
from tests.segmentation_replicas import MASKED, make_segmentation, png, write

KINDS = [
  (name, kind)
  for name in MASKED
  for kind in range(len(SEGMENTATION_SETS[name].masks))
]


def labels_of(found, index, size=(24, 32)):
  return decode_labels(
    found.opened.records[index]["mask"],
    found.labels,
    size,
    where=found.mask_files[index],
  )


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_kind_of_masks_is_read(tmp_path, name, kind):
  replica = make_segmentation(name, tmp_path, kind=kind)
  found = open_masks(SEGMENTATION_SETS[name], tmp_path)
  assert list(found.opened.files) == replica.files
  assert list(found.mask_files) == replica.masks
  assert found.unreadable == 0
  for index, labels in enumerate(replica.labels):
    assert np.array_equal(labels_of(found, index), labels)
    data = (replica.root / replica.files[index]).read_bytes()
    assert found.opened.records[index]["image"] == data


@pytest.mark.parametrize("name", MASKED)
def test_absence_says_what_was_looked_for(tmp_path, name):
  spec = SEGMENTATION_SETS[name]
  assert find_masks(spec, tmp_path) is None
  with pytest.raises(ValueError, match=spec.images) as caught:
    open_masks(spec, tmp_path)
  assert spec.folders[0] in str(caught.value)
  assert spec.source.split(":")[0] in str(caught.value)
  with pytest.raises(ValueError, match="no folder"):
    find_masks(spec, tmp_path / "nowhere")


@pytest.mark.parametrize("name", SEGMENTATION_SETS)
def test_classes_are_those_of_the_benchmark(name):
  spec = SEGMENTATION_SETS[name]
  entries = class_entries(spec)
  assert len(entries) == spec.classes
  assert (entries[0].name == "background") == spec.background
  assert len(benchmark_names(spec)) == spec.classes
  for kind in spec.masks:
    meant = {label for label in kind.labels if label >= 0} - {255}
    assert meant == set(range(spec.classes))


@pytest.mark.parametrize("name", MASKED)
def test_protocols_exist_for_it(name):
  for method in ("sclip", "clearclip", "maskclip"):
    assert f"{method}/{name}" in SEGMENTATION_PROTOCOLS


@pytest.mark.parametrize(
  ("name", "count"),
  [("voc21", 56), ("voc20", 30), ("context60", 60), ("coco_object", 113)],
)
def test_sclip_s_names(name, count):
  names = benchmark_names(SEGMENTATION_SETS[name])
  assert sum(map(len, names)) == count


@pytest.mark.parametrize("name", MASKED)
def test_names_are_those_of_the_reference(reference, name):
  import json

  file = {"cityscapes": "city_scapes"}.get(name, name)
  path = reference / "class_names" / f"seg_{file}.json"
  lines = json.loads(path.read_text("utf-8"))["names"]
  wanted = tuple(
    tuple(part.strip() for part in line.split(", ")) for line in lines
  )
  assert benchmark_names(SEGMENTATION_SETS[name]) == wanted


def test_coco_s_raw_values_have_eleven_gaps():
  labels = SEGMENTATION_SETS["coco_stuff"].masks[-1].labels
  gaps = [value for value in range(182) if labels[value] < 0]
  assert gaps == [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
  kept = [labels[value] for value in range(182) if value not in gaps]
  assert kept == list(range(171))


def test_a_missing_mask_is_a_bad_example(tmp_path):
  replica = make_segmentation("ade20k", tmp_path)
  (replica.root / replica.masks[1]).unlink()
  found = open_masks(SEGMENTATION_SETS["ade20k"], tmp_path)
  assert found.unreadable == 1
  assert "1 image without a mask" in found.opened.found
  with pytest.raises(BadImage, match=f"it has no mask {replica.masks[1]}"):
    _ = found.opened.records[1]
  assert labels_of(found, 2).shape == (24, 32)


def test_masks_without_images_are_counted(tmp_path):
  replica = make_segmentation("coco_stuff", tmp_path)
  make_segmentation("coco_stuff", tmp_path, kind=1)  # raw ones beside them
  (replica.root / replica.files[0]).unlink()
  found = open_masks(SEGMENTATION_SETS["coco_stuff"], tmp_path)
  assert len(found.opened.records) == 2
  assert "1 mask without an image" in found.opened.found
  assert "labelTrainIds" in found.opened.found


def test_listed_images_may_be_absent(tmp_path):
  replica = make_segmentation("voc21", tmp_path)
  (replica.root / replica.files[0]).unlink()
  found = open_masks(SEGMENTATION_SETS["voc21"], tmp_path)
  assert found.unreadable == 1 and "listed, but absent" in found.opened.found
  with pytest.raises(OSError):
    _ = found.opened.records[0]


def test_no_list_no_masks_no_images(tmp_path):
  replica = make_segmentation("voc21", tmp_path)
  spec = SEGMENTATION_SETS["voc21"]
  for mask in replica.masks:
    (replica.root / mask).unlink()
  with pytest.raises(ValueError, match="must have masks, got none of Segm"):
    open_masks(spec, tmp_path)
  listing = replica.root / spec.listing
  for text, rule in (
    ("../../x\n", "stay inside"),
    ("a\nb\na\n", "once, and 1 are twice"),
    ("\n", "must have images, got none"),
  ):
    listing.write_text(text)
    with pytest.raises(ValueError, match=rule):
      open_masks(spec, tmp_path)
  listing.unlink()
  with pytest.raises(ValueError, match="must have its list"):
    open_masks(spec, tmp_path)


def test_files_are_found_under_other_names(tmp_path):
  replica = make_segmentation("voc21", tmp_path / "there")
  (tmp_path / "VOCdevkit").mkdir()
  (tmp_path / "VOCdevkit" / "VOC2012").symlink_to(replica.root)
  found = open_masks(SEGMENTATION_SETS["voc20"], tmp_path)
  assert list(found.opened.files) == replica.files


def test_a_pair_that_is_not_whole_counts_as_absent(tmp_path):
  replica = make_segmentation("context60", tmp_path)
  spec = SEGMENTATION_SETS["context60"]
  whole = open_masks(spec, tmp_path)
  spec = spec._replace(examples=len(whole.opened.records))
  check_mask_counts(spec, whole)
  (replica.root / replica.masks[0]).unlink()
  less = open_masks(spec, tmp_path)
  with pytest.raises(ValueError, match=rf"got {spec.examples - 1} from"):
    check_mask_counts(spec, less)


def test_fingerprints_follow_the_files(tmp_path):
  replica = make_segmentation("cityscapes", tmp_path)
  spec = SEGMENTATION_SETS["cityscapes"]
  before = open_masks(spec, tmp_path).opened.fingerprint
  assert before == open_masks(spec, tmp_path).opened.fingerprint
  write(replica.root / replica.masks[0], png(np.zeros((24, 32))))
  after = open_masks(spec, tmp_path).opened.fingerprint
  assert before != after
  make_segmentation("cityscapes", tmp_path / "ids", kind=1)
  assert open_masks(spec, tmp_path / "ids").opened.fingerprint != after


def test_other_numbers_are_refused(tmp_path):
  make_segmentation("context60", tmp_path)
  spec = SEGMENTATION_SETS["context60"]
  found = open_masks(spec, tmp_path)
  with pytest.raises(ValueError, match="must hold 5105 images, got 3"):
    check_mask_counts(spec, found)
  check_mask_counts(spec._replace(examples=3), found)
  check_mask_counts(spec._replace(also=3), found)


def test_scenes_are_drawn_when_they_are_asked_for(tmp_path, monkeypatch):
  from s3_jax.data import pictograph_builder

  monkeypatch.setitem(pictograph_builder.SCENES, "validation", 2)
  monkeypatch.setitem(pictograph_builder.SCENES, "test", 1)
  spec = SEGMENTATION_SETS["pictographs_segmentation_validation"]
  found = open_masks(spec._replace(examples=2), tmp_path / "tfds")
  assert not (tmp_path / "tfds").exists()
  labels = labels_of(found, 1, (128, 128))
  assert {0, 255} < set(np.unique(labels).tolist())
  wrong = open_masks(spec._replace(examples=3), tmp_path / "tfds")
  with pytest.raises(ValueError, match="must hold 3 examples, and"):
    _ = wrong.opened.records[0]


def test_prepared_sets_hold_class_indices(tmp_path):
  from s3_jax.data.segmentation_builders import prepare_masks

  replica = make_segmentation("coco_object", tmp_path, kind=2)
  spec = SEGMENTATION_SETS["coco_object"]
  found = open_masks(spec, tmp_path)
  folder = prepare_masks(spec, found, tmp_path / "out")
  source = own_mask_source(spec)
  assert folder.parts[-3:] == (source.builder, source.config, source.version)
  again = open_masks(spec, tmp_path / "out")
  assert again.opened.layout == "tfds"
  assert list(again.opened.files) == replica.files
  for index, labels in enumerate(replica.labels):
    assert np.array_equal(labels_of(again, index), labels)
    assert (
      again.opened.records[index]["image"]
      == found.opened.records[index]["image"]
    )
  with pytest.raises(ValueError, match="must not be prepared yet"):
    prepare_masks(spec, found, tmp_path / "out")
  for shard in folder.glob("*.array_record*"):
    shard.write_bytes(shard.read_bytes()[:100])
  with pytest.raises(ValueError, match="must be whole"):
    open_masks(spec, tmp_path / "out")


def test_preparing_refuses_bad_examples(tmp_path):
  from s3_jax.data.segmentation_builders import prepare_masks

  replica = make_segmentation("ade20k", tmp_path)
  spec = SEGMENTATION_SETS["ade20k"]
  (replica.root / replica.masks[0]).unlink()
  with pytest.raises(ValueError, match="and 1 cannot be used"):
    prepare_masks(spec, open_masks(spec, tmp_path), tmp_path / "out")
  write(replica.root / replica.masks[0], png(np.full((24, 32), 200)))
  with pytest.raises(ValueError, match=r"0001.png: a mask must hold 0..150"):
    prepare_masks(spec, open_masks(spec, tmp_path), tmp_path / "out")
  assert not list((tmp_path / "out").glob("*"))
  picture = Image.new("L", (3, 3))
  picture.save(replica.root / replica.masks[0])
  with pytest.raises(ValueError, match="24 x 32 .* got 3 x 3"):
    prepare_masks(spec, open_masks(spec, tmp_path), tmp_path / "out")
