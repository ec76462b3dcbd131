"""Zero-shot classifiers of one vector per class: the baselines of a space.

A zero-shot classifier is an array `f32[classes, dim]` with one unit row per
class; a zero row is a class without a text.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from s3_jax import embeddings as embeddings_lib


def name_classifier(
  embeddings: Float[Array | np.ndarray, "classes dim"],
) -> Float[Array, "classes dim"]:
  """Represents each class by one name alone.

  Args:
    embeddings: embedding of one text a class: its class name, or any other
      name chosen for it.

  Returns:
    Zero-shot classifier.

  References:
    CLIP (arXiv 2103.00020, section 3.1).
  """
  return embeddings_lib.l2_normalize(embeddings)


def template_classifier(
  embeddings: Float[Array | np.ndarray, "classes templates dim"],
) -> Float[Array, "classes dim"]:
  """Represents each class by the renormalised mean of one name in templates.

  Args:
    embeddings: unit embeddings of the class's name in each template.

  Returns:
    Zero-shot classifier.

  Raises:
    ValueError: there is no template.

  References:
    Prompt ensembling of CLIP (arXiv 2103.00020, section 3.1.4).
  """
  return embeddings_lib.template_mean(jnp.asarray(embeddings))


def random_synonym_classifier(
  key: PRNGKeyArray,
  embeddings: Float[Array | np.ndarray, "classes synonyms dim"],
  mask: Bool[Array | np.ndarray, "classes synonyms"],
) -> Float[Array, "classes dim"]:
  """Represents each class by one of its texts, drawn at random.

  Every real text of a class is equally likely, the class name among them.

  Args:
    key: random key.
    embeddings: unit embeddings of each class's texts.
    mask: which texts are real.

  Returns:
    Zero-shot classifier; a class without a text has a zero row.

  References:
    Ours: what an arbitrary choice of name costs.
  """
  points, mask = jnp.asarray(embeddings), jnp.asarray(mask)
  if points.shape[1] == 0:
    return jnp.zeros((points.shape[0], points.shape[2]), jnp.float32)
  drawn = draw_texts(key, mask)
  rows = jnp.take_along_axis(points, drawn[:, None, None], axis=1)[:, 0]
  has_text = jnp.any(mask, axis=1, keepdims=True)
  return embeddings_lib.l2_normalize(jnp.where(has_text, rows, 0.0))


def draw_texts(
  key: PRNGKeyArray, mask: Bool[Array | np.ndarray, "classes synonyms"]
) -> Int[Array, " classes"]:
  """Draws the index of one text of every class, each equally likely."""
  logits = jnp.where(jnp.asarray(mask), jnp.float32(0), -jnp.inf)
  return jax.random.categorical(key, logits, axis=-1)


def zero_shot_scores(
  embeddings: Float[Array | np.ndarray, "*batch dim"],
  classifier: Float[Array, "classes dim"],
) -> Float[Array, "*batch classes"]:
  """Scores embeddings by their cosine with each class's vector.

  Args:
    embeddings: unit vectors.
    classifier: one unit row per class.

  Returns:
    Cosines clipped to [-1, 1], larger = closer; -1 for a zero row.

  Raises:
    ValueError: an embedding is zero or not finite, where values are known;
      under `jit` its scores are NaN.

  References:
    CLIP (arXiv 2103.00020, section 3.1); -1 without a text is ours.
  """
  embeddings = jnp.asarray(embeddings, jnp.float32)
  is_known = embeddings_lib.has_direction(embeddings)
  cosines = jnp.einsum(
    "...d,cd->...c",
    embeddings_lib.unit_or_nan(embeddings),
    classifier,
    precision=jax.lax.Precision.HIGHEST,
  )
  has_text = jnp.any(classifier != 0, axis=-1)
  has_text = jnp.broadcast_to(has_text, cosines.shape)
  scores = jnp.where(has_text, jnp.clip(cosines, -1.0, 1.0), -1.0)
  # No class may win an image of which nothing is known.
  return jnp.where(is_known[..., None], scores, jnp.nan)
