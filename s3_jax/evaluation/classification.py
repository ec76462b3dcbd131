"""Images through the image tower once, and scores over the stored embeddings.

Both functions take a function of arrays. It is compiled once per function and
shape, so pass the same object for every test set. A
`jax.tree_util.Partial(function, *arrays)` is a function whose arrays are
arguments of the compiled program, not constants in it: two spaces of one shape
then share one compilation, and `Partial(embed, params)` keeps the weights out
of the program. The bound function must itself be the same object each time.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from s3_jax.embeddings import scale_logits
from s3_jax.evaluation import accumulators, statistics

__all__ = [
  "ClassificationResult",
  "EmbeddedImages",
  "embed_dataset",
  "evaluate_scores",
]


class EmbeddedImages(NamedTuple):
  """Embeddings of a whole test set, in the order of its indices.

  Attributes:
    embeddings: f32[images, dim].
    labels: i32[images].
    images_decoded: real images that went through the tower.
    tower_batches: calls of the tower.
  """

  embeddings: Float[np.ndarray, "images dim"]
  labels: Int[np.ndarray, " images"]
  images_decoded: int
  tower_batches: int


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
def _embed_batch(embed, images):
  return embed(images).astype(jnp.float32)


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
  images, dim = embeddings.shape
  if images == 0:
    raise ValueError("`embeddings` must hold at least one image, got 0.")
  if labels.shape[0] != images:
    raise ValueError(
      "`embeddings` and `labels` must agree on [images], got "
      f"{images} and {labels.shape[0]}."
    )
  if batch_size < 1:
    raise ValueError(
      f"`batch_size` must be a whole number >= 1, got {batch_size}."
    )
  counts = accumulators.init_counts(classes)
  outside = np.flatnonzero((labels < 0) | (labels >= classes))
  if outside.size:
    raise ValueError(
      f"`labels` must be in 0..{classes - 1}, got {labels[outside[0]]} at "
      f"index {outside[0]}; check the class list of the data set."
    )

  score = _as_partial(score_fn)
  scale = np.float32(logit_scale)
  pieces = []
  for start in range(0, images, batch_size):
    rows = min(batch_size, images - start)
    batch = np.zeros((batch_size, dim), np.float32)
    batch[:rows] = embeddings[start : start + rows]
    batch_labels = np.zeros((batch_size,), np.int32)
    batch_labels[:rows] = labels[start : start + rows]
    mask = np.arange(batch_size) < rows
    counts, scored = _score_batch(
      score, counts, batch, batch_labels, mask, scale
    )
    pieces.append(scored)
  predictions, confidence, finite = (
    np.concatenate([np.asarray(part) for part in parts])[:images]
    for parts in zip(*pieces, strict=True)
  )
  if not np.all(finite):
    bad = int(np.flatnonzero(~finite)[0])
    raise ValueError(
      f"`score_fn` must return finite scores, got NaN or inf for image {bad}."
    )
  return _summarise(counts, predictions, confidence, labels)


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


def embed_dataset(
  embed_fn: Callable[[Array], Float[Array, "batch dim"]],
  batches: Iterable[Mapping[str, Any]],
  *,
  total: int,
  progress: str | None = None,
) -> EmbeddedImages:
  """Embeds a whole test set, each image exactly once.

  While the device works on one batch the next is read. All batches should have
  one shape (padded and masked), or the tower is compiled again.

  Args:
    embed_fn: u8[batch, height, width, 3] -> f32[batch, dim], unit rows; a
      function or a `jax.tree_util.Partial`.
    batches: mappings with `image` u8[batch, height, width, 3], `label`
      [batch], `mask` bool[batch] (True = real) and `index` [batch], the place
      of each image in the test set, 0..total-1.
    total: number of images of the test set, >= 1.
    progress: the text before a progress bar; None for no bar. There is never
      one where the output is not a terminal.

  Returns:
    EmbeddedImages in the order of `index`.

  Raises:
    ValueError: when an image is missing, comes twice or has an index out of
      range, or when an embedding is zero or not finite (its index is named).
  """
  if total < 1:
    raise ValueError(f"`total` must be >= 1, got {total}.")
  embed = _as_partial(embed_fn)
  labels = np.zeros((total,), np.int32)
  seen = np.zeros((total,), bool)
  embeddings: np.ndarray | None = None
  tower_batches = 0
  waiting: tuple[np.ndarray, np.ndarray, Array] | None = None

  def keep(mask, index, embedded):
    nonlocal embeddings
    rows = np.asarray(embedded)[mask]
    _check_embeddings(rows, index)
    if embeddings is None:
      embeddings = np.zeros((total, rows.shape[-1]), np.float32)
    embeddings[index] = rows

  with tqdm(
    total=total,
    desc=progress,
    unit="image",
    leave=False,
    disable=True if progress is None else None,
  ) as bar:
    for batch in batches:
      mask = np.asarray(batch["mask"])
      index = np.asarray(batch["index"])[mask]
      _check_indices(index, seen)
      seen[index] = True
      labels[index] = np.asarray(batch["label"])[mask]
      embedded = _embed_batch(embed, batch["image"])
      tower_batches += 1
      if waiting is not None:
        keep(*waiting)
      waiting = (mask, index, embedded)
      bar.update(index.size)
    if waiting is not None:
      keep(*waiting)
  if not np.all(seen):
    raise ValueError(
      f"`batches` must hold each of the {total} images once, got "
      f"{int(np.sum(seen))}; the first missing index is "
      f"{int(np.flatnonzero(~seen)[0])}."
    )
  assert embeddings is not None
  return EmbeddedImages(embeddings, labels, total, tower_batches)


def _check_indices(index: np.ndarray, seen: np.ndarray) -> None:
  """Refuses indices out of range or already used, within a batch or before."""
  total = seen.shape[0]
  outside = index[(index < 0) | (index >= total)]
  if outside.size:
    raise ValueError(
      f"`index` must be in 0..{total - 1}, got {int(outside[0])}."
    )
  values, times = np.unique(index, return_counts=True)
  twice = values[(times > 1) | seen[values]]
  if twice.size:
    raise ValueError(
      "`batches` must hold each image once, got index "
      f"{int(twice[0])} more than once."
    )


def _check_embeddings(rows: np.ndarray, index: np.ndarray) -> None:
  """Refuses embeddings that no later step could use."""
  norms = np.linalg.norm(rows.astype(np.float64), axis=-1)
  bad = index[~(np.isfinite(norms) & (norms > 0))]
  if bad.size:
    raise ValueError(
      "`embed_fn` must return finite, non-zero embeddings, got "
      f"{bad.size} others; the first is image {int(bad[0])}."
    )
