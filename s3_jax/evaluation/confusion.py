"""Which classes are taken for which."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

__all__ = [
  "ConfusedPair",
  "Confusion",
  "confused_classes",
  "confusion_rows",
  "count_confusions",
  "most_confused",
]


class ConfusedPair(NamedTuple):
  """Images of one class that were taken for another.

  Attributes:
    label: index of their class.
    name: what it is called.
    predicted: index of the class that they were taken for.
    predicted_name: what that one is called.
    images: how many.
    share: of the images of their class, in (0, 1].
  """

  label: int
  name: str
  predicted: int
  predicted_name: str
  images: int
  share: float


class Confusion(NamedTuple):
  """All predictions of one method on one test set.

  Attributes:
    dataset: name of the test set.
    method: key of the method.
    names: what the classes are called, in label order.
    counts: images by class (rows) and prediction (columns).
  """

  dataset: str
  method: str
  names: tuple[str, ...]
  counts: Int[np.ndarray, "classes classes"]


def count_confusions(
  labels: Int[np.ndarray, " images"],
  predictions: Int[np.ndarray, " _"],
  *,
  classes: int,
) -> Int[np.ndarray, "classes classes"]:
  """Counts images by class and prediction.

  Args:
    labels: class indices in [0, classes).
    predictions: the predicted class of each image, likewise.
    classes: number of classes, >= 1.

  Returns:
    i64[classes, classes]: entry [i, j] counts the images of class i that were
    taken for class j, so the right ones lie on the diagonal, and row i adds up
    to the images of class i.

  Raises:
    ValueError: when the lengths differ, an index is out of range, or
      `classes` is below 1.
  """
  if classes < 1:
    raise ValueError(f"`classes` must be >= 1, got {classes}.")
  if labels.shape != predictions.shape:
    raise ValueError(
      "`labels` and `predictions` must agree on [images], got "
      f"{labels.shape[0]} and {predictions.shape[0]}."
    )
  for name, indices in (("labels", labels), ("predictions", predictions)):
    outside = np.flatnonzero((indices < 0) | (indices >= classes))
    if outside.size:
      raise ValueError(
        f"`{name}` must be in 0..{classes - 1}, got {indices[outside[0]]} at "
        f"index {outside[0]}."
      )
  cells = labels.astype(np.int64) * classes + predictions
  counts = np.bincount(cells, minlength=classes**2)
  return counts.astype(np.int64).reshape(classes, classes)


def most_confused(
  counts: Int[np.ndarray, "classes classes"],
  names: Sequence[str],
  *,
  most: int = 20,
) -> tuple[ConfusedPair, ...]:
  """Lists the pairs of different classes with the most images.

  Args:
    counts: from `count_confusions`.
    names: what the classes are called.
    most: length of the list at most, >= 0.

  Returns:
    The pairs, most images first; equal counts in the order of the label, then
    of the prediction. Pairs without images are not listed.

  Raises:
    ValueError: when there are not as many names as classes, or `most` is
      negative.
  """
  _check_names(counts, names)
  if most < 0:
    raise ValueError(f"`most` must be a whole number >= 0, got {most}.")
  totals = counts.sum(axis=1)
  pairs = []
  rows, columns = _confusions(counts)
  for row, column in zip(rows[:most], columns[:most], strict=True):
    i, j, images = int(row), int(column), int(counts[row, column])
    share = images / int(totals[i])
    pairs.append(ConfusedPair(i, names[i], j, names[j], images, share))
  return tuple(pairs)


def confused_classes(
  counts: Int[np.ndarray, "classes classes"], *, most: int
) -> Int[np.ndarray, " shown"]:
  """Chooses the classes that take part in the largest confusions.

  Classes join in pairs, the pair with the most images first, until no further
  pair finds room. Ours.

  Args:
    counts: from `count_confusions`.
    most: number of classes at most, >= 1.

  Returns:
    Their indices, ascending; all classes where they are at most that many.
  """
  classes = counts.shape[0]
  if classes <= most:
    return np.arange(classes)
  chosen: set[int] = set()
  for i, j in zip(*_confusions(counts), strict=True):
    joined = chosen | {int(i), int(j)}
    if len(joined) <= most:
      chosen = joined
    if len(chosen) == most:
      break
  # Without enough confusions the first classes fill the picture.
  rest = (label for label in range(classes) if label not in chosen)
  while len(chosen) < most:
    chosen.add(next(rest))
  return np.array(sorted(chosen))


def confusion_rows(
  confusions: Iterable[Confusion], *, most: int = 20
) -> list[dict[str, Any]]:
  """Writes the most confused pairs as `results.json` holds them.

  Args:
    confusions: of the methods that the results shall speak of.
    most: pairs of each at most.

  Returns:
    The value of `confusions` in a results mapping.
  """
  return [
    {
      "dataset": confusion.dataset,
      "method": confusion.method,
      "pairs": [
        {
          "label": pair.label,
          "name": pair.name,
          "predicted": pair.predicted,
          "predicted_name": pair.predicted_name,
          "count": pair.images,
          "share": pair.share,
        }
        for pair in most_confused(confusion.counts, confusion.names, most=most)
      ],
    }
    for confusion in confusions
  ]


def _confusions(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the cells off the diagonal that hold images, the largest first."""
  # In row-major order, which a stable sort keeps among equal counts.
  rows, columns = np.nonzero(counts * ~np.eye(counts.shape[0], dtype=bool))
  order = np.argsort(-counts[rows, columns], kind="stable")
  return rows[order], columns[order]


def _check_names(counts: np.ndarray, names: Sequence[str]) -> None:
  if len(names) != counts.shape[0]:
    raise ValueError(
      "`counts` and `names` must agree on [classes], got "
      f"{counts.shape[0]} and {len(names)}."
    )
