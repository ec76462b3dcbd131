"""One vertex a class: the spaces that TPS shifts."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from s3_jax.embeddings import MIN_SQUARED_MEAN, l2_normalize
from s3_jax.space import SynonymousSpace


def center_space(space: SynonymousSpace) -> SynonymousSpace:
  """Reduces every class to the renormalised mean of its core.

  The spaces have no complex, and no vertex where a class has none, or where the
  mean's squared norm is below 1e-6.

  References:
    Prompt ensembling of CLIP (arXiv 2103.00020, section 3.1.4), over synonyms.
  """
  weights = space.mask.astype(space.points.dtype)
  count = jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1.0)
  mean = jnp.einsum(
    "cm,cmd->cd", weights / count, space.points, precision="highest"
  )
  squared = jnp.sum(jnp.square(mean), axis=1, keepdims=True)
  has_direction = squared >= MIN_SQUARED_MEAN
  unit = mean / jnp.sqrt(jnp.where(has_direction, squared, 1.0))
  return SynonymousSpace(
    points=jnp.where(has_direction, unit, 0.0)[:, None, :],
    mask=has_direction,
    gram=has_direction.astype(mean.dtype)[:, :, None],
    simplices=None,
    max_edge_length=jnp.zeros_like(mean[:, 0]),
    deaths=jnp.zeros_like(mean[:, :0]),
  )


def template_descriptor_classifier(
  templates: Float[Array | np.ndarray, "classes templates dim"],
  descriptors: Float[Array | np.ndarray, "classes descriptors dim"],
  mask: Bool[Array | np.ndarray, "classes descriptors"],
  *,
  weighting: str = "micro",
) -> Float[Array, "classes dim"]:
  """Represents each class by its name in templates and by its descriptors.

  With `t` the mean of the class's `T` embeddings in templates and `d` that of
  its `K` descriptors, neither renormalised, the vector is `t + d` ("micro") or
  `T t + K d` ("macro"), renormalised. A class without descriptors has `t`.

  Args:
    templates: unit embeddings of the class name in each template.
    descriptors: unit embeddings of the class's descriptors.
    mask: which descriptors are real.
    weighting: "micro" or "macro".

  Returns:
    Zero-shot classifier.

  Raises:
    ValueError: `weighting` is another word, or there is no template.

  References:
    TPS (arXiv 2403.12952), its main setting and a variant; a class without
    descriptors is ours.
  """
  if weighting not in ("micro", "macro"):
    raise ValueError(
      f"`weighting` must be 'micro' or 'macro', got {weighting!r}."
    )
  count = templates.shape[1]
  if count == 0:
    raise ValueError(
      "`templates` must hold at least one template, got 0; "
      'use the template "{}" for the bare text.'
    )
  by_template = jnp.mean(jnp.asarray(templates, jnp.float32), axis=1)
  is_real = jnp.asarray(mask)[:, :, None]
  real = jnp.sum(is_real, axis=1, dtype=jnp.float32)
  rows = jnp.asarray(descriptors, jnp.float32)
  total = jnp.sum(jnp.where(is_real, rows, 0.0), axis=1)
  if weighting == "micro":
    return l2_normalize(by_template + total / jnp.maximum(real, 1.0))
  return l2_normalize(count * by_template + total)
