"""The synonymous space of every class, and its construction from texts."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from s3_jax import topology
from s3_jax.embeddings import (
  MIN_SQUARED_DISTANCE,
  chordal_distances,
  gram_matrix,
)

_BLOCK = 50
"""Classes at a time, which bounds the memory of distances and trees."""

_NORM_TOLERANCE = 1e-3
"""Half-precision storage moves a unit norm by less than this."""

_KEEP = ("largest", "all")


class SynonymousSpace(NamedTuple):
  """The spaces of all classes; a pytree, built by `build_space` only.

  Attributes:
    points: unit embeddings of each class's texts, those outside the core
      included; rows of padding are zero.
    mask: which vertices belong to the core. Consumers mask with it.
    gram: Gram matrix of `points`.
    simplices: None, as no Rips complex is stored; components and metrics here
      need only edges, which `gram` and `max_edge_length` give.
    max_edge_length: scale of each class, a chordal distance, inclusive.
    deaths: H0 deaths of all real texts of each class, ascending, padded with
      +inf; `max(synonyms - 1, 0)` of them.
  """

  points: Float[Array, "classes synonyms dim"]
  mask: Bool[Array, "classes synonyms"]
  gram: Float[Array, "classes synonyms synonyms"]
  simplices: None
  max_edge_length: Float[Array, " classes"]
  deaths: Float[Array, "classes deaths"]


def build_space(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  scale: str | float | int | Float[Array | np.ndarray, "..."] | None = "gap",
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.15,
) -> SynonymousSpace:
  """Builds the space of every class from the embeddings of its texts.

  Per class the Vietoris-Rips complex at a scale eps splits the texts into
  connected components, and the kept component is the class's core. With
  `m` texts and H0 deaths `d_1 <= ... <= d_{m-1}` the rule "gap" looks at the
  cuts `j = 1..m-2` with `d_j > 0` where the largest component at eps = `d_j`
  holds at least `min_fraction * m` texts, takes the one with the largest gap
  `d_{j+1} - d_j` (equal gaps: the larger j) and sets
  `eps = (d_j + d_{j+1}) / 2` if that gap is at least `min_gap * d_{m-1}`.
  Otherwise nothing is cut: `eps = d_{m-1}`, or 0 for fewer than two texts.

  Values are checked where they are known; under `jit` and `vmap` only shapes
  and words are.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything.
    mask: which texts are real, `bool[classes, synonyms]`.
    scale: "gap"; a number, the same eps for all classes, or one for each,
      `f32[classes]`, chordal; None for `eps = d_{m-1}`, which prunes nothing.
    keep: "largest", the component with the most texts (ties: the smaller mean
      distance over all pairs of its vertices, 0 for a single vertex, where
      means within 1e-6 are equal; then the lower label), or "all" texts.
    min_fraction: the share of texts the largest component must hold before a
      cut is admissible, in (0, 1], inclusive to 1e-4 of a text.
    min_gap: smallest gap that cuts, as a share of `d_{m-1}`, at least 0.

  Returns:
    The spaces, with the core as `mask`.

  Raises:
    ValueError: shapes disagree, an option is unknown or out of range, or a
      real text's embedding is not finite, zero, or not of unit norm.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. The gap rule, the scale and the ties are ours.
  """
  _check_shapes(embeddings, mask)
  _check_options(keep, min_fraction, min_gap)
  max_edge_length = _read_scale(scale, embeddings.shape[0])
  _check_values(embeddings, mask)
  return _build(
    jnp.asarray(embeddings, jnp.float32),
    jnp.asarray(mask),
    max_edge_length,
    min_fraction,
    min_gap,
    find_gap=isinstance(scale, str),
    keep=keep,
  )


@functools.partial(jax.jit, static_argnames=("find_gap", "keep"))
def _build(
  embeddings, mask, max_edge_length, min_fraction, min_gap, *, find_gap, keep
):
  points = jnp.where(mask[:, :, None], embeddings, 0.0)

  def build_class(class_arrays):
    points, mask, fixed_scale = class_arrays
    gram = gram_matrix(points)
    distances = chordal_distances(gram)
    order = topology.prim_order(distances, mask)
    deaths = jnp.sort(order.lengths)
    count = jnp.sum(mask)
    if find_gap:
      scale = _gap_scale(order, deaths, count, min_fraction, min_gap)
    elif fixed_scale is None:
      scale = _last_death(deaths, count)
    else:
      scale = fixed_scale
    if keep == "all":
      return gram, mask, scale, deaths
    labels = topology.component_labels(order, mask, scale)
    return gram, _largest_component(distances, labels), scale, deaths

  gram, core, scale, deaths = jax.lax.map(
    build_class, (points, mask, max_edge_length), batch_size=_BLOCK
  )
  return SynonymousSpace(points, core, gram, None, scale, deaths)


def _last_death(deaths, count):
  """Scale at which a class of `count` texts is just connected."""
  if deaths.shape[0] == 0:
    return jnp.zeros((), jnp.float32)
  return jnp.where(count >= 2, deaths[jnp.maximum(count - 2, 0)], 0.0)


def _gap_scale(order, deaths, count, min_fraction, min_gap):
  """Scale in the middle of the largest admissible gap between deaths."""
  last = _last_death(deaths, count)
  if deaths.shape[0] < 2:
    return last
  lower, upper = deaths[:-1], deaths[1:]
  sizes = jax.vmap(topology.largest_component_size, in_axes=(None, 0))(
    order, lower
  )
  is_cut = (jnp.arange(lower.shape[0]) + 2 < count) & (lower > 0)
  # In float32 0.6 * 25 is above 15, and 15 texts of 25 are 0.6 of them.
  is_cut &= sizes >= min_fraction * count - 1e-4
  gaps = jnp.where(is_cut, upper, 0.0) - jnp.where(is_cut, lower, 0.0)
  gaps = jnp.where(is_cut, gaps, -jnp.inf)
  best = lower.shape[0] - 1 - jnp.argmax(gaps[::-1])
  middle = (lower[best] + upper[best]) / 2
  return jnp.where(gaps[best] >= min_gap * last, middle, last)


def _largest_component(distances, labels):
  """Marks the component that `keep="largest"` keeps."""
  vertices = labels.shape[0]
  if vertices == 0:
    return jnp.zeros(0, bool)
  is_real = labels >= 0
  together = (labels[:, None] == labels[None, :]) & is_real[None, :]
  size = jnp.sum(together, axis=1)
  reach = jnp.sum(jnp.where(together, distances, 0.0), axis=1)
  total = jnp.sum(jnp.where(together, reach[None, :], 0.0), axis=1)
  mean = total / jnp.maximum(size * (size - 1), 1)
  is_best = is_real & (size == jnp.max(jnp.where(is_real, size, 0)))
  closest = jnp.min(jnp.where(is_best, mean, jnp.inf))
  is_best &= mean <= closest + MIN_SQUARED_DISTANCE
  return is_real & (labels == jnp.min(jnp.where(is_best, labels, vertices)))


def _check_shapes(embeddings, mask):
  if embeddings.ndim != 3:
    raise ValueError(
      "`embeddings` must have shape [classes, synonyms, dim], got "
      f"{list(embeddings.shape)}."
    )
  if mask.shape != embeddings.shape[:2]:
    raise ValueError(
      "`embeddings` and `mask` must agree on [classes, synonyms], got "
      f"{list(embeddings.shape[:2])} and {list(mask.shape)}."
    )
  if mask.dtype != bool:
    raise ValueError(
      f"`mask` must be bool, True = real text, got {mask.dtype}; "
      "compare it with 0."
    )


def _check_options(keep, min_fraction, min_gap):
  if keep not in _KEEP:
    known = ", ".join(f'"{word}"' for word in _KEEP)
    raise ValueError(f"`keep` must be one of {known}, got {keep!r}.")
  if not isinstance(min_fraction, Tracer) and not (0 < min_fraction <= 1):
    raise ValueError(
      f"`min_fraction` must be in (0, 1], got {min_fraction}; "
      "it is the share of a class's texts that a cut must keep together."
    )
  if not isinstance(min_gap, Tracer) and not (0 <= min_gap < math.inf):
    raise ValueError(
      f"`min_gap` must be finite and >= 0, got {min_gap}; "
      "it is a share of the scale that connects a class."
    )


def _read_scale(scale, classes):
  """Checks `scale` and gives the scale of each class, None if not fixed."""
  if scale is None or (isinstance(scale, str) and scale == "gap"):
    return None
  if isinstance(scale, str | bool):
    raise ValueError(
      '`scale` must be "gap", a number, one number for each class or None, '
      f"got {scale!r}."
    )
  lengths = jnp.asarray(scale, jnp.float32)
  if lengths.shape not in ((), (classes,)):
    raise ValueError(
      f"`scale` must be one number or one for each of {classes} classes, got "
      f"shape {list(lengths.shape)}."
    )
  if not isinstance(lengths, Tracer):
    values = np.atleast_1d(np.asarray(lengths))
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
      raise ValueError(
        "`scale` must be finite and >= 0, got "
        f"{values[wrong[0]]}; use None to prune nothing."
      )
  return jnp.broadcast_to(lengths, (classes,))


def _check_values(embeddings, mask):
  """Checks every real row, and names the first wrong one."""
  if isinstance(embeddings, Tracer) or isinstance(mask, Tracer):
    return
  rows = np.asarray(embeddings, np.float32)
  with np.errstate(over="ignore", invalid="ignore"):
    norms = np.sqrt(np.einsum("cmd,cmd->cm", rows, rows))
  is_unit = np.abs(norms - 1) <= _NORM_TOLERANCE
  wrong = np.argwhere(np.asarray(mask) & ~is_unit)
  if not wrong.size:
    return
  index, text = wrong[0]
  place = f"class {index}, text {text}"
  if not np.isfinite(rows[index, text]).all():
    raise ValueError(
      f"`embeddings` must be finite, got NaN or infinity in {place}; "
      "embed that text again or mask it out."
    )
  if not rows[index, text].any():
    raise ValueError(
      f"`embeddings` must have unit norm, got the zero vector in {place}; "
      "mask it out if it is padding."
    )
  raise ValueError(
    f"`embeddings` must have unit norm, got norm {norms[index, text]:.6g} in "
    f"{place}; use `l2_normalize`."
  )
