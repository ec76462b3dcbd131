"""Texts that lie closer to another class than to their own."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from s3_jax.space.blocks import block_size, map_classes
from s3_jax.space.build import SynonymousSpace

_TILE = 1024
"""Texts on one side of a tile of similarities, at least one class."""

_TOLERANCE = 1e-6
"""Cosines this close are equal: float32 sums of a product differ by less."""


def exclude_shared(
  space: SynonymousSpace, *, margin: float | int | Float[Array, ""] = 0.0
) -> SynonymousSpace:
  """Drops the core texts that lie closer to another class than to their own.

  A word that two classes share (crane, mouse, jaguar) helps neither. With
  `own_i` the largest similarity of text i to another core text of its class and
  `other_i` the largest to a core text of any other class, both from the cores
  before this step, i leaves the core when `other_i - own_i > margin`, all
  classes at once; differences within 1e-6 of the margin do not count. Text 0,
  the class name, and a class's only core text stay. A class whose name is not
  in its core can so lose every text; `kept_report` shows it.

  Safe under `jit` and `vmap`, without the checks of values. Memory: one tile of
  similarities, of about 1024 x 1024 (at least one class by one class), and a
  few numbers for each text; the time grows with the square of the number of
  texts, each pair of classes being met once.

  Args:
    space: spaces without an attached complex.
    margin: how much closer the other class must be, a difference of cosines;
      below 0 texts go that are still closer to their own class.

  Returns:
    The spaces with smaller cores; points, Gram matrices, deaths and scales are
    those given.

  Raises:
    ValueError: a complex is attached, or `margin` is not finite.

  References:
    Ours.
  """
  if space.simplices is not None:
    raise ValueError(
      "`space` must have no complex when texts leave its core, got one with "
      f"{space.simplices.simplices.shape[-2]} simplices a class; call "
      "`exclude_shared` before `attach_complex`."
    )
  if not isinstance(margin, Tracer) and not math.isfinite(margin):
    raise ValueError(
      f"`margin` must be finite, got {margin}; it is a difference of cosines."
    )
  core = _drop_shared(space.points, space.gram, space.mask, margin, tile=_TILE)
  return space._replace(mask=core)


@functools.partial(jax.jit, static_argnames="tile")
def _drop_shared(points, gram, core, margin, *, tile):
  own = _own_similarity(gram, core)
  other = _other_similarity(points, core, tile)
  is_between = jnp.isfinite(own) & jnp.isfinite(other)
  lead = jnp.where(is_between, other, 0.0) - jnp.where(is_between, own, 0.0)
  is_name = jnp.broadcast_to(jnp.arange(core.shape[1]) == 0, core.shape)
  return core & ~(is_between & (lead > margin + _TOLERANCE) & ~is_name)


def _own_similarity(gram, core):
  """Largest similarity of each text to another core text of its class."""

  def own_of_class(gram, core):
    is_self = jnp.eye(core.shape[0], dtype=bool)
    others = jnp.where(core[None, :] & ~is_self, gram, -jnp.inf)
    return jnp.max(others, axis=1, initial=-jnp.inf)

  block = block_size(core.shape[1] ** 2)
  return map_classes(own_of_class, (gram, core), block=block)


def _other_similarity(points, core, tile):
  """Largest similarity of each text to a core text of any other class."""
  classes, synonyms, _ = points.shape
  best = jnp.full(core.shape, -jnp.inf, points.dtype)
  if classes < 2 or synonyms == 0:
    return best
  size = min(classes, max(1, tile // synonyms))
  blocks = -(-classes // size)

  def read(start):
    parts = (
      jax.lax.dynamic_slice_in_dim(x, start, size) for x in (points, core)
    )
    return *parts, start + jnp.arange(size)

  def raise_to(best, start, rows):
    known = jax.lax.dynamic_slice_in_dim(best, start, size)
    rows = jnp.maximum(known, rows)
    return jax.lax.dynamic_update_slice_in_dim(best, rows, start, 0)

  def meet(i, j, best):
    # The last block starts early and so overlaps; a maximum doesn't mind.
    first = jnp.minimum(i * size, classes - size)
    second = jnp.minimum(j * size, classes - size)
    (x, x_core, x_class), (y, y_core, y_class) = read(first), read(second)
    similarities = jnp.einsum(
      "cid,ejd->ciej", x, y, precision=jax.lax.Precision.HIGHEST
    )
    apart = (x_class[:, None] != y_class[None, :])[:, None, :, None]
    to_y = jnp.where(apart & y_core[None, None], similarities, -jnp.inf)
    to_x = jnp.where(apart & x_core[:, :, None, None], similarities, -jnp.inf)
    best = raise_to(best, first, jnp.max(to_y, axis=(2, 3)))
    return raise_to(best, second, jnp.max(to_x, axis=(0, 1)))

  def meet_later_blocks(i, best):
    return jax.lax.fori_loop(i, blocks, lambda j, best: meet(i, j, best), best)

  return jax.lax.fori_loop(0, blocks, meet_later_blocks, best)
