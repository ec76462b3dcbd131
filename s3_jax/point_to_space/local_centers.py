"""Metrics that average the vertices near an embedding."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from s3_jax.embeddings import chordal_distances
from s3_jax.point_to_space.averages import center
from s3_jax.point_to_space.streaming import cosine, score_blocks, whole_number
from s3_jax.space import SynonymousSpace


def point_to_local_center(
  embeddings: Float[Array | np.ndarray, "*batch dim"],
  space: SynonymousSpace,
  *,
  neighbors: int = 4,
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the center of their nearest vertices.

  With `I` the `neighbors` vertices most similar to the point (all of them when
  the class has fewer; ties go to the lower index), the score is
  `sum_I s_i / sqrt(sum_IxI G_ij)`.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.
    neighbors: number of vertices in the local center, at least 1.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `neighbors` is not a whole number >= 1, or `embeddings` and
      `space` disagree on dim.

  References:
    The metric S3 proposes (arXiv 2412.04925, point-to-local-center); this
    formula and its default are ours.
  """
  neighbors = whole_number("neighbors", neighbors)
  if neighbors >= space.mask.shape[-1]:
    return score_blocks(embeddings, space, center)
  return score_blocks(embeddings, space, _local_center, options=(neighbors,))


def point_to_soft_local_center(
  embeddings: Float[Array | np.ndarray, "*batch dim"],
  space: SynonymousSpace,
  *,
  temperature: float | int | Float[Array, ""] = 0.05,
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to a softmax-weighted mean of the vertices.

  With `w = softmax(s / temperature)` over the vertices the score is
  `w.s / sqrt(w.(G w))`: smooth, from the nearest point (temperature to 0) to
  the center (temperature to infinity).

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.
    temperature: in the unit of cosines, above 0. It may be traced.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `temperature` is not above 0, or `embeddings` and `space`
      disagree on dim.

  References:
    Ours, a differentiable form of S3's local center (arXiv 2412.04925).
  """
  if not isinstance(temperature, Tracer) and not temperature > 0:
    raise ValueError(
      f"`temperature` must be > 0, got {temperature}; "
      "use `point_to_nearest_point` for the limit at 0."
    )
  parameters = (jnp.asarray(temperature, jnp.float32),)
  return score_blocks(
    embeddings, space, _soft_local_center, parameters=parameters
  )


def point_to_star_center(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the center of the nearest vertex's star.

  The nearest vertex (ties: the lower index) and all vertices within the class's
  scale of it are averaged and renormalised. It needs no stored complex: the
  Gram matrix and `max_edge_length` give the edges.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours: S3's local center (arXiv 2412.04925) with the complex's own
    neighbourhoods.
  """
  return score_blocks(embeddings, space, _star_center)


def _local_center(block, neighbors):
  count = jnp.sum(block.mask, axis=1, dtype=jnp.float32, keepdims=True)
  count = jnp.clip(count, 1.0, float(neighbors))

  def score(similarities, _):
    masked = jnp.where(block.mask[:, :, None], similarities, -jnp.inf)
    masked = jax.lax.stop_gradient(masked)
    last = _largest(masked, neighbors)[-1]

    def score_of(weights):
      total = jnp.sum(weights * similarities, axis=1)
      return cosine(total, _squared_norms(block.gram, weights), count)

    # Only ties need the selection to be made one by one: without them it is
    # what reaches the k-th largest similarity.
    selected = (masked >= last[:, None, :]) & block.mask[:, :, None]
    weights = selected.astype(jnp.float32)
    has_ties = jnp.any(jnp.sum(weights, axis=1) > neighbors)
    return jax.lax.cond(
      has_ties,
      lambda: score_of(_select_one_by_one(masked, neighbors)),
      lambda: score_of(weights),
    )

  return score


def _soft_local_center(block, temperature):
  is_vertex = block.mask[:, :, None]

  def score(similarities, _):
    masked = jnp.where(is_vertex, similarities, -jnp.inf)
    largest = jax.lax.stop_gradient(jnp.max(masked, axis=1, keepdims=True))
    # Masked-out rows get 0 before the exponential: its gradient stays finite.
    below = jnp.where(is_vertex, similarities - largest, 0.0)
    weights = jnp.where(is_vertex, jnp.exp(below / temperature), 0.0)
    total = jnp.sum(weights * similarities, axis=1)
    weight = jnp.maximum(jnp.sum(weights, axis=1), 1.0)
    return cosine(total, _squared_norms(block.gram, weights), weight)

  return score


def _star_center(block):
  distances = chordal_distances(block.gram)
  is_edge = distances <= block.max_edge_length[:, None, None]
  is_edge &= block.mask[:, None, :] & block.mask[:, :, None]
  stars = jax.lax.stop_gradient(is_edge).astype(jnp.float32)
  highest = jax.lax.Precision.HIGHEST
  spread = jnp.einsum("cij,cjk->cik", stars, block.gram, precision=highest)
  squared = jnp.sum(spread * stars, axis=2)
  count = jnp.maximum(jnp.sum(stars, axis=2), 1.0)

  def score(similarities, _):
    masked = jnp.where(block.mask[:, :, None], similarities, -jnp.inf)
    masked = jax.lax.stop_gradient(masked)
    # The first of the largest; argmax is several times slower on a CPU.
    is_largest = masked == jnp.max(masked, axis=1, keepdims=True)
    index = jnp.arange(masked.shape[1])[None, :, None]
    nearest = jnp.min(jnp.where(is_largest, index, masked.shape[1] - 1), axis=1)
    totals = jnp.einsum("cij,cjb->cib", stars, similarities, precision=highest)
    total = jnp.take_along_axis(totals, nearest[:, None, :], axis=1)[:, 0]
    return cosine(
      total,
      jnp.take_along_axis(squared, nearest, axis=1),
      jnp.take_along_axis(count, nearest, axis=1),
    )

  return score


def _squared_norms(gram, weights):
  spread = jnp.einsum(
    "cij,cjb->cib", gram, weights, precision=jax.lax.Precision.HIGHEST
  )
  return jnp.sum(weights * spread, axis=1)


def _largest(masked, count):
  """The `count` largest similarities, descending; equal ones count apart.

  One pass over the similarities inserts each into a sorted list: two
  instructions a place, and four times fewer reads than a maximum a place.
  """

  def insert(largest, vertex):
    value = jax.lax.dynamic_index_in_dim(masked, vertex, 1, keepdims=False)
    inserted = []
    for place in largest:
      inserted.append(jnp.maximum(place, value))
      value = jnp.minimum(place, value)
    return inserted, None

  nothing = [jnp.full_like(masked[:, 0, :], -jnp.inf)] * count
  return jax.lax.scan(insert, nothing, jnp.arange(masked.shape[1]), unroll=2)[0]


def _select_one_by_one(masked, neighbors):
  """Weighs the `neighbors` largest with 1, ties to the lower index."""
  index = jnp.arange(masked.shape[1])[None, :, None]

  def select(_, selected):
    left = jnp.where(selected, -jnp.inf, masked)
    is_next = index == jnp.argmax(left, axis=1)[:, None, :]
    return selected | (is_next & (left > -jnp.inf))

  nothing = jnp.zeros(masked.shape, bool)
  selected = jax.lax.fori_loop(0, neighbors, select, nothing)
  return selected.astype(jnp.float32)
