"""Vietoris-Rips complexes as padded arrays of vertices, under jit and vmap.

Simplices are grown one dimension at a time: a simplex is extended by each of
the larger vertices near to all of its own, so that the work follows the
simplices there are rather than all combinations of vertices. Sets of vertices
are rows of bits, packed to uint32.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int32, UInt32

from s3_jax.messages import short_repr
from s3_jax.topology import validation

_WORD = 32


class RipsComplex(NamedTuple):
  """The simplices of one Vietoris-Rips complex, padded to a fixed number.

  Ordered by dimension, then lexicographically, the vertices of a simplex
  ascending; closed under faces. Built by `rips_complex` or, on the host, by
  `enumerate_rips`; a batch has leading axes in every field.

  Attributes:
    simplices: vertices of each simplex, padded with -1: a simplex of dimension
      d fills the first d + 1 columns, and rows from `count` on hold -1 only.
    diameters: longest edge of each simplex, which is its filtration value;
      0 for a vertex, +inf for padding.
    count: number of simplices stored.
    overflow: whether there were more than `max_simplices`; those stored are
      then the first ones in order.
  """

  simplices: Int32[Array, "*batch simplices columns"]
  diameters: Float[Array, "*batch simplices"]
  # Shadows the method of tuples, which nothing here calls.
  count: Int32[Array, "*batch"]  # pyright: ignore[reportIncompatibleMethodOverride]
  overflow: Bool[Array, "*batch"]

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


class _Level(NamedTuple):
  """Simplices of one dimension, in order, padded to a fixed number.

  Attributes:
    simplices: vertices, ascending; -1 for padding.
    diameters: longest edges; +inf for padding.
    larger: which vertices extend the simplex, as packed bits: those larger
      than all of its vertices and near to each; none for padding.
  """

  simplices: Int32[Array, "rows columns"]
  diameters: Float[Array, " rows"]
  larger: UInt32[Array, "rows words"]


def rips_complex(
  distances: Float[Array | np.ndarray, "vertices vertices"],
  mask: Bool[Array | np.ndarray, " vertices"],
  max_edge_length: Float[Array | np.ndarray, ""] | np.floating | float | int,
  *,
  max_dimension: int,
  max_simplices: int,
) -> RipsComplex:
  """Lists the simplices of the Vietoris-Rips complex at one scale.

  A simplex is a set of at most `max_dimension + 1` real vertices whose
  diameter, the longest of its edges, is `<= max_edge_length`. If there are more
  than `max_simplices` of them, the first ones in order are stored, which are
  again closed under faces, and `overflow` is set.

  Values are checked where they are known; under `jit` and `vmap` only shapes
  and sizes are.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.
    max_edge_length: the scale, in the unit of `distances`, inclusive; +inf
      takes all real vertices as near to each other.
    max_dimension: highest dimension of a simplex, at least 0.
    max_simplices: number of simplices stored, at least 1; `simplex_capacity`
      picks it from the data.

  Returns:
    The complex.

  Raises:
    ValueError: distances are not finite, symmetric, at least 0 and 0 on the
      diagonal, the scale is negative or NaN, or a size is out of range.

  References:
    S3 (arXiv 2412.04925) builds a Vietoris-Rips complex; incremental expansion
    is Zomorodian's (Computers & Graphics 34, 2010); this order and form are
    ours.
  """
  validation.check_distances(distances, mask)
  validation.check_scale(max_edge_length)
  validation.check_sizes(mask.shape[0], max_dimension, max_simplices)
  return _rips_complex(
    jnp.asarray(distances, jnp.float32),
    jnp.asarray(mask),
    jnp.asarray(max_edge_length, jnp.float32),
    max_dimension=int(max_dimension),
    max_simplices=int(max_simplices),
  )


@functools.partial(jax.jit, static_argnames=("max_dimension", "max_simplices"))
def _rips_complex(
  distances, mask, max_edge_length, *, max_dimension, max_simplices
):
  vertices = mask.shape[0]
  columns = max_dimension + 1
  distances = validation.flush(distances)
  near = distances <= validation.flush(max_edge_length)
  near &= np.triu(np.ones((vertices, vertices), bool), 1)
  neighbors = _pack(near & mask[:, None] & mask[None, :])
  # The empty simplex, which every real vertex extends.
  level = _Level(
    jnp.zeros((1, 0), jnp.int32),
    jnp.zeros(1, distances.dtype),
    _pack(mask)[None],
  )
  levels, total, overflow = [], jnp.zeros((), jnp.int32), jnp.zeros((), bool)
  slot = jnp.arange(max_simplices, dtype=jnp.int32)
  source = jnp.full(max_simplices, -1, jnp.int32)
  rows_before = 0
  for dimension in range(min(columns, vertices)):
    rows = min(max_simplices, math.comb(vertices, dimension + 1))
    level, found = _extend(level, distances, neighbors, rows)
    # Slots from the end of the last dimension on; the next one overwrites
    # those after its own start.
    source = jnp.where(slot >= total, slot - total + rows_before, source)
    overflow |= total + found > max_simplices
    total = jnp.minimum(total + found, max_simplices)
    rows_before += rows
    levels.append(level)
  is_stored = slot < total
  simplices = jnp.full((max_simplices, columns), -1, jnp.int32)
  diameters = jnp.full(max_simplices, jnp.inf, distances.dtype)
  if levels:
    listed = [
      jnp.pad(
        simplices,
        ((0, 0), (0, columns - simplices.shape[1])),
        constant_values=-1,
      )
      for simplices, _, _ in levels
    ]
    source = jnp.where(is_stored, source, 0)
    simplices = jnp.where(
      is_stored[:, None], jnp.concatenate(listed)[source], -1
    )
    lengths = jnp.concatenate([level.diameters for level in levels])
    diameters = jnp.where(is_stored, lengths[source], jnp.inf)
  return RipsComplex(
    simplices,
    diameters,
    total,
    overflow,
  )


def _pack(bits: Bool[Array, "*rows vertices"]) -> UInt32[Array, "*rows words"]:
  """Packs sets of vertices, the lowest vertex into the lowest bit."""
  rows, vertices = bits.shape[:-1], bits.shape[-1]
  words = -(-vertices // _WORD)
  padding = [(0, 0)] * len(rows) + [(0, words * _WORD - vertices)]
  bits = jnp.pad(bits, padding).reshape((*rows, words, _WORD))
  values = jnp.left_shift(np.uint32(1), jnp.arange(_WORD, dtype=jnp.uint32))
  return jnp.sum(
    jnp.where(bits, values, np.uint32(0)), axis=-1, dtype=jnp.uint32
  )


def _extend(level, distances, neighbors, rows):
  """Gives the first `rows` simplices of the next dimension, and their number.

  The children of a row stand together and in the order of rows, so a child is
  found from its place alone: its parent by counting how many of them have no
  more children, its new vertex by counting bits.
  """
  children = jnp.sum(jax.lax.population_count(level.larger), axis=1)
  children = children.astype(jnp.int32)
  ends = jnp.cumsum(children)
  total = ends[-1]
  index = jnp.arange(rows, dtype=jnp.int32)
  exists = index < total
  # As many parents are done with at a place as have ended up to there.
  ended = jnp.zeros(rows, jnp.int32).at[ends].add(1, mode="drop")
  parent = jnp.minimum(jnp.cumsum(ended), ends.shape[0] - 1)
  rank = jnp.where(exists, index - (ends - children)[parent], 0)
  larger = level.larger[parent]
  vertex = _select_bit(larger, rank)
  before = level.simplices[parent]
  simplices = jnp.concatenate([before, vertex[:, None]], axis=1)
  diameters = level.diameters[parent]
  for column in range(before.shape[1]):
    edge = distances[before[:, column], vertex]
    diameters = jnp.maximum(diameters, edge)
  larger = jnp.where(exists[:, None], larger & neighbors[vertex], np.uint32(0))
  return _Level(
    jnp.where(exists[:, None], simplices, -1),
    jnp.where(exists, diameters, jnp.inf),
    larger,
  ), total


def _select_bit(
  words: UInt32[Array, "rows words"], rank: Int32[Array, " rows"]
) -> Int32[Array, " rows"]:
  """Finds the set bit with `rank` set bits below it, in each row."""
  bits = jax.lax.population_count(words).astype(jnp.int32)
  below = jnp.cumsum(bits, axis=1)
  index = jnp.sum(below <= rank[:, None], axis=1, keepdims=True)
  index = jnp.minimum(index, words.shape[1] - 1)
  word = jnp.take_along_axis(words, index, axis=1)[:, 0]
  rank -= jnp.take_along_axis(below - bits, index, axis=1)[:, 0]
  bit = index[:, 0].astype(jnp.int32) * _WORD
  width = _WORD // 2
  while width:
    low = word & np.uint32(2**width - 1)
    count = jax.lax.population_count(low).astype(jnp.int32)
    is_above = rank >= count
    rank = jnp.where(is_above, rank - count, rank)
    bit = jnp.where(is_above, bit + width, bit)
    word = jnp.where(is_above, word >> np.uint32(width), low)
    width //= 2
  return bit


@jax.jit
def maximal_simplices(rips: RipsComplex) -> Bool[Array, " simplices"]:
  """Marks the stored simplices that are faces of no other stored one.

  Their faces are all simplices of the complex. In a complex that was cut, by
  its highest dimension or by `max_simplices`, what is left counts.

  Args:
    rips: one complex; batch with `jax.vmap`.

  Returns:
    Which of `rips.simplices` are maximal, False for padding.

  References:
    Ours.
  """
  rows, columns = rips.simplices.shape
  is_stored = jnp.arange(rows) < rips.count
  is_face = jnp.zeros(rows, bool)
  for dropped in range(columns):
    has_facet = is_stored & (rips.simplices[:, dropped] >= 0)
    has_facet &= _lengths(rips.simplices) > 1
    facets = jnp.concatenate(
      [
        rips.simplices[:, :dropped],
        rips.simplices[:, dropped + 1 :],
        jnp.full((rows, 1), -1, jnp.int32),
      ],
      axis=1,
    )
    index = jnp.where(has_facet, _find(rips, facets), rows)
    is_face = is_face.at[index].set(True, mode="drop")
  return is_stored & ~is_face


def closed_star(
  rips: RipsComplex, vertex: Int32[Array, ""] | int
) -> Bool[Array, " simplices"]:
  """Marks the closed star of a vertex.

  The smallest subcomplex with all stored simplices that contain the vertex:
  these simplices, and their faces. So a simplex `s` belongs to it when the
  union of `s` and the vertex is stored.

  Args:
    rips: one complex; batch with `jax.vmap`.
    vertex: the vertex, at least 0; the star of one that is not in the complex
      is empty.

  Returns:
    Which of `rips.simplices` belong to the star, False for padding.

  Raises:
    ValueError: `vertex` is a negative number.

  References:
    The closed star of simplicial topology; this form is ours.
  """
  if not isinstance(vertex, Tracer) and vertex < 0:
    raise ValueError(f"`vertex` must be >= 0, got {vertex}.")
  return _closed_star(rips, jnp.asarray(vertex, jnp.int32))


@jax.jit
def _closed_star(rips, vertex):
  rows, columns = rips.simplices.shape
  is_vertex = (rips.simplices == vertex) & (vertex >= 0)
  contains = jnp.any(is_vertex, axis=1)
  # The facet opposite to the vertex: later vertices move up by one column.
  after = jnp.cumsum(is_vertex, axis=1) > 0
  moved = jnp.pad(rips.simplices[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
  opposite = jnp.where(after, moved, rips.simplices)
  has_opposite = contains & (_lengths(rips.simplices) > 1)
  index = jnp.where(has_opposite, _find(rips, opposite), rows)
  return contains.at[index].set(True, mode="drop")


def _lengths(simplices: Int32[Array, "rows columns"]) -> Int32[Array, " rows"]:
  return jnp.sum(simplices >= 0, axis=1, dtype=jnp.int32)


def _find(
  rips: RipsComplex, simplices: Int32[Array, "queries columns"]
) -> Int32[Array, " queries"]:
  """Finds the rows of stored simplices, by binary search in their order."""
  rows = rips.simplices.shape[0]
  keys = jnp.concatenate(
    [_lengths(rips.simplices)[:, None], rips.simplices], axis=1
  )
  wanted = jnp.concatenate([_lengths(simplices)[:, None], simplices], axis=1)

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) // 2
    differs = keys[middle] != wanted
    first = jnp.argmax(differs, axis=1)[:, None]
    here = jnp.take_along_axis(keys[middle], first, axis=1)[:, 0]
    there = jnp.take_along_axis(wanted, first, axis=1)[:, 0]
    is_below = (here < there) & (low < high)
    return jnp.where(is_below, middle + 1, low), jnp.where(
      is_below, high, middle
    )

  low = jnp.zeros(simplices.shape[0], jnp.int32)
  high = jnp.broadcast_to(rips.count, low.shape)
  low, _ = jax.lax.fori_loop(0, rows.bit_length(), halve, (low, high))
  return low
