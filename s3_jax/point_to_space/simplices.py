"""The simplices of a block of complexes, and the search for the best one."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from s3_jax.point_to_space.streaming import Block

_UNROLL = 8
"""Simplices considered in one step, which keeps the best in registers."""


class Simplices(NamedTuple):
  """Candidates of a block: first all vertices, then the complex's simplices.

  Attributes:
    vertices: vertex indices, 0 where a simplex has fewer.
    is_vertex: where `vertices` is real.
    gram: Gram matrices of the simplices' vertices, 0 where not real.
    is_valid: whether the row holds a simplex of the core.
  """

  vertices: Int32[Array, "block rows vertices"]
  is_vertex: Bool[Array, "block rows vertices"]
  gram: Float[Array, "block rows vertices vertices"]
  is_valid: Bool[Array, "block rows"]


def read_simplices(block: Block) -> Simplices:
  """Lists the candidates of a block of classes that have complexes.

  Args:
    block: the classes.

  Returns:
    A row for each text, then one for each row of the complexes.

  References:
    Ours.
  """
  assert block.simplices is not None
  classes, synonyms = block.mask.shape
  width = block.simplices.shape[2]
  singles = jnp.arange(synonyms, dtype=jnp.int32)[:, None]
  singles = jnp.pad(singles, ((0, 0), (0, width - 1)), constant_values=-1)
  singles = jnp.broadcast_to(singles[None], (classes, synonyms, width))
  rows = jnp.concatenate([singles, block.simplices], axis=1)
  is_vertex = rows >= 0
  vertices = jnp.maximum(rows, 0)
  in_core = jax.vmap(lambda mask, v: mask[v])(block.mask, vertices)
  gram = jax.vmap(lambda g, v: g[v[:, :, None], v[:, None, :]])(
    block.gram, vertices
  )
  is_pair = is_vertex[..., :, None] & is_vertex[..., None, :]
  return Simplices(
    vertices,
    is_vertex,
    jnp.where(is_pair, gram, 0.0),
    is_vertex[..., 0] & jnp.all(in_core | ~is_vertex, axis=2),
  )


# A table holds for every row of `Simplices` a few numbers, made of the Gram
# matrix once for all embeddings: [block, rows, numbers]. A `measure` takes the
# similarities of a row's vertices and its numbers, two lists of arrays that
# broadcast. A simplex of fewer vertices needs the first ones of each list only,
# as a row's numbers go from vertex to vertex.


def best_row(similarities, simplices, table, measure, sizes):
  """Index [block, batch] of the first row for which `measure` is least.

  The classes of the block pass one after another: a row's similarities are then
  slices that need no copy, and no class waits for one with more simplices.

  Args:
    similarities: of the block.
    simplices: candidates.
    table: their numbers.
    measure: what is least for the best; its first number is a summand.
    sizes: how many numbers a row of 1, 2, ... vertices needs.

  Returns:
    The index into the candidates.
  """
  similarities, table = jax.lax.stop_gradient((similarities, table))
  lengths = jnp.sum(simplices.is_vertex, axis=2) * simplices.is_valid
  # The complex lists the vertices once more, after the rows that all have.
  is_repeated = jnp.arange(lengths.shape[1])[None, :] >= similarities.shape[1]
  lengths = jnp.where(is_repeated & (lengths == 1), 0, lengths)
  # Rows come by length, so each length has its range of steps, which shares
  # at most one step with the next; a complex made by hand may have any order.
  width = simplices.vertices.shape[2]
  is_length = lengths[:, :, None] == jnp.arange(1, width + 1)[None, None]
  indices = jnp.arange(lengths.shape[1])[None, :, None]
  starts = jnp.min(jnp.where(is_length, indices, lengths.shape[1]), axis=1)
  stops = jnp.max(jnp.where(is_length, indices, -_UNROLL), axis=1)
  starts, stops = starts // _UNROLL, stops // _UNROLL + 1
  rest = -table.shape[1] % _UNROLL
  rows = tuple(
    jnp.pad(x, ((0, 0), (0, rest)) + ((0, 0),) * (x.ndim - 2))
    for x in (simplices.vertices, table, lengths)
  )

  def search(arrays):
    similarities, starts, stops, *rows = arrays

    def consider(step, best, length):
      v, numbers, n = (
        jax.lax.dynamic_slice_in_dim(x, step * _UNROLL, _UNROLL) for x in rows
      )
      first = jnp.where(n == length, numbers[:, 0], jnp.inf)
      least, index = jnp.real(best), jnp.imag(best)
      for k in range(_UNROLL):
        chosen = [
          jax.lax.dynamic_index_in_dim(similarities, v[k, i], keepdims=False)
          for i in range(length)
        ]
        others = [numbers[k, i] for i in range(1, sizes[length - 1])]
        value = measure(chosen, [first[k], *others])
        index = jnp.where(value < least, step * _UNROLL + k, index)
        least = jnp.minimum(value, least)
      return jax.lax.complex(least, index)

    # The least value and its row travel as one complex number: XLA makes a
    # kernel for each array that a loop carries, and each would measure anew.
    best = jnp.full_like(similarities[0], jnp.inf)
    best = jax.lax.complex(best, jnp.zeros_like(best))
    for length in range(1, width + 1):
      best = jax.lax.fori_loop(
        starts[length - 1],
        stops[length - 1],
        functools.partial(consider, length=length),
        best,
      )
    return jnp.imag(best).astype(jnp.int32)

  return jax.lax.map(search, (similarities, starts, stops, *rows))


def take_row(similarities, simplices, table, index):
  """Similarities and numbers of one row a class and image, for a `measure`.

  Args:
    similarities: of the block, f32[block, synonyms, batch].
    simplices: candidates.
    table: their numbers, f32[block, rows, numbers].
    index: the rows, i32[block, batch].

  Returns:
    A list of similarities, one for each vertex, and a list of numbers, all
    f32[block, batch].

  References:
    Ours.
  """

  def pick(columns):
    return [
      jnp.take_along_axis(column, index, axis=1)
      for column in jnp.moveaxis(columns, 2, 0)
    ]

  chosen = [
    jnp.take_along_axis(similarities, v[:, None, :], axis=1)[:, 0]
    for v in pick(simplices.vertices)
  ]
  # Without the barrier XLA gathers again wherever a number is used.
  return jax.lax.optimization_barrier((chosen, pick(table)))
