"""H0 persistence and connected components of one masked point cloud."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from s3_jax.topology import validation


class PrimOrder(NamedTuple):
  """The order in which Prim's algorithm reaches the vertices of a cloud.

  Prim leaves a component of the Rips complex at any scale only after all of its
  vertices are reached, and by an edge longer than the scale. So the components
  at every scale at once are the runs of this order between longer edges.

  Attributes:
    rank: place of each vertex in the order, 0 for the first; a masked-out
      vertex holds the last place.
    lengths: length of the edge by which the vertex at place 1, 2, ... is
      reached, an edge of the minimum spanning tree; +inf for masked-out ones.
  """

  rank: Int32[Array, " vertices"]
  lengths: Float[Array, " edges"]


@jax.jit
def prim_order(
  distances: Float[Array, "vertices vertices"], mask: Bool[Array, " vertices"]
) -> PrimOrder:
  """Orders the vertices of a cloud by Prim's algorithm.

  Starts at the first real vertex and goes on to the vertex nearest to those
  reached (ties: the lower index), real vertices only.

  Args:
    distances: symmetric distances.
    mask: which vertices are real.

  Returns:
    The order and the lengths of the tree's edges in that order.

  References:
    Prim's minimum spanning tree; its use for components is ours.
  """
  vertices = distances.shape[0]
  rank = jnp.full(vertices, max(vertices - 1, 0), jnp.int32)
  if vertices < 2:
    return PrimOrder(rank, jnp.zeros(0, distances.dtype))
  largest = jnp.finfo(distances.dtype).max

  def reach(state, index):
    rank, waiting, nearest = state
    # A real vertex at distance +inf still comes before those that don't wait.
    candidates = jnp.where(waiting, jnp.minimum(nearest, largest), jnp.inf)
    vertex = jnp.argmin(candidates)
    length = jnp.where(waiting[vertex], nearest[vertex], jnp.inf)
    is_next = (jnp.arange(vertices) == vertex) & waiting
    rank = jnp.where(is_next, index, rank)
    nearest = jnp.minimum(nearest, distances[vertex])
    return (rank, waiting & ~is_next, nearest), length

  first = jnp.argmax(mask)
  is_first = (jnp.arange(vertices) == first) & mask
  start = (jnp.where(is_first, 0, rank), mask & ~is_first, distances[first])
  indices = jnp.arange(1, vertices, dtype=jnp.int32)
  (rank, _, _), lengths = jax.lax.scan(reach, start, indices)
  return PrimOrder(rank, lengths)


def largest_component_size(
  order: PrimOrder, max_edge_length: Float[Array, "*scales"]
) -> Int32[Array, "*scales"]:
  """Counts the vertices of the largest component at finite scales.

  Args:
    order: Prim order of a cloud with at least one real vertex.
    max_edge_length: the scales, inclusive.

  Returns:
    The number of vertices at each scale.

  References:
    Ours.
  """

  def reach(sizes, length):
    size, largest = sizes
    size = jnp.where(length > max_edge_length, 1, size + 1)
    return (size, jnp.maximum(largest, size)), None

  one = jnp.ones_like(max_edge_length, jnp.int32)
  (_, largest), _ = jax.lax.scan(reach, (one, one), order.lengths)
  return largest


def component_labels(
  order: PrimOrder,
  mask: Bool[Array, " vertices"],
  max_edge_length: Float[Array, ""] | float,
) -> Int32[Array, " vertices"]:
  """Labels the components at a scale, given the cloud's Prim order.

  Args:
    order: Prim order of the cloud.
    mask: which vertices are real, as given to `prim_order`.
    max_edge_length: the scale, inclusive.

  Returns:
    For each vertex the lowest vertex of its component, -1 where masked out.

  References:
    Ours.
  """
  vertices = mask.shape[0]
  if vertices == 0:
    return jnp.zeros(0, jnp.int32)
  breaks = (order.lengths > max_edge_length).astype(jnp.int32)
  runs = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(breaks)])
  run = runs[order.rank]
  together = (run[:, None] == run[None, :]) & mask[None, :]
  index = jnp.arange(vertices, dtype=jnp.int32)
  lowest = jnp.min(jnp.where(together, index[None, :], vertices), axis=1)
  return jnp.where(mask, lowest, -1)


_jitted_labels = jax.jit(component_labels)


class PersistencePairs(NamedTuple):
  """The deaths of H0 and the edges that bring them, in merge order.

  Attributes:
    deaths: lengths at which two components merge, ascending, padded with +inf.
    edges: vertices of the edge of each merge, the lower one first, padded with
      -1.
  """

  deaths: Float[Array, "*batch deaths"]
  edges: Int32[Array, "*batch deaths 2"]


def h0_persistence(
  distances: Float[Array | np.ndarray, "vertices vertices"],
  mask: Bool[Array | np.ndarray, " vertices"],
) -> Float[Array, " deaths"]:
  """Computes the 0-dimensional persistence of the Vietoris-Rips filtration.

  Every component is born at 0; the `m - 1` finite deaths of `m` real vertices
  are the edge lengths of the minimum spanning tree, and one class never dies.

  Values are checked where they are known, which they are not under `jit` and
  `vmap`; there a vertex at distance +inf from the others never dies.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.

  Returns:
    Deaths, `max(vertices - 1, 0)` of them, ascending, padded with +inf.

  Raises:
    ValueError: distances of real vertices are not finite, symmetric, at least 0
      and 0 on the diagonal.

  References:
    S3 (arXiv 2412.04925) prunes by 0-dimensional persistent homology; the
    chordal filtration is ours.
  """
  validation.check_distances(distances, mask)
  distances, mask = jnp.asarray(distances), jnp.asarray(mask)
  return jnp.sort(prim_order(distances, mask).lengths)


def persistence_pairs(
  distances: Float[Array | np.ndarray, "vertices vertices"],
  mask: Bool[Array | np.ndarray, " vertices"],
) -> PersistencePairs:
  """Pairs every death of H0 with the edge that merges two components.

  Edges enter in the order of their length, those of equal length
  lexicographically with the lower vertex first; an edge that joins two
  components kills one. These edges are the minimum spanning tree that Kruskal's
  algorithm finds in that order, and the merges of single linkage.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.

  Returns:
    `max(vertices - 1, 0)` deaths and edges, in merge order. The deaths are
    those of `h0_persistence`.

  Raises:
    ValueError: distances of real vertices are not finite, symmetric, at least 0
      and 0 on the diagonal.

  References:
    S3 (arXiv 2412.04925) prunes by 0-dimensional persistent homology; the order
    of equal edges is ours.
  """
  validation.check_distances(distances, mask)
  return _persistence_pairs(jnp.asarray(distances), jnp.asarray(mask))


@jax.jit
def _persistence_pairs(distances, mask):
  """Runs Prim's algorithm on edges ordered by (length, lower, upper vertex).

  No two edges are equal in that order, so there is one minimum spanning tree,
  and Prim and Kruskal both find it.
  """
  vertices = distances.shape[0]
  if vertices < 2:
    return PersistencePairs(
      jnp.zeros(0, distances.dtype), jnp.zeros((0, 2), jnp.int32)
    )
  index = jnp.arange(vertices, dtype=jnp.int32)
  no_code = np.int32(np.iinfo(np.int32).max)

  def reach(state, _):
    waiting, nearest, code = state
    length = jnp.min(jnp.where(waiting, nearest, jnp.inf))
    is_nearest = waiting & (nearest == length)
    vertex = jnp.argmin(jnp.where(is_nearest, code, no_code))
    edge = jnp.where(is_nearest[vertex], code[vertex], no_code)
    waiting &= index != vertex
    return (waiting, *_nearer(vertex, nearest, code)), (length, edge)

  def _nearer(vertex, nearest, code):
    lower, upper = jnp.minimum(index, vertex), jnp.maximum(index, vertex)
    offered = (lower * vertices + upper).astype(jnp.int32)
    row = distances[vertex]
    is_nearer = (row < nearest) | ((row == nearest) & (offered < code))
    return jnp.where(is_nearer, row, nearest), jnp.where(
      is_nearer, offered, code
    )

  first = jnp.argmax(mask)
  nothing = jnp.full(vertices, jnp.inf, distances.dtype)
  codes = jnp.full(vertices, no_code)
  start = (mask & (index != first), *_nearer(first, nothing, codes))
  _, (deaths, edges) = jax.lax.scan(reach, start, length=vertices - 1)
  deaths, edges = jax.lax.sort((deaths, edges), num_keys=2)
  pairs = jnp.stack([edges // vertices, edges % vertices], axis=1)
  is_merge = jnp.isfinite(deaths)[:, None]
  return PersistencePairs(deaths, jnp.where(is_merge, pairs, -1))


def connected_components(
  distances: Float[Array | np.ndarray, "vertices vertices"],
  mask: Bool[Array | np.ndarray, " vertices"],
  max_edge_length: Float[Array | np.ndarray, ""] | np.floating | float | int,
) -> Int32[Array, " vertices"]:
  """Labels the connected components of the Rips complex at one scale.

  Two vertices are connected when a path of edges with length
  `<= max_edge_length` joins them. Values are checked where they are known,
  which they are not under `jit` and `vmap`.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.
    max_edge_length: the scale, in the unit of `distances`, inclusive; +inf
      connects all real vertices.

  Returns:
    For each vertex the lowest vertex of its component, -1 where masked out.

  Raises:
    ValueError: distances of real vertices are not finite, symmetric, at least 0
      and 0 on the diagonal, or `max_edge_length` is negative or NaN.

  References:
    S3 (arXiv 2412.04925) keeps a component of the Rips complex; labels and the
    inclusive scale are ours.
  """
  validation.check_distances(distances, mask)
  validation.check_scale(max_edge_length)
  distances, mask = jnp.asarray(distances), jnp.asarray(mask)
  return _jitted_labels(
    prim_order(distances, mask), mask, jnp.asarray(max_edge_length)
  )
