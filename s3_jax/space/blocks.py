"""Work over all classes with a stated amount of memory."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

_Tree = TypeVar("_Tree")


def map_classes(
  function: Callable[..., _Tree], arrays: tuple[Array, ...], *, block: int
) -> _Tree:
  """Maps a function over the class axis, and writes results in place.

  `block` classes are worked on at a time. The last block starts early rather
  than being padded, so that no array is copied and the function is compiled
  once; what it computes twice is the same.

  Args:
    function: the arrays of one class -> arrays.
    arrays: with a leading class axis.
    block: classes at a time, at least 1.

  Returns:
    The function's results, with a leading class axis.

  References:
    Ours.
  """
  classes = arrays[0].shape[0]
  mapped = jax.vmap(function)
  shapes = jax.eval_shape(mapped, *arrays)
  # A zero that depends on an array, as the loop's result does: under
  # shard_map a constant would have another type.
  zero = jnp.sum(arrays[0][:0])
  results = jax.tree.map(
    lambda x: jnp.full(x.shape, zero.astype(x.dtype)), shapes
  )
  if classes == 0:
    return results
  size = min(block, classes)

  def map_block(index, results):
    start = jnp.minimum(index * size, classes - size)
    part = mapped(
      *(jax.lax.dynamic_slice_in_dim(x, start, size) for x in arrays)
    )
    return jax.tree.map(
      lambda whole, rows: jax.lax.dynamic_update_slice_in_dim(
        whole, rows, start, 0
      ),
      results,
      part,
    )

  return jax.lax.fori_loop(0, -(-classes // size), map_block, results)


def block_size(entries: int) -> int:
  """Returns how many classes to work on at a time.

  Args:
    entries: of the largest array that one class needs.

  Returns:
    At most 50, as more are no faster on a CPU, and at least 1; between these,
    as many as keep the array of a block within 2^20 entries.

  References:
    Ours.
  """
  return max(1, min(50, 2**20 // max(entries, 1)))


def finite_padding(
  embeddings: Float[Array | np.ndarray, "classes synonyms dim"],
  mask: Bool[Array | np.ndarray, "classes synonyms"],
) -> Float[Array, "classes synonyms dim"]:
  """Makes sure that 0 times padding is 0, without a copy where it is."""
  points = embeddings
  if not isinstance(points, jax.Array):
    points = jnp.asarray(points)
  points = points.astype(jnp.float32)
  if isinstance(points, Tracer) or isinstance(mask, Tracer):
    # Under jit a copy of all points would cost as much as the whole space.
    return points
  real = np.asarray(mask)
  if real.all() or np.isfinite(np.asarray(points)[~real]).all():
    return points
  return jnp.where(jnp.asarray(mask)[:, :, None], points, 0.0)
