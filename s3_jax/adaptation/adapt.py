"""TS3: shifts the spaces for one image, so that its views agree with certainty.

Nothing is remembered from image to image: shift and optimiser start anew.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from s3_jax.adaptation.confidence import log_mean_softmax
from s3_jax.adaptation.descent import find_shift, scores_after, scores_before
from s3_jax.adaptation.options import AdaptationOptions, read_options
from s3_jax.adaptation.prototypes import center_space
from s3_jax.adaptation.shifted import shifted_space
from s3_jax.embeddings import scale_logits, unit_or_nan
from s3_jax.point_to_space.streaming import whole_number
from s3_jax.space import SynonymousSpace

_Metric = str | Callable[..., Float[Array, "..."]]


def adapt_space(
  views: Float[Array | np.ndarray, "views dim"],
  space: SynonymousSpace,
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  method: str = "ts3",
  metric: _Metric = "local_center",
  steps: int = 1,
  learning_rate: float | Float[Array, ""] = 5e-3,
  weight_decay: float | Float[Array, ""] = 0.01,
  confident_fraction: float = 0.1,
  shift: str = "per_class",
  metric_options: Mapping[str, Any] | None = None,
  optimizer: optax.GradientTransformation | None = None,
  directions: Float[Array | np.ndarray, "directions _"] | None = None,
) -> SynonymousSpace:
  """Adapts the spaces of all classes to one image.

  A shift `d_c` of every class, zero at the start, turns its vertices into
  `(z_i + d_c) / |z_i + d_c|`. Each step takes the views whose softmax over the
  classes has the lowest entropy and lowers the entropy of the mean of their
  softmaxes; the logits are `exp(logit_scale) * score`.

  Args:
    views: unit embeddings of the image's views, the original first.
    space: spaces of the classes.
    logit_scale: natural logarithm of the factor, as checkpoints store it.
    method: "ts3"; or "tps", which first reduces every class to one vertex, the
      renormalised mean of its core, whereupon metrics do not differ.
    metric: a name of `POINT_TO_SPACE`, or a differentiable function of that
      signature. A function is evaluated on shifted points, a few arrays of
      `classes * synonyms * dim` numbers, and compiles once for each object.
    steps: of the optimiser, at least 1. Each chooses its views anew.
    learning_rate: of AdamW, at least 0.
    weight_decay: of AdamW, at least 0.
    confident_fraction: share of the views that the loss takes, in (0, 1]; of
      `B` views `max(1, floor(confident_fraction * B))`, ties to the lower view.
    shift: "per_class", or "shared" for one shift of all classes.
    metric_options: keyword arguments of the metric.
    optimizer: an optax transformation in place of AdamW, whose two numbers are
      then not read; it compiles once for each object.
    directions: what the shift of an image is a combination of, as
      `spectral_directions` gives them; the optimiser's variables are then the
      coefficients. None for the axes of the embeddings.

  Returns:
    The shifted spaces. The core, the complex, the scales and the deaths are
    those of the unshifted spaces, and texts outside the core stay in place.

  Raises:
    ValueError: there is no view, `views` and `space` disagree on dim, an option
      is unknown or out of range, or the metric needs a complex and `space` has
      none.

  References:
    Test-time adaptation by shifting spaces is TS3's (arXiv 2412.04925); that it
    is TPS's procedure (arXiv 2403.12952) on every vertex of a class is ours.
    With `shift="shared"` and `spectral_directions` it is STS (arXiv
    2511.09809), on spaces ours.
  """
  options = AdaptationOptions(
    method=method,
    metric=metric,
    steps=steps,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
    confident_fraction=confident_fraction,
    shift=shift,
    metric_options=metric_options,
    optimizer=optimizer,
    directions=directions,
  )
  views, space, numbers, plan = read_options(options, views, space, logit_scale)
  return _adapt_space(views, space, numbers, plan=plan)


def adapted_scores(
  views: Float[Array | np.ndarray, "views dim"],
  space: SynonymousSpace,
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  method: str = "ts3",
  metric: _Metric = "local_center",
  steps: int = 1,
  learning_rate: float | Float[Array, ""] = 5e-3,
  weight_decay: float | Float[Array, ""] = 0.01,
  confident_fraction: float = 0.1,
  shift: str = "per_class",
  metric_options: Mapping[str, Any] | None = None,
  optimizer: optax.GradientTransformation | None = None,
  directions: Float[Array | np.ndarray, "directions _"] | None = None,
  predict: str = "original",
) -> Float[Array, " classes"]:
  """Scores an image's original view against the spaces adapted to the image.

  The metric of `views[0]` and `adapt_space(...)`, but shifted points are never
  held. For many images see `adapt_in_chunks`, which is faster than `jax.vmap`
  of this function.

  Args:
    views: unit embeddings of the image's views, the original first.
    space: spaces of the classes.
    logit_scale: natural logarithm of the factor, as checkpoints store it.
    method: as for `adapt_space`, as are all that follow.
    metric: a name or a function.
    steps: at least 1.
    learning_rate: at least 0.
    weight_decay: at least 0.
    confident_fraction: in (0, 1].
    shift: "per_class" or "shared".
    metric_options: keyword arguments of the metric.
    optimizer: an optax transformation in place of AdamW.
    directions: what the shift is a combination of.
    predict: "original"; or "confident" or "all", for the mean of the softmaxes
      of the views that the first step took, or of all views, given as
      `log(mean) / exp(logit_scale)`: scores whose softmax is that mean.

  Returns:
    Scores, larger = closer; with "original" -1 for a class without vertices.

  Raises:
    ValueError: as `adapt_space`.

  References:
    As `adapt_space`. TPS predicts the original view; which of the three STS
    does is not known to us (docs/ADAPTATION.md).
  """
  options = AdaptationOptions(
    method=method,
    metric=metric,
    steps=steps,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
    confident_fraction=confident_fraction,
    shift=shift,
    metric_options=metric_options,
    optimizer=optimizer,
    directions=directions,
    predict=predict,
  )
  return _adapt_in_chunks(views[None], space, logit_scale, 1, options)[0]


def adapt_in_chunks(
  views: Float[Array | np.ndarray, "images views dim"],
  space: SynonymousSpace,
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  chunk: int = 8,
  **options: Any,
) -> Float[Array, "images classes"]:
  """Scores many images, each against the spaces adapted to it alone.

  Memory, beside the arguments and the result: with a metric of
  `POINT_TO_SPACE`, one step and AdamW at most
  `16 * chunk * classes * (dim + views)` bytes in float32, and 32 MiB for blocks
  of classes. It does not grow with `images`; where the chunks cannot be equally
  long, the views are copied once.

  Where the images are shared out over devices, `chunk` should be a multiple of
  the number of devices: each then works on its own images.

  Args:
    views: unit embeddings of every image's views, the original first.
    space: spaces of the classes.
    logit_scale: natural logarithm of the factor, as checkpoints store it.
    chunk: images at a time, at least 1.
    **options: those of `adapted_scores`.

  Returns:
    Scores of every image.

  Raises:
    ValueError: as `adapt_space`, or `chunk` is not a whole number >= 1.

  References:
    As `adapt_space`; the chunks are ours.
  """
  return _adapt_in_chunks(
    views, space, logit_scale, chunk, AdaptationOptions(**options)
  )


def _adapt_in_chunks(views, space, logit_scale, chunk, options):
  chunk = whole_number("chunk", chunk)
  views, space, numbers, plan = read_options(options, views, space, logit_scale)
  if 0 in (views.shape[0], *space.mask.shape):
    return jnp.full((views.shape[0], space.mask.shape[0]), -1.0, views.dtype)
  return _score_images(views, space, numbers, chunk=chunk, plan=plan)


@functools.partial(jax.jit, static_argnames="plan")
def _adapt_space(views, space, numbers, *, plan):
  if plan.method == "tps":
    space = center_space(space)
  if 0 in space.mask.shape:
    return space
  views = unit_or_nan(views)
  metric = plan.metric._replace(parameters=numbers.parameters)
  unshifted = scores_before(views, space, metric)
  found = find_shift(views, unshifted, space, numbers, plan, images=1)
  return shifted_space(space, found.shift)


@functools.partial(jax.jit, static_argnames=("chunk", "plan"))
def _score_images(views, space, numbers, *, chunk, plan):
  if plan.method == "tps":
    space = center_space(space)
  metric = plan.metric._replace(parameters=numbers.parameters)
  images, count, dim = views.shape
  chunks = -(-images // chunk)
  size = -(-images // chunks)
  # A chunk takes every `chunks`-th image: where the images are shared out over
  # devices each of them holds a part of every chunk.
  views = jnp.pad(views, ((0, -images % chunks), (0, 0), (0, 0)))
  views = views.reshape((size, chunks, count, dim))

  def score_chunk(index):
    some = jax.lax.dynamic_index_in_dim(views, index, axis=1, keepdims=False)
    some = unit_or_nan(some)
    # All views of the chunk meet the unshifted spaces at once.
    unshifted = scores_before(some.reshape((-1, dim)), space, metric)
    unshifted = unshifted.reshape((size, count, -1))

    def score_image(views, unshifted):
      found = find_shift(views, unshifted, space, numbers, plan, images=size)
      seen = {"original": views[:1], "confident": views[found.kept]}
      seen = seen.get(plan.predict, views)
      scores = scores_after(seen, space, found.shift, metric, images=size)
      if plan.predict == "original":
        return scores[0]
      logits = scale_logits(scores, numbers.logit_scale)
      return scale_logits(log_mean_softmax(logits), -numbers.logit_scale)

    return jax.vmap(score_image)(some, unshifted)

  scores = jax.lax.map(score_chunk, jnp.arange(chunks))
  scores = jnp.swapaxes(scores, 0, 1)
  return scores.reshape((size * chunks, -1))[:images]
