"""Embedded texts of classes, padded to the class with the most."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32

from s3_jax.messages import short_repr
from s3_jax.storage.embedding_files import TextEmbeddings

__all__ = ["TextTable", "pad_classes", "pad_texts"]


class TextTable(NamedTuple):
  """Embedded texts, padded to the class with the most.

  Attributes:
    texts: of each class, the official name first.
    embeddings: float32, zeros where `mask` is False.
    mask: True where there is a text.
    forms: what kind of text each is, 0 where nothing is said.
    official: which texts are official names; None for the first of each class.
  """

  texts: tuple[tuple[str, ...], ...]
  embeddings: Float[np.ndarray, "classes synonyms dim"]
  mask: Bool[np.ndarray, "classes synonyms"]
  forms: Int32[np.ndarray, "classes synonyms"]
  official: Bool[np.ndarray, "classes synonyms"] | None = None

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


def pad_classes(
  texts: Sequence[Sequence[str]],
  points: Sequence[Float[np.ndarray, "_ dim"]],
  forms: Sequence[Sequence[int]] | None = None,
) -> TextTable:
  """Puts the embedded texts of classes into one table."""
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


def pad_texts(
  texts: TextEmbeddings, *, rows: Sequence[Sequence[int]] | None = None
) -> TextTable:
  """Puts texts into a table of one row a class, as spaces are made of.

  Args:
    texts: as `read_text_embeddings` gives them.
    rows: the texts of each class, the official name first; by default those
      of `class_index`, in the file's order.

  Returns:
    The table: embeddings f32[classes, synonyms, dim], their mask, forms i32 (0
    where nothing is said) and strings ("text 7" where a text has no name).

  Raises:
    ValueError: it is not said which class a text belongs to, or a class has no
      text.
  """
  if rows is None:
    if texts.class_index is None:
      raise ValueError(
        "`rows` must say which texts are of which class where `class_index` is"
        " None, and is not set."
      )
    order = np.argsort(texts.class_index, kind="stable")
    ends = np.cumsum(np.bincount(texts.class_index))
    rows = [part.tolist() for part in np.split(order, ends[:-1])]
  for label, of_class in enumerate(rows):
    if not of_class:
      raise ValueError(
        f"`rows` must give every class a text, got none for class {label}."
      )
  names = texts.names
  forms = texts.forms
  return pad_classes(
    [
      [f"text {row}" if names is None else names[row] for row in of_class]
      for of_class in rows
    ],
    [texts.embeddings[list(of_class)] for of_class in rows],
    None if forms is None else [forms[list(each)].tolist() for each in rows],
  )
