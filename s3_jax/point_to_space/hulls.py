"""Metric on the convex hull of a class's vertices, by an active-set method.

The nearest point `sum_i w_i z_i` of the hull to `x` solves a least-squares
problem with `w >= 0` and `sum_i w_i = 1`. Up to scale its weights are those of
the non-negative least-squares problem `min u.(Q u) - 2 sum_i u_i`, `u >= 0`,
with `Q_ij = <z_i - x, z_j - x> + 1`, which Lawson and Hanson's method solves:
vertices enter an active set one by one, the most promising first, and those
whose weight would turn negative leave. Every step is one principal pivot of a
tableau of `Q`, for all pairs of class and embedding at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from s3_jax.embeddings import MIN_SQUARED_DISTANCE
from s3_jax.point_to_space.streaming import (
  FAR,
  Projection,
  cosine,
  score_blocks,
)
from s3_jax.space import SynonymousSpace

_MAX_PIVOTS = 4
"""Most pivots for each vertex of a class; one or two are what it takes."""

_MIN_GAIN = 1e-6
"""A vertex that promises less than this does not enter: float32's noise."""


def point_to_convex_hull(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the nearest point of the convex hull.

  With `w` the minimiser of `w.(G w) - 2 w.s` over weights that are not negative
  and sum to 1, the score is `w.s / sqrt(w.(G w))`. See `project_to_hull`.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Scores in [-1, 1], larger = closer; -1 where the nearest point has norm
    below 1e-3.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Ours; S3 (arXiv 2412.04925) compares several metrics.
  """
  return _projection(embeddings, space, directions=True).score


def project_to_hull(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Projection:
  """Projects points on the convex hull of every class's vertices.

  An exact active-set method with at most four pivots for each vertex, ended as
  soon as no pair of class and embedding needs another; the residual says how
  far from optimal the answer is. A vertex within 1e-3 of the affine hull of the
  active ones cannot join them.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes.

  Returns:
    Squared distances, scores and residuals, each `f32[*batch, classes]`.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim.

  References:
    Lawson and Hanson, Solving Least Squares Problems, chapter 23, for the
    active-set method; the hull as a metric is ours.
  """
  return _projection(embeddings, space, directions=False)


def _projection(embeddings, space, *, directions: bool) -> Projection:
  """Projects the embeddings, or the unit vectors of their directions."""
  return score_blocks(
    embeddings,
    space,
    _project,
    empty=FAR,
    directions=directions,
    quadratic=True,
  )


class _Pivoting(NamedTuple):
  """State of the active-set method, for each class and embedding.

  Attributes:
    tableau: `Q` after principal pivots on the active set `A`: -inverse(Q_AA) in
      its rows and columns, Schur complement outside.
    column: the right-hand side after the same pivots: in `A` the unconstrained
      solution on `A`, outside the gain promised by entering.
    weights: the best feasible solution so far.
    is_active: membership of `A`.
    is_done: whether `weights` is optimal.
    step: number of pivots so far.
  """

  tableau: Float[Array, "block batch synonyms synonyms"]
  column: Float[Array, "block batch synonyms"]
  weights: Float[Array, "block batch synonyms"]
  is_active: Bool[Array, "block batch synonyms"]
  is_done: Bool[Array, "block batch"]
  step: Int32[Array, ""]


def _project(block):
  gram, mask = block.gram, block.mask[:, None, :]
  highest = jax.lax.Precision.HIGHEST

  def times_gram(weights):
    return jnp.einsum("cij,cbj->cbi", gram, weights, precision=highest)

  def score(similarities, squared_norms):
    s = jnp.swapaxes(similarities, 1, 2)
    s = jnp.where(mask, s, 0.0)
    final = jax.lax.stop_gradient(
      _pivot_to_optimum(gram, s, squared_norms, mask)
    )
    weights = final.weights / jnp.sum(final.weights, axis=2, keepdims=True)
    solution = jnp.where(final.is_active, final.column, 0.0)
    total = jnp.sum(solution, axis=2, keepdims=True)
    is_solved = final.is_done[..., None]
    # Two steps of iterative refinement with the inverse at hand. They are also
    # what is differentiated: a Newton step from a solution has its gradient.
    for _ in range(2):
      weights = jax.lax.stop_gradient(weights)
      gap = jnp.where(final.is_active, s - times_gram(weights), 0.0)
      change = -jnp.einsum(
        "cbij,cbj->cbi", final.tableau, gap, precision=highest
      )
      common = jnp.sum(solution * gap, axis=2, keepdims=True) / total
      change = jnp.where(final.is_active, change - common * solution, 0.0)
      weights = jnp.maximum(weights + jnp.where(is_solved, change, 0.0), 0.0)
      weights = weights / jnp.sum(weights, axis=2, keepdims=True)
    inner = times_gram(weights)
    total = jnp.sum(weights * s, axis=2)
    norm = jnp.sum(weights * inner, axis=2)
    gap = jnp.where(mask, s - inner, -jnp.inf)
    gap = jnp.max(gap, axis=2) - (total - norm)
    return Projection(
      jnp.maximum(squared_norms[None, :] - 2 * total + norm, 0.0),
      cosine(total, norm, jnp.ones_like(total)),
      jnp.where(jnp.any(mask, axis=2), jnp.maximum(gap, 0.0), 0.0),
    )

  return score


def _pivot_to_optimum(gram, s, squared_norms, mask):
  """Runs the active-set method from the nearest vertex."""
  gram, s, squared_norms = jax.lax.stop_gradient((gram, s, squared_norms))
  synonyms = s.shape[2]
  tableau = gram[:, None] - s[..., :, None] - s[..., None, :]
  tableau = tableau + (squared_norms[None, :, None, None] + 1)
  diagonal = jnp.diagonal(tableau, axis1=2, axis2=3)
  # Classes without vertices take a step as well, from a number that is no 0.
  first = jnp.argmin(jnp.where(mask, diagonal, jnp.inf), axis=2)
  start = _Pivoting(
    tableau,
    jnp.ones_like(s),
    jnp.zeros_like(s),
    jnp.zeros_like(s, bool),
    jnp.zeros_like(s[:, :, 0], bool),
    jnp.zeros((), jnp.int32),
  )
  start = _pivot(start, first, jnp.ones(s.shape[:2], bool))

  def is_unfinished(state):
    return (state.step < _MAX_PIVOTS * synonyms) & ~jnp.all(state.is_done)

  return jax.lax.while_loop(
    is_unfinished, lambda state: _step(state, mask), start
  )


def _step(state, mask):
  """Leaves by the vertex that blocks the way, or enters the most promising."""
  solution = jnp.where(state.is_active, state.column, 0.0)
  blocks = state.is_active & (solution <= 0)
  is_blocked = jnp.any(blocks, axis=2)
  slope = jnp.maximum(state.weights - solution, jnp.finfo(jnp.float32).tiny)
  ratio = jnp.where(blocks, state.weights / slope, jnp.inf)
  share = jnp.where(is_blocked, jnp.min(ratio, axis=2), 1.0)[..., None]
  weights = state.weights + share * (solution - state.weights)
  diagonal = jnp.diagonal(state.tableau, axis1=2, axis2=3)
  can_enter = mask & ~state.is_active & (diagonal > MIN_SQUARED_DISTANCE)
  gain = jnp.where(can_enter, state.column, -jnp.inf)
  is_optimal = ~is_blocked & (jnp.max(gain, axis=2) <= _MIN_GAIN)
  chosen = jnp.where(
    is_blocked, jnp.argmin(ratio, axis=2), jnp.argmax(gain, axis=2)
  )
  is_running = ~state.is_done
  state = state._replace(
    weights=jnp.where(
      is_running[..., None], jnp.maximum(weights, 0.0), state.weights
    ),
    is_done=state.is_done | is_optimal,
  )
  return _pivot(state, chosen, is_running & ~is_optimal)


def _pivot(state, chosen, is_moving):
  """Moves the chosen vertex in or out of the active set, where told to."""
  tableau, column = state.tableau, state.column
  is_chosen = jnp.arange(column.shape[2])[None, None] == chosen[..., None]
  is_chosen &= is_moving[..., None]
  row = jnp.take_along_axis(tableau, chosen[..., None, None], axis=2)[:, :, 0]
  pivot = jnp.take_along_axis(row, chosen[..., None], axis=2)
  leaves = jnp.take_along_axis(state.is_active, chosen[..., None], axis=2)
  sign = jnp.where(leaves, -1.0, 1.0)
  value = jnp.take_along_axis(column, chosen[..., None], axis=2)
  scaled = jnp.where(is_moving[..., None], row / pivot, 0.0)
  side = jnp.where(is_chosen, -1 / pivot, sign * scaled)
  updated = tableau - row[..., :, None] * scaled[..., None, :]
  updated = jnp.where(is_chosen[..., None, :], side[..., :, None], updated)
  updated = jnp.where(is_chosen[..., :, None], side[..., None, :], updated)
  weights = jnp.where(is_chosen & leaves, 0.0, state.weights)
  return state._replace(
    tableau=updated,
    column=jnp.where(is_chosen, sign * value / pivot, column - scaled * value),
    weights=weights,
    is_active=state.is_active ^ is_chosen,
    step=state.step + 1,
  )
