"""Confusions against scikit-learn, a double loop and cases worked by hand."""

import numpy as np
import pytest
import sklearn.metrics

from s3_jax.evaluation.confusion import (
  ConfusedPair,
  Confusion,
  confused_classes,
  confusion_rows,
  count_confusions,
  most_confused,
)


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
    ConfusedPair(
      i, names[i], j, names[j], int(row[j]), float(row[j] / row.sum())
    )
    for i, row in enumerate(counts)
    for j in range(len(row))
    if i != j and row[j]
  ]
  return sorted(pairs, key=lambda pair: (-pair.images, pair.label, pair[2]))


@pytest.mark.parametrize("classes", [1, 2, 9])
@pytest.mark.parametrize("most", [0, 1, 20, 1000])
def test_most_confused_against_a_double_loop(classes, most):
  rng = np.random.default_rng(classes)
  counts = rng.integers(0, 4, (classes, classes))
  names = tuple(f"class {i}" for i in range(classes))
  got = most_confused(counts, names, most=most)
  assert list(got) == brute_force(counts, names)[:most]


def test_by_hand():
  counts = np.array([[5, 3, 0], [1, 0, 3], [0, 0, 4]])
  assert most_confused(counts, "abc", most=2) == (
    ConfusedPair(0, "a", 1, "b", 3, 3 / 8),
    ConfusedPair(1, "b", 2, "c", 3, 3 / 4),
  )
  assert most_confused(np.diag([3, 0, 2]), "abc") == ()


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
    "pairs": [
      {
        "label": 0,
        "name": "x",
        "predicted": 1,
        "predicted_name": "y",
        "count": 2,
        "share": 2 / 3,
      }
    ],
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
def test_refusals(labels, predictions, classes, message):
  with pytest.raises(ValueError, match=message):
    count_confusions(np.array(labels), np.array(predictions), classes=classes)


def test_lists_refuse_other_names_and_lengths():
  with pytest.raises(ValueError, match=r"agree on \[classes\], got 2 and 1"):
    most_confused(np.eye(2, dtype=int), "a")
  with pytest.raises(ValueError, match=">= 0, got -1"):
    most_confused(np.eye(2, dtype=int), "ab", most=-1)
