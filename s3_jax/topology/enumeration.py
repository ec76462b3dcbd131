"""Vietoris-Rips complexes on the host: numpy, all clouds of a batch at once.

For complexes that are built once. Every step handles one dimension of all
clouds of a block, so that the loops of Python are over blocks and dimensions.
Sets of vertices are rows of bits, packed to bytes.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64, UInt64

from s3_jax.topology import validation
from s3_jax.topology.rips import RipsComplex

_BLOCK = 2**17
"""Pairs of vertices at a time, which keeps a block's arrays in cache."""

_SMALLEST_CAPACITY = 8


class _Level(NamedTuple):
  """Simplices of one dimension, by cloud and then lexicographically.

  Attributes:
    simplices: vertices, ascending.
    diameters: longest edges.
    larger: which vertices extend the simplex, as packed bits: those larger
      than all of its vertices and near to each.
    kept: number of simplices of each cloud that are listed here.
    total: number of simplices of each cloud, those beyond the limit included.
  """

  simplices: Int32[np.ndarray, "rows columns"]
  diameters: Float32[np.ndarray, " rows"]
  larger: UInt64[np.ndarray, "rows words"]
  kept: Int64[np.ndarray, " clouds"]
  total: Int64[np.ndarray, " clouds"]


def enumerate_rips(
  distances: Float[Array | np.ndarray, "*batch vertices vertices"],
  mask: Bool[Array | np.ndarray, "*batch vertices"],
  max_edge_length: Float[Array | np.ndarray, "..."] | np.floating | float | int,
  *,
  max_dimension: int,
  max_simplices: int | None = None,
) -> RipsComplex:
  """Lists the simplices of Vietoris-Rips complexes on the host.

  The same complexes as those of `rips_complex`, to the bit, of one cloud or of
  a batch of clouds; on a CPU many times faster, but not under `jit`.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.
    max_edge_length: the scale, in the unit of `distances`, inclusive; one
      number, or one for each cloud.
    max_dimension: highest dimension of a simplex, at least 0.
    max_simplices: number of simplices stored for each cloud; None takes
      `simplex_capacity`, which leaves none out.

  Returns:
    The complexes, with the leading axes of `mask`.

  Raises:
    ValueError: an argument is traced, distances are not finite, symmetric, at
      least 0 and 0 on the diagonal, the scale is negative or NaN, a size is out
      of range, or a cloud has more simplices than memory should hold.

  References:
    S3 (arXiv 2412.04925) builds a Vietoris-Rips complex; incremental expansion
    is Zomorodian's; this order and form are ours.
  """
  clouds = _read_clouds(distances, mask, max_edge_length)
  count, vertices = clouds[1].shape
  validation.check_sizes(vertices, max_dimension, max_simplices)
  columns = int(max_dimension) + 1
  if max_simplices is not None:
    _check_result(count, max_simplices, columns)
  blocks = list(_enumerate(*clouds, columns - 1, max_simplices))
  capacity = max_simplices
  if capacity is None:
    capacity = _round_up(max(map(_largest, blocks), default=0))
    _check_result(count, capacity, columns)
  simplices = np.empty((count, capacity, columns), np.int32)
  diameters = np.empty((count, capacity), np.float32)
  stored = np.zeros(count, np.int32)
  overflow = np.zeros(count, bool)
  for block, levels in blocks:
    _store(levels, simplices[block], diameters[block])
    for level in levels:
      stored[block] += level.kept
      overflow[block] |= level.total > level.kept
  fields = simplices, diameters, stored, overflow
  return RipsComplex(
    *(
      jax.device_put(x.reshape((*mask.shape[:-1], *x.shape[1:])))
      for x in fields
    )
  )


def _check_result(clouds, max_simplices, columns):
  if clouds * max_simplices * columns > validation.MAX_ELEMENTS:
    raise ValueError(
      "`max_simplices` times clouds times `max_dimension` + 1 must be at most "
      f"{validation.MAX_ELEMENTS}, got {max_simplices}, {clouds} and {columns};"
      " pass fewer clouds at a time."
    )


