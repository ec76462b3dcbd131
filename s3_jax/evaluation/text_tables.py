"""Embedded texts of classes, padded to the class with the most."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32

__all__ = ["TextTable", "pad_classes"]


class TextTable(NamedTuple):
  """Embedded texts, padded to the class with the most.

  Attributes:
    texts: of each class, the official name first.
    embeddings: float32, zeros where `mask` is False.
    mask: True where there is a text.
    forms: what kind of text each is, 0 where nothing is said.
  """

  texts: tuple[tuple[str, ...], ...]
  embeddings: Float[np.ndarray, "classes synonyms dim"]
  mask: Bool[np.ndarray, "classes synonyms"]
  forms: Int32[np.ndarray, "classes synonyms"]


def pad_classes(
  texts: Sequence[Sequence[str]],
  points: Sequence[Float[np.ndarray, "_ dim"]],
  forms: Sequence[Sequence[int]] | None = None,
) -> TextTable:
  """Puts the embedded texts of classes into one table.

  Args:
    texts: of each class, at least one.
    points: their embeddings, one row a text.
    forms: their kinds; None for one kind.

  Returns:
    The table.
  """
  shape = (len(texts), max(len(of_class) for of_class in texts))
  embeddings = np.zeros((*shape, points[0].shape[1]), np.float32)
  mask = np.zeros(shape, bool)
  kinds = np.zeros(shape, np.int32)
  for label, of_class in enumerate(texts):
    embeddings[label, : len(of_class)] = points[label]
    mask[label, : len(of_class)] = True
    if forms is not None:
      kinds[label, : len(of_class)] = forms[label]
  strings = tuple(tuple(of_class) for of_class in texts)
  return TextTable(strings, embeddings, mask, kinds)
