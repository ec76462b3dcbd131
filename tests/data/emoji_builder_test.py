"""Preparing the drawn world's held-out images, and reading them back."""

import io

import numpy as np
import pytest
from PIL import Image

from s3_jax.data import drawn_sets, emoji
from s3_jax.data.datasets import DATASETS
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS, find_masks
from s3_jax.data.segmentation_specs import class_entries
from s3_jax.lexicon.synonyms import load_lexicon

SEED = 20261201
NAMES = ("emoji_validation", "emojione", "fxemoji")


def decode(data: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("emoji")


@pytest.mark.parametrize("name", NAMES[1:])
def test_each_drawing_is_shown_once(folder, name):
  source = drawn_sets.open_drawn(DATASETS[name], folder)
  labels = sorted(int(record["label"]) for record in source)
  assert labels == list(emoji.drawn_classes(name))
  by_label = {int(record["label"]): record["image"] for record in source}
  for label in labels[::50]:
    generator = emoji.image_generator(SEED, "test", name, label, 0)
    expected = emoji.render(emoji.drawings(name)[label], generator)
    np.testing.assert_array_equal(decode(by_label[label]), expected)


def test_the_numbers_are_those_of_the_sheets():
  count = {name: len(emoji.drawn_classes(name)) for name in emoji.ARTISTS}
  assert DATASETS["emojione"].examples == count["emojione"]
  assert DATASETS["fxemoji"].examples == count["fxemoji"]
  seen = sum(count[name] for name in emoji.TRAINED)
  assert DATASETS["emoji_validation"].examples == seen
  classes = len(load_lexicon("emoji").classes)
  assert {DATASETS[name].classes for name in NAMES} == {classes}


def test_validation_is_of_the_artists_of_training_alone(monkeypatch):
  from s3_jax.data import emoji_builder

  opened = []
  drawings = emoji.drawings
  monkeypatch.setattr(
    emoji, "drawings", lambda artist: opened.append(artist) or drawings(artist)
  )
  for config, split, artists in (
    ("seen", "validation", emoji.TRAINED),
    ("segmentation", "validation", emoji.TRAINED),
    ("segmentation", "test", emoji.UNSEEN),
    ("fxemoji", "test", ("fxemoji",)),
  ):
    opened.clear()
    monkeypatch.setitem(emoji_builder.SCENES, split, 10)
    builder = emoji_builder.Emoji(data_dir="/nowhere", config=config)
    examples = list(builder._generate_examples(split))
    assert set(opened) == set(artists), config
    assert [key for key, _ in examples] == list(range(len(examples)))


def test_scenes_have_masks_of_the_classes_that_fit(monkeypatch, folder):
  from s3_jax.data import emoji_builder

  monkeypatch.setitem(emoji_builder.SCENES, "test", 4)
  monkeypatch.setitem(emoji_builder.SCENES, "validation", 2)
  spec = SEGMENTATION_SETS["emoji_segmentation"]._replace(examples=4)
  opened = find_masks(spec, folder / "scenes")
  assert opened is not None and opened.opened.layout == "emoji"
  classes = class_entries(spec)
  assert len(classes) == spec.classes == 201
  assert classes[0].name == "background" and classes[1].name == "monkey"
  shown = load_lexicon("emoji").subsets["scenes"]
  assert all(label in emoji.drawn_classes("fxemoji") for label in shown)
  found = {}
  for index in range(4):  # TFDS shuffles
    record = opened.opened.records[index]
    found[decode(record["image"]).tobytes()] = decode(record["mask"])
  for index in range(4):
    artist = emoji.UNSEEN[index % 2]
    generator = emoji.image_generator(SEED, "scenes", artist, 0, index)
    chosen = generator.choice(200, generator.integers(2, 6), replace=False)
    cells = [emoji.drawings(artist)[shown[position]] for position in chosen]
    # Values count from 1 among the classes that scenes show.
    values = [int(position) + 1 for position in chosen]
    image, labels = emoji.render_scene(cells, values, generator)
    np.testing.assert_array_equal(found[image.tobytes()], labels)
    assert {0, *values} <= set(np.unique(labels))
