"""Where a method errs: what it mixes up, and how far its confidence holds."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from s3_jax.evaluation.statistics import confidence_bins

__all__ = [
  "Confusion",
  "ReliabilityBins",
  "confused_classes",
  "confusion_rows",
  "count_confusions",
  "most_confused",
  "reliability_bins",
  "reliability_row",
  "selective_bins",
]


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
  """Counts images by class (rows) and prediction (columns)."""
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
) -> list[dict[str, Any]]:
  """Lists the pairs of different classes with the most images.

  Most images first; equal counts in the order of the label, then of the
  prediction. The share is of the images of the class.
  """
  if len(names) != counts.shape[0]:
    raise ValueError(
      "`counts` and `names` must agree on [classes], got "
      f"{counts.shape[0]} and {len(names)}."
    )
  if most < 0:
    raise ValueError(f"`most` must be a whole number >= 0, got {most}.")
  totals = counts.sum(axis=1)
  return [
    {
      "label": i,
      "name": names[i],
      "predicted": j,
      "predicted_name": names[j],
      "count": int(counts[i, j]),
      "share": int(counts[i, j]) / int(totals[i]),
    }
    for i, j in _confusions(counts)[:most].tolist()
  ]


def confused_classes(
  counts: Int[np.ndarray, "classes classes"], *, most: int
) -> Int[np.ndarray, " shown"]:
  """Chooses at most so many classes: those of the largest confusions.

  Classes join in pairs, the pair with the most images first, until no further
  pair finds room; without enough confusions the first classes fill up. Ours.
  """
  classes = counts.shape[0]
  if classes <= most:
    return np.arange(classes)
  chosen: set[int] = set()
  for pair in _confusions(counts).tolist():
    joined = chosen.union(pair)
    if len(joined) <= most:
      chosen = joined
    if len(chosen) == most:
      break
  rest = (label for label in range(classes) if label not in chosen)
  while len(chosen) < most:
    chosen.add(next(rest))
  return np.array(sorted(chosen))


def _confusions(counts: np.ndarray) -> Int[np.ndarray, "pairs 2"]:
  """Returns the cells off the diagonal that hold images, the largest first."""
  # In row-major order, which a stable sort keeps among equal counts.
  cells = np.argwhere(counts * ~np.eye(counts.shape[0], dtype=bool))
  order = np.argsort(-counts[cells[:, 0], cells[:, 1]], kind="stable")
  return cells[order]


def confusion_rows(
  confusions: Iterable[Confusion], *, most: int = 20
) -> list[dict[str, Any]]:
  """Writes the most confused pairs as `results.json` holds them."""
  return [
    {
      "dataset": confusion.dataset,
      "method": confusion.method,
      "pairs": most_confused(confusion.counts, confusion.names, most=most),
    }
    for confusion in confusions
  ]


class ReliabilityBins(NamedTuple):
  """Images sorted into bins of equal width by their confidence.

  Attributes:
    edges: f64[bins + 1]; bin b holds confidences in (edges[b], edges[b + 1]],
      and the first one 0 as well.
    n: i64[bins], images.
    accuracy: f64[bins], share of them that is right; NaN without images.
    confidence: f64[bins], their mean confidence; NaN without images.
  """

  edges: Float[np.ndarray, " edges"]
  n: Int[np.ndarray, " bins"]
  accuracy: Float[np.ndarray, " bins"]
  confidence: Float[np.ndarray, " bins"]


def reliability_bins(
  confidence: Float[np.ndarray, " images"],
  correct: Bool[np.ndarray, " _"],
  *,
  bins: int = 15,
) -> ReliabilityBins:
  """Returns accuracy and mean confidence of each bin.

  The bins are those of `expected_calibration_error`, which is
  Σ_b (n_b / n) |accuracy_b - confidence_b| of what this returns.

  References:
    Guo et al., On calibration of modern neural networks, ICML 2017, section 2.
  """
  index = confidence_bins(confidence, correct, bins=bins)
  n = np.bincount(index, minlength=bins)
  right = np.bincount(index, weights=correct, minlength=bins)
  total = np.bincount(
    index, weights=confidence.astype(np.float64), minlength=bins
  )
  images = np.where(n > 0, n, np.nan)
  return ReliabilityBins(
    np.arange(bins + 1) / bins, n, right / images, total / images
  )


def selective_bins(
  n: Int[np.ndarray, " bins"], accuracy: Float[np.ndarray, " bins"]
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
  """Returns coverage and precision where images in lower bins are refused.

  Args:
    n: images of each bin of confidence, the lowest first.
    accuracy: of each bin; NaN without images.

  Returns:
    Of each bin the share of images that are in it or above, and of these the
    share that is right, NaN without images.

  References:
    The risk-coverage curve (El-Yaniv and Wiener, JMLR 2010), in bins;
    precision is one less the selective risk.
  """
  answered = np.cumsum(n[::-1])[::-1]
  right = np.cumsum(np.where(n > 0, n * accuracy, 0.0)[::-1])[::-1]
  counts = np.where(answered > 0, answered, np.nan)
  return answered / max(int(n.sum()), 1), right / counts


def reliability_row(
  dataset: str, method: str, measured: ReliabilityBins
) -> dict[str, Any]:
  """Writes the bins of a method as `results.json` holds them."""
  edges = measured.edges.tolist()
  parts = zip(
    edges[:-1],
    edges[1:],
    measured.n.tolist(),
    measured.accuracy.tolist(),
    measured.confidence.tolist(),
    strict=True,
  )
  return {
    "dataset": dataset,
    "method": method,
    "bins": [
      {
        "low": low,
        "high": high,
        "n": n,
        "accuracy": accuracy if n else None,
        "confidence": confidence if n else None,
      }
      for low, high, n, accuracy, confidence in parts
    ],
  }
