"""How far the confidence of a method can be believed, bin by bin."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from s3_jax.evaluation.statistics import confidence_bins

__all__ = ["ReliabilityBins", "reliability_bins", "reliability_row"]


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

  Args:
    confidence: probability of the predicted class, in [0, 1].
    correct: True where the prediction is right.
    bins: number of bins, >= 1.

  Returns:
    ReliabilityBins.

  Raises:
    ValueError: when there are no images, the lengths differ, bins < 1, or a
      confidence is outside [0, 1] or NaN.

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


def reliability_row(
  dataset: str, method: str, measured: ReliabilityBins
) -> dict[str, Any]:
  """Writes the bins of a method as `results.json` holds them.

  Args:
    dataset: name of the test set.
    method: key of the method.
    measured: from `reliability_bins`.

  Returns:
    An entry of `reliability` in a results mapping.
  """
  return {
    "dataset": dataset,
    "method": method,
    "bins": [
      {
        "low": float(measured.edges[b]),
        "high": float(measured.edges[b + 1]),
        "n": int(measured.n[b]),
        "accuracy": float(measured.accuracy[b]) if measured.n[b] else None,
        "confidence": float(measured.confidence[b]) if measured.n[b] else None,
      }
      for b in range(measured.n.size)
    ],
  }
