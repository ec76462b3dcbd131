"""Training batches: a pure function of seed and step, read ahead in order."""

import collections

import numpy as np
import pytest

from s3_jax.data import glyphs, pictographs
from s3_jax.data.training_stream import (
  VARIED_SHARE,
  sample_captions,
  training_batch,
)


def pixels(image):
  return np.asarray(image)


def batch_of(lexicon, *, seed=0, step=0, batch_size=8):
  return training_batch(
    lexicon, pixels, seed=seed, step=step, batch_size=batch_size
  )


def assert_equal(one, other):
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.labels, other.labels)
  assert one.captions == other.captions


def test_a_batch_depends_on_seed_and_step_alone(six_classes):
  forth = [batch_of(six_classes, step=step) for step in (0, 1, 2)]
  back = [batch_of(six_classes, step=step) for step in (2, 1, 0)][::-1]
  for one, other in zip(forth, back, strict=True):
    assert_equal(one, other)
  drawn = [*forth, batch_of(six_classes, seed=1)]
  assert len({batch.images.tobytes() for batch in drawn}) == 4
  assert len({batch.captions for batch in drawn}) == 4
  assert len({batch.labels.tobytes() for batch in drawn}) == 4


@pytest.mark.parametrize("batch_size", [1, 5, 6, 7, 15, 18])
def test_classes_occur_alike(six_classes, batch_size):
  for step in range(3):
    batch = batch_of(six_classes, step=step, batch_size=batch_size)
    assert batch.images.shape == (batch_size, 64, 64, 3)
    assert batch.images.dtype == np.uint8 and batch.labels.dtype == np.int32
    counts = np.bincount(batch.labels, minlength=6)
    assert counts.sum() == batch_size and counts.size == 6
    assert set(counts) <= {batch_size // 6, -(-batch_size // 6)}


def test_every_class_has_one_caption_in_its_place(six_classes):
  for step in range(20):
    batch = batch_of(six_classes, step=step, batch_size=1)
    assert len(batch.captions) == 6
    for caption, entry in zip(batch.captions, six_classes.classes, strict=True):
      assert any(name in caption for name in entry.captioned)


def test_an_image_shows_its_class_in_one_of_two_styles(six_classes):
  fields = glyphs.glyph_fields(
    tuple(entry.codepoint for entry in six_classes.classes)
  )
  styles = collections.Counter()
  for step in range(4):
    batch = batch_of(six_classes, seed=3, step=step, batch_size=12)
    for index, (image, label) in enumerate(
      zip(batch.images, batch.labels, strict=True)
    ):
      for style in ("plain", pictographs.VARIED):
        stream = pictographs.image_generator(
          3, "train", style, int(label), 12 * step + index
        )
        drawn = pictographs.render(fields[label], stream, style=style)
        styles[style] += np.array_equal(image, drawn)
  assert sum(styles.values()) == 48
  # 48 draws of a half: four standard deviations are 14.
  assert abs(styles["plain"] - 48 * (1 - VARIED_SHARE)) < 14


def test_no_image_is_repeated(six_classes):
  batches = [batch_of(six_classes, step=step) for step in range(5)]
  images = {image.tobytes() for batch in batches for image in batch.images}
  assert len(images) == 5 * 8


def test_preprocess_is_applied(six_classes):
  batch = training_batch(
    six_classes,
    lambda image: np.asarray(image.resize((4, 2))),
    seed=0,
    step=0,
    batch_size=3,
  )
  assert batch.images.shape == (3, 2, 4, 3)


@pytest.mark.parametrize(("count", "each"), [(0, 1), (5, 1), (12, 2), (17, 2)])
def test_sampled_captions_are_as_many_of_every_class(six_classes, count, each):
  captions = sample_captions(six_classes, seed=0, count=count)
  assert len(captions) == 6 * each
  for index, caption in enumerate(captions):
    names = six_classes.classes[index % 6].captioned
    assert any(name in caption for name in names)
  assert captions == sample_captions(six_classes, seed=0, count=count)
