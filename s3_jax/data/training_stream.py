"""Training batches of the embedded world, rendered on the fly.

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

from s3_jax.data import glyphs, pictographs
from s3_jax.lexicon import captions
from s3_jax.lexicon.synonyms import Lexicon

VARIED_SHARE = 0.5  # as pictures in the wild, not all are drawn in one way


class TrainingBatch(NamedTuple):
  """Images of random classes, and one fresh caption of every class."""

  images: UInt8[np.ndarray, "batch height width 3"]
  labels: Int32[np.ndarray, " batch"]
  captions: tuple[str, ...]  # of class 0, 1, 2, ...


def training_batch(
  lexicon: Lexicon,
  preprocess: Callable[[Any], UInt8[np.ndarray, "height width 3"]],
  *,
  seed: int,
  step: int,
  batch_size: int,
) -> TrainingBatch:
  """Renders the images and writes the captions of one training step.

  Every class occurs floor or ceil of `batch_size / classes` times among the
  images and exactly once among the captions, so that no caption is a false
  negative of another.
  """
  fields = glyphs.glyph_fields(
    tuple(entry.codepoint for entry in lexicon.classes)
  )
  classes = len(lexicon.classes)
  order = np.random.default_rng([seed, step])
  rounds = -(-batch_size // classes)
  labels = np.concatenate(
    [order.permutation(classes) for _ in range(rounds)]
  ).astype(np.int32)[:batch_size]
  styles = np.where(
    order.random(batch_size) < VARIED_SHARE, pictographs.VARIED, "plain"
  )
  images = np.stack(
    [
      preprocess(
        Image.fromarray(
          pictographs.render(
            fields[label],
            pictographs.image_generator(
              seed, "train", style, int(label), step * batch_size + position
            ),
            style=style,
          )
        )
      )
      for position, (label, style) in enumerate(
        zip(labels, styles.tolist(), strict=True)
      )
    ]
  )
  writer = random.Random(seed * 1_000_003 + step)
  texts = tuple(
    captions.sample_caption(writer, entry.captioned, entry.descriptors)
    for entry in lexicon.classes
  )
  return TrainingBatch(images, labels, texts)


def sample_captions(lexicon: Lexicon, *, seed: int, count: int) -> list[str]:
  """Writes about `count` captions, as many of every class."""
  writer = random.Random(seed)
  return [
    captions.sample_caption(writer, entry.captioned, entry.descriptors)
    for _ in range(max(count // len(lexicon.classes), 1))
    for entry in lexicon.classes
  ]
