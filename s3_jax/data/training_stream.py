"""Training batches of the drawn worlds, rendered on the fly.

A batch is a pure function of `(seed, step)`: no image is ever repeated, so
nothing can be memorised, and a training run that is killed goes on with the
very batches it would have seen.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from s3_jax.data import emoji, glyphs, pictographs
from s3_jax.lexicon import captions
from s3_jax.lexicon.synonyms import ClassEntry, Lexicon

VARIED_SHARE = 0.5  # as pictures in the wild, not all are drawn in one way
GENTLE_SHARE = 0.3  # of the steps, over which emoji come to vary in full


class TrainingBatch(NamedTuple):
  """Images of random classes, and fresh captions of those classes.

  Attributes:
    images: preprocessed.
    labels: the class of each image.
    captions: one of every class in their order, or one of every image where
      there are fewer images than classes; never two of one class.
    matches: the position of each image's caption.
  """

  images: UInt8[np.ndarray, "batch height width 3"]
  labels: Int32[np.ndarray, " batch"]
  captions: tuple[str, ...]
  matches: Int32[np.ndarray, " batch"]


class _Draw(NamedTuple):
  """What the picture of one image of a batch depends on."""

  seed: int
  label: int
  number: int  # of the image in the whole run
  progress: float  # of the run, in [0, 1)
  choices: np.random.Generator  # of the batch


Painter = Callable[[_Draw], UInt8[np.ndarray, "rows cols 3"]]


def _paint_pictographs(classes: tuple[ClassEntry, ...]) -> Painter:
  fields = glyphs.glyph_fields(tuple(entry.codepoint for entry in classes))

  def paint(draw: _Draw) -> np.ndarray:
    varied = draw.choices.random() < VARIED_SHARE
    style = pictographs.VARIED if varied else "plain"
    generator = pictographs.image_generator(
      draw.seed, "train", style, draw.label, draw.number
    )
    return pictographs.render(fields[draw.label], generator, style=style)

  return paint


def _paint_emoji(classes: tuple[ClassEntry, ...]) -> Painter:
  del classes  # a sheet is in their order
  sheets = [emoji.drawings(artist) for artist in emoji.TRAINED]

  def paint(draw: _Draw) -> np.ndarray:
    artist = int(draw.choices.integers(len(sheets)))
    generator = emoji.image_generator(
      draw.seed, "train", emoji.TRAINED[artist], draw.label, draw.number
    )
    strength = min(1.0, 0.2 + 0.8 * draw.progress / GENTLE_SHARE)
    return emoji.render(
      sheets[artist][draw.label], generator, strength=strength
    )

  return paint


WORLDS = {"pictographs": _paint_pictographs, "emoji": _paint_emoji}
"""By the table that names the classes, what paints a world's pictures."""


def training_batch(
  lexicon: Lexicon,
  preprocess: Callable[[Any], UInt8[np.ndarray, "height width 3"]],
  *,
  seed: int,
  step: int,
  steps: int,
  batch_size: int,
) -> TrainingBatch:
  """Renders the images and writes the captions of one training step.

  Every class occurs floor or ceil of `batch_size / classes` times among the
  images and at most once among the captions, so that no caption is a false
  negative of another.
  """
  paint = WORLDS[lexicon.dataset](lexicon.classes)
  classes = len(lexicon.classes)
  choices = np.random.default_rng([seed, step])
  rounds = -(-batch_size // classes)
  labels = np.concatenate(
    [choices.permutation(classes) for _ in range(rounds)]
  ).astype(np.int32)[:batch_size]
  images = [
    preprocess(
      Image.fromarray(
        paint(
          _Draw(
            seed,
            int(label),
            step * batch_size + position,
            step / steps,
            choices,
          )
        )
      )
    )
    for position, label in enumerate(labels)
  ]
  writer = random.Random(seed * 1_000_003 + step)
  told = labels if batch_size < classes else np.arange(classes)
  matches = np.arange(batch_size) if batch_size < classes else labels
  return TrainingBatch(
    np.stack(images),
    labels,
    tuple(_caption(writer, lexicon.classes[label]) for label in told),
    matches.astype(np.int32),
  )


def sample_captions(lexicon: Lexicon, *, seed: int, count: int) -> list[str]:
  """Writes about `count` captions, as many of every class."""
  writer = random.Random(seed)
  return [
    _caption(writer, entry)
    for _ in range(max(count // len(lexicon.classes), 1))
    for entry in lexicon.classes
  ]


def _caption(writer: random.Random, entry: ClassEntry) -> str:
  return captions.sample_caption(
    writer,
    entry.captioned,
    entry.descriptors,
    frequencies=entry.frequencies,
  )
