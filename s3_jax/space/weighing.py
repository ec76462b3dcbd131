"""The program of the two witnesses: both heard about every text, in tiles.

`witnesses` says what it computes; the arrays here are checked already.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from s3_jax import topology
from s3_jax.embeddings import (
  MIN_SQUARED_DISTANCE,
  MIN_SQUARED_MEAN,
  chordal_distances,
  gram_matrix,
)
from s3_jax.messages import short_repr
from s3_jax.space import rules
from s3_jax.space.blocks import block_size, map_classes

MIN_CLASSES = 8
"""Fewer classes give no mean of a form, and no typical distance of names."""

_TILE = 512
"""Official names that a block of texts is compared with at once."""

_TOLERANCE = 1e-6
"""Cosines this close are equal: float32 sums of a product differ by less."""


class Evidence(NamedTuple):
  """What the two witnesses say of every text; a pytree.

  Similarities and scales are those of centred embeddings, from which the mean
  of all texts of a form has been subtracted: they compare with each other, not
  with the distances that a space stores.

  Attributes:
    kept: the texts to keep, `bool[classes, synonyms]`.
    left_out: those outside the kept component, whatever the second witness
      says.
    own: largest similarity to an official name of the class, -inf without one.
    other: largest similarity to an official name of another class, names equal
      to an official name of the class left aside.
    scale: of each class, chordal.
    common_scale: the median distance from a class's official name to the
      nearest one of another class; no scale is below it.
    is_common: whether `common_scale` was taken for every class.
    is_on: whether there were classes enough for the rule; if not, every text
      is kept.
  """

  kept: Bool[Array, "classes synonyms"]
  left_out: Bool[Array, "classes synonyms"]
  own: Float[Array, "classes synonyms"]
  other: Float[Array, "classes synonyms"]
  scale: Float[Array, " classes"]
  common_scale: Float[Array, ""]
  is_common: Bool[Array, ""]
  is_on: Bool[Array, ""]

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


@functools.partial(
  jax.jit, static_argnames=("keep", "num_forms", "columns", "axis_name")
)
def weigh_checked(
  points,
  mask,
  forms,
  official,
  min_fraction,
  min_gap,
  *,
  keep,
  num_forms,
  columns,
  axis_name,
) -> Evidence:
  """`weigh_texts` of arrays that are checked; also inside `shard_map`."""
  classes, synonyms, _ = points.shape
  if classes == 0 or synonyms == 0 or columns == 0:
    return _silent(mask)
  means = _form_means(points, mask, forms, num_forms, axis_name)
  names = _Names(
    map_classes(
      lambda z, real, form: _centred(z, real, form, means),
      (points[:, :columns], official[:, :columns], forms[:, :columns]),
      block=block_size(columns * points.shape[2]),
    ),
    official[:, :columns],
    _index(classes, axis_name),
  )
  other = _other_similarity(points, mask, forms, means, names, axis_name)
  common, is_on = _common_scale(other, official, axis_name)
  decide = functools.partial(
    _decide,
    means=means,
    common=common,
    columns=columns,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
  )
  said = map_classes(
    decide,
    (points, mask, forms, official, other),
    block=block_size(synonyms**2),
  )
  spared = said.accused_commonly & ~said.accused
  escaped = _sum(jnp.sum(spared), axis_name)
  is_common = is_on & (2 * escaped > _sum(jnp.sum(mask & ~official), axis_name))
  accused = jnp.where(is_common, said.accused_commonly, said.accused)
  left_out = jnp.where(is_common, said.outside_commonly, said.outside)
  return Evidence(
    kept=mask & ~(accused & is_on),
    left_out=left_out & is_on,
    own=said.own,
    other=other,
    scale=jnp.where(is_common, common, said.scale),
    common_scale=common,
    is_common=is_common,
    is_on=is_on,
  )


def _silent(mask):
  """The evidence where no class has an official name."""
  nothing = jnp.zeros((), jnp.float32)
  unknown = jnp.full(mask.shape, -jnp.inf, jnp.float32)
  no = jnp.zeros((), bool)
  return Evidence(
    mask,
    jnp.zeros_like(mask),
    unknown,
    unknown,
    jnp.zeros(mask.shape[0], jnp.float32),
    nothing,
    no,
    no,
  )


class _Names(NamedTuple):
  """Centred official names, in the first columns of their classes."""

  points: Float[Array, "classes columns dim"]
  mask: Bool[Array, "classes columns"]
  label: Int[Array, " classes"]  # of the class, over all devices


class _Said(NamedTuple):
  """Of the texts of one class, at its own scale and at the common one."""

  accused: Bool[Array, " synonyms"]
  accused_commonly: Bool[Array, " synonyms"]
  outside: Bool[Array, " synonyms"]
  outside_commonly: Bool[Array, " synonyms"]
  own: Float[Array, " synonyms"]
  scale: Float[Array, ""]


def _sum(x, axis_name):
  return x if axis_name is None else jax.lax.psum(x, axis_name)


def _index(classes, axis_name):
  """Numbers this device's classes as all devices do."""
  first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * classes
  return first + jnp.arange(classes, dtype=jnp.int32)


def _form_means(points, mask, forms, num_forms, axis_name):
  """Averages the texts of each form, or all of them for a rare form."""
  is_form = forms[:, :, None] == jnp.arange(num_forms)[None, None]
  is_form &= mask[:, :, None]
  # One product, as a masked copy of all points would cost as much as a space.
  sums = jnp.einsum(
    "cmf,cmd->fd",
    is_form.astype(jnp.float32),
    points,
    precision=jax.lax.Precision.HIGHEST,
  )
  sums = _sum(sums, axis_name)
  texts = _sum(jnp.sum(is_form, axis=(0, 1)), axis_name)
  classes = _sum(jnp.sum(jnp.any(is_form, axis=1), axis=0), axis_name)
  means = sums / jnp.maximum(texts, 1)[:, None]
  mean = jnp.sum(sums, axis=0) / jnp.maximum(jnp.sum(texts), 1)
  return jnp.where(classes[:, None] >= MIN_CLASSES, means, mean[None])


