"""Applies a metric's formula to every embedding and class, block by block.

Memory, beside the inputs and two copies of the result: a class block times a
chunk of the batch holds at most 2^20 numbers (4 MiB) in one array, and a
formula keeps fewer than eight such arrays alive. This bound depends neither on
the number of classes nor on the batch, so 21,000 classes of 64 texts need no
more than 20 do. The points themselves are read where they lie.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from s3_jax.embeddings import MIN_SQUARED_MEAN, has_direction, unit_or_nan
from s3_jax.space import SynonymousSpace

_BLOCK = 10
"""Classes at a time: with 32 texts and 1024 images they fit a core's cache."""

_MAX_NUMBERS = 1 << 20
"""Numbers in the largest array of a block, unless one image needs more."""


class Projection(NamedTuple):
  """The nearest points of a set of every class to embeddings.

  Attributes:
    squared_distance: squared distance to the nearest point, +inf for a class
      without vertices.
    score: cosine of the embedding and the nearest point, -1 for a class
      without vertices or where the nearest point has norm below 1e-3.
    residual: how much the nearest point misses optimality, at least 0: the
      duality gap `max_i <x - p, z_i - p>` over the vertices `z_i` that `p` may
      be made of. The squared distance exceeds the least possible by at most
      twice the residual. float32 reaches about 1e-6, and 1e-3 where a vertex of
      a hull was too close to the affine hull of others to join them.
  """

  squared_distance: Float[Array, "*batch classes"]
  score: Float[Array, "*batch classes"]
  residual: Float[Array, "*batch classes"]


# What a class without vertices gets: numbers, which broadcast as arrays do.
FAR: Any = Projection(np.inf, -1.0, 0.0)  # pyright: ignore


class Block(NamedTuple):
  """What a formula sees of a block of classes.

  Attributes:
    gram: Gram matrices of the texts.
    mask: which of them are vertices.
    max_edge_length: scale of each class.
    simplices: the complexes' simplices padded with -1, or None.
  """

  gram: Float[Array, "block synonyms synonyms"]
  mask: Bool[Array, "block synonyms"]
  max_edge_length: Float[Array, " block"]
  simplices: Int32[Array, "block simplices vertices"] | None


