"""Which texts of a class are wrong, by two witnesses: its shape and the names.

A text goes only if both speak against it. The first is topology: the text lies
outside the kept component of its class's Vietoris-Rips complex. The second is
the other classes: the text lies nearer to one of their official names than to
its own class's. Alone the first throws distant synonyms away, which are the
valuable ones, and the second every name that the encoder does not know.

The one step of a space's construction in which classes look at each other;
what `build_space` does with the texts that are kept looks at no other class.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Shaped

from s3_jax import topology
from s3_jax.embeddings import (
  MIN_SQUARED_DISTANCE,
  MIN_SQUARED_MEAN,
  chordal_distances,
  gram_matrix,
)
from s3_jax.space import checks, rules
from s3_jax.space.blocks import block_size, finite_padding, map_classes

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


def two_witnesses(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  forms: Shaped[Array | np.ndarray, "..."] | None = None,
  official: Shaped[Array | np.ndarray, "..."] | None = None,
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.05,
  num_forms: int | None = None,
  axis_name: str | None = None,
) -> Bool[Array, "classes synonyms"]:
  """Says which texts to keep, from the texts of all classes alone.

  `build_space(embeddings, kept, scale=None)` makes the spaces of them: its
  points stay as they are, and its scale is the longest edge of the kept texts'
  minimum spanning tree. `weigh_texts` has the rule in full and the arguments.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`.
    mask: which texts are real, `bool[classes, synonyms]`.
    forms: kind of each text, see `weigh_texts`.
    official: which texts are official names; by default text 0 of each class.
    keep: "largest" or "label", the component that topology keeps.
    min_fraction: of the gap rule.
    min_gap: of the gap rule.
    num_forms: number of forms, needed under `jit`.
    axis_name: of the mesh, where classes are shared out.

  Returns:
    The texts to keep, a part of `mask`.

  Raises:
    ValueError: as `weigh_texts` does.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. The second witness and the scales are ours.
  """
  return weigh_texts(
    embeddings,
    mask,
    forms=forms,
    official=official,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
    num_forms=num_forms,
    axis_name=axis_name,
  ).kept


def weigh_texts(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  forms: Shaped[Array | np.ndarray, "..."] | None = None,
  official: Shaped[Array | np.ndarray, "..."] | None = None,
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.05,
  num_forms: int | None = None,
  axis_name: str | None = None,
) -> Evidence:
  """Hears both witnesses about every text, and says what they said.

  Distances and similarities are those of `z' = normalise(z - m)`, with `m` the
  mean of all texts of the form of `z`; a form that fewer than eight classes
  have takes the mean of all texts. The common scale is the median over classes
  of the distance from an official name to the nearest one of another class. A
  class's own scale is that of the rule "gap" of `build_space`, which finds
  nothing to cut in a class of two texts, or whose largest component is small;
  but at least the common scale. A text is accused at a scale if

  - it is outside the kept component at that scale, and
  - an official name of another class is nearer to it, by more than 1e-6 of a
    cosine, than every official name of its own; and it is none itself.

  Texts accused at their class's own scale go. But where more than half of all
  texts that are no official names are accused at the common scale and spared
  only by their class's own, the classes are mostly noise, which no class can
  see from its own shape: then the common scale takes the place of all of them.

  No number here belongs to one encoder: scales are relative to the distances
  between official names, similarities are compared with each other.

  Official names never go, and so an only text stays. Equal official names of
  two classes are no evidence. A class without an official name keeps all
  texts; with fewer than eight classes that have one, all classes do.

  Values are checked where they are known. Cost: about the product of all texts
  with all official names. Memory: tiles of that product, of 2^20 numbers at
  most where one class fits, the official names, and a few numbers a text.

  With `axis_name`, inside `jax.shard_map` over the class axis, devices
  exchange the sums of the forms (psum, `f32[forms, dim]`), the official names
  (each device's part goes round once, ppermute), one distance a class
  (all_gather) and three counts (psum).

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything, under `jit` anything finite.
    mask: which texts are real, `bool[classes, synonyms]`.
    forms: kind of each text, `i32[classes, synonyms]`: texts of one form are
      made alike (a template, a name with a descriptor, a sentence). By default
      all have one.
    official: which texts are official names of their class,
      `bool[classes, synonyms]`; by default text 0 of each class.
    keep: "largest", the component with the most texts; "label", that of text
      0, for spaces in which wrong texts may be the majority; "all" keeps every
      text. Ties as for `build_space`.
    min_fraction: as for `build_space`.
    min_gap: as for `build_space`, whose default is larger: here a second
      witness stands beside it.
    num_forms: number of forms, needed where `forms` is traced; forms are then
      in 0 to `num_forms - 1`.
    axis_name: axis of the mesh over which the classes are shared out.

  Returns:
    Evidence.

  Raises:
    ValueError: shapes or types disagree, an option is unknown or out of range,
      a real text's embedding is not finite, zero or not of unit norm, `forms`
      holds a negative number or is traced without `num_forms`.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. All else is ours; docs/EVIDENCE.md measures it.
  """
  asked = read_question(
    embeddings,
    mask,
    forms=forms,
    official=official,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
    num_forms=num_forms,
  )
  mask = jnp.asarray(mask)
  return weigh_checked(
    finite_padding(embeddings, mask),
    mask,
    jnp.asarray(asked.forms, jnp.int32),
    jnp.asarray(asked.official) & mask,
    min_fraction,
    min_gap,
    keep=keep,
    num_forms=asked.num_forms,
    columns=asked.columns,
    axis_name=axis_name,
  )


class Question(NamedTuple):
  """What `weigh_texts` was asked beside embeddings and mask, read and checked.

  Attributes:
    forms: of each text, in 0 to `num_forms - 1`.
    num_forms: how many there are.
    official: which texts are official names.
    columns: official names stand in the first so many columns.
  """

  forms: Int[Array | np.ndarray, "classes synonyms"]
  num_forms: int
  official: Bool[Array | np.ndarray, "classes synonyms"]
  columns: int


def read_question(
  embeddings: Any,
  mask: Any,
  *,
  forms: Any,
  official: Any,
  keep: str,
  min_fraction: Any,
  min_gap: Any,
  num_forms: int | None,
) -> Question:
  """Checks the arguments of `weigh_texts`, and fills in what is not given."""
  checks.check_shapes(embeddings, mask)
  checks.check_options(keep, min_fraction, min_gap)
  checks.check_values(embeddings, mask, keep)
  numbered, count = _read_forms(forms, mask, num_forms)
  names, columns = _read_official(official, mask)
  return Question(numbered, count, names, columns)


def _read_forms(
  forms: Any, mask: Any, num_forms: int | None
) -> tuple[Any, int]:
  """Checks forms and, where they are known, numbers them without gaps."""
  if forms is None:
    return np.zeros(mask.shape, np.int32), 1
  checks.check_beside("forms", forms.shape, mask)
  if not jnp.issubdtype(forms.dtype, jnp.integer):
    raise ValueError(
      f"`forms` must be whole numbers, got {forms.dtype}; number the kinds of"
      " text 0, 1, 2, ..."
    )
  if isinstance(forms, Tracer):
    if num_forms is None:
      raise ValueError(
        "`num_forms` must be given where `forms` is traced; it is the largest"
        " form plus 1."
      )
    return forms, int(num_forms)
  values = np.asarray(forms)
  if values.size and values.min() < 0:
    raise ValueError(f"`forms` must be >= 0, got {values.min()}.")
  known, numbered = np.unique(values, return_inverse=True)
  return numbered.reshape(values.shape), max(len(known), 1)


def _read_official(official: Any, mask: Any) -> tuple[Any, int]:
  """Checks official names; returns also how many columns may hold one."""
  synonyms = mask.shape[1]
  if official is None:
    return np.broadcast_to(np.arange(synonyms) == 0, mask.shape), min(
      1, synonyms
    )
  checks.check_beside("official", official.shape, mask)
  if official.dtype != bool:
    raise ValueError(
      f"`official` must be bool, True = official name, got {official.dtype};"
      " compare it with 0."
    )
  if isinstance(official, Tracer):
    return official, synonyms
  held = np.flatnonzero(np.asarray(official).any(axis=0))
  return official, int(held[-1]) + 1 if held.size else 0


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
