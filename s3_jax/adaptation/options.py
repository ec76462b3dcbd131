"""What adaptation can be asked for, checked and put together."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float

from s3_jax.adaptation.formulas import Metric, read_metric
from s3_jax.embeddings import has_direction
from s3_jax.point_to_space.streaming import whole_number
from s3_jax.space import SynonymousSpace

METHODS = ("ts3", "tps")
SHIFTS = ("per_class", "shared")
PREDICTIONS = ("original", "confident", "all")


class AdaptationOptions(NamedTuple):
  """What `adapt_space` can be asked for; its docstring says what each means."""

  method: str = "ts3"
  metric: str | Callable[..., Float[Array, "..."]] = "local_center"
  steps: int = 1
  learning_rate: float | Float[Array, ""] = 5e-3
  weight_decay: float | Float[Array, ""] = 0.01
  confident_fraction: float = 0.1
  shift: str = "per_class"
  metric_options: Mapping[str, Any] | None = None
  optimizer: optax.GradientTransformation | None = None
  directions: Float[Array | np.ndarray, "directions _"] | None = None
  predict: str = "original"


class Plan(NamedTuple):
  """The course of an adaptation; hashable.

  Attributes:
    method: a word of `METHODS`.
    metric: how to score, without its arguments that are data.
    steps: of the optimiser.
    kept: views that the loss takes.
    shift: a word of `SHIFTS`.
    optimizer: an optax transformation, or None for AdamW.
    predict: a word of `PREDICTIONS`.
  """

  method: str
  metric: Metric
  steps: int
  kept: int
  shift: str
  optimizer: optax.GradientTransformation | None
  predict: str


class Numbers(NamedTuple):
  """What of the options is data.

  Attributes:
    logit_scale: natural logarithm of the factor.
    learning_rate: of AdamW.
    weight_decay: pull of the shift towards zero.
    parameters: arguments of the metric.
    directions: what a shift is a combination of; None for the axes.
  """

  logit_scale: Float[Array, ""]
  learning_rate: Float[Array, ""] | float
  weight_decay: Float[Array, ""] | float
  parameters: tuple[Any, ...]
  directions: Float[Array, "directions dim"] | None


def read_options(
  options: AdaptationOptions,
  views: Float[Array | np.ndarray, "*images views dim"],
  space: SynonymousSpace,
  logit_scale: Float[Array, ""] | np.ndarray | float,
) -> tuple[Float[Array, "*images views dim"], SynonymousSpace, Numbers, Plan]:
  """Checks options, and brings views and spaces to one type."""
  metric = read_metric(options.metric, options.metric_options, space)
  if options.method == "tps":  # of one vertex a class all metrics are this one
    metric = read_metric("nearest_point", None, space)
  views, space = _common_dtype(views, space)
  if views.shape[-2] < 1:
    raise ValueError(
      "`views` must hold at least the original view, got 0; "
      "put the image's own embedding first."
    )
  for name, known in (
    ("method", METHODS),
    ("shift", SHIFTS),
    ("predict", PREDICTIONS),
  ):
    value = getattr(options, name)
    if value not in known:
      words = " or ".join(repr(word) for word in known)
      raise ValueError(f"`{name}` must be {words}, got {value!r}.")
  for name in ("learning_rate", "weight_decay"):
    value = getattr(options, name)
    if isinstance(value, Tracer):
      continue
    if not (np.ndim(value) == 0 and 0 <= value < math.inf):
      raise ValueError(f"`{name}` must be a number >= 0, got {value!r}.")
  directions = options.directions
  if directions is not None:
    directions = jnp.asarray(directions, views.dtype)
    if directions.ndim != 2 or directions.shape[1] != views.shape[-1]:
      raise ValueError(
        "`directions` must have the shape [directions, dim] with the dim of "
        f"the views, {views.shape[-1]}, got {list(directions.shape)}."
      )
  plan = Plan(
    options.method,
    metric._replace(parameters=()),
    whole_number("steps", options.steps),
    confident_count(views.shape[-2], options.confident_fraction),
    options.shift,
    options.optimizer,
    options.predict,
  )
  numbers = Numbers(
    jnp.asarray(logit_scale, views.dtype),
    options.learning_rate,
    options.weight_decay,
    metric.parameters,
    directions,
  )
  return views, space, numbers, plan


def confident_count(views: int, fraction: float) -> int:
  """Counts the views that the loss takes: `max(1, floor(fraction * views))`.

  A product within 1e-6 below a whole number counts as that number, so 0.29 of
  100 views are 29.

  References:
    TPT (arXiv 2209.07511) and TPS (arXiv 2403.12952) with 0.1; that one view
    is always taken is ours.
  """
  if not 0 < fraction <= 1:
    raise ValueError(
      f"`confident_fraction` must be in (0, 1], got {fraction!r}; "
      "1 takes all views."
    )
  return max(1, math.floor(fraction * views + 1e-6))


def _common_dtype(
  views: Float[Array | np.ndarray, "*images views dim"], space: SynonymousSpace
) -> tuple[Float[Array, "*images views dim"], SynonymousSpace]:
  """Brings both to float32, or float64 if one is; copied only where needed."""
  views = jnp.asarray(views)
  if views.shape[-1] != space.points.shape[-1]:
    raise ValueError(
      "`views` and `space` must agree on dim, got "
      f"{views.shape[-1]} and {space.points.shape[-1]}; "
      "embed both with the same checkpoint."
    )
  dtype = jnp.promote_types(
    jnp.promote_types(views.dtype, space.points.dtype), jnp.float32
  )

  def cast(x):
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

  has_direction(views, name="views")
  return cast(views), jax.tree.map(cast, space)
