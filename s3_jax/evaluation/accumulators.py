"""Integer counts of a classification run, added up on the device.

Counts, not averages, travel between batches and devices: integers add up to
the same totals whatever the batch size, the padding or the number of devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

__all__ = [
  "ClassificationCounts",
  "TOP",
  "init_counts",
  "merge",
  "update",
  "update_ranked",
]

TOP = 5
"""Places at which a label still counts for `top5`."""


class ClassificationCounts(NamedTuple):
  """How many images were seen and how many were right.

  Attributes:
    n: images counted.
    top1: images whose label has the highest score.
    top5: images whose label is among the five highest scores.
    per_class_correct: images of each class that are right at the first place.
    per_class_n: images of each class.
  """

  n: Int[Array, ""]
  top1: Int[Array, ""]
  top5: Int[Array, ""]
  per_class_correct: Int[Array, " classes"]
  per_class_n: Int[Array, " classes"]


def init_counts(classes: int) -> ClassificationCounts:
  """Returns counts of zero.

  Args:
    classes: number of classes, >= 1.

  Raises:
    ValueError: when `classes` is below 1.
  """
  if classes < 1:
    raise ValueError(f"`classes` must be >= 1, got {classes}.")
  zero = jnp.zeros((), jnp.int32)
  per_class = jnp.zeros((classes,), jnp.int32)
  return ClassificationCounts(zero, zero, zero, per_class, per_class)


def update(
  counts: ClassificationCounts,
  scores: Float[Array, "batch classes"],
  labels: Int[Array, " batch"],
  mask: Bool[Array, " batch"],
) -> ClassificationCounts:
  """Adds one batch to the counts.

  The rank of a label is the number of classes with a higher score, plus those
  with an equal score and a lower index, so ties go to the lowest class index.
  A label is right at rank 0 and within the first five at rank < 5; with fewer
  than five classes every image is. A label whose own score is NaN or -inf is
  never right. Ours.

  Args:
    counts: the totals so far.
    scores: larger = closer.
    labels: class indices in [0, classes) wherever `mask` is True; anything
      elsewhere.
    mask: True = a real image. Masked rows never count.

  Returns:
    The new totals, int32.
  """
  classes = scores.shape[-1]
  labels = jnp.where(mask, labels, 0)
  scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
  own = jnp.take_along_axis(scores, labels[:, None], axis=-1)
  lower_index = jnp.arange(classes)[None, :] < labels[:, None]
  ahead = (scores > own) | ((scores == own) & lower_index)
  rank = jnp.sum(ahead, axis=-1, dtype=jnp.int32)
  has_score = own[:, 0] > -jnp.inf
  return _add(
    counts, has_score & (rank < 1), has_score & (rank < TOP), labels, mask
  )


def update_ranked(
  counts: ClassificationCounts,
  scores: Float[Array, "batch places"],
  classes: Int[Array, "batch places"],
  labels: Int[Array, " batch"],
  mask: Bool[Array, " batch"],
) -> ClassificationCounts:
  """Adds one batch, of which only the best classes are known.

  The new totals are those of `update` with the scores of all classes. Ours.

  Args:
    counts: the totals so far.
    scores: the five highest scores, or all where there are fewer classes,
      descending; NaN as -inf.
    classes: theirs; equal scores go to the lower index.
    labels: as for `update`.
    mask: True = a real image. Masked rows never count.

  Returns:
    The new totals, int32.
  """
  labels = jnp.where(mask, labels, 0)
  is_label = (classes == labels[:, None]) & (scores > -jnp.inf)
  return _add(counts, is_label[:, 0], jnp.any(is_label, axis=1), labels, mask)


def _add(counts, is_first, is_among, labels, mask) -> ClassificationCounts:
  real = mask.astype(jnp.int32)
  first = (mask & is_first).astype(jnp.int32)
  among = (mask & is_among).astype(jnp.int32)
  return ClassificationCounts(
    n=counts.n + jnp.sum(real),
    top1=counts.top1 + jnp.sum(first),
    top5=counts.top5 + jnp.sum(among),
    per_class_correct=counts.per_class_correct.at[labels].add(first),
    per_class_n=counts.per_class_n.at[labels].add(real),
  )


def merge(
  left: ClassificationCounts, right: ClassificationCounts
) -> ClassificationCounts:
  """Adds the counts of two disjoint sets of images."""
  return jax.tree.map(jnp.add, left, right)