def score_blocks(
  embeddings: Float[Array | np.ndarray, "*batch dim"],
  space: SynonymousSpace,
  formula: Callable[..., Callable[..., Any]],
  *,
  options: tuple[int | None, ...] = (),
  parameters: tuple[Float[Array, ""], ...] = (),
  empty: Any = -1.0,
  quadratic: bool = False,
  directions: bool = True,
) -> Any:
  """Computes a formula for every embedding and class.

  `formula(block, *options, *parameters)` is called once for a block of classes
  and prepares what does not depend on the embeddings. It returns a function of
  the similarities `f32[block, synonyms, batch]` and of the embeddings' squared
  norms `f32[batch]` that gives one or several arrays `f32[block, batch]`,
  finite for a class without vertices.

  Args:
    embeddings: vectors of any length but zero; their directions are scored.
    space: spaces of the classes.
    formula: the metric; a function of a module, so that it compiles once.
    options: arguments that select code, hashable.
    parameters: arguments that are data.
    empty: what a class without vertices gets, of the structure of the result.
    quadratic: whether the formula holds `synonyms^2` numbers for each pair of
      embedding and class, rather than `synonyms`.
    directions: whether embeddings are scaled to unit length first; projections
      are of points wherever they lie.

  Returns:
    The formula's arrays as `f32[*batch, classes]`; NaN for an embedding that
    is zero or not finite, under `jit`.

  Raises:
    ValueError: `embeddings` and `space` disagree on dim, or an embedding is
      zero or not finite, where values are known.

  References:
    Ours.
  """
  embeddings = jnp.asarray(embeddings, jnp.float32)
  dim = embeddings.shape[-1]
  if dim != space.points.shape[-1]:
    raise ValueError(
      "`embeddings` and `space` must agree on dim, got "
      f"{dim} and {space.points.shape[-1]}; "
      "embed both with the same checkpoint."
    )
  is_known = (
    has_direction(embeddings)
    if directions
    else jnp.ones(embeddings.shape[:-1], bool)
  )
  batch = embeddings.shape[:-1]
  flat = embeddings.reshape((-1, dim))
  classes, synonyms = space.mask.shape
  if classes == 0 or synonyms == 0 or flat.shape[0] == 0:
    shape = (*batch, classes)
    return jax.tree.map(
      lambda value: jnp.full(shape, value, jnp.float32), empty
    )
  block_size = min(_BLOCK, classes)
  numbers = block_size * synonyms * (synonyms if quadratic else 1)
  chunk = max(1, _MAX_NUMBERS // numbers)
  simplices = None if space.simplices is None else space.simplices.simplices
  result = _score_blocks(
    flat,
    space.points,
    Block(space.gram, space.mask, space.max_edge_length, simplices),
    parameters,
    formula=formula,
    options=options,
    empty=empty,
    block_size=block_size,
    chunks=-(-flat.shape[0] // chunk),
    directions=directions,
  )
  # No class may win an image of which nothing is known.
  return jax.tree.map(
    lambda x: jnp.where(
      is_known[..., None], x.reshape((*batch, classes)), jnp.nan
    ),
    result,
  )


@functools.partial(
  jax.jit,
  static_argnames=(
    "formula",
    "options",
    "empty",
    "block_size",
    "chunks",
    "directions",
  ),
)
def _score_blocks(
  embeddings, points, arrays, parameters, *, formula, options, empty, **sizes
):
  """Streams over blocks of classes and, within, over chunks of the batch.

  The last block starts early rather than being padded, so that the points are
  never copied and the formula is compiled once.
  """
  block_size, chunks = sizes["block_size"], sizes["chunks"]
  classes, batch = points.shape[0], embeddings.shape[0]
  blocks = -(-classes // block_size)
  # A chunk takes every `chunks`-th embedding: where the batch is shared out
  # over devices each of them holds a part of every chunk.
  rows = jnp.pad(embeddings, ((0, -batch % chunks), (0, 0)))
  rows = rows.reshape((-1, chunks, embeddings.shape[1]))

  def score_block(start):
    z, block = jax.tree.map(
      lambda x: jax.lax.dynamic_slice_in_dim(x, start, block_size),
      (points, arrays),
    )
    score = formula(block, *options, *parameters)
    has_vertex = jnp.any(block.mask, axis=1, keepdims=True)

    def score_chunk(x):
      # Here, as a copy of all embeddings would be as large as they are.
      x = unit_or_nan(x) if sizes["directions"] else x
      similarities = jnp.einsum(
        "cmd,bd->cmb", z, x, precision=jax.lax.Precision.HIGHEST
      )
      result = score(similarities, jnp.sum(jnp.square(x), axis=1))
      return jax.tree.map(
        lambda r, value: jnp.where(has_vertex, r, value), result, empty
      )

    if chunks == 1:
      return score_chunk(rows[:, 0])
    result = jax.lax.map(score_chunk, jnp.swapaxes(rows, 0, 1))
    return jax.tree.map(
      lambda r: r.transpose(1, 2, 0).reshape((block_size, -1))[:, :batch],
      result,
    )

  starts = jnp.minimum(jnp.arange(blocks) * block_size, classes - block_size)

  def join(scores):
    whole = scores[:-1].reshape((-1, batch))
    rest = scores[-1, blocks * block_size - classes :]
    return jnp.concatenate([whole, rest]).T

  return jax.tree.map(join, jax.lax.map(score_block, starts))


def cosine(
  total: Float[Array, "block batch"],
  squared: Float[Array, "block _"],
  weight: Float[Array, "block _"],
) -> Float[Array, "block batch"]:
  """Cosine to a sum of vertices; -1 where their mean has no direction.

  Args:
    total: inner products of the embeddings with the sum.
    squared: squared norms of the sum.
    weight: sums of the weights, above 0.

  Returns:
    Scores in [-1, 1].
  """
  degenerate = squared < MIN_SQUARED_MEAN * jnp.square(weight)
  norm = jnp.sqrt(jnp.where(degenerate, 1.0, squared))
  return jnp.where(degenerate, -1.0, jnp.clip(total / norm, -1.0, 1.0))


def whole_number(name: str, value: Any) -> int:
  """Reads an option that must be a whole number of at least 1.

  Args:
    name: of the option, for the message.
    value: as the caller gave it.

  Returns:
    The number.

  Raises:
    ValueError: it is anything else.
  """
  is_whole = isinstance(value, int | np.integer)
  if not is_whole or isinstance(value, bool) or value < 1:
    raise ValueError(f"`{name}` must be a whole number >= 1, got {value!r}.")
  return int(value)
