"""Counts against scikit-learn, measures by hand, intervals by simulation."""

import numpy as np
import pytest
import sklearn.metrics

from s3_jax.segmentation import (
  IGNORED,
  PixelCounts,
  compare_segmentations,
  confusion_matrix,
  count_pixels,
  image_iou,
  measures,
  summarise_segmentation,
)


def draw_maps(rng, classes, shape=(17, 23)):
  labels = rng.integers(0, classes, shape).astype(np.uint8)
  predictions = rng.integers(0, classes, shape).astype(np.int32)
  predictions = np.where(rng.random(shape) < 0.5, labels, predictions)
  labels[rng.random(shape) < 0.2] = IGNORED
  return labels, predictions.astype(np.int32)


@pytest.mark.parametrize("classes", [2, 21, 255])
def test_confusion_is_that_of_scikit_learn(classes):
  labels, predictions = draw_maps(np.random.default_rng(classes), classes)
  counted = labels != IGNORED
  expected = sklearn.metrics.confusion_matrix(
    labels[counted], predictions[counted], labels=range(classes)
  )
  got = confusion_matrix(labels, predictions, classes=classes)
  assert got.dtype == np.int64
  np.testing.assert_array_equal(got, expected)
  counts = count_pixels(labels, predictions, classes=classes)
  np.testing.assert_array_equal(counts.intersection, np.diag(expected))
  np.testing.assert_array_equal(counts.predicted, expected.sum(axis=0))
  np.testing.assert_array_equal(counts.labelled, expected.sum(axis=1))
  assert all(part.dtype == np.int64 for part in counts)


@pytest.mark.parametrize("pixels", [0, 1, 7])
def test_ignored_pixels_never_count(pixels):
  labels = np.array([0] * pixels + [IGNORED] * 3, np.uint8)
  got = confusion_matrix(labels, np.zeros((pixels + 3,), np.int32), classes=1)
  assert got.tolist() == [[pixels]]


def count_all(maps, classes):
  counts = [count_pixels(*pair, classes=classes) for pair in maps]
  return PixelCounts(*map(np.stack, zip(*counts, strict=True)))


def test_measures_by_hand():
  """Two images; class 3 is nowhere, class 2 is predicted and never right."""
  first = np.array([[0, 0, 1], [1, 1, 255]]), np.array([[0, 1, 1], [1, 2, 2]])
  second = np.array([[0, 255]]), np.array([[1, 0]])
  counts = count_all((first, second), 4)
  result = summarise_segmentation(counts, seed=0)
  # Class 0: 1 of 3. Class 1: 2 right, predicted 4, labelled 3: 2 of 5.
  # Class 2: 0 of 1, as its other pixel is ignored.
  np.testing.assert_allclose(
    result.per_class_iou, [1 / 3, 2 / 5, 0, np.nan], rtol=1e-12
  )
  assert result.miou == pytest.approx((1 / 3 + 2 / 5) / 3)
  assert result.pixel_accuracy == pytest.approx(3 / 6)
  assert (result.classes_counted, result.images, result.pixels) == (3, 2, 6)
  # A draw holds the first image twice, both, or the second twice.
  thrice = (1 / 2 + 2 / 4 + 0) / 3, result.miou, 0.0
  low, high = result.miou_ci95
  assert (low, high) == (pytest.approx(min(thrice)), pytest.approx(max(thrice)))
  assert result.pixel_accuracy_ci95 == pytest.approx((0.0, 3 / 5))


def test_iou_is_the_jaccard_score_of_all_pixels():
  rng = np.random.default_rng(0)
  maps = [draw_maps(rng, 6, (9, 11 + i)) for i in range(5)]
  result = summarise_segmentation(count_all(maps, 6), seed=0)
  labels = np.concatenate([labels.ravel() for labels, _ in maps])
  predictions = np.concatenate([p.ravel() for _, p in maps])
  counted = labels != IGNORED
  expected = sklearn.metrics.jaccard_score(
    labels[counted], predictions[counted], average=None
  )
  np.testing.assert_allclose(result.per_class_iou, expected, rtol=1e-12)
  assert result.miou == pytest.approx(expected.mean())
  assert result.pixel_accuracy == pytest.approx(
    sklearn.metrics.accuracy_score(labels[counted], predictions[counted])
  )
  assert result.miou_ci95[0] < result.miou < result.miou_ci95[1]


def test_a_seed_gives_its_interval():
  rng = np.random.default_rng(1)
  counts = count_all([draw_maps(rng, 4) for _ in range(7)], 4)
  same, again, other = (
    summarise_segmentation(counts, seed=seed, resamples=50)
    for seed in (0, 0, 1)
  )
  assert same.miou_ci95 == again.miou_ci95 != other.miou_ci95


def test_iou_of_single_images():
  """One right by half, one with a class too many, one without a pixel."""
  half = np.array([[0, 0, 0, 0]]), np.array([[0, 0, 1, 1]])
  extra = np.array([[2, 2, 255]]), np.array([[2, 2, 1]])
  empty = np.array([[255]]), np.array([[1]])
  iou = image_iou(count_all([half, extra, empty], 3))
  np.testing.assert_allclose(iou, [1 / 4, 1, np.nan], rtol=1e-12)


def test_blocks_of_draws_change_nothing(monkeypatch):
  rng = np.random.default_rng(2)
  a = count_all([draw_maps(rng, 4) for _ in range(6)], 4)
  monkeypatch.setattr(measures, "_MAX_NUMBERS", 30)
  few = summarise_segmentation(a, seed=3, resamples=50)
  monkeypatch.undo()
  assert (
    few.miou_ci95 == summarise_segmentation(a, seed=3, resamples=50).miou_ci95
  )


