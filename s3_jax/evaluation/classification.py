"""Scores over stored embeddings, and what they amount to.

A scoring function is compiled once per function and shape, so pass the same
object for every test set. A `jax.tree_util.Partial(function, *arrays)` is a
function whose arrays are arguments of the compiled program, not constants in
it: two spaces of one shape then share one compilation. The bound function must
itself be the same object each time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from s3_jax.embeddings import scale_logits
from s3_jax.evaluation import accumulators, statistics

__all__ = [
  "ClassificationResult",
  "Scoring",
  "evaluate_scores",
]


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


class _Scored(NamedTuple):
  """What the device returns for one batch of scores."""

  predictions: Int[Array, " batch"]
  confidence: Float[Array, " batch"]
  finite: Bool[Array, " batch"]


@jax.jit
def _score_batch(score, counts, embeddings, labels, mask, logit_scale):
  scores = score(embeddings)
  shape = (embeddings.shape[0], counts.per_class_n.shape[0])
  if scores.shape != shape:
    # Shapes are static: this is raised while tracing, once.
    raise ValueError(
      "`score_fn` must return scores of shape [batch, classes] = "
      f"{list(shape)}, got {list(scores.shape)}."
    )
  logits = scale_logits(scores, logit_scale)
  log_confidence = jnp.max(logits, -1) - jax.nn.logsumexp(logits, -1)
  scored = _Scored(
    predictions=jnp.argmax(scores, axis=-1).astype(jnp.int32),
    confidence=jnp.minimum(jnp.exp(log_confidence), 1.0),
    finite=jnp.all(jnp.isfinite(scores), axis=-1),
  )
  return accumulators.update(counts, scores, labels, mask), scored


def _as_partial(function: Callable[..., Any]) -> Partial:
  return function if isinstance(function, Partial) else Partial(function)


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
) -> ClassificationResult:
  """Scores every image against every class and counts what is right.

  Batches have one fixed shape; the last is padded with zero rows that never
  count. Counts are integers, added up on the device.

  Args:
    score_fn: f32[batch, dim] -> f32[batch, classes], larger = closer; a
      function or a `jax.tree_util.Partial`.
    embeddings: unit rows, one per image.
    labels: class indices in [0, classes).
    classes: number of classes.
    batch_size: rows per call, >= 1.
    logit_scale: natural logarithm of the factor on the scores, as stored; it
      changes `confidence` and `ece` only.

  Returns:
    ClassificationResult.

  Raises:
    ValueError: for an empty test set, lengths that differ, a label out of
      range, a batch size below 1, scores of another shape, or a score that is
      not finite (the first such image is named).
  """
  if embeddings.shape[0] == 0:
    raise ValueError("`embeddings` must hold at least one image, got 0.")
  scoring = Scoring(
    score_fn, classes=classes, batch_size=batch_size, logit_scale=logit_scale
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
  ):
    if batch_size < 1:
      raise ValueError(
        f"`batch_size` must be a whole number >= 1, got {batch_size}."
      )
    self._score = _as_partial(score_fn)
    self._counts = accumulators.init_counts(classes)
    self._classes = classes
    self._batch_size = batch_size
    self._scale = np.float32(logit_scale)
    self._scored: list[_Scored] = []
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
      self._counts, scored = _score_batch(
        self._score, self._counts, batch, batch_labels, mask, self._scale
      )
      self._scored.append(_Scored(*(part[:rows] for part in scored)))
    self._labels.append(labels)

  def result(self) -> ClassificationResult:
    """Sums up; at least one image must have been added.

    Raises:
      ValueError: for a score that was not finite (the first image is named).
    """
    predictions, confidence, finite = (
      np.concatenate([np.asarray(part) for part in parts])
      for parts in zip(*self._scored, strict=True)
    )
    if not np.all(finite):
      bad = int(np.flatnonzero(~finite)[0])
      raise ValueError(
        f"`score_fn` must return finite scores, got NaN or inf for image {bad}."
      )
    labels = np.concatenate(self._labels)
    return _summarise(self._counts, predictions, confidence, labels)


def _summarise(counts, predictions, confidence, labels) -> ClassificationResult:
  counts = jax.tree.map(np.asarray, counts)
  correct = predictions == labels
  n = int(counts.n)
  # Two independent roads to the same integers.
  assert n == labels.shape[0] and int(counts.top1) == int(np.sum(correct))
  mean, seen = statistics.mean_per_class(
    counts.per_class_correct, counts.per_class_n
  )
  return ClassificationResult(
    n=n,
    top1=int(counts.top1) / n,
    top5=int(counts.top5) / n,
    mean_per_class=mean,
    classes_with_images=seen,
    per_class=np.where(
      counts.per_class_n > 0,
      counts.per_class_correct / np.maximum(counts.per_class_n, 1),
      np.nan,
    ),
    per_class_n=counts.per_class_n.astype(np.int64),
    correct=correct,
    predictions=predictions,
    confidence=confidence,
    ece=statistics.expected_calibration_error(confidence, correct),
  )
