"""Metrics that project on the span or the affine hull of a class's vertices.

Both need the pseudo-inverse of a Gram matrix, taken over eigenvalues above 1e-5
of the largest: float32 knows an eigenvalue to about 1e-7 of the largest, so a
kept one is good to a hundredth. A score's error grows with the ratio of the
largest to the least eigenvalue kept, about 1e-7 of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from s3_jax.embeddings import MIN_SQUARED_DISTANCE
from s3_jax.point_to_space.streaming import cosine, score_blocks, whole_number
from s3_jax.space import SynonymousSpace

MIN_EIGENVALUE = 1e-5
"""Eigenvalues of a Gram matrix up to this share of its largest count as 0."""


def point_to_subspace(
  embeddings: Float[Array | np.ndarray, "*batch dim"],
  space: SynonymousSpace,
  *,
  rank: int | None = None,
) -> Float[Array, "*batch classes"]:
  """Scores points by the norm of their projection on the vertices' span.

  `sqrt(s.(G^+ s))`, with the eigenvalues of `G` above 1e-5 of the largest, and
  of those at most the `rank` largest. It is blind to the sign of a vertex and
  near 1 for every point once a class has about as many vertices as dimensions.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.
    rank: the most dimensions the span may have, at least 1; None for all.

  Returns:
    Scores in [0, 1], larger = closer; -1 for a class without vertices.

  Raises:
    ValueError: `rank` is neither None nor a whole number >= 1, or
      `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  rank = None if rank is None else whole_number("rank", rank)
  return score_blocks(embeddings, space, _subspace, options=(rank,))


def point_to_affine_hull(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to their projection on the affine hull.

  With the mean `m` of the vertices and `p` the projection of `x` on the flat
  through `m` that the centred vertices span, the score is `<x, p> / |p|`. The
  centred Gram matrix's eigenvalues count above 1e-5 of the largest and above
  1e-6, so that equal texts make a point.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer; -1 where `p` has norm below 1e-3.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  return score_blocks(embeddings, space, _affine_hull)


def _subspace(block, rank):
  is_vertex = block.mask[:, :, None] & block.mask[:, None, :]
  root = _inverse_root(jnp.where(is_vertex, block.gram, 0.0), rank, 0.0)

  def score(similarities, _):
    squared = _sum_of_squares(_apply(root, similarities))
    # The gradient of a root is infinite at 0: the projection has no direction.
    is_zero = squared <= 0
    norm = jnp.sqrt(jnp.where(is_zero, 1.0, squared))
    return jnp.where(is_zero, 0.0, jnp.minimum(norm, 1.0))

  return score


def _affine_hull(block):
  mask = block.mask.astype(jnp.float32)
  count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)
  gram = block.gram * mask[:, :, None] * mask[:, None, :]
  to_mean = jnp.sum(gram, axis=2) / count  # <z_i, m>
  mean_squared = jnp.sum(to_mean, axis=1, keepdims=True) / count
  offset = (to_mean - mean_squared) * mask  # <z_i - m, m>
  centred = gram - to_mean[:, :, None] - to_mean[:, None, :]
  centred = centred + mean_squared[:, :, None]
  centred = centred * mask[:, :, None] * mask[:, None, :]
  root = _inverse_root(centred, None, MIN_SQUARED_DISTANCE)
  # In an orthonormal basis of the flat's directions: the mean is `along`, and
  # the foot of the origin has what is left of its squared norm.
  along = _apply(root, offset[:, :, None])
  foot_squared = jnp.maximum(mean_squared - _sum_of_squares(along), 0.0)

  def score(similarities, _):
    masked = similarities * mask[:, :, None]
    mean = jnp.sum(masked, axis=1) / count
    centred = (similarities - mean[:, None, :]) * mask[:, :, None]
    direction = _apply(root, centred)
    squared = _sum_of_squares(direction)
    to_foot = mean - jnp.sum(along * direction, axis=1)
    return cosine(
      to_foot + squared, foot_squared + squared, jnp.ones_like(foot_squared)
    )

  return score


def _inverse_root(gram, rank, floor):
  """Matrix `R` with `R^T R` the pseudo-inverse of each Gram matrix.

  The decomposition itself is not differentiated, as its gradient is infinite
  where eigenvalues meet. The last line is a Newton step from it, which leaves
  the value, but for rounding, and has the gradient of the pseudo-inverse for
  vectors in the range of the Gram matrix.
  """
  values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(gram))
  is_kept = values > jnp.maximum(MIN_EIGENVALUE * values[:, -1:], floor)
  if rank is not None:
    index = jnp.arange(values.shape[1])[None, ::-1]
    is_kept &= index < rank
  scale = jnp.where(is_kept, 1 / jnp.sqrt(jnp.where(is_kept, values, 1.0)), 0.0)
  root = scale[:, :, None] * jnp.swapaxes(vectors, 1, 2)
  highest = jax.lax.Precision.HIGHEST
  whitened = jnp.einsum("cri,cij,csj->crs", root, gram, root, precision=highest)
  error = (
    jnp.eye(values.shape[1], dtype=root.dtype)[None] * is_kept[:, None, :]
    - whitened
  )
  return root + 0.5 * _apply(error, root)


def _apply(matrix, vectors):
  return jnp.einsum(
    "cri,cib->crb", matrix, vectors, precision=jax.lax.Precision.HIGHEST
  )


def _sum_of_squares(vectors):
  return jnp.sum(jnp.square(vectors), axis=1)
