"""Training batches: a pure function of seed and step, read ahead in order."""

import collections
import random

import numpy as np
import pytest

from s3_jax.data import emoji, glyphs, pictographs
from s3_jax.data.training_stream import (
  VARIED_SHARE,
  sample_captions,
  training_batch,
)
from s3_jax.lexicon import captions
from s3_jax.lexicon.synonyms import load_lexicon


def pixels(image):
  return np.asarray(image)


def batch_of(lexicon, *, seed=0, step=0, batch_size=8):
  return training_batch(
    lexicon, pixels, seed=seed, step=step, steps=10, batch_size=batch_size
  )


def assert_equal(one, other):
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.labels, other.labels)
  assert one.captions == other.captions
  np.testing.assert_array_equal(one.matches, other.matches)


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


@pytest.mark.parametrize("batch_size", [6, 9])
def test_every_class_has_one_caption_in_its_place(six_classes, batch_size):
  for step in range(20):
    batch = batch_of(six_classes, step=step, batch_size=batch_size)
    assert len(batch.captions) == 6
    for caption, entry in zip(batch.captions, six_classes.classes, strict=True):
      assert any(name in caption for name in entry.captioned)
    np.testing.assert_array_equal(batch.matches, batch.labels)


def test_fewer_images_than_classes_have_a_caption_each(six_classes):
  for step in range(20):
    batch = batch_of(six_classes, step=step, batch_size=4)
    assert len(batch.captions) == 4 and len(set(batch.labels)) == 4
    for match, label in zip(batch.matches, batch.labels, strict=True):
      names = six_classes.classes[label].captioned
      assert any(name in batch.captions[match] for name in names)


def test_emoji_are_drawn_by_the_artists_of_training_alone(monkeypatch):
  opened, strengths = [], []
  drawings, render = emoji.drawings, emoji.render
  monkeypatch.setattr(
    emoji, "drawings", lambda artist: opened.append(artist) or drawings(artist)
  )

  def watched(drawing, generator, *, strength):
    strengths.append(strength)
    return render(drawing, generator, strength=strength)

  monkeypatch.setattr(emoji, "render", watched)
  table = load_lexicon("emoji")
  batches = [
    training_batch(table, pixels, seed=1, step=step, steps=10, batch_size=30)
    for step in (0, 1, 9)
  ]
  assert set(opened) == set(emoji.TRAINED)
  assert batches[0].images.shape == (30, 64, 64, 3)
  # They come to vary over the first three tenths of the run.
  assert strengths[:30] == [0.2] * 30 and strengths[60:] == [1.0] * 30
  assert strengths[30:60] == pytest.approx([0.2 + 0.8 / 3] * 30)
  for batch in batches:
    for caption, label in zip(batch.captions, batch.labels, strict=True):
      entry = table.classes[label]
      assert any(name in caption for name in entry.captioned)


def test_captions_follow_the_counted_frequencies():
  dog = load_lexicon("emoji").classes[2]
  assert dog.captioned[:2] == ("dog", "dog face")
  share = dog.frequencies[0] / sum(dog.frequencies)
  texts = [
    captions.sample_caption(
      random.Random(seed), dog.captioned, frequencies=dog.frequencies
    )
    for seed in range(1000)
  ]
  rare = dog.captioned[1:]
  found = sum(not any(name in text for name in rare) for text in texts) / 1000
  assert found == pytest.approx(share, abs=0.03)


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
    steps=1,
    batch_size=3,
  )
  assert batch.images.shape == (3, 2, 4, 3)


@pytest.mark.parametrize(("count", "each"), [(0, 1), (5, 1), (12, 2), (17, 2)])
def test_sampled_captions_are_as_many_of_every_class(six_classes, count, each):
  texts = sample_captions(six_classes, seed=0, count=count)
  assert len(texts) == 6 * each
  for index, text in enumerate(texts):
    names = six_classes.classes[index % 6].captioned
    assert any(name in text for name in names)
  assert texts == sample_captions(six_classes, seed=0, count=count)
