"""The synonymous space of every class, and its construction from texts."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from s3_jax import topology
from s3_jax.embeddings import chordal_distances, gram_matrix
from s3_jax.messages import short_repr
from s3_jax.space import checks, rules
from s3_jax.space.blocks import block_size, finite_padding, map_classes
from s3_jax.topology import validation


class SynonymousSpace(NamedTuple):
  """The spaces of all classes; a pytree, built by `build_space` only.

  Attributes:
    points: unit embeddings of each class's texts, those outside the core
      included; rows of padding are as given, all zero if one is not finite.
    mask: which vertices belong to the core. Consumers mask with it.
    gram: Gram matrix of `points`.
    simplices: Rips complex of each core, every array with a leading class axis;
      None where none is attached, as most metrics need only edges, which
      `gram` and `max_edge_length` give.
    max_edge_length: scale of each class, a chordal distance, inclusive.
    deaths: H0 deaths of all real texts of each class, ascending, padded with
      +inf; `max(synonyms - 1, 0)` of them.
  """

  points: Float[Array, "classes synonyms dim"]
  mask: Bool[Array, "classes synonyms"]
  gram: Float[Array, "classes synonyms synonyms"]
  simplices: topology.RipsComplex | None
  max_edge_length: Float[Array, " classes"]
  deaths: Float[Array, "classes deaths"]

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


def build_space(
  embeddings: Float[Array | np.ndarray, "..."],
  mask: Bool[Array | np.ndarray, "..."],
  *,
  scale: str
  | tuple
  | float
  | int
  | Float[Array | np.ndarray, "..."]
  | None = None,
  keep: str = "largest",
  min_fraction: float | int | Float[Array, ""] = 0.5,
  min_gap: float | int | Float[Array, ""] = 0.15,
  max_dimension: int = 2,
  max_simplices: int | None = None,
) -> SynonymousSpace:
  """Builds the space of every class from the embeddings of its texts.

  Per class the Vietoris-Rips complex at a scale eps splits the texts into
  connected components, and the kept component is the class's core. By default
  `eps` is the longest edge of the minimum spanning tree, and every text is
  kept: which texts are wrong is better told from all classes at once, by
  `two_witnesses`, whose result is a `mask` for this function. With
  `m` texts and H0 deaths `d_1 <= ... <= d_{m-1}` the rule "gap" looks at the
  cuts `j = 1..m-2` with `d_j > 0` where the largest component at eps = `d_j`
  holds at least `min_fraction * m` texts, takes the one with the largest gap
  `d_{j+1} - d_j` (equal gaps: the larger j) and sets
  `eps = (d_j + d_{j+1}) / 2` if that gap is at least `min_gap * d_{m-1}`.
  Otherwise nothing is cut: `eps = d_{m-1}`, or 0 for fewer than two texts.

  Values are checked where they are known. Under `jit` and `vmap` only shapes
  and words are; look at `space.simplices.overflow` there.

  Memory: the result, and the work on some classes at a time: at most 50, and
  at most as many as keep `synonyms^2` and `max_simplices * (max_dimension + 1)`
  entries a class within 2^20 in all (but at least one). This work takes up to
  32 MB where one class stays within that number. No class looks at another, so
  over several devices `jax.shard_map` of this function over the class axis
  moves no data.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything, under `jit` and `vmap` anything finite.
    mask: which texts are real, `bool[classes, synonyms]`.
    scale: None, `eps = d_{m-1}`, which prunes nothing; "gap"; ("quantile", q),
      linear interpolation between the deaths, q in [0, 1], 0 for fewer than two
      texts; ("coverage", p), the smallest of `0, d_1, ...` at which one
      component holds at least `p * m` texts, p in
      (0, 1], inclusive to 1e-4 of a text; a number, the same eps for all
      classes, or one for each, `f32[classes]`, chordal.
    keep: "largest", the component with the most texts (ties: the smaller mean
      distance over all pairs of its vertices, 0 for a single vertex, where
      means within 1e-6 are equal; then the lower label); "label", the component
      of the class name, which is text 0; or "all" texts.
    min_fraction: the share of texts the largest component must hold before a
      cut is admissible, in (0, 1], inclusive to 1e-4 of a text.
    min_gap: smallest gap that cuts, as a share of `d_{m-1}`, at least 0.
    max_dimension: of the complex's simplices; 2 has triangles.
    max_simplices: capacity of each class's complex, which is then built inside
      jit; None builds none. `attach_complex` finds the capacity by itself.

  Returns:
    The spaces, with the core as `mask`.

  Raises:
    ValueError: shapes disagree, an option is unknown or out of range, a real
      text's embedding is not finite, zero, or not of unit norm, `keep` is
      "label" and a class with texts has no text 0, or a class has more than
      `max_simplices` simplices.

  References:
    S3 (arXiv 2412.04925): Vietoris-Rips complex, 0-dimensional persistence, the
    largest component. The scale rules, the other components and the ties are
    ours.
  """
  checks.check_shapes(embeddings, mask)
  checks.check_options(keep, min_fraction, min_gap)
  validation.check_sizes(mask.shape[1], max_dimension, max_simplices)
  rule = checks.read_scale(scale, embeddings.shape[0])
  checks.check_values(embeddings, mask, keep)
  mask = jnp.asarray(mask)
  points = finite_padding(embeddings, mask)
  parts = _build(
    points,
    mask,
    rule.values,
    min_fraction,
    min_gap,
    rule=rule.name,
    keep=keep,
    max_dimension=int(max_dimension),
    max_simplices=None if max_simplices is None else int(max_simplices),
  )
  space = SynonymousSpace(points, *parts)
  _check_overflow(space.simplices)
  return space


@functools.partial(
  jax.jit, static_argnames=("rule", "keep", "max_dimension", "max_simplices")
)
def _build(
  embeddings,
  mask,
  values,
  min_fraction,
  min_gap,
  *,
  rule,
  keep,
  max_dimension,
  max_simplices,
):
  def build_class(points, mask, value):
    # Masked here, a block at a time: a masked copy of all points would cost as
    # much as everything else together.
    gram = gram_matrix(jnp.where(mask[:, None], points, 0.0))
    distances = chordal_distances(gram)
    order = topology.prim_order(distances, mask)
    deaths = jnp.sort(order.lengths)
    count = jnp.sum(mask)
    if rule == "gap":
      scale = rules.gap_scale(order, deaths, count, min_fraction, min_gap)
    elif rule == "quantile":
      scale = rules.quantile_scale(deaths, count, value)
    elif rule == "coverage":
      scale = rules.coverage_scale(order, deaths, count, value)
    elif rule == "number":
      scale = value
    else:
      scale = rules.last_death(deaths, count)
    labels = topology.component_labels(order, mask, scale)
    core = rules.kept_component(keep, distances, labels)
    complex_ = None
    if max_simplices is not None:
      complex_ = topology.rips_complex(
        distances,
        core,
        scale,
        max_dimension=max_dimension,
        max_simplices=max_simplices,
      )
    return core, gram, complex_, scale, deaths

  simplices = (max_simplices or 0) * (max_dimension + 1)
  block = block_size(max(mask.shape[1] ** 2, simplices))
  arrays = (embeddings, mask, values)
  return map_classes(build_class, arrays, block=block)


def _check_overflow(complexes):
  if complexes is None or isinstance(complexes.overflow, Tracer):
    return
  overflow = np.flatnonzero(np.asarray(complexes.overflow))
  if overflow.size:
    raise ValueError(
      "`max_simplices` must hold the complex of every class, got "
      f"{complexes.simplices.shape[1]}, too few for {overflow.size} classes, "
      f"the first of them class {overflow[0]}; raise it, lower `max_dimension` "
      "or the scale, or use `attach_complex`, which finds the capacity."
    )
