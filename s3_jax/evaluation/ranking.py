"""The best classes of images, from scores of one block of classes at a time.

Counting, predictions and confidence need few numbers of an image's scores: the
best classes, and a sum of exponentials. These numbers of two disjoint sets of
classes merge into those of both, so scores are never held for all classes, and
classes may be shared out over devices. What is an integer does not depend on
how the classes were cut up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from s3_jax.embeddings import scale_logits

__all__ = [
  "ClassRanking",
  "NO_CLASS",
  "confidences",
  "merge_rankings",
  "rank_nothing",
  "rank_scores",
]

NO_CLASS = np.int32(np.iinfo(np.int32).max)
"""Stands where there are fewer classes than places; behind all classes."""


class ClassRanking(NamedTuple):
  """What evaluation needs of the scores of a set of classes.

  Attributes:
    scores: the highest, descending; NaN counts as -inf, which also stands where
      there is no class.
    classes: theirs; equal scores go to the lower index. NO_CLASS where there is
      none.
    largest: the highest logit, exp(logit_scale) · score; -inf without a class.
    total: the sum of exp(logit - largest).
    finite: whether all scores are.
  """

  scores: Float[Array, "batch count"]
  classes: Int32[Array, "batch count"]
  largest: Float[Array, " batch"]
  total: Float[Array, " batch"]
  finite: Bool[Array, " batch"]


def rank_scores(
  scores: Float[Array, "batch block"],
  *,
  count: int,
  logit_scale: Float[Array | np.ndarray, ""] | np.floating,
  first_class: Int32[Array, ""] | int = 0,
  counted: Int32[Array, ""] | None = None,
) -> ClassRanking:
  """Ranks a block of consecutive classes.

  Args:
    scores: larger = closer.
    count: places of the ranking, >= 1.
    logit_scale: natural logarithm of the factor on the scores, as stored.
    first_class: index of the block's first class.
    counted: how many columns are classes, the others being padding behind them;
      None for all.

  Returns:
    The ranking.

  References:
    Ours.
  """
  logits = scale_logits(scores, jnp.asarray(logit_scale))
  finite = jnp.isfinite(scores)
  # One zero, as top_k puts -0.0 behind 0.0, which are equal scores.
  known = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
  known = jnp.where(known == 0, 0.0, known)
  if counted is not None:
    is_class = jnp.arange(scores.shape[1], dtype=jnp.int32) < counted
    is_class = jnp.broadcast_to(is_class[None, :], scores.shape)
    logits = jnp.where(is_class, logits, -jnp.inf)
    known = jnp.where(is_class, known, -jnp.inf)
    finite |= ~is_class
  # Of equal scores the lower index comes first, so padding comes last. Without
  # barriers XLA sorts all classes where the first place is read by itself; with
  # one for both arrays it cannot compile for several devices.
  best, indices = jax.lax.top_k(known, min(count, scores.shape[1]))
  best = jax.lax.optimization_barrier(best)
  indices = jax.lax.optimization_barrier(indices)
  classes = (indices + first_class).astype(jnp.int32)
  if counted is not None:
    classes = jnp.where(indices < counted, classes, NO_CLASS)
  missing = ((0, 0), (0, count - best.shape[1]))
  largest = jnp.max(logits, axis=-1, initial=-jnp.inf)
  powers = jnp.exp(logits - _shift(largest)[:, None])
  return ClassRanking(
    scores=jnp.pad(best, missing, constant_values=-jnp.inf),
    classes=jnp.pad(classes, missing, constant_values=NO_CLASS),
    largest=largest,
    total=jnp.sum(powers, axis=-1),
    finite=jnp.all(finite, axis=-1),
  )


def rank_nothing(batch: int, *, count: int) -> ClassRanking:
  """Returns the ranking of no classes, which changes no other by merging.

  Args:
    batch: images.
    count: places of the ranking, >= 1.

  References:
    Ours.
  """
  return ClassRanking(
    scores=jnp.full((batch, count), -jnp.inf, jnp.float32),
    classes=jnp.full((batch, count), NO_CLASS, jnp.int32),
    largest=jnp.full((batch,), -jnp.inf, jnp.float32),
    total=jnp.zeros((batch,), jnp.float32),
    finite=jnp.ones((batch,), bool),
  )


def merge_rankings(left: ClassRanking, right: ClassRanking) -> ClassRanking:
  """Ranks the classes of two disjoint sets together.

  Associative and commutative: classes and scores exactly, the sum of
  exponentials but for rounding.

  Args:
    left: the ranking of some classes.
    right: that of others, with as many places.

  Returns:
    The ranking of all of them.

  References:
    Ours.
  """
  count = left.scores.shape[1]
  scores = jnp.concatenate([left.scores, right.scores], axis=1)
  classes = jnp.concatenate([left.classes, right.classes], axis=1)
  behind, classes = jax.lax.sort((-scores, classes), num_keys=2)
  largest = jnp.maximum(left.largest, right.largest)
  shift = _shift(largest)
  return ClassRanking(
    scores=-behind[:, :count],
    classes=classes[:, :count],
    largest=largest,
    total=left.total * jnp.exp(left.largest - shift)
    + right.total * jnp.exp(right.largest - shift),
    finite=left.finite & right.finite,
  )


def _shift(largest: Float[Array, " batch"]) -> Float[Array, " batch"]:
  """What is taken off before exponentials, so that -inf less it is no NaN."""
  return jnp.where(jnp.isfinite(largest), largest, 0.0)


def confidences(ranking: ClassRanking) -> Float[Array, " batch"]:
  """Returns the softmax of the best class: 1 / sum of exp(logit - largest).

  Args:
    ranking: of all classes.

  Returns:
    Probabilities in [0, 1], by way of their logarithms.

  References:
    CLIP (arXiv 2103.00020, section 3.1.2) for the softmax.
  """
  log_total = jnp.log(ranking.total) + ranking.largest
  return jnp.minimum(jnp.exp(ranking.largest - log_total), 1.0)