def _store(levels, simplices, diameters):
  """Writes the levels of a block into padded arrays, cloud by cloud."""
  starts = [(np.cumsum(x.kept) - x.kept).tolist() for x in levels]
  kept = [level.kept.tolist() for level in levels]
  for cloud in range(len(simplices)):
    end = 0
    for index, level in enumerate(levels):
      size, first = kept[index][cloud], starts[index][cloud]
      rows = slice(end, end + size)
      source = slice(first, first + size)
      simplices[cloud, rows, : index + 1] = level.simplices[source]
      simplices[cloud, rows, index + 1 :] = -1
      diameters[cloud, rows] = level.diameters[source]
      end += size
    simplices[cloud, end:] = -1
    diameters[cloud, end:] = np.inf


def simplex_capacity(
  distances: Float[Array | np.ndarray, "*batch vertices vertices"],
  mask: Bool[Array | np.ndarray, "*batch vertices"],
  max_edge_length: Float[Array | np.ndarray, "..."] | np.floating | float | int,
  *,
  max_dimension: int,
) -> int:
  """Picks the smallest round `max_simplices` that leaves no simplex out.

  Counts the simplices of each cloud on the host and rounds the largest count
  up to 4, 5, 6 or 7 times a power of two, 8 at least: at most a quarter is
  padding, and `rips_complex` is not compiled anew for every set of clouds.

  Args:
    distances: symmetric distances, zero on the diagonal.
    mask: which vertices are real.
    max_edge_length: the scale, inclusive; one number, or one for each cloud.
    max_dimension: highest dimension of a simplex, at least 0.

  Returns:
    The number of simplices to store for each cloud.

  Raises:
    ValueError: as `enumerate_rips`.

  References:
    Ours.
  """
  clouds = _read_clouds(distances, mask, max_edge_length)
  validation.check_sizes(clouds[1].shape[1], max_dimension)
  blocks = _enumerate(*clouds, int(max_dimension), None)
  return _round_up(max(map(_largest, blocks), default=0))


def _largest(block):
  """Counts the simplices of the largest complex of a block."""
  _, levels = block
  return int(np.max(sum(level.total for level in levels)))


