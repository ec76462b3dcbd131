"""Rules for one class: the scale of its complex, and the part that is kept."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from s3_jax.embeddings import MIN_SQUARED_DISTANCE
from s3_jax.topology import PrimOrder, largest_component_size

_SLACK = 1e-4
"""Of a text: in float32 0.6 * 25 is above 15, and 15 of 25 texts are 0.6."""


def last_death(
  deaths: Float[Array, " deaths"], count: Int[Array, ""]
) -> Float[Array, ""]:
  """Returns the scale at which a class is just connected.

  Args:
    deaths: H0 deaths of the class, ascending, padded with +inf.
    count: number of its real texts.

  Returns:
    The last finite death, 0 for fewer than two texts.

  References:
    Ours.
  """
  if deaths.shape[0] == 0:
    return jnp.zeros((), jnp.float32)
  return jnp.where(count >= 2, deaths[jnp.maximum(count - 2, 0)], 0.0)


def gap_scale(
  order: PrimOrder,
  deaths: Float[Array, " deaths"],
  count: Int[Array, ""],
  min_fraction: Float[Array, ""] | float,
  min_gap: Float[Array, ""] | float,
) -> Float[Array, ""]:
  """Returns the middle of the largest admissible gap between deaths.

  Args:
    order: Prim order of the class.
    deaths: its H0 deaths, ascending, padded with +inf.
    count: number of its real texts.
    min_fraction: share of the texts that a cut must leave together.
    min_gap: smallest gap that cuts, as a share of the last death.

  Returns:
    The scale; the last death where nothing is cut.

  References:
    Ours: rule "gap" of `build_space`.
  """
  last = last_death(deaths, count)
  if deaths.shape[0] < 2:
    return last
  lower, upper = deaths[:-1], deaths[1:]
  is_cut = (jnp.arange(lower.shape[0]) + 2 < count) & (lower > 0)
  is_cut &= (
    largest_component_size(order, lower) >= min_fraction * count - _SLACK
  )
  gaps = jnp.where(is_cut, upper, 0.0) - jnp.where(is_cut, lower, 0.0)
  gaps = jnp.where(is_cut, gaps, -jnp.inf)
  best = lower.shape[0] - 1 - jnp.argmax(gaps[::-1])
  middle = (lower[best] + upper[best]) / 2
  return jnp.where(gaps[best] >= min_gap * last, middle, last)


def quantile_scale(
  deaths: Float[Array, " deaths"],
  count: Int[Array, ""],
  quantile: Float[Array, ""] | float,
) -> Float[Array, ""]:
  """Interpolates linearly between the deaths of a class.

  With `m` texts the quantile `q` lies at place `q * (m - 2)` of the deaths,
  counted from 0. A place within 1e-4 of a death is that death, so that rounding
  never leaves the edge out which the quantile names.

  Args:
    deaths: H0 deaths of the class, ascending, padded with +inf.
    count: number of its real texts.
    quantile: in [0, 1].

  Returns:
    The scale, 0 for fewer than two texts.

  References:
    Ours: rule "quantile" of `build_space`.
  """
  if deaths.shape[0] == 0:
    return jnp.zeros((), jnp.float32)
  last = jnp.maximum(count - 2, 0)
  deaths = jnp.where(jnp.arange(deaths.shape[0]) < count - 1, deaths, 0.0)
  index = jnp.clip(quantile * last, 0.0, last)
  nearest = jnp.round(index)
  index = jnp.where(jnp.abs(index - nearest) <= _SLACK, nearest, index)
  below = jnp.floor(index).astype(jnp.int32)
  lower, upper = deaths[below], deaths[jnp.minimum(below + 1, last)]
  return lower + (index - below) * (upper - lower)


def coverage_scale(
  order: PrimOrder,
  deaths: Float[Array, " deaths"],
  count: Int[Array, ""],
  coverage: Float[Array, ""] | float,
) -> Float[Array, ""]:
  """Returns the smallest scale at which one component holds enough texts.

  Args:
    order: Prim order of the class.
    deaths: its H0 deaths, ascending, padded with +inf.
    count: number of its real texts.
    coverage: share of the texts that the largest component must hold.

  Returns:
    The smallest of 0 and the deaths at which it does, inclusive to 1e-4 of a
    text.

  References:
    Ours: rule "coverage" of `build_space`.
  """
  if deaths.shape[0] == 0:
    return jnp.zeros((), jnp.float32)
  scales = jnp.concatenate([jnp.zeros(1, deaths.dtype), deaths])
  enough = largest_component_size(order, scales) >= coverage * count - _SLACK
  # Places from the last death on hold all texts, so the padding is never taken.
  enough |= jnp.arange(scales.shape[0]) >= count - 1
  return scales[jnp.argmax(enough)]


def largest_component(
  distances: Float[Array, "vertices vertices"],
  labels: Int[Array, " vertices"],
) -> Bool[Array, " vertices"]:
  """Marks the component with the most vertices.

  Args:
    distances: between the texts of the class.
    labels: of their components, -1 where masked out.

  Returns:
    Its vertices. Ties go to the smaller mean distance over all pairs (0 for a
    single vertex; means within 1e-6 are equal), then to the lower label.

  References:
    S3 (arXiv 2412.04925) keeps the largest component; the ties are ours.
  """
  vertices = labels.shape[0]
  if vertices == 0:
    return jnp.zeros(0, bool)
  is_real = labels >= 0
  together = (labels[:, None] == labels[None, :]) & is_real[None, :]
  size = jnp.sum(together, axis=1)
  reach = jnp.sum(jnp.where(together, distances, 0.0), axis=1)
  total = jnp.sum(jnp.where(together, reach[None, :], 0.0), axis=1)
  mean = total / jnp.maximum(size * (size - 1), 1)
  is_best = is_real & (size == jnp.max(jnp.where(is_real, size, 0)))
  closest = jnp.min(jnp.where(is_best, mean, jnp.inf))
  is_best &= mean <= closest + MIN_SQUARED_DISTANCE
  return is_real & (labels == jnp.min(jnp.where(is_best, labels, vertices)))


def name_component(
  labels: Int[Array, " vertices"],
) -> Bool[Array, " vertices"]:
  """Marks the component of vertex 0, the class name.

  Args:
    labels: of the components, -1 where masked out.

  Returns:
    Its vertices; none where vertex 0 is masked out.

  References:
    Ours: rule "label" of `build_space`.
  """
  return (labels >= 0) & (labels == labels[:1])


def kept_component(
  keep: str,
  distances: Float[Array, "vertices vertices"],
  labels: Int[Array, " vertices"],
) -> Bool[Array, " vertices"]:
  """Marks what a rule keeps of a class.

  Args:
    keep: "largest", "label" or "all".
    distances: between the texts of the class.
    labels: of their components, -1 where masked out.

  Returns:
    The kept vertices.

  References:
    Ours; see `build_space`.
  """
  if keep == "largest":
    return largest_component(distances, labels)
  if keep == "label":
    return name_component(labels)
  return labels >= 0
