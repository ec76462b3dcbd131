"""The gradient steps for one image, in either form of a shifted space."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from s3_jax.adaptation import shifted
from s3_jax.adaptation.confidence import marginal_entropy, most_confident
from s3_jax.adaptation.formulas import Metric
from s3_jax.adaptation.options import Numbers, Plan
from s3_jax.embeddings import scale_logits
from s3_jax.space import SynonymousSpace

_HIGHEST = jax.lax.Precision.HIGHEST


class Found(NamedTuple):
  """The course of an image's adaptation.

  Attributes:
    shift: after the last step.
    kept: the views that the first step took.
    loss: before the first step.
    gradient: of the loss, before the first step.
  """

  shift: Float[Array, "groups dim"]
  kept: Int[Array, " kept"]
  loss: Float[Array, ""]
  gradient: Float[Array, "groups dim"]


def find_shift(
  views: Float[Array, "views dim"],
  unshifted: Float[Array, "views classes"],
  space: SynonymousSpace,
  numbers: Numbers,
  plan: Plan,
  *,
  images: int,
) -> Found:
  """Runs the optimiser for one image of `images` that `jax.vmap` maps over.

  Where there are directions, its variables are the shift's coefficients.

  References:
    TPS (arXiv 2403.12952), which chooses views anew in each step.
  """
  metric = plan.metric._replace(parameters=numbers.parameters)
  directions = numbers.directions
  groups = space.mask.shape[0] if plan.shift == "per_class" else 1
  size = views.shape[1] if directions is None else directions.shape[0]
  optimizer = plan.optimizer
  if optimizer is None:
    optimizer = optax.adamw(
      numbers.learning_rate, weight_decay=numbers.weight_decay
    )

  def shift_of(coefficients):
    if directions is None:
      return coefficients
    return jnp.matmul(coefficients, directions, precision=_HIGHEST)

  def step(coefficients, state, scores, is_zero):
    logits = scale_logits(scores, numbers.logit_scale)
    kept = most_confident(logits, plan.kept)
    loss, slopes = marginal_entropy(logits[kept])
    # Logits are linear in scores, so this is the way back as well.
    slopes = scale_logits(slopes, numbers.logit_scale)
    shift = shift_of(coefficients)
    gradient = _shift_gradient(
      slopes, views[kept], space, shift, metric, images, is_zero
    )
    along = gradient
    if directions is not None:
      along = jnp.matmul(gradient, directions.T, precision=_HIGHEST)
    updates, state = optimizer.update(along, state, coefficients)
    coefficients = jnp.asarray(optax.apply_updates(coefficients, updates))
    found = Found(shift_of(coefficients), kept, loss, gradient)
    return found, (coefficients, state)

  def next_step(_, carry):
    coefficients, state = carry
    shift = shift_of(coefficients)
    scores = scores_after(views, space, shift, metric, images=images)
    return step(coefficients, state, scores, False)[1]

  coefficients = jnp.zeros((groups, size), views.dtype)
  found, carry = step(
    coefficients, optimizer.init(coefficients), unshifted, True
  )
  if plan.steps == 1:
    return found
  coefficients, _ = jax.lax.fori_loop(1, plan.steps, next_step, carry)
  return found._replace(shift=shift_of(coefficients))


def scores_before(
  views: Float[Array, "views dim"], space: SynonymousSpace, metric: Metric
) -> Float[Array, "views classes"]:
  """Scores views, of one or several images, against the spaces as they are."""
  if metric.takes_space:
    return metric.formula(views, space, **dict(metric.keywords))
  return shifted.unshifted_scores(views, space, metric)


def scores_after(
  views: Float[Array, "views dim"],
  space: SynonymousSpace,
  shift: Float[Array, "groups dim"],
  metric: Metric,
  *,
  images: int,
) -> Float[Array, "views classes"]:
  """Scores views of one image against shifted spaces."""
  if metric.takes_space:
    moved = shifted.shifted_space(space, shift)
    return metric.formula(views, moved, **dict(metric.keywords))
  return shifted.shifted_scores(views, space, shift, metric, images=images)


def _shift_gradient(slopes, views, space, shift, metric, images, is_zero):
  if metric.takes_space:
    _, pullback = jax.vjp(
      lambda d: scores_after(views, space, d, metric, images=images), shift
    )
    return pullback(slopes)[0]
  return shifted.shift_gradient(
    slopes, views, space, shift, metric, images=images, is_zero=is_zero
  )
