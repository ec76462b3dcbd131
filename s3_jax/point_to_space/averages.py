"""Metrics that average all vertices of a class, or take the nearest one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from s3_jax.point_to_space.streaming import cosine, score_blocks
from s3_jax.space import SynonymousSpace


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
  return score_blocks(embeddings, space, _nearest_point)


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
  return score_blocks(embeddings, space, _mean_similarity)


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
  return score_blocks(embeddings, space, center)


def _nearest_point(block):
  def score(similarities, _):
    masked = jnp.where(block.mask[:, :, None], similarities, -jnp.inf)
    return jnp.clip(jnp.max(masked, axis=1), -1.0, 1.0)

  return score


def _mean_similarity(block):
  count = jnp.sum(block.mask, axis=1, dtype=jnp.float32, keepdims=True)

  def score(similarities, _):
    masked = jnp.where(block.mask[:, :, None], similarities, 0.0)
    mean = jnp.sum(masked, axis=1) / jnp.maximum(count, 1.0)
    return jnp.clip(mean, -1.0, 1.0)

  return score


def center(block):
  """Formula of `point_to_center`, which `point_to_local_center` needs too.

  Args:
    block: of classes, a `streaming.Block`.

  Returns:
    A function of the similarities f32[block, synonyms, batch] that gives the
    scores f32[block, batch]; see `streaming.score_blocks`.

  References:
    Ours.
  """
  # The weights are the same for every embedding, so the Gram sum is too. (Not
  # only cheaper: jaxlib 0.10.2 on CPU computes sum(W * (G @ W)) wrongly, from
  # memory it has not written, where W is a broadcast.)
  weights = block.mask.astype(jnp.float32)
  squared = jnp.einsum(
    "ci,cij,cj->c",
    weights,
    block.gram,
    weights,
    precision=jax.lax.Precision.HIGHEST,
  )
  count = jnp.maximum(jnp.sum(weights, axis=1), 1.0)

  def score(similarities, _):
    masked = jnp.where(block.mask[:, :, None], similarities, 0.0)
    return cosine(jnp.sum(masked, axis=1), squared[:, None], count[:, None])

  return score
