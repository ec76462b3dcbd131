"""Arithmetic of unit vectors.

Embeddings are float32 with unit rows, vectors on the last axis. Every product
of embeddings uses `precision=HIGHEST`: the default float32 product is bfloat16
on TPU and TF32 on recent GPUs, too coarse for `2 - 2 * cosine` of close texts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Float32

MIN_SQUARED_DISTANCE = 1e-6
"""Squared chordal distances below this count as 0: equal texts merge at 0."""

MIN_SQUARED_MEAN = 1e-6
"""A mean of unit vectors with a squared norm below this has no direction."""


def l2_normalize(
  x: Float[Array | np.ndarray, "*batch dim"], *, eps: float = 1e-12
) -> Float32[Array, "*batch dim"]:
  """Scales vectors to unit length.

  Computes `x / max(|x|, eps)` in float32 whatever the type of `x`, so half
  precision cannot underflow. A zero vector stays zero, with a finite gradient.

  Args:
    x: vectors on the last axis.
    eps: floor of the length, a numerical guard only.

  Returns:
    The vectors with unit length; those shorter than `eps` stay shorter than 1.

  References:
    Ours.
  """
  x = jnp.asarray(x, jnp.float32)
  squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x / jnp.sqrt(jnp.maximum(squared, eps**2))


def has_direction(
  x: Float[Array | np.ndarray, "*batch dim"], *, name: str = "embeddings"
) -> Bool[Array, "*batch"]:
  """Says which vectors are finite and not zero.

  Args:
    x: vectors on the last axis.
    name: of the argument, for the message.

  Returns:
    True for those that are.

  Raises:
    ValueError: one is not, where values are known.

  References:
    Ours.
  """
  x = jnp.asarray(x)
  largest = jnp.max(jnp.abs(x), axis=-1, initial=0.0)
  is_known = jnp.isfinite(largest) & (largest > 0)
  if not isinstance(x, Tracer) and not bool(jnp.all(is_known)):
    row = np.argwhere(~np.asarray(is_known))[0].tolist()
    where = f"row {', '.join(map(str, row))}" if row else "the only row"
    raise ValueError(
      f"`{name}` must hold finite vectors other than zero, got"
      f" {float(largest[tuple(row)]):.6g} as the largest magnitude in {where};"
      " leave that image out."
    )
  return is_known


def unit_or_nan(
  x: Float[Array, "*batch dim"],
) -> Float[Array, "*batch dim"]:
  """Scales vectors to unit length whatever their length.

  Rows whose squared norm is 1 within 1e-6 keep their bits, so what is unit
  already gives what it gave. No row overflows or underflows on the way.

  Args:
    x: vectors on the last axis.

  Returns:
    Unit vectors, NaN where there is no direction.

  References:
    Ours.
  """
  largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0)
  is_known = jnp.isfinite(largest) & (largest > 0)
  largest = jax.lax.stop_gradient(jnp.where(is_known, largest, 1.0))
  scaled = x / largest
  norm = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=-1, keepdims=True))
  unit = scaled / jnp.where(is_known, norm, 1.0)
  squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  is_unit = jnp.abs(squared - 1) <= 1e-6
  # What is unit keeps its bits, and has the gradient of the division all the
  # same.
  unit += jax.lax.stop_gradient(jnp.where(is_unit, x - unit, 0.0))
  return jnp.where(is_known, unit, jnp.nan)


def template_mean(
  embeddings: Float[Array, "*batch templates dim"],
) -> Float32[Array, "*batch dim"]:
  """Averages a text's unit embeddings over the templates it was put in.

  The renormalised mean is the text's vertex: several templates make one vertex
  more stable and never add vertices. A mean of norm below 1e-3 has no direction
  that float32 resolves, and gives the zero vector.

  Args:
    embeddings: unit vectors, one for each template.

  Returns:
    Unit vectors, or zeros where the mean has no direction.

  Raises:
    ValueError: there is no template.

  References:
    Prompt ensembling of CLIP (arXiv 2103.00020, section 3.1.4); that a vertex
    is such a mean is ours.
  """
  if embeddings.shape[-2] == 0:
    raise ValueError(
      "`embeddings` must hold at least one template, got 0; "
      'use the template "{}" for the bare text.'
    )
  mean = jnp.mean(embeddings.astype(jnp.float32), axis=-2)
  squared = jnp.sum(jnp.square(mean), axis=-1, keepdims=True)
  return l2_normalize(jnp.where(squared < MIN_SQUARED_MEAN, 0.0, mean))


def gram_matrix(
  points: Float[Array, "*batch vertices dim"],
) -> Float[Array, "*batch vertices vertices"]:
  """Multiplies all pairs of a point cloud: `G_ij = <z_i, z_j>`.

  Args:
    points: one point a row.

  Returns:
    The Gram matrix, exactly symmetric.

  References:
    Ours.
  """
  gram = jnp.einsum(
    "...id,...jd->...ij", points, points, precision=jax.lax.Precision.HIGHEST
  )
  return 0.5 * (gram + jnp.swapaxes(gram, -1, -2))


def chordal_distances(
  gram: Float[Array, "*batch vertices vertices"],
) -> Float[Array, "*batch vertices vertices"]:
  """Measures the straight-line distance of all pairs of points.

  `d_ij^2 = G_ii + G_jj - 2 G_ij`, for unit points `2 - 2 * cosine`. A squared
  distance below 1e-6 counts as 0, which float32 cannot tell from it, so that
  equal texts merge at scale 0; the diagonal is exactly 0.

  Args:
    gram: symmetric Gram matrix of the points.

  Returns:
    Distances in [0, 2] for unit points, symmetric.

  References:
    Ours.
  """
  squared_norms = jnp.diagonal(gram, axis1=-2, axis2=-1)
  squared = squared_norms[..., :, None] + squared_norms[..., None, :] - 2 * gram
  distances = jnp.where(
    squared < MIN_SQUARED_DISTANCE, 0.0, jnp.sqrt(jnp.maximum(squared, 0.0))
  )
  on_diagonal = jnp.eye(gram.shape[-1], dtype=bool)
  return jnp.where(jnp.broadcast_to(on_diagonal, gram.shape), 0.0, distances)


def scale_logits(
  scores: Float[Array, "*axes"], logit_scale: Float[Array, ""] | np.ndarray
) -> Float[Array, "*axes"]:
  """Turns scores into logits: exp(logit_scale) * scores.

  The one place where the stored scale is exponentiated.

  Args:
    scores: cosines, larger = closer.
    logit_scale: natural logarithm of the factor, as checkpoints store it.

  Returns:
    Logits, of the shape of `scores`.

  References:
    CLIP (arXiv 2103.00020, section 2.5).
  """
  return jnp.exp(logit_scale) * scores


def probabilities(
  scores: Float[Array | np.ndarray, "*batch classes"],
  logit_scale: float | int | Float[Array | np.ndarray, ""],
) -> Float[Array, "*batch classes"]:
  """Turns scores into shares of the given classes that add up to 1.

  `softmax(exp(logit_scale) * scores)` over the last axis. It says which of
  these classes an image is, not whether it is any of them: with one class it
  is always 1. A checkpoint that was trained with a sigmoid, as SigLIP was, gets
  the same softmax, as its bias is equal for all classes.

  Args:
    scores: cosines, larger = closer.
    logit_scale: natural logarithm of the factor, as checkpoints store it and
      `embed_classes` takes over.

  Returns:
    Probabilities, of the shape of `scores`.

  References:
    CLIP (arXiv 2103.00020, section 3.1.2). For checkpoints trained with a
    sigmoid (arXiv 2303.15343) it is ours.
  """
  logits = scale_logits(
    jnp.asarray(scores), jnp.asarray(logit_scale, jnp.float32)
  )
  return jax.nn.softmax(logits, axis=-1)
