"""Point-to-space metrics: how close a point is to a class's space.

Every metric takes unit `embeddings` f32[..., dim] and a `SynonymousSpace` and
returns scores f32[..., classes] in cosine terms, larger = closer, in [-1, 1].
A class without vertices scores -1, and so does a degenerate mean (squared norm
below 1e-6); nothing is NaN.

Only similarities `s_i = <x, z_i>` and the Gram matrix `G` of the class enter:
the cosine of `x` with a mean of vertices of weights `w` is
`w.s / sqrt(w.(G w))`, so vectors of size dim are never gathered. Classes are
worked through in blocks, which keeps the similarities of a block in cache.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from s3_jax.embeddings import MIN_SQUARED_MEAN
from s3_jax.space import SynonymousSpace

_BLOCK = 20
"""Classes at a time: the fastest of 5, 10, 20, 50 and 100 on a CPU."""


def point_to_nearest_point(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the most similar vertex: `max_i s_i`.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  return _score(embeddings, space, _nearest_point)


def point_to_mean_similarity(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the mean similarity of the vertices: `mean_i s_i`.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  return _score(embeddings, space, _mean_similarity)


def point_to_center(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the renormalised mean of all vertices.

  `sum_i s_i / sqrt(sum_ij G_ij)`, which is prompt ensembling over synonyms.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  return _score(embeddings, space, _center)


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
  is_whole = isinstance(neighbors, int | np.integer)
  if not is_whole or isinstance(neighbors, bool) or neighbors < 1:
    raise ValueError(
      f"`neighbors` must be a whole number >= 1, got {neighbors!r}."
    )
  neighbors = min(int(neighbors), space.mask.shape[-1])
  return _score(embeddings, space, _local_center, neighbors)


POINT_TO_SPACE: Mapping[str, Callable[..., Float[Array, "..."]]] = {
  "nearest_point": point_to_nearest_point,
  "mean_similarity": point_to_mean_similarity,
  "center": point_to_center,
  "local_center": point_to_local_center,
}
"""The metrics by name; `POINT_TO_SPACE[name](embeddings, space, **options)`."""


def _score(embeddings, space, formula, *options):
  embeddings = jnp.asarray(embeddings, jnp.float32)
  if embeddings.shape[-1] != space.points.shape[-1]:
    raise ValueError(
      "`embeddings` and `space` must agree on dim, got "
      f"{embeddings.shape[-1]} and {space.points.shape[-1]}; "
      "embed both with the same checkpoint."
    )
  batch = embeddings.shape[:-1]
  flat = embeddings.reshape((-1, embeddings.shape[-1]))
  scores = _score_blocks(
    flat, space.points, space.gram, space.mask, formula, options
  )
  return scores.reshape((*batch, scores.shape[-1]))


@functools.partial(jax.jit, static_argnames=("formula", "options"))
def _score_blocks(
  embeddings: Float[Array, "batch dim"],
  points: Float[Array, "classes synonyms dim"],
  gram: Float[Array, "classes synonyms synonyms"],
  mask: Bool[Array, "classes synonyms"],
  formula: Callable[..., Float[Array, "block batch"]],
  options: tuple[int, ...],
) -> Float[Array, "batch classes"]:
  """Applies a formula to the similarities of one block of classes at a time.

  The last block starts early rather than being padded, so that the points are
  never copied and the formula is compiled once.
  """
  classes, synonyms, _ = points.shape
  if classes == 0 or synonyms == 0 or embeddings.shape[0] == 0:
    return jnp.full((embeddings.shape[0], classes), -1.0)
  size = min(_BLOCK, classes)
  blocks = -(-classes // size)

  def score_block(start):
    z, g, m = (
      jax.lax.dynamic_slice_in_dim(x, start, size) for x in (points, gram, mask)
    )
    similarities = jnp.einsum(
      "cmd,bd->cmb", z, embeddings, precision=jax.lax.Precision.HIGHEST
    )
    scores = jnp.clip(formula(similarities, g, m, *options), -1.0, 1.0)
    return jnp.where(jnp.any(m, axis=1, keepdims=True), scores, -1.0)

  starts = jnp.minimum(jnp.arange(blocks) * size, classes - size)
  scores = jax.lax.map(score_block, starts)
  whole = scores[:-1].reshape((-1, embeddings.shape[0]))
  rest = scores[-1, blocks * size - classes :]
  return jnp.concatenate([whole, rest]).T


# Formulas: similarities [classes, synonyms, batch], Gram matrices
# [classes, synonyms, synonyms] and mask [classes, synonyms] of a block give
# scores [classes, batch]. The caller clips, and settles classes without
# vertices.


def _nearest_point(similarities, gram, mask):
  del gram
  return jnp.max(jnp.where(mask[:, :, None], similarities, -jnp.inf), axis=1)


def _mean_similarity(similarities, gram, mask):
  del gram
  count = jnp.maximum(jnp.sum(mask, axis=1, dtype=jnp.float32), 1.0)
  total = jnp.sum(jnp.where(mask[:, :, None], similarities, 0.0), axis=1)
  return total / count[:, None]


def _center(similarities, gram, mask):
  # The weights are the same for every embedding, so the Gram sum is too. (Not
  # only cheaper: jaxlib 0.10.2 on CPU computes sum(W * (G @ W)) wrongly, from
  # memory it has not written, where W is a broadcast.)
  weights = mask.astype(jnp.float32)
  total = jnp.sum(jnp.where(mask[:, :, None], similarities, 0.0), axis=1)
  squared = jnp.einsum(
    "ci,cij,cj->c",
    weights,
    gram,
    weights,
    precision=jax.lax.Precision.HIGHEST,
  )
  count = jnp.maximum(jnp.sum(weights, axis=1), 1.0)
  return _cosine(total, squared[:, None], count[:, None])


def _local_center(similarities, gram, mask, neighbors):
  if neighbors >= mask.shape[1]:
    return _center(similarities, gram, mask)
  count = jnp.sum(mask, axis=1, dtype=jnp.float32)
  count = jnp.clip(count, 1.0, float(neighbors))[:, None]
  selected = _select_largest(similarities, mask, neighbors)
  weights = selected.astype(jnp.float32)
  spread = jnp.einsum(
    "cij,cjb->cib", gram, weights, precision=jax.lax.Precision.HIGHEST
  )
  total = jnp.sum(jnp.where(selected, similarities, 0.0), axis=1)
  return _cosine(total, jnp.sum(weights * spread, axis=1), count)


def _cosine(total, squared, count):
  """Cosine to a sum of `count` points of squared norm `squared`; -1 if none."""
  degenerate = squared < MIN_SQUARED_MEAN * jnp.square(count)
  norm = jnp.sqrt(jnp.where(degenerate, 1.0, squared))
  return jnp.where(degenerate, -1.0, total / norm)


def _select_largest(similarities, mask, neighbors):
  """Marks the `neighbors` largest similarities, ties to the lower index."""
  masked = jnp.where(mask[:, :, None], similarities, -jnp.inf)
  masked = jax.lax.stop_gradient(masked)
  wanted = jnp.minimum(jnp.sum(mask, axis=1), neighbors)[:, None]

  # A threshold found by descending through distinct values is the k-th largest
  # unless values tie, and only ties need the selection to be kept as a mask.
  def descend(_, threshold):
    below = jnp.where(masked < threshold[:, None, :], masked, -jnp.inf)
    return jnp.max(below, axis=1)

  threshold = jnp.full_like(masked[:, 0, :], jnp.inf)
  threshold = jax.lax.fori_loop(0, neighbors, descend, threshold)
  selected = (masked >= threshold[:, None, :]) & mask[:, :, None]
  has_ties = jnp.any(jnp.sum(selected, axis=1) > wanted)
  return jax.lax.cond(
    has_ties,
    functools.partial(_select_one_by_one, neighbors=neighbors),
    lambda masked: selected,
    masked,
  )


def _select_one_by_one(masked, *, neighbors):
  index = jnp.arange(masked.shape[1])[None, :, None]

  def select(_, selected):
    left = jnp.where(selected, -jnp.inf, masked)
    is_next = index == jnp.argmax(left, axis=1)[:, None, :]
    return selected | (is_next & (left > -jnp.inf))

  nothing = jnp.zeros(masked.shape, bool)
  return jax.lax.fori_loop(0, neighbors, select, nothing)
