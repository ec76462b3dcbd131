"""Baselines that move the image's embedding and leave the classes alone.

Both give one unit vector for an image's views, which any metric or zero-shot
classifier then scores. Distances and kernels keep the type of the views.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from s3_jax.adaptation.confidence import most_confident
from s3_jax.adaptation.options import confident_count
from s3_jax.embeddings import (
  MIN_SQUARED_MEAN,
  has_direction,
  scale_logits,
  unit_or_nan,
)
from s3_jax.point_to_space.streaming import whole_number

_HIGHEST = jax.lax.Precision.HIGHEST

_MIN_BANDWIDTH = 1e-12
"""Floor of a squared bandwidth: of a view whose neighbours equal it."""


def average_views(
  views: Float[Array | np.ndarray, "views dim"],
) -> Float[Array, " dim"]:
  """Averages an image's views: the renormalised mean of their embeddings.

  Args:
    views: unit embeddings, the original view first.

  Returns:
    Unit vector; one view returns itself, and so does the original view where
    the mean has norm below 1e-3.

  Raises:
    ValueError: there is no view.

  References:
    Ours: the plain baseline of `robust_mean_shift`.
  """
  views = _read_views(views)
  if views.shape[0] == 1:
    return views[0]
  return _normalise(jnp.mean(views, axis=0), otherwise=views[0])


def anchored_average(
  views: Float[Array | np.ndarray, "views dim"],
  logits: Float[Array | np.ndarray, "_ classes"],
  *,
  confident_fraction: float = 0.5,
  anchor: float = 1.0,
) -> Float[Array, " dim"]:
  """Averages an image with the mean of the views that are sure of a class.

  `normalise(anchor x_0 + mean_b x_b)` over the `max(1, floor(confident_fraction
  B))` of `B` views whose softmax has the lowest entropy. The original, which
  may be among them, stays half of the result however odd the crops are.

  Args:
    views: unit embeddings, the original view first.
    logits: of every view, from any classifier or point-to-space metric.
    confident_fraction: share of the views that count, in (0, 1].
    anchor: weight of the original against their mean, at least 0.

  Returns:
    Unit vector; the original view where the sum has norm below 1e-3.

  Raises:
    ValueError: there is no view, `views` and `logits` disagree on their number,
      or an option is out of range.

  References:
    Ours; choosing views by entropy is TPT's (arXiv 2209.07511).
  """
  views = _read_views(views)
  count = views.shape[0]
  if logits.shape[0] != count:
    raise ValueError(
      f"`views` and `logits` must agree on [views], got {count} and"
      f" {logits.shape[0]}."
    )
  kept = confident_count(count, confident_fraction)
  if not anchor >= 0:
    raise ValueError(f"`anchor` must be >= 0, got {anchor}.")
  chosen = views[most_confident(jnp.asarray(logits, views.dtype), kept)]
  total = anchor * views[0] + jnp.mean(chosen, axis=0)
  return _normalise(total, otherwise=views[0])


class _Weights(NamedTuple):
  """Numbers of the mean shift that are data; see `robust_mean_shift`.

  Attributes:
    entropy: lambda_y.
    affinity: lambda_q.
    tolerance: of both inner iterations.
  """

  entropy: Float[Array, ""] | float
  affinity: Float[Array, ""] | float
  tolerance: Float[Array, ""] | float


class _Iterate(NamedTuple):
  """An iterate of a fixed-point iteration.

  Attributes:
    value: logarithms of the inlier scores, or the mode.
    change: Euclidean length of the last step of the scores, or of the mode.
    step: steps made.
  """

  value: Float[Array, " n"]
  change: Float[Array, ""]
  step: Int32[Array, ""]


def robust_mean_shift(
  views: Float[Array | np.ndarray, "views dim"],
  classifier: Float[Array | np.ndarray, "classes _"],
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  lambda_y: float = 0.2,
  lambda_q: float = 4.0,
  neighbor_fraction: float = 0.3,
  steps: int = 5,
  inner_steps: int = 5,
  tolerance: float = 1e-6,
) -> Float[Array, " dim"]:
  """Finds the mode of an image's views, trusting those that agree (MTA).

  With `f_p` the `N` views, `W_pq = <r_p, r_q>` the affinity of their softmaxes,
  and `K_p(m) = exp(-|f_p - m|^2 / (2 h_p^2))`, where `h_p^2` is half the mean
  squared distance of `f_p` to its `max(1, floor(neighbor_fraction (N - 1)))`
  nearest other views (at least 1e-12), it starts from `m = f_0`, `y = 1 / N`
  and repeats `steps` times

      y <- softmax_p((K_p(m) + lambda_q sum_q W_pq y_q) / lambda_y)
      m <- normalise(sum_p y_p K_p(m) f_p)

  each line up to `inner_steps` times, until it changes by less than
  `tolerance`, a Euclidean length.

  Args:
    views: unit embeddings, the original view first.
    classifier: one unit row per class, for the affinities.
    logit_scale: natural logarithm of the factor, as checkpoints store it.
    lambda_y: weight of the inlier scores' entropy, above 0.
    lambda_q: weight of the affinities, at least 0.
    neighbor_fraction: share of the other views that set a bandwidth, in (0, 1].
    steps: outer iterations, at least 1.
    inner_steps: most iterations of each line, at least 1.
    tolerance: at least 0.

  Returns:
    The mode, unit; one view returns itself.

  Raises:
    ValueError: there is no view, `views` and `classifier` disagree on dim, or
      an option is out of range.

  References:
    MTA (Zanella and Ben Ayed, arXiv 2405.02266); weights of the mode as a
    softmax, which cannot underflow together, and the floor of bandwidths are
    ours.
  """
  views = _read_views(views)
  if views.shape[1] != classifier.shape[1]:
    raise ValueError(
      "`views` and `classifier` must agree on dim, got "
      f"{views.shape[1]} and {classifier.shape[1]}; "
      "embed both with the same checkpoint."
    )
  steps = whole_number("steps", steps)
  inner_steps = whole_number("inner_steps", inner_steps)
  for name, value, is_right, rule in (
    ("lambda_y", lambda_y, lambda_y > 0, "> 0"),
    ("lambda_q", lambda_q, lambda_q >= 0, ">= 0"),
    ("tolerance", tolerance, tolerance >= 0, ">= 0"),
    (
      "neighbor_fraction",
      neighbor_fraction,
      0 < neighbor_fraction <= 1,
      "in (0, 1]",
    ),
  ):
    if not is_right:
      raise ValueError(f"`{name}` must be {rule}, got {value!r}.")
  count = views.shape[0]
  if count == 1:
    return views[0]
  return _mean_shift(
    views,
    jnp.asarray(classifier, views.dtype),
    jnp.asarray(logit_scale, views.dtype),
    _Weights(lambda_y, lambda_q, tolerance),
    neighbors=max(1, int(neighbor_fraction * (count - 1) + 1e-6)),
    steps=steps,
    inner_steps=inner_steps,
  )


@functools.partial(
  jax.jit, static_argnames=("neighbors", "steps", "inner_steps")
)
def _mean_shift(
  views, classifier, logit_scale, weights, *, neighbors, steps, inner_steps
):
  affinity = _affinity(views, classifier, logit_scale)
  bandwidth = _squared_bandwidths(views, neighbors)

  def log_kernel(mode):
    squared = jnp.sum(jnp.square(views - mode[None, :]), axis=1)
    return -squared / (2 * bandwidth)

  def move_scores(logs, mode):
    kernel = jnp.exp(log_kernel(mode))

    def improve(logs):
      support = jnp.matmul(affinity, jnp.exp(logs), precision=_HIGHEST)
      support = kernel + weights.affinity * support
      moved = jax.nn.log_softmax(support / weights.entropy)
      return moved, jnp.exp(moved) - jnp.exp(logs)

    return _iterate(improve, logs, inner_steps, weights.tolerance)

  def move_mode(logs, mode):
    def improve(mode):
      # In logarithms, as kernels of a small bandwidth may all underflow.
      shares = jax.nn.softmax(logs + log_kernel(mode))
      mean = jnp.matmul(shares, views, precision=_HIGHEST)
      moved = _normalise(mean, otherwise=mode)
      return moved, moved - mode

    return _iterate(improve, mode, inner_steps, weights.tolerance)

  def step(_, state):
    logs, mode = state
    logs = move_scores(logs, mode)
    return logs, move_mode(logs, mode)

  uniform = jnp.full_like(views[:, 0], 1 / views.shape[0])
  return jax.lax.fori_loop(0, steps, step, (jnp.log(uniform), views[0]))[1]


def _read_views(views):
  views = jnp.asarray(views)
  if views.shape[0] == 0:
    raise ValueError(
      "`views` must hold at least the original view, got 0; "
      "put the image's own embedding first."
    )
  views = views.astype(jnp.promote_types(views.dtype, jnp.float32))
  has_direction(views, name="views")
  return unit_or_nan(views)


def _normalise(vector, *, otherwise):
  """Scales to unit length; another vector where it is shorter than 1e-3."""
  squared = jnp.sum(jnp.square(vector))
  has_direction = squared >= MIN_SQUARED_MEAN
  unit = vector / jnp.sqrt(jnp.where(has_direction, squared, 1.0))
  return jnp.where(has_direction, unit, otherwise)


def _affinity(views, classifier, logit_scale):
  cosines = jnp.matmul(views, classifier.T, precision=_HIGHEST)
  probabilities = jax.nn.softmax(scale_logits(cosines, logit_scale), axis=1)
  return jnp.matmul(probabilities, probabilities.T, precision=_HIGHEST)


def _squared_bandwidths(views, neighbors):
  cosines = jnp.matmul(views, views.T, precision=_HIGHEST)
  norms = jnp.diagonal(cosines)
  squared = norms[:, None] + norms[None, :] - 2 * cosines
  itself = jnp.eye(views.shape[0], dtype=bool)
  others = jnp.where(itself, jnp.inf, jnp.maximum(squared, 0.0))
  nearest = jnp.sort(others, axis=1)[:, :neighbors]
  return jnp.maximum(0.5 * jnp.mean(nearest, axis=1), _MIN_BANDWIDTH)


def _iterate(improve, value, steps, tolerance):
  """Repeats `improve` until its step is shorter than the tolerance."""

  def is_moving(state):
    return (state.step < steps) & (state.change >= tolerance)

  def advance(state):
    value, difference = improve(state.value)
    change = jnp.sqrt(jnp.sum(jnp.square(difference)))
    return _Iterate(value, change, state.step + 1)

  infinite = jnp.full_like(value[0], jnp.inf)
  start = _Iterate(value, infinite, jnp.zeros((), jnp.int32))
  return jax.lax.while_loop(is_moving, advance, start).value
