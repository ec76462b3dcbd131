"""Vocabularies of many classes: spaces built in shares, the best classes found.

No device holds the texts, or the scores, of all classes.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Int32

from s3_jax.evaluation.ranking import ClassRanking
from s3_jax.evaluation.score_layout import (
  ScoreLayout,
  place_images,
  place_score,
  rank_batch,
  round_batch,
)
from s3_jax.sharding import MODEL, shard_classes
from s3_jax.space import SynonymousSpace, build_space, checks
from s3_jax.space.weighing import weigh_checked
from s3_jax.space.witnesses import read_question

__all__ = [
  "TopClasses",
  "build_sharded_space",
  "sharded_two_witnesses",
  "top_classes",
]

# The name of the rule whose numbers, one a class, are shared out as well.
_NUMBER = "number"


class TopClasses(NamedTuple):
  """The best classes of images, the best first.

  Attributes:
    scores: larger = closer.
    classes: class indices; equal scores go to the lower index.
  """

  scores: Float[np.ndarray, "images count"]
  classes: Int32[np.ndarray, "images count"]


def top_classes(
  embeddings: Float[np.ndarray, "images dim"],
  score_fn: Callable[
    [Float[Array, "batch dim"]], Float[Array, "batch classes"]
  ],
  *,
  classes: int,
  count: int = 5,
  batch_size: int = 1024,
  mesh: Mesh | None = None,
) -> TopClasses:
  """Finds the best classes of many, without scores of all of them at once.

  Memory beside the bound arrays: scores of a batch, or of a device's share of
  it, for at most 4000 classes; where a device has more, for about 1000, with a
  copy of the arrays of these classes.

  Args:
    embeddings: unit rows, one per image.
    score_fn: a `jax.tree_util.Partial` such as
      `Partial(score, build_sharded_space(...))`. Every array that it binds has
      a leading class axis, and each class's score depends on its own part
      alone.
    classes: number of classes; a sharded space may have more for padding.
    count: how many to find, 1 to the number of classes.
    batch_size: images at a time, >= 1; rounded up so that devices can share
      them.
    mesh: images are shared out over its axis `data` and classes over `model`;
      None for one device.

  Returns:
    TopClasses.

  Raises:
    ValueError: if `count` or `batch_size` is out of range, a bound array or the
      scores have another number of classes, or a score is not finite (the
      first such image is named).

  References:
    Ours.
  """
  if not 1 <= count <= classes:
    raise ValueError(f"`count` must be in 1..{classes}, got {count}.")
  if batch_size < 1:
    raise ValueError(
      f"`batch_size` must be a whole number >= 1, got {batch_size}."
    )
  layout = ScoreLayout(mesh, per_class=True)
  score = place_score(score_fn, classes=classes, layout=layout)
  images = embeddings.shape[0]
  rows = round_batch(min(batch_size, max(images, 1)), layout)
  rankings = []
  for start in range(0, images, rows):
    part = embeddings[start : start + rows]
    batch = np.zeros((rows, embeddings.shape[1]), np.float32)
    batch[: len(part)] = part
    ranking = _rank(
      score, place_images(batch, layout), layout, classes=classes, count=count
    )
    rankings.append(ranking)
  found = TopClasses(
    np.zeros((images, count), np.float32), np.zeros((images, count), np.int32)
  )
  for ranking, start in zip(rankings, range(0, images, rows), strict=True):
    here = slice(start, min(start + rows, images))
    finite = np.asarray(ranking.finite)[: here.stop - start]
    if not finite.all():
      bad = start + int(np.flatnonzero(~finite)[0])
      raise ValueError(
        f"`score_fn` must return finite scores, got NaN or inf for image {bad}."
      )
    found.scores[here] = np.asarray(ranking.scores)[: here.stop - start]
    found.classes[here] = np.asarray(ranking.classes)[: here.stop - start]
  return found


@functools.partial(jax.jit, static_argnames=("layout", "classes", "count"))
def _rank(score, embeddings, layout, *, classes, count) -> ClassRanking:
  return rank_batch(
    score,
    embeddings,
    np.float32(0),
    classes=classes,
    count=count,
    layout=layout,
  )


def sharded_two_witnesses(
  embeddings: Float[np.ndarray, "..."],
  mask: Bool[np.ndarray, "..."],
  *,
  mesh: Mesh,
  forms: Int[np.ndarray, "..."] | None = None,
  official: Bool[np.ndarray, "..."] | None = None,
  keep: str = "largest",
  min_fraction: float | int = 0.5,
  min_gap: float | int = 0.05,
) -> Bool[np.ndarray, "classes synonyms"]:
  """Says which texts to keep, each device about those of its classes.

  `two_witnesses`, with the classes shared out over the axis `model`: the same
  texts. What devices exchange is listed at `weigh_texts`. The result is a
  `mask` for `build_sharded_space`.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything.
    mask: which texts are real, `bool[classes, synonyms]`.
    mesh: with an axis `model`.
    forms: as for `two_witnesses`, and so are the other options.
    official: which texts are official names.
    keep: "largest", "label" or "all".
    min_fraction: in (0, 1].
    min_gap: at least 0.

  Returns:
    The texts to keep, on the host.

  Raises:
    ValueError: as `two_witnesses` does.

  References:
    Ours; see `weigh_texts`.
  """
  asked = read_question(
    embeddings,
    mask,
    forms=forms,
    official=official,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
    num_forms=None,
  )
  if not (mask.all() or np.isfinite(embeddings[~mask]).all()):
    embeddings = np.where(mask[:, :, None], embeddings, 0)
  arrays = (
    np.asarray(embeddings, np.float32),
    mask,
    np.asarray(asked.forms, np.int32),
    np.asarray(asked.official) & mask,
  )
  placed: Any = shard_classes(arrays, mesh)
  weigh = functools.partial(
    weigh_checked,
    keep=keep,
    num_forms=asked.num_forms,
    columns=asked.columns,
    axis_name=MODEL,
  )
  by_class, whole = PartitionSpec(MODEL), PartitionSpec()
  kept = jax.jit(
    jax.shard_map(
      lambda *arrays: weigh(*arrays).kept,
      mesh=mesh,
      in_specs=(by_class, by_class, by_class, by_class, whole, whole),
      out_specs=by_class,
    )
  )(*placed, np.float32(min_fraction), np.float32(min_gap))
  return np.asarray(kept)[: mask.shape[0]]


def build_sharded_space(
  embeddings: Float[np.ndarray, "..."],
  mask: Bool[np.ndarray, "..."],
  *,
  mesh: Mesh,
  scale: str
  | tuple
  | float
  | int
  | Float[Array | np.ndarray, "..."]
  | None = None,
  keep: str = "largest",
  min_fraction: float | int = 0.5,
  min_gap: float | int = 0.15,
  max_dimension: int = 2,
  max_simplices: int | None = None,
) -> SynonymousSpace:
  """Builds the space of every class, each device those of its share.

  `build_space` of each device's classes: the same spaces, with the class axis
  padded by classes without a vertex to a multiple of the axis `model`. What
  scores them must know the number of classes.

  Values are checked on the host, where the embeddings stay. A device takes its
  classes only, and its memory is that of `build_space` for them.

  Args:
    embeddings: unit embeddings, `f32[classes, synonyms, dim]`; rows of padding
      may hold anything.
    mask: which texts are real, `bool[classes, synonyms]`.
    mesh: with an axis `model`, over which classes are shared out.
    scale: as for `build_space`, and so are the other options.
    keep: "largest", "label" or "all".
    min_fraction: in (0, 1].
    min_gap: at least 0.
    max_dimension: of the complex's simplices.
    max_simplices: capacity of each class's complex; None builds none.

  Returns:
    The spaces, class axes over `model`.

  Raises:
    ValueError: as `build_space` does.

  References:
    Ours; see `build_space`.
  """
  checks.check_shapes(embeddings, mask)
  checks.check_options(keep, min_fraction, min_gap)
  classes = mask.shape[0]
  rule = checks.read_scale(scale, classes)
  checks.check_values(embeddings, mask, keep)
  if not (mask.all() or np.isfinite(embeddings[~mask]).all()):
    embeddings = np.where(mask[:, :, None], embeddings, 0)
  arrays = (np.asarray(embeddings, np.float32), mask, np.asarray(rule.values))
  placed: Any = shard_classes(arrays, mesh)
  points, mask, values = placed
  if isinstance(scale, tuple):
    scale = (rule.name, float(scale[1]))
  parts = _build(
    points,
    mask,
    values,
    np.float32(min_fraction),
    np.float32(min_gap),
    mesh=mesh,
    scale=_NUMBER if rule.name == _NUMBER else scale,
    keep=keep,
    max_dimension=max_dimension,
    max_simplices=max_simplices,
  )
  space = SynonymousSpace(points, *parts)
  if space.simplices is not None:
    overflow = np.flatnonzero(np.asarray(space.simplices.overflow))
    if overflow.size:
      raise ValueError(
        "`max_simplices` must hold the complex of every class, got"
        f" {max_simplices}, too few for {overflow.size} classes, the first of"
        f" them class {overflow[0]}; raise it, or lower `max_dimension` or the"
        " scale."
      )
  return space


@functools.partial(
  jax.jit,
  static_argnames=("mesh", "scale", "keep", "max_dimension", "max_simplices"),
)
def _build(
  points,
  mask,
  values,
  min_fraction,
  min_gap,
  *,
  mesh,
  scale,
  keep,
  max_dimension,
  max_simplices,
):
  def build(points, mask, values, min_fraction, min_gap):
    space = build_space(
      points,
      mask,
      scale=values if scale == _NUMBER else scale,
      keep=keep,
      min_fraction=min_fraction,
      min_gap=min_gap,
      max_dimension=max_dimension,
      max_simplices=max_simplices,
    )
    # All but the points, which would be copied.
    return space[1:]

  by_class = PartitionSpec(MODEL)
  return jax.shard_map(
    build,
    mesh=mesh,
    in_specs=(by_class, by_class, by_class, PartitionSpec(), PartitionSpec()),
    out_specs=by_class,
  )(points, mask, values, min_fraction, min_gap)
