"""Shifted spaces in Gram form: scores and gradients without shifted points.

The vertices `z_i` of a class become `(z_i + d) / n_i`, `n_i = |z_i + d|`. With
the similarities `s_i = <x, z_i>` and the Gram matrix `G` of the class as it
was, and the shift's products `<x, d>`, `<z_i, d>` and `<d, d>`,

    n_i^2              = G_ii + 2 <z_i, d> + <d, d>
    <x, z_i + d>       = s_i + <x, d>
    <z_i + d, z_j + d> = G_ij + <z_i, d> + <z_j, d> + <d, d>

so a metric's score is a function of `s`, `G` and those products. Its gradient
with respect to `d` is a combination of the views, the vertices and `d` itself,
with the derivatives by the products as coefficients.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from s3_jax.adaptation.formulas import Metric
from s3_jax.point_to_space.streaming import Block
from s3_jax.space import SynonymousSpace
from s3_jax.space.blocks import map_classes

_HIGHEST = jax.lax.Precision.HIGHEST

_BLOCK = 10
"""Classes at a time: more are slower on a CPU, as in the metrics."""

_MAX_NUMBERS = 1 << 20
"""Numbers in the largest array of a block, unless one class needs more."""

MIN_SQUARED_NORM = 1e-12
"""Floor of the squared norm of a shifted vertex, a numerical guard only."""


class Products(NamedTuple):
  """Inner products of the shift of one class or, with a class axis, of all.

  Attributes:
    views: with each view.
    vertices: with each text.
    itself: with itself.
  """

  views: Float[Array, "*classes views"]
  vertices: Float[Array, "*classes synonyms"]
  itself: Float[Array, "*classes"]


def unshifted_scores(
  views: Float[Array, "views dim"], space: SynonymousSpace, metric: Metric
) -> Float[Array, "views classes"]:
  """Scores views against the spaces as they are; -1 without vertices.

  What the metric itself gives, but in the precision of the arguments.
  """
  classes = space.mask.shape[0]
  size = min(_block_size(space, views.shape[0], metric), classes)
  blocks = -(-classes // size)
  norms = jnp.sum(jnp.square(views), axis=1)

  # Not `map_classes`: a metric's formula takes a shorter way for a whole block
  # where no class has a tie, which mapping over classes would not let it.
  def score_block(start):
    z, block = jax.tree.map(
      lambda x: jax.lax.dynamic_slice_in_dim(x, start, size),
      (space.points, _block_of(space)),
    )
    similarities = jnp.einsum("cmd,bd->cmb", z, views, precision=_HIGHEST)
    score = metric.prepare(block)
    has_vertex = jnp.any(block.mask, axis=1, keepdims=True)
    return jnp.where(has_vertex, score(similarities, norms), -1.0)

  # The last block starts early rather than being padded: no copy of points.
  starts = jnp.minimum(jnp.arange(blocks) * size, classes - size)
  scores = jax.lax.map(score_block, starts)
  whole = scores[:-1].reshape((-1, views.shape[0]))
  rest = scores[-1, blocks * size - classes :]
  return jnp.concatenate([whole, rest]).T


def shifted_scores(
  views: Float[Array, "views dim"],
  space: SynonymousSpace,
  shift: Float[Array, "groups dim"],
  metric: Metric,
  *,
  images: int,
) -> Float[Array, "views classes"]:
  """Scores views against shifted spaces; -1 for a class without vertices.

  `images` says over how many `jax.vmap` maps this, for the size of the blocks.
  """
  products = inner_products(views, space.points, shift)
  return _map_shifted(
    _class_scores, views, space, products, metric, images=images
  ).T


def shift_gradient(
  slopes: Float[Array, "views classes"],
  views: Float[Array, "views dim"],
  space: SynonymousSpace,
  shift: Float[Array, "groups dim"],
  metric: Metric,
  *,
  images: int,
  is_zero: bool,
) -> Float[Array, "groups dim"]:
  """Gradient by the shift, from `slopes`, the derivatives by the scores.

  `is_zero` says that the shift is known to be zero, as before the first step.
  """

  def pull(products, *arguments):
    products, slopes = products
    _, pullback = jax.vjp(lambda p: _class_scores(p, *arguments), products)
    return pullback(slopes)[0]

  if is_zero:
    products = Products(
      jnp.zeros_like(slopes.T),
      jnp.zeros_like(space.gram[:, 0]),
      jnp.zeros_like(space.max_edge_length),
    )
  else:
    products = inner_products(views, space.points, shift)
  by = _map_shifted(
    pull, views, space, (products, slopes.T), metric, images=images
  )
  of_views = jnp.matmul(by.views, views, precision=_HIGHEST)
  if _is_shared(shift, space.points):
    of_vertices = jnp.einsum(
      "cm,cmd->d", by.vertices, space.points, precision=_HIGHEST
    )
    of_itself = jnp.sum(by.itself) * shift
    return jnp.sum(of_views, axis=0)[None] + of_vertices[None] + 2 * of_itself
  of_vertices = jnp.einsum(
    "cm,cmd->cd", by.vertices, space.points, precision=_HIGHEST
  )
  return of_views + of_vertices + 2 * by.itself[:, None] * shift


def shifted_space(
  space: SynonymousSpace, shift: Float[Array, "groups dim"]
) -> SynonymousSpace:
  """Shifts the vertices of every class to `(z_i + d) / |z_i + d|`.

  Texts outside the core and entries of `gram` with them are as they were, as
  are the core, the complex, the scales and the deaths.

  References:
    TPS (arXiv 2403.12952) for one vertex; for spaces ours, after TS3.
  """
  products = inner_products(shift[:1], space.points, shift)
  gram, scale = jax.vmap(_shifted_gram)(
    space.gram, space.mask, products.vertices, products.itself
  )
  moved = (space.points + shift[:, None, :]) * scale[:, :, None]
  points = jnp.where(space.mask[:, :, None], moved, space.points)
  return space._replace(points=points, gram=gram)


def inner_products(
  views: Float[Array, "views dim"],
  points: Float[Array, "classes synonyms dim"],
  shift: Float[Array, "groups dim"],
) -> Products:
  """Multiplies a shift with views, texts and itself, for every class."""
  classes = points.shape[0]
  of_views = jnp.einsum("gd,bd->gb", shift, views, precision=_HIGHEST)
  itself = jnp.sum(jnp.square(shift), axis=1)
  if _is_shared(shift, points):
    inner = jnp.einsum("cmd,d->cm", points, shift[0], precision=_HIGHEST)
  else:
    inner = jnp.einsum("cmd,cd->cm", points, shift, precision=_HIGHEST)
  return Products(
    jnp.broadcast_to(of_views, (classes, views.shape[0])),
    inner,
    jnp.broadcast_to(itself, (classes,)),
  )


def _is_shared(shift, points):
  """Whether one shift is that of several classes."""
  return shift.shape[0] != points.shape[0]


def _shifted_gram(
  gram: Float[Array, "synonyms synonyms"],
  mask: Bool[Array, " synonyms"],
  vertices: Float[Array, " synonyms"],
  itself: Float[Array, ""],
) -> tuple[Float[Array, "synonyms synonyms"], Float[Array, " synonyms"]]:
  """Gram matrix of a class's shifted vertices, and their `1 / |z_i + d|`."""
  squared = jnp.diagonal(gram) + 2 * vertices + itself
  squared = jnp.where(mask, squared, 1.0)
  scale = jax.lax.rsqrt(jnp.maximum(squared, MIN_SQUARED_NORM))
  moved = gram + vertices[:, None] + vertices[None, :] + itself
  moved = moved * scale[:, None] * scale[None, :]
  return jnp.where(mask[:, None] & mask[None, :], moved, gram), scale


