"""Intervals, tests and calibration against scipy, scikit-learn and paper."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from s3_jax.evaluation import statistics


@pytest.mark.parametrize(
  ("correct", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (13, 40), (2500, 3560)]
)
def test_wilson_is_scipys(correct, n):
  expected = scipy.stats.binomtest(correct, n).proportion_ci(method="wilson")
  low, high = statistics.wilson_interval(correct, n)
  assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
  assert 0 <= low <= correct / n <= high <= 1


@pytest.mark.parametrize(
  ("correct", "n", "rule"),
  [(0, 0, "`n` must be"), (-1, 3, "`correct`"), (4, 3, "`correct`")],
)
def test_wilson_refuses_impossible_counts(correct, n, rule):
  with pytest.raises(ValueError, match=rule):
    statistics.wilson_interval(correct, n)


@pytest.mark.parametrize("n", [1, 2, 17, 400])
@pytest.mark.parametrize("same", [0.0, 1.0, -1.0])
def test_bootstrap_of_equal_values_is_that_value(n, same):
  interval = statistics.bootstrap_interval(np.full(n, same), seed=0)
  assert interval == (same, same)


def test_bootstrap_agrees_with_drawing_images():
  rng = np.random.default_rng(3)
  values = rng.choice([-1.0, 0.0, 1.0], size=500, p=[0.1, 0.7, 0.2])
  expected = scipy.stats.bootstrap(
    (values,), np.mean, n_resamples=4000, method="percentile", rng=rng
  ).confidence_interval
  got = statistics.bootstrap_interval(values, seed=0, resamples=20_000)
  assert got == pytest.approx(tuple(expected), abs=0.004)


def test_bootstrap_of_values_that_never_repeat():
  values = np.random.default_rng(4).normal(size=300)
  low, high = statistics.bootstrap_interval(values, seed=1)
  error = values.std() / math.sqrt(300)
  assert (low, high) == pytest.approx(
    (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=error / 4
  )


def test_bootstrap_depends_on_the_seed_alone():
  values = np.random.default_rng(5).random(50) < 0.4
  first = statistics.bootstrap_interval(values, seed=7)
  assert first == statistics.bootstrap_interval(values[::-1], seed=7)
  assert first != statistics.bootstrap_interval(values, seed=8)


@pytest.mark.parametrize(
  ("values", "resamples", "rule"),
  [
    (np.zeros(0), 10, "at least one image"),
    (np.zeros(3), 0, "`resamples` must be >= 1"),
    (np.array([0.0, np.nan]), 10, "got nan at index 1"),
    (np.array([np.inf, 0.0]), 10, "got inf at index 0"),
  ],
)
def test_bootstrap_refuses(values, resamples, rule):
  with pytest.raises(ValueError, match=rule):
    statistics.bootstrap_interval(values, seed=0, resamples=resamples)


@pytest.mark.parametrize(
  ("a", "b", "expected"),
  [
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ((10, 10), (0, 20), (0.6791, 1.0)),
  ],
)
def test_newcombe_is_what_his_paper_prints(a, b, expected):
  """Table II of the paper, method 10."""
  low, high = statistics.newcombe_interval(*a, *b)
  assert (low, high) == pytest.approx(expected, abs=5e-5)
  mirrored = statistics.newcombe_interval(*b, *a)
  assert mirrored == pytest.approx((-high, -low), abs=1e-12)


def test_newcombe_holds_the_true_difference():
  rng = np.random.default_rng(0)
  a, b = rng.binomial(400, 0.7, 500), rng.binomial(300, 0.62, 500)
  held = [
    low <= 0.08 <= high
    for low, high in (
      statistics.newcombe_interval(int(x), 400, int(y), 300)
      for x, y in zip(a, b, strict=True)
    )
  ]
  assert 0.92 < np.mean(held) < 0.98


@pytest.mark.parametrize("only_a", [0, 1, 2, 5, 31, 400])
@pytest.mark.parametrize("only_b", [0, 1, 3, 30, 31, 520])
def test_mcnemar_is_scipys_exact_binomial_test(only_a, only_b):
  got = statistics.mcnemar_p_value(only_a, only_b)
  if only_a + only_b == 0:
    assert got == 1.0
  else:
    expected = scipy.stats.binomtest(only_a, only_a + only_b).pvalue
    assert got == pytest.approx(expected, rel=1e-9)
  assert got == statistics.mcnemar_p_value(only_b, only_a)


def test_mcnemar_by_hand():
  # 1 against 4: 2 (C(5,0) + C(5,1)) / 32.
  assert statistics.mcnemar_p_value(1, 4) == pytest.approx(12 / 32)


def test_mcnemar_with_as_many_images_as_imagenet():
  got = statistics.mcnemar_p_value(24_700, 25_300)
  expected = scipy.stats.binomtest(24_700, 50_000).pvalue
  assert got == pytest.approx(expected, rel=1e-8)
  assert statistics.mcnemar_p_value(0, 50_000) == 0.0


def test_mcnemar_refuses_negative_counts():
  with pytest.raises(ValueError, match="got -1 and 2"):
    statistics.mcnemar_p_value(-1, 2)


def test_paired_comparison_by_hand():
  a = np.array([1, 1, 1, 1, 1, 0, 1, 1], bool)
  b = np.array([1, 1, 0, 0, 0, 1, 0, 1], bool)
  got = statistics.paired_comparison(a, b, seed=0)
  assert got.delta == pytest.approx(3 / 8)
  assert got.p_value == pytest.approx(12 / 32)
  assert got.ci95[0] < got.delta < got.ci95[1]
  back = statistics.paired_comparison(b, a, seed=0)
  assert back.delta == -got.delta
  assert back.p_value == got.p_value
  # Multiples of 1/8, drawn from a distribution mirrored at 0.
  assert back.ci95 == pytest.approx((-got.ci95[1], -got.ci95[0]), abs=0.13)


def test_pairing_is_narrower_than_two_independent_samples():
  rng = np.random.default_rng(6)
  b = rng.random(2000) < 0.5
  a = b | (rng.random(2000) < 0.04)
  low, high = statistics.paired_comparison(a, b, seed=0).ci95
  assert 0 < low < high
  unpaired = np.diff(statistics.wilson_interval(int(b.sum()), 2000))[0]
  assert high - low < unpaired / 2


def test_a_method_equals_itself():
  a = np.random.default_rng(0).random(30) < 0.5
  assert statistics.paired_comparison(a, a, seed=0) == (0.0, (0.0, 0.0), 1.0)


def test_paired_comparison_refuses_other_lengths():
  with pytest.raises(ValueError, match=r"agree on \[images\], got 2 and 3"):
    statistics.paired_comparison(np.ones(2, bool), np.ones(3, bool), seed=0)


def ece_by_hand(confidence, correct, bins):
  """Loops over bins (low, high], the first closed at 0."""
  total = 0.0
  for b in range(bins):
    low, high = b / bins, (b + 1) / bins
    inside = [
      i
      for i, c in enumerate(confidence)
      if low < c <= high or (b == 0 and c == 0)
    ]
    if inside:
      accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
      mean = sum(float(confidence[i]) for i in inside) / len(inside)
      total += len(inside) / len(confidence) * abs(accuracy - mean)
  return total


@pytest.mark.parametrize("bins", [1, 2, 10, 15])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_ece_is_the_loop(bins, n):
  rng = np.random.default_rng(n)
  confidence = rng.random(n)
  confidence[: n // 4] = rng.choice([0.0, 0.5, 0.2, 1.0], n // 4)
  correct = rng.random(n) < confidence
  got = statistics.expected_calibration_error(confidence, correct, bins=bins)
  assert got == pytest.approx(ece_by_hand(confidence, correct, bins))


def test_ece_with_one_bin_per_level_is_sklearns_calibration_curve():
  rng = np.random.default_rng(2)
  confidence = rng.choice([0.05, 0.25, 0.55, 0.95], 400)
  correct = rng.random(400) < 0.5
  expected = sum(
    np.mean(confidence == level)
    * abs(
      sklearn.metrics.accuracy_score(
        np.ones(np.sum(confidence == level)), correct[confidence == level]
      )
      - level
    )
    for level in np.unique(confidence)
  )
  got = statistics.expected_calibration_error(confidence, correct, bins=10)
  assert got == pytest.approx(expected)


@pytest.mark.parametrize(
  ("confidence", "correct", "expected"),
  [
    ([1.0], [True], 0.0),
    ([1.0], [False], 1.0),
    ([0.0], [False], 0.0),
    ([0.0], [True], 1.0),
    ([0.0, 1.0], [True, False], 1.0),
    # 0.2 closes bin 3 of 15: beside 0.19 errors cancel, across they add.
    ([0.2, 0.19], [True, False], (1 - 0.39) / 2),
    ([0.2, 0.21], [True, False], (0.8 + 0.21) / 2),
  ],
)
def test_ece_at_the_edges(confidence, correct, expected):
  got = statistics.expected_calibration_error(
    np.array(confidence), np.array(correct)
  )
  assert got == pytest.approx(expected)


@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan])
def test_ece_refuses_what_is_no_probability(value):
  with pytest.raises(ValueError, match="at index 1"):
    statistics.expected_calibration_error(
      np.array([0.5, value]), np.ones(2, bool)
    )


def test_ece_refuses_nothing_and_unequal_lengths():
  with pytest.raises(ValueError, match="at least one image"):
    statistics.expected_calibration_error(np.zeros(0), np.zeros(0, bool))
  with pytest.raises(ValueError, match="got 2 and 1"):
    statistics.expected_calibration_error(np.zeros(2), np.zeros(1, bool))
  with pytest.raises(ValueError, match="`bins` must be >= 1"):
    statistics.expected_calibration_error(
      np.zeros(1), np.zeros(1, bool), bins=0
    )


def test_mean_per_class_is_sklearns_balanced_accuracy():
  rng = np.random.default_rng(8)
  labels = rng.choice([0, 1, 1, 1, 4, 4], 60)  # classes 2 and 3 are empty
  predictions = np.where(rng.random(60) < 0.6, labels, 0)
  n = np.bincount(labels, minlength=6)
  correct = np.bincount(labels[labels == predictions], minlength=6)
  mean, seen = statistics.mean_per_class(correct, n)
  expected = sklearn.metrics.balanced_accuracy_score(labels, predictions)
  assert (mean, seen) == (pytest.approx(expected), 3)


def test_mean_per_class_refuses_only_empty_classes():
  with pytest.raises(ValueError, match="at least one class"):
    statistics.mean_per_class(np.zeros(3, int), np.zeros(3, int))
