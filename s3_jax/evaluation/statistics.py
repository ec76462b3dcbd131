"""Intervals, paired comparisons and calibration, in numpy and `math` alone.

Which interval belongs to which figure, everywhere in this project: the `ci95`
of an accuracy is Wilson's score interval, and what tables show behind "±";
beside it may stand, as `bootstrap_ci95`, the percentile interval of a bootstrap
over images, which assumes no distribution and depends on the seed. The `ci95`
of a difference of two methods is the percentile interval of a bootstrap over
images, both methods on the same resampled images; its `p_value` is McNemar's
exact two-sided test. Two runs whose single images are not at hand have
Newcombe's interval.
Images are the unit of sampling: classes, texts and weights are taken as given.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
  "INTERVALS",
  "Comparison",
  "bootstrap_interval",
  "cluster_interval",
  "confidence_bins",
  "expected_calibration_error",
  "mcnemar_p_value",
  "mean_per_class",
  "newcombe_interval",
  "paired_comparison",
  "wilson_interval",
]

_RESAMPLES = 2000
INTERVALS = {
  "ci95": "accuracy: Wilson's score interval, 95 %",
  "bootstrap_ci95": (
    "accuracy: percentile bootstrap over images, 95 %, "
    f"{_RESAMPLES} resamples, by seed"
  ),
  "comparisons": (
    "difference: paired percentile bootstrap over images, 95 %, "
    f"{_RESAMPLES} resamples, by seed; p_value: McNemar's exact two-sided test"
  ),
}
"""What the intervals of a run are, for its results."""

# The 97.5 % point of the standard normal distribution.
_Z = 1.959963984540054


class Comparison(NamedTuple):
  """Two methods on the same images.

  Attributes:
    delta: accuracy of the first minus accuracy of the second, in [-1, 1].
    ci95: 95 % interval of `delta`.
    p_value: exact two-sided McNemar p-value of "equally often right".
  """

  delta: float
  ci95: tuple[float, float]
  p_value: float


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
  """Returns the 95 % Wilson score interval of an accuracy.

  With p = correct / n and z = 1.96: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) /
  (1 + z²/n). Unlike p ± z·sd it stays in [0, 1] and is not empty at 0 or 1.

  Args:
    correct: images that are right.
    n: images, >= 1.

  Returns:
    (low, high), fractions.

  Raises:
    ValueError: when n < 1 or `correct` is outside 0..n.

  References:
    E. B. Wilson, Probable inference, the law of succession, and statistical
    inference, JASA 1927.
  """
  if n < 1:
    raise ValueError(f"`n` must be >= 1, got {n}.")
  if not 0 <= correct <= n:
    raise ValueError(f"`correct` must be in 0..{n}, got {correct}.")
  p = correct / n
  spread = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
  middle = p + _Z**2 / (2 * n)
  scale = 1 + _Z**2 / n
  # The exact ends at 0 and n, which rounding would miss by 1e-17.
  low = 0.0 if correct == 0 else (middle - spread) / scale
  high = 1.0 if correct == n else (middle + spread) / scale
  return low, high


def bootstrap_interval(
  values: Float[np.ndarray, " images"]
  | Int[np.ndarray, " images"]
  | Bool[np.ndarray, " images"],
  *,
  seed: int,
  resamples: int = _RESAMPLES,
) -> tuple[float, float]:
  """Returns the 95 % percentile bootstrap interval of a mean over images.

  Drawing n images with replacement is drawing how often each distinct value
  occurs, a multinomial: exact, and without a [resamples, images] table where
  values repeat, as hits (0, 1) and paired differences (-1, 0, 1) do.

  Args:
    values: one number per image, finite.
    seed: of the resampling; the same seed gives the same interval.
    resamples: number of bootstrap samples, >= 1.

  Returns:
    (low, high): the 2.5 % and 97.5 % quantiles of the resampled means. All
    values equal: both are that value.

  Raises:
    ValueError: when there are no values, one is not finite, or resamples < 1.
  """
  if values.size == 0:
    raise ValueError("`values` must hold at least one image, got 0.")
  if resamples < 1:
    raise ValueError(f"`resamples` must be >= 1, got {resamples}.")
  levels, counts = np.unique(values.astype(np.float64), return_counts=True)
  if not np.all(np.isfinite(levels)):
    bad = int(np.flatnonzero(~np.isfinite(values))[0])
    raise ValueError(
      f"`values` must be finite, got {values[bad]} at index {bad}."
    )
  rng = np.random.default_rng(seed)
  draws = rng.multinomial(values.size, counts / values.size, size=resamples)
  low, high = np.quantile(draws @ levels / values.size, [0.025, 0.975])
  return float(low), float(high)


def cluster_interval(
  values: Float[np.ndarray, " images"] | Bool[np.ndarray, " images"],
  clusters: Int[np.ndarray, " images"],
  *,
  seed: int,
  resamples: int = _RESAMPLES,
) -> tuple[float, float]:
  """Returns the 95 % bootstrap interval of a mean, whole clusters drawn.

  Images of one class share its texts, so they are right or wrong together; the
  interval over classes says what other classes would have given, which one over
  images understates.

  Args:
    values: one number per image, such as the difference of two methods.
    clusters: of each image, such as its class, >= 0.
    seed: of the resampling.
    resamples: number of bootstrap samples, >= 1.

  Returns:
    (low, high): the 2.5 % and 97.5 % quantiles of the mean over the images of
    as many clusters as there are, drawn with replacement.

  Raises:
    ValueError: when there are no values, the lengths differ or resamples < 1.
  """
  if values.size == 0 or values.shape != clusters.shape:
    raise ValueError(
      "`values` and `clusters` must agree on [images], at least one, got"
      f" {values.shape[0]} and {clusters.shape[0]}."
    )
  if resamples < 1:
    raise ValueError(f"`resamples` must be >= 1, got {resamples}.")
  _, index = np.unique(clusters, return_inverse=True)
  sums = np.bincount(index, weights=values.astype(np.float64))
  sizes = np.bincount(index)
  rng = np.random.default_rng(seed)
  share = np.full(sizes.size, 1 / sizes.size)
  draws = rng.multinomial(sizes.size, share, size=resamples)
  low, high = np.quantile(draws @ sums / (draws @ sizes), [0.025, 0.975])
  return float(low), float(high)


def newcombe_interval(
  correct_a: int, n_a: int, correct_b: int, n_b: int
) -> tuple[float, float]:
  """Returns the 95 % interval of a difference of two independent accuracies.

  With Wilson's (l, u) of each accuracy p and d = p_a - p_b:
  d - sqrt((p_a - l_a)² + (u_b - p_b)²), d + sqrt((u_a - p_a)² + (p_b - l_b)²).
  Two runs over the same images are not independent: they mostly err on the same
  ones, and this interval is then too wide. Where single images are known,
  `paired_comparison` says more.

  Args:
    correct_a: images that are right in the first run.
    n_a: its images, >= 1.
    correct_b: images that are right in the second run.
    n_b: its images, >= 1.

  Returns:
    (low, high), in [-1, 1].

  Raises:
    ValueError: when a count is out of range.

  References:
    R. G. Newcombe, Interval estimation for the difference between independent
    proportions, Statistics in Medicine 1998, method 10.
  """
  low_a, high_a = wilson_interval(correct_a, n_a)
  low_b, high_b = wilson_interval(correct_b, n_b)
  a, b = correct_a / n_a, correct_b / n_b
  return (
    a - b - math.hypot(a - low_a, high_b - b),
    a - b + math.hypot(high_a - a, b - low_b),
  )


def mcnemar_p_value(only_a: int, only_b: int) -> float:
  """Returns the exact two-sided McNemar p-value.

  Under "both methods are equally often right", the images that exactly one of
  them gets right fall to either side with probability 1/2:
  p = min(1, 2 · P[Binomial(only_a + only_b, 1/2) <= min(only_a, only_b)]),
  summed in logarithms, so that tens of thousands of images do not overflow.

  Args:
    only_a: images that only the first method gets right, >= 0.
    only_b: images that only the second method gets right, >= 0.

  Returns:
    p in [0, 1]; 1 when the methods never differ.

  Raises:
    ValueError: when a count is negative.
  """
  if only_a < 0 or only_b < 0:
    raise ValueError(
      f"`only_a` and `only_b` must be >= 0, got {only_a} and {only_b}."
    )
  n = only_a + only_b
  tail = min(only_a, only_b)
  if 2 * tail >= n - 1:
    # Both tails together cover everything (and the middle twice).
    return 1.0
  log_terms = [
    math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    for i in range(tail + 1)
  ]
  largest = max(log_terms)
  total = math.fsum(math.exp(term - largest) for term in log_terms)
  return min(1.0, math.exp(largest + math.log(total) - (n - 1) * math.log(2.0)))


def paired_comparison(
  correct_a: Bool[np.ndarray, " images"],
  correct_b: Bool[np.ndarray, " _"],
  *,
  seed: int,
) -> Comparison:
  """Compares two methods that were run on the same images.

  Args:
    correct_a: True where the first method is right.
    correct_b: the same images under the second method.
    seed: of the bootstrap.

  Returns:
    Comparison; delta > 0 means that the first method is better.

  Raises:
    ValueError: when the arrays differ in length or are empty.
  """
  if correct_a.shape != correct_b.shape:
    raise ValueError(
      "`correct_a` and `correct_b` must agree on [images], got "
      f"{correct_a.shape[0]} and {correct_b.shape[0]}."
    )
  difference = correct_a.astype(np.int64) - correct_b.astype(np.int64)
  interval = bootstrap_interval(difference, seed=seed)
  p_value = mcnemar_p_value(
    int(np.sum(difference == 1)), int(np.sum(difference == -1))
  )
  return Comparison(float(np.mean(difference)), interval, p_value)


def expected_calibration_error(
  confidence: Float[np.ndarray, " images"],
  correct: Bool[np.ndarray, " _"],
  *,
  bins: int = 15,
) -> float:
  """Returns the expected calibration error of top-1 predictions.

  ECE = Σ_b (n_b / n) |accuracy_b - mean confidence_b| over bins of equal width
  ((b-1)/bins, b/bins]; a confidence of exactly 0 belongs to the first bin and
  of exactly 1 to the last, so every image is in one bin.

  Args:
    confidence: probability of the predicted class, in [0, 1].
    correct: True where the prediction is right.
    bins: number of bins, >= 1.

  Returns:
    A fraction in [0, 1].

  Raises:
    ValueError: when there are no images, the lengths differ, bins < 1, or a
      confidence is outside [0, 1] or NaN.

  References:
    Guo et al., On calibration of modern neural networks, ICML 2017, section 2.
  """
  index = confidence_bins(confidence, correct, bins=bins)
  gap = np.bincount(
    index, weights=correct - confidence.astype(np.float64), minlength=bins
  )
  return float(np.sum(np.abs(gap)) / confidence.size)


def confidence_bins(
  confidence: Float[np.ndarray, " images"],
  correct: Bool[np.ndarray, " _"],
  *,
  bins: int,
) -> Int[np.ndarray, " images"]:
  """Returns the bin of each image: ((b-1)/bins, b/bins], 0 in the first.

  Args:
    confidence: probability of the predicted class, in [0, 1].
    correct: True where the prediction is right; only its length matters.
    bins: number of bins, >= 1.

  Returns:
    Indices in [0, bins).

  Raises:
    ValueError: when there are no images, the lengths differ, bins < 1, or a
      confidence is outside [0, 1] or NaN.
  """
  if confidence.shape != correct.shape:
    raise ValueError(
      "`confidence` and `correct` must agree on [images], got "
      f"{confidence.shape[0]} and {correct.shape[0]}."
    )
  if confidence.size == 0:
    raise ValueError("`confidence` must hold at least one image, got 0.")
  if bins < 1:
    raise ValueError(f"`bins` must be >= 1, got {bins}.")
  outside = ~((confidence >= 0) & (confidence <= 1))
  if np.any(outside):
    bad = int(np.flatnonzero(outside)[0])
    raise ValueError(
      f"`confidence` must be in [0, 1], got {confidence[bad]} at index {bad}."
    )
  inner_edges = np.arange(1, bins) / bins
  return np.searchsorted(
    inner_edges, confidence.astype(np.float64), side="left"
  )


def mean_per_class(
  correct: Int[np.ndarray, " classes"], n: Int[np.ndarray, " classes"]
) -> tuple[float, int]:
  """Returns the mean over classes of each class's accuracy.

  Args:
    correct: right images of each class.
    n: images of each class; classes with 0 images are left out of the mean.

  Returns:
    (mean, number of classes that have images).

  Raises:
    ValueError: when no class has an image.
  """
  seen = n > 0
  if not np.any(seen):
    raise ValueError("`n` must be > 0 for at least one class, got only 0.")
  return float(np.mean(correct[seen] / n[seen])), int(np.sum(seen))