def _centred(points, mask, forms, means):
  """Subtracts the means of the forms; a text equal to its mean is zero."""
  moved = jnp.where(mask[:, None], points - means[forms], 0.0)
  squared = jnp.sum(jnp.square(moved), axis=-1, keepdims=True)
  unit = moved / jnp.sqrt(jnp.maximum(squared, MIN_SQUARED_MEAN))
  return jnp.where(squared < MIN_SQUARED_MEAN, 0.0, unit)


def _other_similarity(points, mask, forms, means, names, axis_name):
  """Largest similarity of each text to another class's official name."""
  synonyms = points.shape[1]
  own_names = (names.mask, names.label)

  def hear(names, best):
    rows = names.points.reshape(-1, points.shape[2])
    owner = jnp.repeat(names.label, names.mask.shape[1])
    owner = jnp.where(names.mask.reshape(-1), owner, -1)
    size = min(_TILE, rows.shape[0])
    of_class = functools.partial(
      _nearest_name, means=means, rows=rows, owner=owner, size=size
    )
    return map_classes(
      of_class,
      (points, mask, forms, *own_names, best),
      block=block_size(synonyms * size),
    )

  # Depends on an array, as the loop's result does: see `map_classes`.
  best = jnp.where(mask, -jnp.inf, -jnp.inf)
  if axis_name is None:
    return hear(names, best)
  devices = jax.lax.axis_size(axis_name)
  onward = [(i, (i + 1) % devices) for i in range(devices)]

  def step(_, state):
    names, best = state
    best = hear(names, best)
    return jax.lax.ppermute(names, axis_name, onward), best

  return jax.lax.fori_loop(0, devices, step, (names, best))[1]


def _nearest_name(
  points, mask, forms, is_name, index, best, *, means, rows, owner, size
):
  """Raises the best similarities of one class's texts by some names."""
  texts = _centred(points, mask, forms, means)
  columns = is_name.shape[0]

  def meet(block, best):
    # The last block starts early and so overlaps; a maximum doesn't mind.
    start = jnp.minimum(block * size, rows.shape[0] - size)
    names = jax.lax.dynamic_slice_in_dim(rows, start, size)
    of = jax.lax.dynamic_slice_in_dim(owner, start, size)
    similarities = jnp.einsum(
      "md,nd->mn", texts, names, precision=jax.lax.Precision.HIGHEST
    )
    squared = 2 - 2 * similarities[:columns]
    is_equal = (squared < MIN_SQUARED_DISTANCE) & is_name[:, None]
    is_other = (of >= 0) & (of != index) & ~jnp.any(is_equal, axis=0)
    similarities = jnp.where(is_other[None], similarities, -jnp.inf)
    return jnp.maximum(best, jnp.max(similarities, axis=1))

  blocks = math.ceil(rows.shape[0] / size)
  best = jax.lax.fori_loop(0, blocks, meet, best)
  return jnp.where(mask, best, -jnp.inf)


def _common_scale(other, official, axis_name):
  """Median distance of official names, and whether it is one of enough."""
  nearest = jnp.max(jnp.where(official, other, -jnp.inf), axis=1)
  if axis_name is not None:
    nearest = jax.lax.all_gather(nearest, axis_name, tiled=True)
  is_known = jnp.isfinite(nearest)
  squared = jnp.maximum(2 - 2 * jnp.where(is_known, nearest, 1.0), 0.0)
  distances = jnp.sort(jnp.where(is_known, jnp.sqrt(squared), jnp.inf))
  count = jnp.sum(is_known)
  low, high = jnp.maximum(count - 1, 0) // 2, count // 2
  high = jnp.minimum(high, distances.shape[0] - 1)
  median = (distances[low] + distances[high]) / 2
  is_on = count >= MIN_CLASSES
  return jnp.where(count > 0, median, 0.0), is_on


def _decide(
  points,
  mask,
  forms,
  official,
  other,
  *,
  means,
  common,
  columns,
  keep,
  min_fraction,
  min_gap,
):
  """Hears the witnesses about the texts of one class."""
  gram = gram_matrix(_centred(points, mask, forms, means))
  distances = chordal_distances(gram)
  order = topology.prim_order(distances, mask)
  deaths = jnp.sort(order.lengths)
  count = jnp.sum(mask)
  scale = rules.gap_scale(order, deaths, count, min_fraction, min_gap)
  scale = jnp.maximum(scale, common)
  own = jnp.max(
    jnp.where(official[None, :columns], gram[:, :columns], -jnp.inf), axis=1
  )
  own = jnp.where(mask, own, -jnp.inf)
  can_tell = jnp.isfinite(own) & jnp.isfinite(other)
  lead = jnp.where(can_tell, other, 0.0) - jnp.where(can_tell, own, 0.0)
  is_nearer = can_tell & (lead > _TOLERANCE) & ~official

  def outside(scale):
    labels = topology.component_labels(order, mask, scale)
    return mask & ~rules.kept_component(keep, distances, labels)

  left_out, left_out_commonly = outside(scale), outside(common)
  return _Said(
    left_out & is_nearer,
    left_out_commonly & is_nearer,
    left_out,
    left_out_commonly,
    own,
    scale,
  )
