"""Metrics on the simplices of a class's Rips complex.

A complex is closed under faces, so its point nearest to `x` is the best among
the projections on the affine hulls of its simplices that have no negative
barycentric coordinate: each simplex once, in closed form, no enumeration of
faces. The simplices pass one after another; only the index of the best so far
is kept for each pair of class and embedding, and what is returned is computed
from that simplex again, which is also what is differentiated.

With edges `e_j = z_j - z_0` of a simplex and `H_ij = <e_i, e_j> = L D L^T`, the
coordinates `t = H^-1 b`, `b_j = <x - z_0, e_j>`, give the squared distance
`|x - z_0|^2 - b.t`. Feasible coordinates lie in [0, 1], so the error of that is
of the order of the rounding of `s` and `G` whatever the condition of `H`.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from s3_jax.embeddings import MIN_SQUARED_DISTANCE, MIN_SQUARED_MEAN
from s3_jax.point_to_space.simplices import best_row, read_simplices, take_row
from s3_jax.point_to_space.streaming import (
  FAR,
  Projection,
  cosine,
  score_blocks,
)
from s3_jax.space import SynonymousSpace


def point_to_simplex_center(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the nearest barycentre of a simplex.

  `max` over the simplices of the class's complex of
  `sum_i s_i / sqrt(sum_ij G_ij)`, sums over the simplex's vertices. Every
  vertex is a simplex, whether the complex lists it or not.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes, with a complex.

  Returns:
    Scores in [-1, 1], larger = closer.

  Raises:
    ValueError: `space` holds no complex, or `embeddings` and `space` disagree
      on dim.

  References:
    Ours: S3's local center (arXiv 2412.04925) with the complex's simplices.
  """
  _check_complex(space)
  return score_blocks(embeddings, space, _simplex_center)