def _class_scores(products, similarities, norms, block, metric):
  """Scores f32[views] of one shifted class; its arrays have no class axis."""
  gram, scale = _shifted_gram(
    block.gram, block.mask, products.vertices, products.itself
  )
  moved = (similarities + products.views[None, :]) * scale[:, None]
  block = jax.tree.map(lambda x: x[None], block._replace(gram=gram))
  score = metric.prepare(block)
  return jnp.where(jnp.any(block.mask), score(moved[None], norms)[0], -1.0)


def _map_shifted(
  function: Callable[..., Any], views, space, arrays, metric, *, images
):
  """Maps a function with the arguments of `_class_scores` over the classes."""
  norms = jnp.sum(jnp.square(views), axis=1)
  leaves, tree = jax.tree.flatten((_block_of(space), arrays))

  def of_class(points, *leaves):
    block, arrays = jax.tree.unflatten(tree, leaves)
    similarities = jnp.einsum("md,bd->mb", points, views, precision=_HIGHEST)
    return function(arrays, similarities, norms, block, metric)

  block = _block_size(space, images * views.shape[0], metric, images)
  return map_classes(of_class, (space.points, *leaves), block=block)


def _block_of(space):
  simplices = None if space.simplices is None else space.simplices.simplices
  return Block(space.gram, space.mask, space.max_edge_length, simplices)


def _block_size(space, views, metric, images=1):
  synonyms = space.mask.shape[1]
  each = views * (synonyms if metric.quadratic else 1)
  entries = synonyms * max(each, images * synonyms, 1)
  return max(1, min(_BLOCK, _MAX_NUMBERS // entries))