def simulate(rng, images, quality):
  """Counts of images whose difficulty varies, two classes."""
  hard = rng.uniform(0.3, 1, (images, 1))
  labelled = rng.integers(50, 150, (images, 2))
  right = rng.binomial(labelled, hard * quality)
  wrong = labelled - right
  return PixelCounts(right, right + wrong[:, ::-1], labelled)


def test_intervals_hold_the_truth():
  truth = summarise_segmentation(
    simulate(np.random.default_rng(99), 50_000, 0.9), seed=0, resamples=1
  )
  rng = np.random.default_rng(4)
  held = []
  for seed in range(150):
    result = summarise_segmentation(
      simulate(rng, 60, 0.9), seed=seed, resamples=300
    )
    held.append(
      (
        result.miou_ci95[0] <= truth.miou <= result.miou_ci95[1],
        result.pixel_accuracy_ci95[0]
        <= truth.pixel_accuracy
        <= result.pixel_accuracy_ci95[1],
      )
    )
  assert np.all(np.mean(held, axis=0) > 0.87)


def test_comparison_of_a_method_with_itself():
  counts = simulate(np.random.default_rng(5), 20, 0.8)
  got = compare_segmentations(counts, counts, seed=0, resamples=100)
  assert got == (0.0, (0.0, 0.0), 1.0)


def test_comparison_is_paired():
  """Each image a little better: certain in pairs, and not by intervals."""
  rng = np.random.default_rng(6)
  b = simulate(rng, 40, 0.8)
  gained = np.minimum(3, b.labelled - b.intersection)
  a = PixelCounts(
    b.intersection + gained, b.predicted + gained - gained[:, ::-1], b.labelled
  )
  got = compare_segmentations(a, b, seed=0, resamples=500)
  better, worse = (summarise_segmentation(x, seed=0) for x in (a, b))
  assert got.delta == pytest.approx(better.miou - worse.miou)
  assert 0 < got.ci95[0] < got.delta < got.ci95[1]
  assert better.miou_ci95[0] < worse.miou_ci95[1]
  assert got.p_value == pytest.approx(1 / 501)
  back = compare_segmentations(b, a, seed=0, resamples=500)
  assert back.delta == pytest.approx(-got.delta)


def test_p_values_by_all_swaps():
  """Three images have eight swaps; the observed one and its mirror count."""
  a = PixelCounts(*(np.array(x) for x in ([[9, 1], [8, 2], [9, 3]],) * 3))
  a = a._replace(labelled=a.intersection + 1, predicted=a.intersection + 1)
  b = a._replace(intersection=a.intersection - 1)
  got = compare_segmentations(a, b, seed=0, resamples=4000)
  assert got.p_value == pytest.approx(2 / 8, abs=0.03)


def test_a_class_in_no_draw_is_left_out_of_it():
  """The second class is in one image of two."""
  counts = PixelCounts(
    np.array([[4, 0], [2, 0]]),
    np.array([[4, 0], [4, 0]]),
    np.array([[4, 0], [2, 2]]),
  )
  result = summarise_segmentation(counts, seed=0)
  assert result.miou == pytest.approx((6 / 8 + 0) / 2)
  assert result.miou_ci95 == pytest.approx((0.25, 1.0))


def test_images_without_a_counted_pixel():
  empty = np.full((2, 2), IGNORED), np.zeros((2, 2), np.int32)
  full = np.zeros((2, 2), int), np.zeros((2, 2), np.int32)
  result = summarise_segmentation(count_all([empty, full], 2), seed=0)
  assert (result.miou, result.miou_ci95) == (1.0, (1.0, 1.0))
  assert (result.images, result.pixels) == (2, 4)
  with pytest.raises(ValueError, match="a pixel that is not ignored, got none"):
    summarise_segmentation(count_all([empty], 2), seed=0)


def test_wrong_inputs_are_named():
  labels, zeros = np.zeros((2, 3), int), np.zeros((2, 3), np.int32)
  for options, message in (
    ((labels, zeros[:, :2]), r"image's size, got \[2, 3\] and \[2, 2\]"),
    ((labels + 5, zeros), "`labels` must be in 0..3, or 255.*got 5"),
    ((labels - 1, zeros), "`labels` must be in 0..3, or 255.*got -1"),
    ((labels, zeros + 4), "`predictions` must be in 0..3, got 4"),
    ((labels + IGNORED, zeros - 1), "`predictions` .* got -1"),
  ):
    with pytest.raises(ValueError, match=message):
      count_pixels(*options, classes=4)
  with pytest.raises(ValueError, match="`classes` must be in 1..255, got 256"):
    confusion_matrix(labels, zeros, classes=256)
  one = count_pixels(labels, zeros, classes=4)
  counts = count_all([(labels, zeros)], 4)
  for wrong, resamples, message in (
    (one, 10, r"\[images, classes\].*got \[4\]"),
    (counts, 0, "`resamples` must be >= 1, got 0"),
  ):
    with pytest.raises(ValueError, match=message):
      summarise_segmentation(wrong, seed=0, resamples=resamples)
  other = counts._replace(labelled=counts.labelled + 1)
  with pytest.raises(ValueError, match="the same labels of the same images"):
    compare_segmentations(counts, other, seed=0)