def point_to_complex(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Float[Array, "*batch classes"]:
  """Scores points by the cosine to the nearest point of the class's complex.

  The complex is taken as a set of points, its geometric realisation: the union
  of the convex hulls of its simplices. See `project_to_complex`.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes, with a complex.

  Returns:
    Scores in [-1, 1], larger = closer; -1 where the nearest point has norm
    below 1e-3.

  Raises:
    ValueError: `space` holds no complex, or `embeddings` and `space` disagree
      on dim.

  References:
    Ours; S3 (arXiv 2412.04925) builds the complex and compares metrics.
  """
  _check_complex(space)
  return score_blocks(embeddings, space, _complex)


def project_to_complex(
  embeddings: Float[Array | np.ndarray, "*batch dim"], space: SynonymousSpace
) -> Projection:
  """Projects points on the geometric realisation of every class's complex.

  The nearest point is exact but for rounding; of equally near ones the first
  simplex in order has it. Simplices whose vertices are affinely dependent
  (a vertex within 1e-3 of the affine hull of those before it) are skipped, as
  their faces cover them, and all vertices are candidates even where a complex
  that overflowed lacks them.

  Args:
    embeddings: unit vectors.
    space: spaces of the classes, with a complex.

  Returns:
    Squared distances, scores and residuals, each `f32[*batch, classes]`; the
    residual is the duality gap within the nearest simplex.

  Raises:
    ValueError: `space` holds no complex, or `embeddings` and `space` disagree
      on dim.

  References:
    Ours; S3 (arXiv 2412.04925) builds the complex.
  """
  _check_complex(space)
  return score_blocks(
    embeddings,
    space,
    _project,
    empty=FAR,
    directions=False,
  )


def _check_complex(space):
  if space.simplices is None:
    raise ValueError(
      "`space` must hold a complex, got `simplices` None; build it with "
      "`build_space(..., max_simplices=...)` or add it with "
      "`attach_complex(space)`."
    )


def _simplex_center(block):
  simplices = read_simplices(block)
  squared = jnp.sum(simplices.gram, axis=(2, 3))
  count = jnp.sum(simplices.is_vertex, axis=2, dtype=jnp.float32)
  degenerate = squared < MIN_SQUARED_MEAN * jnp.square(count)
  is_usable = simplices.is_valid & ~degenerate
  scale = jnp.where(
    is_usable, 1 / jnp.sqrt(jnp.where(is_usable, squared, 1)), 0
  )
  # A degenerate barycentre scores -1, and what is no simplex never counts.
  worst = jnp.where(is_usable, 0.0, 1.0)
  worst = jnp.where(simplices.is_valid, worst, jnp.inf)
  weights = jnp.where(simplices.is_vertex, scale[..., None], 0.0)
  table = jnp.concatenate([worst[..., None], weights], axis=2)
  sizes = range(2, table.shape[2] + 1)

  def measure(similarities, numbers):
    value, *weights = numbers
    for s, weight in zip(similarities, weights, strict=True):
      value = value - weight * s
    return value

  def score(similarities, _):
    index = best_row(similarities, simplices, table, measure, sizes)
    best = measure(*take_row(similarities, simplices, table, index))
    return jnp.clip(-best, -1.0, 1.0)

  return score


def _factor(simplices):
  """Numbers of a row for `_solve`: |z_0|^2, then for each edge j its own.

  These are `<z_0, e_j>`, `1 / D_j` and `L_jl` for `l < j`; 0 where a simplex
  has no such edge, and |z_0|^2 is +inf where there is no simplex to consider.
  """
  gram = simplices.gram
  first = gram[..., 0, 0]
  is_valid = simplices.is_valid
  offsets, pivots, inverses, lower, numbers = [], [], [], {}, []
  for j in range(gram.shape[2] - 1):
    is_edge = simplices.is_vertex[..., j + 1]
    offsets.append(jnp.where(is_edge, gram[..., 0, j + 1] - first, 0.0))
    for l in range(j + 1):
      value = gram[..., j + 1, l + 1] - offsets[j] - offsets[l] - first
      for m in range(l):
        value = value - lower[j, m] * pivots[m] * lower[l, m]
      lower[j, l] = jnp.where(is_edge, value * (inverses + [1.0])[l], 0.0)
    height = lower.pop((j, j))  # squared, over the vertices before
    is_high = height > MIN_SQUARED_DISTANCE
    is_valid &= is_high | ~is_edge
    pivots.append(jnp.where(is_high, height, 0.0))
    inverse = 1 / jnp.where(is_high, height, 1.0)
    inverses.append(jnp.where(is_high, inverse, 0.0))
    numbers += [offsets[j], inverses[j], *(lower[j, l] for l in range(j))]
  return jnp.stack([jnp.where(is_valid, first, jnp.inf), *numbers], axis=2)


def _numbers_of(vertices):
  """How many numbers `_factor` has for a simplex of so many vertices."""
  return 1 + sum(2 + j for j in range(vertices - 1))


def _solve(similarities, numbers):
  """Projects on a simplex's affine hull."""
  s0, *rest = similarities
  numbers = iter(numbers)
  squared = next(numbers) - 2 * s0
  partial, scaled, lower = [], [], {}
  for j, s in enumerate(rest):
    y = s - s0 - next(numbers)
    inverse = next(numbers)
    for l in range(j):
      lower[j, l] = next(numbers)
      y = y - lower[j, l] * partial[l]
    partial.append(y)
    scaled.append(y * inverse)
    squared = squared - y * scaled[j]
  coordinates = scaled
  for j in reversed(range(len(rest))):
    for l in range(j + 1, len(rest)):
      coordinates[j] = coordinates[j] - lower[l, j] * coordinates[l]
  return squared, [1 - sum(coordinates), *coordinates]


def _feasible_distance(similarities, numbers):
  squared, coordinates = _solve(similarities, numbers)
  if len(coordinates) == 1:
    return squared
  least = functools.reduce(jnp.minimum, coordinates)
  return jnp.where(least >= 0, squared, jnp.inf)


def _nearest(similarities, simplices, table):
  """Solves on the best row: its index, similarities, distance, coordinates."""
  width = simplices.vertices.shape[2]
  sizes = [_numbers_of(n) for n in range(1, width + 1)]
  index = best_row(similarities, simplices, table, _feasible_distance, sizes)
  chosen, numbers = take_row(similarities, simplices, table, index)
  # A class without vertices has no row at a finite distance.
  numbers[0] = jnp.where(numbers[0] < jnp.inf, numbers[0], 0.0)
  return (index, chosen, *_solve(chosen, numbers))


def _dot(weights, values):
  products = [w * v for w, v in zip(weights, values, strict=True)]
  return functools.reduce(jnp.add, products)


def _complex(block):
  simplices = read_simplices(block)
  table = _factor(simplices)

  def score(similarities, _):
    _, chosen, squared, weights = _nearest(similarities, simplices, table)
    total = _dot(weights, chosen)
    return cosine(total, squared + 2 * total, jnp.ones_like(total))

  return score


def _project(block):
  simplices = read_simplices(block)
  table = _factor(simplices)
  width = simplices.vertices.shape[2]

  def score(similarities, squared_norms):
    index, chosen, squared, weights = _nearest(similarities, simplices, table)
    total = _dot(weights, chosen)
    norm = squared + 2 * total
    gap = jnp.zeros_like(total)
    for i in range(width):
      inner = sum(
        w * jnp.take_along_axis(simplices.gram[:, :, i, j], index, axis=1)
        for j, w in enumerate(weights)
      )
      excess = (chosen[i] - inner) - (total - norm)
      is_vertex = simplices.is_vertex[:, :, i]
      is_vertex = jnp.take_along_axis(is_vertex, index, axis=1)
      gap = jnp.maximum(gap, jnp.where(is_vertex, excess, 0.0))
    return Projection(
      jnp.maximum(squared_norms[None, :] + squared, 0.0),
      cosine(total, norm, jnp.ones_like(total)),
      gap,
    )

  return score
