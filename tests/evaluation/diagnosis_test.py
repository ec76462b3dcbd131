"""Confusions and reliability: scikit-learn, loops, and cases worked by hand."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from s3_jax.evaluation.diagnosis import (
  Confusion,
  confused_classes,
  confusion_rows,
  count_confusions,
  most_confused,
  reliability_bins,
  reliability_row,
  selective_bins,
)
from s3_jax.evaluation.statistics import expected_calibration_error


def pair(i, j, names, count, share):
  return {
    "label": i,
    "name": names[i],
    "predicted": j,
    "predicted_name": names[j],
    "count": count,
    "share": share,
  }


@pytest.mark.parametrize(
  ("images", "classes"), [(0, 1), (0, 3), (3, 2), (500, 7), (50, 200)]
)
def test_counts_are_those_of_scikit_learn(images, classes):
  rng = np.random.default_rng(images + classes)
  labels = rng.integers(0, classes, images).astype(np.int32)
  predictions = rng.integers(0, classes, images).astype(np.int32)
  counts = count_confusions(labels, predictions, classes=classes)
  assert counts.dtype == np.int64
  assert counts.shape == (classes, classes)
  assert counts.sum() == images
  if images:  # scikit-learn refuses none
    expected = sklearn.metrics.confusion_matrix(
      labels, predictions, labels=range(classes)
    )
    np.testing.assert_array_equal(counts, expected)


def test_many_classes_do_not_overflow_small_integers():
  labels = np.full(3, 299, np.int16)
  counts = count_confusions(labels, labels, classes=300)
  assert counts[299, 299] == 3


def brute_force(counts, names):
  pairs = [
    pair(i, j, names, int(row[j]), float(row[j] / row.sum()))
    for i, row in enumerate(counts)
    for j in range(len(row))
    if i != j and row[j]
  ]
  keys = ("label", "predicted")
  return sorted(pairs, key=lambda e: (-e["count"], *(e[key] for key in keys)))


@pytest.mark.parametrize("classes", [1, 2, 9])
@pytest.mark.parametrize("most", [0, 1, 20, 1000])
def test_most_confused_against_a_double_loop(classes, most):
  rng = np.random.default_rng(classes)
  counts = rng.integers(0, 4, (classes, classes))
  names = tuple(f"class {i}" for i in range(classes))
  got = most_confused(counts, names, most=most)
  assert got == brute_force(counts, names)[:most]


def test_by_hand():
  counts = np.array([[5, 3, 0], [1, 0, 3], [0, 0, 4]])
  assert most_confused(counts, "abc", most=2) == [
    pair(0, 1, "abc", 3, 3 / 8),
    pair(1, 2, "abc", 3, 3 / 4),
  ]
  assert most_confused(np.diag([3, 0, 2]), "abc") == []


def test_chosen_classes_take_part_in_the_largest_confusions():
  counts = np.diag(np.full(6, 9))
  counts[5, 2] = 8
  counts[2, 4] = 7
  counts[0, 1] = 6
  assert confused_classes(counts, most=6).tolist() == [0, 1, 2, 3, 4, 5]
  assert confused_classes(counts, most=2).tolist() == [2, 5]
  assert confused_classes(counts, most=3).tolist() == [2, 4, 5]
  # The pair (0, 1) finds no room; the first class fills the picture.
  assert confused_classes(counts, most=4).tolist() == [0, 2, 4, 5]
  assert confused_classes(counts, most=1).tolist() == [0]
  assert confused_classes(np.eye(3, dtype=int), most=2).tolist() == [0, 1]


def test_rows_of_the_results():
  counts = np.array([[1, 2], [0, 0]])
  (row,) = confusion_rows([Confusion("plain", "center", ("x", "y"), counts)])
  assert row == {
    "dataset": "plain",
    "method": "center",
    "pairs": [pair(0, 1, "xy", 2, 2 / 3)],
  }


@pytest.mark.parametrize(
  ("labels", "predictions", "classes", "message"),
  [
    ([0], [0], 0, "`classes` must be >= 1, got 0"),
    ([0, 1], [0], 2, r"agree on \[images\], got 2 and 1"),
    ([0, 2], [0, 1], 2, r"`labels` must be in 0..1, got 2 at index 1"),
    ([0, 1], [-1, 1], 2, "`predictions` must be in 0..1, got -1 at index 0"),
  ],
)
def test_indices_out_of_range_are_refused(
  labels, predictions, classes, message
):
  with pytest.raises(ValueError, match=message):
    count_confusions(np.array(labels), np.array(predictions), classes=classes)


def test_lists_refuse_other_names_and_lengths():
  with pytest.raises(ValueError, match=r"agree on \[classes\], got 2 and 1"):
    most_confused(np.eye(2, dtype=int), "a")
  with pytest.raises(ValueError, match=">= 0, got -1"):
    most_confused(np.eye(2, dtype=int), "ab", most=-1)


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
def test_confidences_out_of_range_are_refused(
  confidence, correct, bins, message
):
  with pytest.raises(ValueError, match=message):
    reliability_bins(
      np.array(confidence, float), np.array(correct, bool), bins=bins
    )


@pytest.mark.parametrize("images", [1, 200])
def test_refusing_lower_bins_leaves_what_is_counted_there(images):
  rng = np.random.default_rng(images)
  confidence, correct = rng.random(images), rng.random(images) < 0.4
  measured = reliability_bins(confidence, correct, bins=7)
  coverage, precision = selective_bins(measured.n, measured.accuracy)
  for index, low in enumerate(measured.edges[:-1]):
    answered = confidence > low
    assert coverage[index] == pytest.approx(answered.sum() / max(images, 1))
    if answered.any():
      assert precision[index] == pytest.approx(correct[answered].mean())
    else:
      assert np.isnan(precision[index])