def _round_up(count):
  count = max(count, _SMALLEST_CAPACITY)
  step = 2 ** (count.bit_length() - 3)
  return -(-count // step) * step


def _read_clouds(distances, mask, max_edge_length):
  """Checks the arguments and gives them one axis of clouds, as float32."""
  if any(isinstance(x, Tracer) for x in (distances, mask, max_edge_length)):
    raise ValueError(
      "`distances`, `mask` and `max_edge_length` must be known on the host, "
      "got a traced array; use `rips_complex` under jit and vmap."
    )
  validation.check_distances(distances, mask)
  validation.check_scale(max_edge_length)
  batch, vertices = mask.shape[:-1], mask.shape[-1]
  scale = np.asarray(max_edge_length, np.float32)
  if scale.shape not in ((), batch):
    raise ValueError(
      "`max_edge_length` must be one number or one for each cloud, "
      f"{list(batch)}, got shape {list(scale.shape)}."
    )
  clouds = math.prod(batch)
  flush = validation.flush
  return (
    flush(np.asarray(distances, np.float32), xp=np).reshape(
      (clouds, vertices, vertices)
    ),
    np.asarray(mask).reshape((clouds, vertices)),
    flush(np.broadcast_to(scale, batch), xp=np).reshape(clouds),
  )


def _enumerate(
  distances: Float32[np.ndarray, "clouds vertices vertices"],
  mask: Bool[np.ndarray, "clouds vertices"],
  scale: Float32[np.ndarray, " clouds"],
  max_dimension: int,
  limit: int | None,
) -> Iterator[tuple[slice, list[_Level]]]:
  """Yields blocks of clouds, and their levels of dimension 0, 1, and so on."""
  clouds, vertices = mask.shape
  step = max(1, _BLOCK // max(vertices, 1) ** 2)
  larger = np.triu(np.ones((vertices, vertices), bool), 1)
  for start in range(0, clouds, step):
    block = slice(start, min(start + step, clouds))
    lengths, real = distances[block], mask[block]
    near = lengths <= scale[block, None, None]
    near &= larger
    near &= real[:, :, None]
    near &= real[:, None, :]
    neighbors = _pack(near.reshape((real.size, vertices)))
    # One empty simplex for each cloud, which every real vertex extends.
    nothing = np.zeros(len(real), np.int64)
    level = _Level(
      np.zeros((len(real), 0), np.int32),
      np.zeros(len(real), np.float32),
      _pack(real),
      nothing + 1,
      nothing,
    )
    levels, left = [], None if limit is None else nothing + limit
    for dimension in range(min(max_dimension + 1, vertices)):
      is_last = dimension == max_dimension
      level = _extend(level, lengths, neighbors, left, is_last=is_last)
      left = None if left is None else left - level.kept
      levels.append(level)
    yield block, levels


def _pack(
  bits: Bool[np.ndarray, "rows vertices"],
) -> UInt64[np.ndarray, "rows words"]:
  """Packs sets of vertices into words of 64 bits."""
  rows, vertices = bits.shape
  packed = np.zeros((rows, -(-vertices // 64) * 8), np.uint8)
  packed[:, : -(-vertices // 8)] = np.packbits(bits, axis=1, bitorder="little")
  return packed.view(np.uint64)


def _extend(level, lengths, neighbors, left, *, is_last):
  """Extends every simplex by each vertex that may follow its last one."""
  clouds, vertices, _ = lengths.shape
  if left is None:
    _check_memory(level)
  bits = np.unpackbits(
    level.larger.view(np.uint8), axis=1, count=vertices, bitorder="little"
  )
  found = np.flatnonzero(bits.view(bool))
  # The children of a cloud end where those of its last row do.
  ends = np.searchsorted(found, np.cumsum(level.kept) * vertices)
  total = kept = np.diff(ends, prepend=0)
  if left is not None and (total > left).any():
    kept = np.minimum(total, left)
    index = np.arange(len(found)) - np.repeat(ends - total, total)
    found = found[index < np.repeat(left, total)]
  parent = found // vertices
  vertex = found - parent * vertices
  columns = level.simplices.shape[1]
  simplices = np.empty((len(found), columns + 1), np.int32)
  simplices[:, columns] = vertex
  diameters = level.diameters.take(parent)
  first = np.repeat(np.arange(clouds) * vertices, level.kept)
  for column in range(columns):
    before = level.simplices[:, column]
    simplices[:, column] = before.take(parent)
    edge = ((first + before) * vertices).take(parent)
    edge += vertex
    np.maximum(diameters, lengths.take(edge), out=diameters)
  larger = level.larger[:0]
  if not is_last:
    larger = level.larger.take(parent, axis=0)
    larger &= neighbors.take(first.take(parent) + vertex, axis=0)
  return _Level(simplices, diameters, larger, kept, total)


def _check_memory(level):
  """Refuses a cloud with too many simplices before they are listed."""
  rows, columns = level.simplices.shape
  most = validation.MAX_SIMPLICES
  if rows * level.larger.shape[1] * 64 <= most:
    return
  children = np.bitwise_count(level.larger).sum(axis=1, dtype=np.int64)
  before = np.concatenate([[0], np.cumsum(children)])
  ends = np.cumsum(level.kept)
  total = np.max(before[ends] - before[ends - level.kept])
  if total > most:
    raise ValueError(
      f"A cloud must have at most {most} simplices of one dimension, got "
      f"{total} of dimension {columns}; lower `max_edge_length` or "
      "`max_dimension`, or set `max_simplices`."
    )
