"""Mean IoU and pixel accuracy over a data set, with intervals.

Pixels are counted as integers, per image: intersections and areas of each class
add up to the published measure, the IoU of a class over *all* pixels of the set
and not a mean over images; kept per image they can be resampled. Images are the
unit of sampling, as everywhere in this project.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int64, Integer

from s3_jax.evaluation.diagnosis import count_confusions
from s3_jax.evaluation.statistics import Comparison

IGNORED = 255
"""The label of pixels that belong to no class; they never count."""

_RESAMPLES = 2000

_MAX_NUMBERS = 1 << 22
"""Numbers in the largest array of a block of resamples."""


class PixelCounts(NamedTuple):
  """Pixels by class, of one image or of each of many.

  Attributes:
    intersection: pixels whose label and prediction are the class.
    predicted: pixels whose prediction is the class and whose label is not
      ignored.
    labelled: pixels whose label is the class.
  """

  intersection: Int64[np.ndarray, "*images classes"]
  predicted: Int64[np.ndarray, "*images classes"]
  labelled: Int64[np.ndarray, "*images classes"]


class SegmentationResult(NamedTuple):
  """Measures of one method on one test set; fractions in [0, 1].

  Attributes:
    miou: mean over classes of intersection / union, both summed over the set;
      a class that is neither labelled nor predicted anywhere is left out.
    miou_ci95: 95 % percentile interval of a bootstrap over images.
    pixel_accuracy: share of pixels, the ignored ones apart, that are right.
    pixel_accuracy_ci95: its interval, from the same resampled images.
    per_class_iou: f64[classes], NaN for a class that is left out.
    classes_counted: how many classes the mean is over.
    images: how many were counted; one without a counted pixel is among them.
    pixels: how many were counted.
  """

  miou: float
  miou_ci95: tuple[float, float]
  pixel_accuracy: float
  pixel_accuracy_ci95: tuple[float, float]
  per_class_iou: Float[np.ndarray, " classes"]
  classes_counted: int
  images: int
  pixels: int


def confusion_matrix(
  labels: Integer[Array | np.ndarray, "..."],
  predictions: Integer[Array | np.ndarray, "..."],
  *,
  classes: int,
) -> Int64[np.ndarray, "classes classes"]:
  """Counts pixels by label and prediction, in integers.

  Args:
    labels: class indices, or `IGNORED` where a pixel belongs to no class.
    predictions: class indices.
    classes: number of classes, 1 to 255.

  Returns:
    Entry [i, j]: pixels of label i that are predicted as j.

  Raises:
    ValueError: the shapes differ, or an index is out of range.
  """
  labels, predictions = np.asarray(labels), np.asarray(predictions)
  if not 1 <= classes <= IGNORED:
    raise ValueError(f"`classes` must be in 1..{IGNORED}, got {classes}.")
  if labels.shape != predictions.shape:
    raise ValueError(
      "`labels` and `predictions` must agree on the image's size, got "
      f"{list(labels.shape)} and {list(predictions.shape)}."
    )
  counted = labels != IGNORED
  for name, values, wrong in (
    ("labels", labels, counted & ((labels < 0) | (labels >= classes))),
    ("predictions", predictions, (predictions < 0) | (predictions >= classes)),
  ):
    if wrong.any():
      also = f", or {IGNORED} for ignored" if name == "labels" else ""
      raise ValueError(
        f"`{name}` must be in 0..{classes - 1}{also}, got "
        f"{values[wrong].flat[0]}; check how the label maps are read."
      )
  return count_confusions(
    labels[counted].astype(np.int64),
    predictions[counted].astype(np.int64),
    classes=classes,
  )


def count_pixels(
  labels: Integer[Array | np.ndarray, "rows cols"],
  predictions: Integer[Array | np.ndarray, "_ _"],
  *,
  classes: int,
) -> PixelCounts:
  """Counts the pixels of one image.

  Args:
    labels: class indices, or `IGNORED` where a pixel belongs to no class.
    predictions: class indices, of the same size.
    classes: number of classes, 1 to 255.

  Returns:
    Counts of one image.

  Raises:
    ValueError: the shapes differ, or an index is out of range.
  """
  return sum_pairs(confusion_matrix(labels, predictions, classes=classes))


def sum_pairs(pairs: Int64[np.ndarray, "classes classes"]) -> PixelCounts:
  """Makes the counts of an image from its confusion matrix."""
  return PixelCounts(np.diagonal(pairs).copy(), pairs.sum(0), pairs.sum(1))


def image_iou(counts: PixelCounts) -> Float[np.ndarray, " images"]:
  """Mean IoU of single images; NaN for one without a pixel that counts.

  Over the classes that are in the image or are seen in it: the mean over images
  is not the IoU of a set.
  """
  iou = _iou(counts)
  classes = np.sum(~np.isnan(iou), axis=1)
  mean = np.nansum(iou, axis=1) / np.maximum(classes, 1)
  return np.where(counts.labelled.sum(axis=1) > 0, mean, np.nan)


def summarise_segmentation(
  counts: PixelCounts, *, seed: int, resamples: int = _RESAMPLES
) -> SegmentationResult:
  """Computes the measures of a test set and their intervals.

  The bootstrap draws as many images as there are, with replacement, sums their
  pixels and computes the measures as on the set itself. A class that a draw
  holds no pixel of is left out of that draw's mean.

  Args:
    counts: of each image.
    seed: of the resampling; the same seed gives the same interval.
    resamples: number of bootstrap samples, >= 1.

  Returns:
    SegmentationResult.

  Raises:
    ValueError: there is no image or no pixel that counts, or resamples < 1.

  References:
    mean IoU as mmseg's IoUMetric; the bootstrap is ours.
  """
  images = _check_counts(counts, resamples)
  total = PixelCounts(*(part.sum(axis=0) for part in counts))
  iou = _iou(total)
  weights = _draws(images, resamples, seed)
  drawn = [_measures(block, counts) for block in weights]
  miou, accuracy = (np.concatenate(part) for part in zip(*drawn, strict=True))
  return SegmentationResult(
    miou=float(np.nanmean(iou)),
    miou_ci95=_interval(miou),
    pixel_accuracy=float(total.intersection.sum() / total.labelled.sum()),
    pixel_accuracy_ci95=_interval(accuracy),
    per_class_iou=iou,
    classes_counted=int(np.sum(~np.isnan(iou))),
    images=images,
    pixels=int(total.labelled.sum()),
  )


def compare_segmentations(
  a: PixelCounts,
  b: PixelCounts,
  *,
  seed: int,
  resamples: int = _RESAMPLES,
) -> Comparison:
  """Compares the mean IoU of two methods on the same images.

  The interval is the percentile interval of a bootstrap over images, both
  methods on the same draws. The p-value is that of a randomisation test: were
  the methods alike, their counts of any image could be swapped; it is the share
  of random swaps whose difference is at least as large, the observed one
  included.

  Args:
    a: counts of each image under the first method.
    b: the same images under the second.
    seed: of the bootstrap and of the swaps.
    resamples: number of draws, and of swaps, >= 1.

  Returns:
    Comparison; delta > 0 means that the first method is better.

  Raises:
    ValueError: the labels differ, there is no image or no pixel that counts, or
      resamples < 1.

  References:
    Ours; randomisation tests as in Edgington and Onghena 2007, chapter 1.
  """
  images = _check_counts(a, resamples)
  if not np.array_equal(a.labelled, b.labelled):
    raise ValueError(
      "`a` and `b` must count the same labels of the same images, got others; "
      "run both methods on one data set."
    )
  once = np.ones((1, images))
  delta = float(_measures(once, a)[0][0] - _measures(once, b)[0][0])
  drawn = [
    _measures(weights, a)[0] - _measures(weights, b)[0]
    for weights in _draws(images, resamples, seed)
  ]
  rng = np.random.default_rng(seed)
  extreme = 0
  for size in _blocks(images, resamples):
    kept = rng.integers(0, 2, (size, images)).astype(np.float64)
    first, second = _measures(kept, a, b)[0], _measures(kept, b, a)[0]
    extreme += int(np.sum(np.abs(first - second) >= abs(delta) - 1e-12))
  return Comparison(
    delta,
    _interval(np.concatenate(drawn)),
    (extreme + 1) / (resamples + 1),
  )


def _check_counts(counts: PixelCounts, resamples: int) -> int:
  if counts.labelled.ndim != 2 or not counts.labelled.size:
    raise ValueError(
      "`counts` must be [images, classes] with at least one image, got "
      f"{list(counts.labelled.shape)}."
    )
  if not counts.labelled.any():
    raise ValueError(
      "`counts` must hold a pixel that is not ignored, got none."
    )
  if resamples < 1:
    raise ValueError(f"`resamples` must be >= 1, got {resamples}.")
  return len(counts.labelled)


def _iou(counts: PixelCounts) -> Float[np.ndarray, "*draws classes"]:
  union = counts.predicted + counts.labelled - counts.intersection
  seen = union > 0
  return np.where(seen, counts.intersection / np.where(seen, union, 1), np.nan)


def _blocks(images: int, resamples: int) -> list[int]:
  size = max(1, _MAX_NUMBERS // images)
  return [min(size, resamples - start) for start in range(0, resamples, size)]


def _draws(images: int, resamples: int, seed: int):
  """Yields how often each image is drawn, block by block of draws."""
  rng = np.random.default_rng(seed)
  for size in _blocks(images, resamples):
    drawn = rng.integers(0, images, (size, images))
    drawn += images * np.arange(size)[:, None]
    times = np.bincount(drawn.ravel(), minlength=size * images)
    yield times.reshape(size, images).astype(np.float64)


def _measures(
  weights: Float[np.ndarray, "draws images"],
  counts: PixelCounts,
  rest: PixelCounts | None = None,
) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
  """Mean IoU and pixel accuracy of weighted images; `rest` gets 1 - weights.

  The sums are of integers below 2^53, so they are exact.
  """
  total = PixelCounts(*(_weighted(weights, part) for part in counts))
  if rest is not None:
    others = (_weighted(1 - weights, part) for part in rest)
    total = PixelCounts(
      *(one + other for one, other in zip(total, others, strict=True))
    )
  iou = _iou(total)
  labelled = total.labelled.sum(axis=1)
  # A draw without a pixel that counts says nothing, and is left out below.
  some: Bool[np.ndarray, " draws"] = labelled > 0
  classes = np.sum(~np.isnan(iou), axis=1)
  mean = np.where(some, np.nansum(iou, axis=1) / np.maximum(classes, 1), np.nan)
  right = total.intersection.sum(axis=1) / np.maximum(labelled, 1)
  return mean, np.where(some, right, np.nan)


def _weighted(
  weights: Float[np.ndarray, "draws images"],
  part: Int64[np.ndarray, "images classes"],
) -> Int64[np.ndarray, "draws classes"]:
  return np.rint(weights @ part.astype(np.float64)).astype(np.int64)


def _interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
  low, high = np.nanquantile(values, [0.025, 0.975])
  return float(low), float(high)
