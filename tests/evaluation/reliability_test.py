"""Reliability bins against a loop, and with the calibration error."""

import numpy as np
import pytest
import sklearn.calibration

from s3_jax.evaluation.reliability import reliability_bins, reliability_row
from s3_jax.evaluation.statistics import expected_calibration_error

EDGES = [0.0, 1.0, 0.2, 0.4, 0.6, 0.8, 1e-9, 1 - 1e-9]


def make(images, seed=0):
  rng = np.random.default_rng(seed)
  confidence = np.concatenate([EDGES, rng.random(images)]).astype(np.float64)
  return confidence, rng.random(confidence.size) < confidence


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_bins_against_a_loop(bins):
  confidence, correct = make(300)
  got = reliability_bins(confidence, correct, bins=bins)
  total = 0
  for b in range(bins):
    low, high = b / bins, (b + 1) / bins
    inside = (confidence > low) & (confidence <= high)
    if b == 0:
      inside |= confidence == 0
    total += inside.sum()
    assert got.n[b] == inside.sum()
    if inside.any():
      assert got.accuracy[b] == pytest.approx(correct[inside].mean())
      assert got.confidence[b] == pytest.approx(confidence[inside].mean())
    else:
      assert np.isnan(got.accuracy[b]) and np.isnan(got.confidence[b])
  assert got.n.sum() == total == confidence.size
  np.testing.assert_allclose(got.edges, np.linspace(0, 1, bins + 1))


def test_curve_is_that_of_scikit_learn():
  # Away from the edges, where the two disagree about who owns them.
  rng = np.random.default_rng(1)
  confidence = rng.random(400)
  correct = rng.random(400) < confidence
  got = reliability_bins(confidence, correct)
  accuracy, mean = sklearn.calibration.calibration_curve(
    correct, confidence, n_bins=15
  )
  seen = got.n > 0
  np.testing.assert_allclose(got.accuracy[seen], accuracy)
  np.testing.assert_allclose(got.confidence[seen], mean)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calibration_error_is_the_weighted_gap(dtype):
  confidence, correct = make(200, seed=3)
  confidence = confidence.astype(dtype)
  got = reliability_bins(confidence, correct)
  gap = np.abs(got.accuracy - got.confidence)
  ece = np.nansum(gap * got.n) / got.n.sum()
  assert ece == pytest.approx(
    expected_calibration_error(confidence, correct), abs=1e-12
  )


def test_rows_hold_none_where_there_are_no_images():
  row = reliability_row(
    "plain",
    "center",
    reliability_bins(np.array([0.9, 1.0]), np.array([True, False]), bins=2),
  )
  assert row == {
    "dataset": "plain",
    "method": "center",
    "bins": [
      {
        "low": 0.0,
        "high": 0.5,
        "n": 0,
        "accuracy": None,
        "confidence": None,
      },
      {
        "low": 0.5,
        "high": 1.0,
        "n": 2,
        "accuracy": 0.5,
        "confidence": 0.95,
      },
    ],
  }


@pytest.mark.parametrize(
  ("confidence", "correct", "bins", "message"),
  [
    ([0.5], [True, False], 3, "got 1 and 2"),
    ([], [], 3, "at least one image"),
    ([0.5], [True], 0, "`bins` must be >= 1, got 0"),
    ([0.5, np.nan], [True, True], 3, "got nan at index 1"),
    ([1.01], [True], 3, "got 1.01 at index 0"),
  ],
)
def test_refusals(confidence, correct, bins, message):
  with pytest.raises(ValueError, match=message):
    reliability_bins(
      np.array(confidence, float), np.array(correct, bool), bins=bins
    )
