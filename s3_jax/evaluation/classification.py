"""Scores over stored embeddings, and what they amount to.

A scoring function is compiled once per function and shape, so pass the same
object for every test set. A `jax.tree_util.Partial(function, *arrays)` is a
function whose arrays are arguments of the compiled program, not constants in
it: two spaces of one shape then share one compilation. The bound function must
itself be the same object each time.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from s3_jax.evaluation import accumulators, statistics
from s3_jax.evaluation.accumulators import ClassificationCounts
from s3_jax.evaluation.ranking import confidences
from s3_jax.evaluation.score_layout import (
  ScoreLayout,
  place_images,
  place_score,
  rank_batch,
  round_batch,
)
from s3_jax.sharding import replicated

__all__ = [
  "ClassificationResult",
  "ScoredImages",
  "Scoring",
  "evaluate_scores",
  "summarise",
]

_ONE_DEVICE = ScoreLayout()


class ClassificationResult(NamedTuple):
  """Measures of one method on one test set; fractions in [0, 1].

  Attributes:
    n: images.
    top1: share of images whose label has the highest score.
    top5: share of images whose label is among the five highest.
    mean_per_class: mean of the accuracies of the classes that have images.
    classes_with_images: how many classes that mean is over.
    per_class: f64[classes], accuracy of each class, NaN for one without images.
    per_class_n: i64[classes], images of each class.
    correct: bool[images], right at the first place.
    predictions: i32[images]; equal scores go to the lowest class index.
    confidence: f32[images], the largest softmax of exp(logit_scale) · score.
    ece: expected calibration error of `confidence`, 15 bins.
  """

  n: int
  top1: float
  top5: float
  mean_per_class: float
  classes_with_images: int
  per_class: Float[np.ndarray, " classes"]
  per_class_n: Int[np.ndarray, " classes"]
  correct: Bool[np.ndarray, " images"]
  predictions: Int[np.ndarray, " images"]
  confidence: Float[np.ndarray, " images"]
  ece: float


class ScoredImages(NamedTuple):
  """What is known once images are scored; arrays of the host.

  Attributes:
    counts: over all images; numpy arrays.
    predictions: i32[images]; equal scores go to the lowest class index.
    confidence: f32[images], the largest softmax of exp(logit_scale) · score.
    finite: bool[images], whether all scores of an image are.
    labels: i32[images].
  """

  counts: ClassificationCounts
  predictions: Int[np.ndarray, " images"]
  confidence: Float[np.ndarray, " images"]
  finite: Bool[np.ndarray, " images"]
  labels: Int[np.ndarray, " images"]


class _Scored(NamedTuple):
  """What the device returns for one batch of scores."""

  predictions: Int[Array, " batch"]
  confidence: Float[Array, " batch"]
  finite: Bool[Array, " batch"]


@functools.partial(jax.jit, static_argnames="layout")
def _score_batch(
  score, counts, embeddings, labels, mask, logit_scale, layout=_ONE_DEVICE
):
  classes = counts.per_class_n.shape[0]
  ranking = rank_batch(
    score,
    embeddings,
    logit_scale,
    classes=classes,
    count=min(accumulators.TOP, classes),
    layout=layout,
  )
  counts = accumulators.update_ranked(
    counts, ranking.scores, ranking.classes, labels, mask
  )
  if layout.mesh is not None:
    # As they came, so that the next batch needs no other program.
    counts = jax.lax.with_sharding_constraint(counts, replicated(layout.mesh))
  scored = _Scored(ranking.classes[:, 0], confidences(ranking), ranking.finite)
  return counts, scored


def evaluate_scores(
  score_fn: Callable[
    [Float[Array, "batch dim"]], Float[Array, "batch classes"]
  ],
  embeddings: Float[np.ndarray, "images dim"],
  labels: Int[np.ndarray, " _"],
  *,
  classes: int,
  batch_size: int,
  logit_scale: float | int,
  mesh: Mesh | None = None,
  per_class: bool = False,
) -> ClassificationResult:
  """Scores every image against every class and counts what is right.

  Batches have one fixed shape; the last is padded with zero rows that never
  count. Counts are integers, added up on the device. They and the predictions
  are the same on any mesh, unless an image's scores of two classes differ by no
  more than rounding.

  Memory beside the bound arrays: a batch's scores for all classes. With
  `per_class` and more than 4000 classes a device, they are held for about 1000
  classes at a time, with a copy of the arrays of these classes.

  Args:
    score_fn: f32[batch, dim] -> f32[batch, classes], larger = closer; a
      function or a `jax.tree_util.Partial`.
    embeddings: unit rows, one per image.
    labels: class indices in [0, classes).
    classes: number of classes.
    batch_size: rows per call, >= 1; rounded up so that devices can share them.
    logit_scale: natural logarithm of the factor on the scores, as stored; it
      changes `confidence` and `ece` only.
    mesh: devices that share the images; None for one.
    per_class: that every array bound in `score_fn` has a leading class axis and
      each class's score depends on its own part alone. Classes are then shared
      out over the mesh's axis `model`; without it every device holds all.

  Returns:
    ClassificationResult.

  Raises:
    ValueError: for an empty test set, lengths that differ, a label out of
      range, a batch size below 1, scores or with `per_class` bound arrays of
      another shape, or a score that is not finite (the first such image is
      named).
  """
  if embeddings.shape[0] == 0:
    raise ValueError("`embeddings` must hold at least one image, got 0.")
  scoring = Scoring(
    score_fn,
    classes=classes,
    batch_size=batch_size,
    logit_scale=logit_scale,
    mesh=mesh,
    per_class=per_class,
  )
  scoring.add(embeddings, labels)
  return scoring.result()


class Scoring:
  """Scores images piece by piece and counts what is right.

  What `evaluate_scores` does for a test set that does not come whole, and for
  images that have several embeddings: the scoring function then takes
  f32[batch, views, dim].
  """

  def __init__(
    self,
    score_fn: Callable[[Array], Float[Array, "batch classes"]],
    *,
    classes: int,
    batch_size: int,
    logit_scale: float | int,
    mesh: Mesh | None = None,
    per_class: bool = False,
  ):
    if batch_size < 1:
      raise ValueError(
        f"`batch_size` must be a whole number >= 1, got {batch_size}."
      )
    layout = ScoreLayout(mesh, per_class)
    counts = accumulators.init_counts(classes)
    if mesh is not None:
      counts = jax.device_put(counts, replicated(mesh))
    self._layout = layout
    self._counts = counts
    self._score = place_score(score_fn, classes=classes, layout=layout)
    self._classes = classes
    self._batch_size = round_batch(batch_size, layout)
    self._scale = np.float32(logit_scale)
    self._scored: list[tuple[int, _Scored]] = []
    self._labels: list[np.ndarray] = []

  def add(
    self,
    embeddings: Float[np.ndarray, "images ..."],
    labels: Int[np.ndarray, " _"],
  ) -> None:
    """Scores further images.

    Args:
      embeddings: one entry an image.
      labels: class indices in [0, classes).

    Raises:
      ValueError: as `evaluate_scores` does.
    """
    images, seen = embeddings.shape[0], sum(map(len, self._labels))
    if labels.shape[0] != images:
      raise ValueError(
        "`embeddings` and `labels` must agree on [images], got "
        f"{images} and {labels.shape[0]}."
      )
    outside = np.flatnonzero((labels < 0) | (labels >= self._classes))
    if outside.size:
      raise ValueError(
        f"`labels` must be in 0..{self._classes - 1}, got {labels[outside[0]]}"
        f" at index {seen + outside[0]}; check the class list of the data set."
      )
    shape = (self._batch_size, *embeddings.shape[1:])
    for start in range(0, images, self._batch_size):
      rows = min(self._batch_size, images - start)
      batch = np.zeros(shape, np.float32)
      batch[:rows] = embeddings[start : start + rows]
      batch_labels = np.zeros((self._batch_size,), np.int32)
      batch_labels[:rows] = labels[start : start + rows]
      mask = np.arange(self._batch_size) < rows
      arrays = (batch, batch_labels, mask)
      self._counts, scored = _score_batch(
        self._score,
        self._counts,
        *(place_images(array, self._layout) for array in arrays),
        self._scale,
        self._layout,
      )
      self._scored.append((rows, scored))
    self._labels.append(labels)

  def counted(self) -> ScoredImages:
    """Fetches what was counted; there may have been no image."""

    def fetch(name: str, dtype: type) -> np.ndarray:
      parts = [
        np.asarray(getattr(scored, name))[:rows]
        for rows, scored in self._scored
      ]
      return np.concatenate([np.zeros(0, dtype), *parts])

    return ScoredImages(
      counts=jax.tree.map(np.asarray, self._counts),
      predictions=fetch("predictions", np.int32),
      confidence=fetch("confidence", np.float32),
      finite=fetch("finite", bool),
      labels=np.concatenate([np.zeros(0, np.int32), *self._labels]),
    )

  def result(self) -> ClassificationResult:
    """Sums up; at least one image must have been added.

    Raises:
      ValueError: as `summarise` does.
    """
    return summarise(self.counted())


def summarise(counted: ScoredImages) -> ClassificationResult:
  """Turns counts into measures.

  Args:
    counted: of all images, at least one.

  Returns:
    ClassificationResult.

  Raises:
    ValueError: if there is no image, or for a score that was not finite (the
      first image is named).
  """
  counts, predictions, confidence, finite, labels = counted
  if not labels.shape[0]:
    raise ValueError("`counted` must hold at least one image, got 0.")
  if not np.all(finite):
    bad = int(np.flatnonzero(~finite)[0])
    raise ValueError(
      f"`score_fn` must return finite scores, got NaN or inf for image {bad}."
    )
  correct = predictions == labels
  n = int(counts.n)
  # Two independent roads to the same integers.
  assert n == labels.shape[0] and int(counts.top1) == int(np.sum(correct))
  per_class_correct = np.asarray(counts.per_class_correct)
  per_class_n = np.asarray(counts.per_class_n)
  mean, seen = statistics.mean_per_class(per_class_correct, per_class_n)
  return ClassificationResult(
    n=n,
    top1=int(counts.top1) / n,
    top5=int(counts.top5) / n,
    mean_per_class=mean,
    classes_with_images=seen,
    per_class=np.where(
      per_class_n > 0,
      per_class_correct / np.maximum(per_class_n, 1),
      np.nan,
    ),
    per_class_n=per_class_n.astype(np.int64),
    correct=correct,
    predictions=predictions,
    confidence=confidence,
    ece=statistics.expected_calibration_error(confidence, correct),
  )
