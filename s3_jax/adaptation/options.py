"""What adaptation can be asked for, checked and put together."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float

from s3_jax.embeddings import has_direction
from s3_jax.point_to_space.streaming import whole_number
from s3_jax.space import SynonymousSpace

METHODS = ("ts3", "tps")
SHIFTS = ("per_class", "shared")


class Plan(NamedTuple):
  """The course of an adaptation; hashable.

  Attributes:
    steps: of the optimiser.
    kept: views that the loss takes.
    shift: a word of `SHIFTS`.
    optimizer: an optax transformation, or None for AdamW.
  """

  steps: int
  kept: int
  shift: str
  optimizer: optax.GradientTransformation | None


class Rates(NamedTuple):
  """Numbers of AdamW.

  Attributes:
    learning_rate: of a step.
    weight_decay: pull of the shift towards zero.
  """

  learning_rate: Float[Array, ""] | float
  weight_decay: Float[Array, ""] | float


def read_plan(
  views: int,
  *,
  method: str,
  steps: int,
  learning_rate: Any,
  weight_decay: Any,
  confident_fraction: float,
  shift: str,
  optimizer: optax.GradientTransformation | None,
) -> tuple[Plan, Rates]:
  """Reads the options of `adapt_space`.

  Args:
    views: how many there are.
    method: see `adapt_space`, as for all that follow.
    steps: whole number.
    learning_rate: number, which may be traced.
    weight_decay: number, which may be traced.
    confident_fraction: in (0, 1].
    shift: a word.
    optimizer: None for AdamW.

  Returns:
    The plan, and the numbers that are data.

  Raises:
    ValueError: there is no view, or an option is unknown or out of range.

  References:
    Ours.
  """
  if views < 1:
    raise ValueError(
      "`views` must hold at least the original view, got 0; "
      "put the image's own embedding first."
    )
  for name, value, known in (
    ("method", method, METHODS),
    ("shift", shift, SHIFTS),
  ):
    if value not in known:
      words = " or ".join(repr(word) for word in known)
      raise ValueError(f"`{name}` must be {words}, got {value!r}.")
  for name, value in (
    ("learning_rate", learning_rate),
    ("weight_decay", weight_decay),
  ):
    if isinstance(value, Tracer):
      continue
    if not (np.ndim(value) == 0 and 0 <= value < math.inf):
      raise ValueError(f"`{name}` must be a number >= 0, got {value!r}.")
  plan = Plan(
    whole_number("steps", steps),
    confident_count(views, confident_fraction),
    shift,
    optimizer,
  )
  return plan, Rates(learning_rate, weight_decay)


def confident_count(views: int, fraction: float) -> int:
  """Counts the views that the loss takes: `max(1, floor(fraction * views))`.

  Args:
    views: how many there are, at least 1.
    fraction: which share of them, in (0, 1]. A product within 1e-6 below a
      whole number counts as that number, so 0.29 of 100 views are 29.

  Returns:
    The number, from 1 to `views`.

  Raises:
    ValueError: `fraction` is out of range.

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


def common_dtype(
  views: Float[Array | np.ndarray, "*images views dim"], space: SynonymousSpace
) -> tuple[Float[Array, "*images views dim"], SynonymousSpace]:
  """Brings views and spaces to one type: float32, or float64 if one is.

  Args:
    views: vectors of any length but zero.
    space: spaces of the classes.

  Returns:
    Both, copied only where their type was another.

  Raises:
    ValueError: they disagree on dim, or a view is zero or not finite, where
      values are known.

  References:
    Ours.
  """
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
