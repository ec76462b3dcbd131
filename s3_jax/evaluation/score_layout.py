"""How the scores of a batch are laid out over devices and blocks of classes.

Where each class's scores depend on that class's arrays alone, those of a batch
for all of many classes never exist at once: devices take their share of the
classes, and work on a block of them at a time.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, Float

from s3_jax.evaluation.ranking import (
  ClassRanking,
  merge_rankings,
  rank_nothing,
  rank_scores,
)
from s3_jax.sharding import (
  DATA,
  MODEL,
  batch_sharding,
  replicated,
  shard_classes,
)

__all__ = [
  "ScoreLayout",
  "place_images",
  "place_score",
  "rank_batch",
  "round_batch",
]

_AT_ONCE = 4
"""Up to so many blocks of classes are scored at once, without a copy of any."""


class ScoreLayout(NamedTuple):
  """Where scores are made.

  Attributes:
    mesh: the devices; None for the default one.
    per_class: whether every array bound in the scoring function has a leading
      class axis, and each class's score depends on its own part alone.
    block: classes at a time, if there are more than four times as many. The
      blocks of point-to-space metrics divide the default.
  """

  mesh: Mesh | None = None
  per_class: bool = False
  block: int = 1000

  @property
  def parts(self) -> int:
    """Over how many devices the classes are shared out."""
    if self.mesh is None or not self.per_class:
      return 1
    return self.mesh.shape[MODEL]


def round_batch(batch_size: int, layout: ScoreLayout) -> int:
  """Rounds a batch up so that the devices can share it.

  Args:
    batch_size: images, >= 1.
    layout: of the scores.

  Returns:
    The least number of images that is no smaller and that they divide.
  """
  if layout.mesh is None:
    return batch_size
  shares = layout.mesh.size // layout.parts
  return -(-batch_size // shares) * shares


def place_images(array: np.ndarray, layout: ScoreLayout) -> Array | np.ndarray:
  """Shares a batch out over the devices of a mesh.

  Args:
    array: its first axis is that of the images.
    layout: of the scores; without a mesh the array stays on the host.

  Returns:
    The batch.
  """
  if layout.mesh is None:
    return array
  sharding = batch_sharding(layout.mesh, with_classes=layout.parts > 1)
  return jax.device_put(array, sharding)


def place_score(
  score_fn: Callable[..., Any], *, classes: int, layout: ScoreLayout
) -> Partial:
  """Puts the arrays of a scoring function where they are used, once.

  Args:
    score_fn: a function or a `jax.tree_util.Partial`.
    classes: number of classes.
    layout: of the scores. With `per_class` the bound arrays may already be
      padded, as `shard_classes` pads them.

  Returns:
    The function, with its arrays on the devices.

  Raises:
    ValueError: with `per_class`, if no array is bound or one is not of
      `classes` classes.
  """
  score = score_fn if isinstance(score_fn, Partial) else Partial(score_fn)
  if layout.per_class:
    _check_classes(score, classes, layout.parts)
  if layout.mesh is None:
    return jax.device_put(score)
  if layout.parts > 1:
    return shard_classes(score, layout.mesh)
  return jax.device_put(score, replicated(layout.mesh))


def _check_classes(score: Partial, classes: int, parts: int) -> None:
  padded = -(-classes // parts) * parts
  arrays = jax.tree.leaves(score)
  leading = [np.shape(array)[:1] for array in arrays]
  wrong = [axis for axis in leading if axis not in ((classes,), (padded,))]
  if wrong or len(set(leading)) != 1:
    got = [list(np.shape(array)) for array in arrays]
    raise ValueError(
      f"`score_fn` must bind arrays of {classes} classes each, got shapes"
      f" {got}: set `per_class` only where every array has a class axis first."
    )


def rank_batch(
  score: Partial,
  embeddings: Float[Array | np.ndarray, "batch ..."],
  logit_scale: Float[Array | np.ndarray, ""] | np.floating,
  *,
  classes: int,
  count: int,
  layout: ScoreLayout,
) -> ClassRanking:
  """Ranks all classes for a batch; for use under `jit`.

  Args:
    score: from `place_score`.
    embeddings: one entry an image, from `place_images`; as many images as
      `round_batch` gives.
    logit_scale: natural logarithm of the factor on the scores, as stored.
    classes: number of classes.
    count: places of the ranking, >= 1.
    layout: of the scores.

  Returns:
    The ranking, on each device of its images.

  Raises:
    ValueError: for scores of another shape, while tracing.

  References:
    Ours.
  """
  held = classes
  if layout.per_class:
    held = jax.tree.leaves(score)[0].shape[0] // layout.parts
  rank = functools.partial(
    _rank_part, held=held, classes=classes, count=count, layout=layout
  )
  mesh = layout.mesh
  if mesh is None or mesh.size == 1:
    return rank(score, embeddings, logit_scale, 0)
  shared = layout.parts > 1

  def rank_on_device(score, embeddings, logit_scale):
    first_class = jax.lax.axis_index(MODEL) * held if shared else 0
    ranking = rank(score, embeddings, logit_scale, first_class)
    return jax.tree.map(lambda x: x[None], ranking)

  bound = PartitionSpec(MODEL) if shared else PartitionSpec()
  images = DATA if shared else (DATA, MODEL)
  # No device waits for another here, so there is nothing that the check of
  # varying values could find; it would refuse loops in functions of users.
  rankings = jax.shard_map(
    rank_on_device,
    mesh=mesh,
    in_specs=(bound, PartitionSpec(images), PartitionSpec()),
    out_specs=PartitionSpec(MODEL if shared else None, images),
    check_vma=False,
  )(score, embeddings, logit_scale)
  rankings = jax.lax.with_sharding_constraint(
    rankings, NamedSharding(mesh, PartitionSpec(None, images))
  )
  return functools.reduce(
    merge_rankings,
    [jax.tree.map(lambda x, i=i: x[i], rankings) for i in range(layout.parts)],
  )


def _rank_part(
  score: Partial,
  embeddings: Array | np.ndarray,
  logit_scale: Array | np.ndarray | np.floating,
  first_class: Array | int,
  *,
  held: int,
  classes: int,
  count: int,
  layout: ScoreLayout,
) -> ClassRanking:
  """Ranks the classes that one device holds, some of which may be padding."""
  real = jnp.clip(classes - first_class, 0, held)
  if not layout.per_class or held <= _AT_ONCE * layout.block:
    return rank_scores(
      _scores(score, embeddings, held),
      count=count,
      logit_scale=logit_scale,
      first_class=first_class,
      counted=None if held * layout.parts == classes else real,
    )
  blocks = -(-held // layout.block)
  size = -(-held // blocks)

  def rank_block(ranking, index):
    start = index * size
    # The last block starts early, so that all have one shape and no array is
    # padded. What it scores twice goes behind the others and does not count.
    early = jnp.maximum(start + size - held, 0)
    block = jax.tree.map(
      lambda x: jax.lax.dynamic_slice_in_dim(x, start - early, size), score
    )
    further = rank_scores(
      jnp.roll(_scores(block, embeddings, size), -early, axis=1),
      count=count,
      logit_scale=logit_scale,
      first_class=first_class + start,
      counted=jnp.clip(real - start, 0, size - early),
    )
    return merge_rankings(ranking, further), None

  nothing = rank_nothing(embeddings.shape[0], count=count)
  indices = jnp.arange(blocks, dtype=jnp.int32)
  return jax.lax.scan(rank_block, nothing, indices)[0]


def _scores(
  score: Partial, embeddings: Array | np.ndarray, classes: int
) -> Array:
  scores = score(embeddings)
  shape = (embeddings.shape[0], classes)
  if scores.shape != shape:
    # Shapes are static: this is raised while tracing, once.
    raise ValueError(
      "`score_fn` must return scores of shape [batch, classes] = "
      f"{list(shape)}, got {list(scores.shape)}."
    )
  return scores
