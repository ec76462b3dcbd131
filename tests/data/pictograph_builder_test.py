"""Preparing and reading the held-out images, in a world made small."""

import io

import numpy as np
import pytest

from s3_jax.data import drawn_sets, glyphs, pictographs
from s3_jax.data.datasets import DATASETS

PER_CLASS = {"validation": 1, "test": 2}
SCENES = {"validation": 2, "test": 3}
SEED = 2412


@pytest.fixture
def small(monkeypatch, six_classes):
  """Makes the builder prepare six classes, few images and few scenes."""
  from s3_jax.data import pictograph_builder

  assert pictograph_builder.SEED == SEED
  monkeypatch.setattr(
    pictograph_builder, "load_lexicon", lambda source: six_classes
  )
  monkeypatch.setattr(pictograph_builder, "PER_CLASS", PER_CLASS)
  monkeypatch.setattr(pictograph_builder, "SCENES", SCENES)
  return pictograph_builder


@pytest.fixture
def fields(six_classes):
  return glyphs.glyph_fields(
    tuple(entry.codepoint for entry in six_classes.classes)
  )


def decode(data: bytes) -> np.ndarray:
  from PIL import Image

  assert data.startswith(b"\x89PNG")
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


@pytest.mark.parametrize(
  ("name", "style", "split"),
  [
    ("plain", "plain", "test"),
    ("validation", "plain", "validation"),
    ("clutter", "clutter", "test"),
  ],
)
def test_images_come_back_as_they_were_drawn(
  small, fields, tmp_path, name, style, split
):
  count = PER_CLASS[split]
  spec = DATASETS[name]._replace(examples=6 * count)
  source = drawn_sets.open_drawn(spec, tmp_path / "new" / "folder")
  assert len(source) == 6 * count
  expected = {}
  for label in range(6):
    for index in range(count):
      stream = pictographs.image_generator(SEED, split, style, label, index)
      image = pictographs.render(fields[label], stream, style=style)
      expected[image.tobytes()] = label
  found = {decode(r["image"]).tobytes(): int(r["label"]) for r in source}
  assert found == expected and len(found) == 6 * count


def test_only_the_plain_style_has_a_validation_split(small, tmp_path):
  for style in pictographs.STYLES:
    builder = small.Pictographs(data_dir=str(tmp_path), config=style)
    splits = set(builder._split_generators(None))
    assert splits == {"test"} | ({"validation"} if style == "plain" else set())


def test_the_builder_has_no_other_configs(small):
  names = [config.name for config in small.Pictographs.BUILDER_CONFIGS]
  assert names == [*pictographs.STYLES, "segmentation"]


def test_preparing_happens_once(small, tmp_path, monkeypatch):
  spec = DATASETS["plain"]._replace(examples=12)
  first = drawn_sets.open_drawn(spec, tmp_path)

  def fail(*_):
    raise AssertionError("drawn again")

  monkeypatch.setattr(small.Pictographs, "_generate_examples", fail)
  again = drawn_sets.open_drawn(spec, tmp_path)
  for one, other in zip(first, again, strict=True):
    assert one == other


def test_another_number_of_examples_is_refused(small, tmp_path):
  rule = "data set 'outline' must hold 3600 examples, and .* holds 12: remove"
  with pytest.raises(ValueError, match=rule):
    drawn_sets.open_drawn(DATASETS["outline"], tmp_path)


def test_a_killed_preparation_is_done_again(small, tmp_path, monkeypatch):
  spec = DATASETS["plain"]._replace(examples=12)

  def killed(self, split):
    yield from ()
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(small.Pictographs, "_generate_examples", killed)
    drawn_sets.open_drawn(spec, tmp_path)
  assert len(drawn_sets.open_drawn(spec, tmp_path)) == 12


def test_scenes_keep_their_masks(small, fields, tmp_path):
  import tensorflow_datasets as tfds

  builder = small.Pictographs(
    data_dir=str(tmp_path), config="segmentation", file_format="array_record"
  )
  builder.download_and_prepare()
  skip = tfds.decode.SkipDecoding()
  for stream, (split, count) in enumerate(SCENES.items()):
    assert builder.info.splits[split].num_examples == count
    source = builder.as_data_source(
      split, decoders={"image": skip, "segmentation_mask": skip}
    )
    assert len(source) == count
    found = {
      decode(record["image"]).tobytes(): decode(record["segmentation_mask"])
      for record in source
    }
    for index in range(count):
      generator = pictographs.image_generator(
        SEED, "segmentation", "plain", stream, index
      )
      chosen = generator.choice(6, size=generator.integers(2, 6), replace=False)
      image, mask = pictographs.render_scene(
        [fields[label] for label in chosen],
        [int(label) + 1 for label in chosen],
        generator,
        size=128,
      )
      np.testing.assert_array_equal(found[image.tobytes()], mask)
      values = set(np.unique(mask).tolist())
      assert {0, 255} < values and 2 <= len(values - {0, 255}) <= 5
      assert values - {0, 255} == {int(label) + 1 for label in chosen}


def test_decoded_masks_keep_the_ignored_border(small, tmp_path):
  builder = small.Pictographs(
    data_dir=str(tmp_path), config="segmentation", file_format="array_record"
  )
  builder.download_and_prepare()
  for record in builder.as_data_source("test"):
    mask = record["segmentation_mask"]
    assert mask.shape == (128, 128, 1) and mask.dtype == np.uint8
    assert 0 < np.sum(mask == pictographs.IGNORE) < np.sum(mask == 0)


def test_the_table_says_what_the_builder_prepares():
  from s3_jax.data import pictograph_builder

  ours = {n: s for n, s in DATASETS.items() if s.lexicon == "pictographs"}
  assert set(ours) == {*pictographs.STYLES, "validation"}
  for name, spec in ours.items():
    assert spec.name == name and spec.classes == 90 and spec.tfds
    assert spec.tfds.config == ("plain" if name == "validation" else name)
    assert spec.split == ("validation" if name == "validation" else "test")
    assert spec.tfds.split == spec.split
    count = pictograph_builder.PER_CLASS[spec.split]
    assert spec.examples == spec.classes * count
    assert spec.tfds.version == str(pictograph_builder.Pictographs.VERSION)
  assert pictograph_builder.PER_CLASS == {"validation": 20, "test": 40}


def test_all_images_keeps_order_and_labels(png):
  pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
  records = [
    {"image": png(image), "label": np.int64(label)}
    for image, label in zip(pixels, (3, 1, 4, 1, 5), strict=True)
  ]
  images, labels = drawn_sets.all_images(
    records, lambda image: np.asarray(image)[:, ::-1]
  )
  np.testing.assert_array_equal(images, pixels[:, :, ::-1])
  np.testing.assert_array_equal(labels, [3, 1, 4, 1, 5])
  assert labels.dtype == np.int32
