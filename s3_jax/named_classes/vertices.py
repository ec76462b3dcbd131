"""Embedded prompts to vertices, and vertices to the padded table of a space."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from s3_jax.embeddings import MIN_SQUARED_MEAN
from s3_jax.lexicon.vertices import Vertices
from s3_jax.storage.text_tables import TextTable, pad_classes

__all__ = ["Forms", "embed_vertices"]

Forms = tuple[Mapping[str, str], ...]
"""Of each class: prompt -> its form, as `prompt_forms` says."""


def embed_vertices(
  vertices: Vertices,
  prompts: Sequence[str],
  embeddings: Float32[np.ndarray, "prompts dim"],
  forms: Forms | None = None,
) -> TextTable:
  """Averages the prompts of every vertex and pads the classes."""
  index = {prompt: row for row, prompt in enumerate(prompts)}
  firsts = [[texts[0] for texts in of_class] for of_class in vertices]
  kinds, numbers = None, {}
  if forms is not None:
    kinds = [
      [numbers.setdefault(known[text], len(numbers)) for text in texts]
      for texts, known in zip(firsts, forms, strict=True)
    ]
  return pad_classes(
    firsts,
    [
      _means(
        embeddings, [[index[text] for text in texts] for texts in of_class]
      )
      for of_class in vertices
    ],
    kinds,
  )


def _means(
  embeddings: Float32[np.ndarray, "prompts dim"],
  vertices: Sequence[Sequence[int]],
) -> Float32[np.ndarray, "vertices dim"]:
  """Averages rows, as `template_mean` does, for lists of any lengths."""
  rows = np.concatenate([np.asarray(texts) for texts in vertices])
  lengths = np.array([len(texts) for texts in vertices])
  starts = np.cumsum(lengths) - lengths
  sums = np.add.reduceat(embeddings[rows].astype(np.float64), starts, axis=0)
  means = sums / lengths[:, None]
  squared = np.sum(np.square(means), axis=-1, keepdims=True)
  unit = means / np.sqrt(np.maximum(squared, MIN_SQUARED_MEAN))
  averaged = np.where(squared < MIN_SQUARED_MEAN, 0.0, unit)
  # One prompt needs no rounding twice.
  alone = lengths[:, None] == 1
  return np.where(alone, embeddings[rows[starts]], averaged).astype(np.float32)
