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
  is_vertex = block.mask[:, :, None]
  count = jnp.sum(block.mask, axis=1, dtype=jnp.float32, keepdims=True)
  count = jnp.clip(count, 1.0, float(neighbors))

  def score(similarities, _):
    fixed = jax.lax.stop_gradient(similarities)
    last = _kth_largest(fixed, block.mask, neighbors)[:, None, :]
    # Not `astype`, which XLA does not vectorise before a matrix product.
    weights = jnp.where(is_vertex & (fixed >= last), 1.0, 0.0)

    def score_of(weights):
      total = jnp.sum(weights * similarities, axis=1)
      return cosine(total, _squared_norms(block.gram, weights), count)

    def break_ties():
      is_above = is_vertex & (fixed > last)
      is_last = is_vertex & (fixed == last)
      room = neighbors - jnp.sum(is_above, axis=1, keepdims=True)
      selected = is_above | (is_last & (jnp.cumsum(is_last, axis=1) <= room))
      return jnp.where(selected, 1.0, 0.0)

    return jax.lax.cond(
      jnp.any(jnp.sum(weights, axis=1) > neighbors),
      lambda: score_of(break_ties()),
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


def _kth_largest(similarities, mask, k):
  """The k-th largest similarity of the vertices, or -inf if there are fewer.

  One pass over the vertices inserts each into a descending list of k, two
  instructions a place. Unrolled it needs no memory but a core's registers,
  though the time to compile grows with its length.
  """

  def insert(largest, value):
    inserted = []
    for index in largest:
      inserted.append(jnp.maximum(index, value))
      value = jnp.minimum(index, value)
    return inserted, None

  synonyms = mask.shape[1]
  unroll = synonyms if synonyms * k <= 1024 else 4

  def search(arrays):
    similarities, mask = arrays
    masked = jnp.where(mask[:, None], similarities, -jnp.inf)
    nothing = [jnp.full_like(masked[0], -jnp.inf)] * k
    largest, _ = jax.lax.scan(insert, nothing, masked, unroll=unroll)
    return largest[-1]

  # Class by class: the loop also keeps XLA from searching anew, rather than
  # storing what was found, wherever it is used.
  return jax.lax.map(search, (similarities, mask))
