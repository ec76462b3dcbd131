"""One image to one map of labels, by a protocol.

The image is resized and cut into windows; every patch of every window is scored
against the texts; scores are brought to the original's pixels; a softmax and an
argmax make labels of them. Everything between the patch scores and the softmax
is linear, so that it is two products with small matrices (`axis_weights`), and
the map is made in blocks of rows: scores of all names at all pixels never exist
at once.

Memory, beside the tower's: the patch scores, and two arrays of at most 2^22
numbers (16 MiB) for a block, unless one row of the image needs more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, UInt8

from s3_jax.clip import ModelSpec, embed_patches
from s3_jax.evaluation.segmentation import windows
from s3_jax.evaluation.segmentation.protocols import (
  SegmentationProtocol,
  check_protocol,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace
from s3_jax.zero_shot import zero_shot_scores

_MAX_WINDOWS = 8
"""Windows that go through the tower at once."""

_MAX_NUMBERS = 1 << 22
"""Numbers in the largest array of a block of rows."""

_MULTIPLE = 64
"""Sizes are padded to a multiple of it: images of other sizes share code."""


class NameClassifier(NamedTuple):
  """Names of classes, each with its own vector: the papers' baseline.

  The softmax runs over all names, and a class has the probability of its best
  name. Class 0 is what thresholds fall back to: the background, if there is
  one.

  Attributes:
    embeddings: f32[names, dim], one unit row a name.
    class_index: i32[names], the class of each; every class has a name.
  """

  embeddings: Float[Array | np.ndarray, "names dim"]
  class_index: Int[Array | np.ndarray, " names"]


Target = (
  NameClassifier
  | tuple[
    SynonymousSpace, str | Callable[[Any, SynonymousSpace], Float[Array, "..."]]
  ]
)


def segment_image(
  spec: ModelSpec,
  params: Any,
  image: UInt8[Array | np.ndarray, "rows cols 3"],
  target: Target,
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
) -> Int32[np.ndarray, "rows cols"]:
  """Gives every pixel of an image the class that its surroundings look like.

  In this order: resize; windows; cosines of patches and names, or scores of
  patches and spaces; bilinear to the window's size; mean over overlapping
  windows; bilinear to the image's own size; times the factor; softmax over all
  names, or over all classes where they are spaces; the best name of each class;
  classes that are too small given up; argmax, at equal scores the lowest class;
  class 0 where the best probability is below the threshold.

  Args:
    spec: the checkpoint's settings; a ViT with a class token.
    params: the checkpoint's parameters, both towers.
    image: RGB pixels at the size that the labels shall have.
    target: a `NameClassifier`, or a pair of a `SynonymousSpace` and a metric:
      a name of `POINT_TO_SPACE`, or a function of embeddings f32[..., dim] and
      the space that gives scores f32[..., classes], larger = closer.
    protocol: all other settings, such as `SEGMENTATION_PROTOCOLS["sclip"]`.
    dtype: type in which the tower multiplies, "float32" or "bfloat16".

  Returns:
    Class indices.

  Raises:
    ValueError: the protocol, the target or the checkpoint cannot be used, the
      image is empty or, after the resize, narrower than a patch, or a score is
      not finite.

  References:
    The order of the steps is that of SCLIP (github.com/wangf3014/SCLIP,
    clip_segmentor.py), as in ClearCLIP, and of mmseg's whole inference for
    MaskCLIP. Scores of spaces in the place of cosines are ours.
  """
  check_protocol(protocol)
  image = np.asarray(image)
  if image.size == 0:
    raise ValueError(
      f"`image` must have pixels, got {image.shape[0]} x {image.shape[1]}."
    )
  score, class_index = _read_target(target, spec.embed_dim)
  resized = windows.resize_image(
    image, short_side=protocol.short_side, long_side=protocol.long_side
  )
  rows, cols = (
    windows.place_windows(
      size,
      window=protocol.window,
      stride=protocol.stride,
      patch=spec.patch_size,
      padding=protocol.padding,
    )
    for size in resized.shape[:2]
  )
  if not rows.tokens or not cols.tokens:
    raise ValueError(
      f"`image` must be at least {spec.patch_size} pixels, one patch, high and "
      f"wide after the resize, got {rows.size} x {cols.size}; take a protocol "
      'whose padding is "center".'
    )
  cut = windows.cut_windows(_normalize(spec, protocol, resized), rows, cols)
  scores = _score_windows(spec, params, cut, score, protocol, dtype)
  scores = scores.reshape(
    len(rows.starts), len(cols.starts), rows.tokens, cols.tokens, -1
  )
  # [row of windows, row of patches, name, column of windows, of patches]
  scores = scores.transpose(0, 2, 4, 1, 3).reshape(
    len(rows.starts) * rows.tokens, scores.shape[-1], -1
  )
  return _label_pixels(
    jnp.asarray(scores),
    windows.axis_weights(rows, image.shape[0]),
    windows.axis_weights(cols, image.shape[1]),
    class_index,
    protocol,
  )


def _read_target(
  target: Target, dim: int
) -> tuple[Callable[[Array], Array], Int32[np.ndarray, " names"]]:
  """Gives a function of patch embeddings, and the class of each score.

  Names are put in the order of their classes, so that the first of equal
  scores belongs to the lowest class.
  """
  if not isinstance(target, NameClassifier):
    space, metric = target
    if isinstance(metric, str):
      if metric not in POINT_TO_SPACE:
        raise ValueError(
          f"the metric of `target` must be one of {', '.join(POINT_TO_SPACE)}, "
          f"or a function, got {metric!r}."
        )
      metric = POINT_TO_SPACE[metric]
    classes = np.arange(space.mask.shape[0], dtype=np.int32)
    if not classes.size:
      raise ValueError("`target` must hold at least one class, got 0.")
    return lambda patches: metric(patches, space), classes
  embeddings = np.asarray(target.embeddings, np.float32)
  classes = np.asarray(target.class_index, np.int32)
  if embeddings.shape[1] != dim or len(embeddings) != len(classes):
    raise ValueError(
      "`target` must hold an embedding of the checkpoint's dim, "
      f"{dim}, and a class for each name, got embeddings "
      f"{list(embeddings.shape)} and {len(classes)} classes."
    )
  if not classes.size:
    raise ValueError("`target` must hold at least one name, got 0.")
  found = np.unique(classes)
  if found[0] < 0:
    raise ValueError(f"`class_index` of `target` must be >= 0, got {found[0]}.")
  if len(found) != found[-1] + 1:
    missing = int(np.flatnonzero(found != np.arange(len(found)))[0])
    raise ValueError(
      "`class_index` of `target` must hold every class from 0 to "
      f"{found[-1]}, got none of class {missing}; give each class a name."
    )
  order = np.argsort(classes, kind="stable")
  names = jnp.asarray(embeddings[order])
  return lambda patches: _score_names(patches, names), classes[order]


_score_names = jax.jit(zero_shot_scores)


def _normalize(
  spec: ModelSpec,
  protocol: SegmentationProtocol,
  pixels: UInt8[np.ndarray, "rows cols 3"],
) -> Float32[np.ndarray, "rows cols 3"]:
  """Scales pixels as the protocol says, or else as the checkpoint does."""
  mean, std = np.multiply(255, (spec.image_mean, spec.image_std))
  if protocol.pixel_mean is not None:
    mean, std = np.asarray((protocol.pixel_mean, protocol.pixel_std))
  return (pixels - mean.astype(np.float32)) / std.astype(np.float32)


def _score_windows(
  spec: ModelSpec,
  params: Any,
  cut: Float32[np.ndarray, "windows height width 3"],
  score: Callable[[Array], Array],
  protocol: SegmentationProtocol,
  dtype: str,
) -> Float32[np.ndarray, "windows rows cols names"]:
  """Scores the patches of windows, in few batches of one size.

  The last batch is filled up with blank windows, so that one image compiles
  the tower once.
  """
  batches = -(-len(cut) // _MAX_WINDOWS)
  size = -(-len(cut) // batches)
  found = []
  for start in range(0, len(cut), size):
    batch = cut[start : start + size]
    blank = ((0, size - len(batch)), (0, 0), (0, 0), (0, 0))
    patches = embed_patches(
      spec,
      params,
      np.pad(batch, blank),
      attention=protocol.attention,
      position_offset=protocol.position_offset,
      dtype=dtype,
    )
    found.append(np.asarray(score(patches), np.float32)[: len(batch)])
  scores = np.concatenate(found)
  if not np.isfinite(scores).all():
    raise ValueError(
      "scores of patches must be finite, got NaN or inf; check `params`, "
      "`target` and the metric."
    )
  return scores


def _label_pixels(
  scores: Float32[Array, "patch_rows names patch_cols"],
  to_rows: Float32[np.ndarray, "rows patch_rows"],
  to_cols: Float32[np.ndarray, "cols patch_cols"],
  class_index: Int32[np.ndarray, " names"],
  protocol: SegmentationProtocol,
) -> Int32[np.ndarray, "rows cols"]:
  """Brings scores to the pixels and decides, block by block of rows."""
  (rows, _), cols = to_rows.shape, len(to_cols)
  to_cols = np.pad(to_cols, ((0, -cols % _MULTIPLE), (0, 0)))
  block = block_rows(rows, len(to_cols), len(class_index), to_cols.shape[1])
  to_rows = np.pad(to_rows, ((0, -rows % block), (0, 0)))

  def label(kept, threshold):
    labels = [
      _label_block(
        scores,
        to_rows[start : start + block],
        to_cols,
        class_index,
        kept[class_index],
        np.float32(protocol.logit_factor),
        np.float32(threshold),
      )
      for start in range(0, len(to_rows), block)
    ]
    return np.concatenate([np.asarray(part) for part in labels])[:rows, :cols]

  kept = np.ones((class_index[-1] + 1,), bool)
  if protocol.area_threshold > 0:
    labels = label(kept, 0.0)
    areas = np.bincount(labels.ravel(), minlength=len(kept))
    kept = areas > protocol.area_threshold * np.sum(areas[1:])
    kept[0] = True
  return label(kept, protocol.prob_threshold)


def block_rows(rows: int, cols: int, names: int, patch_cols: int) -> int:
  """Says how many rows of an image are decided at once.

  Args:
    rows: of the image.
    cols: of the image, padded.
    names: scores of a pixel.
    patch_cols: columns of patches of all windows.

  Returns:
    As many as the bound on memory allows, at least 1, and no more than there
    are but for the padding.
  """
  fitting = _MAX_NUMBERS // (names * max(cols, patch_cols))
  return max(1, min(fitting, rows + -rows % _MULTIPLE))


@jax.jit
def _label_block(
  scores: Float32[Array, "patch_rows names patch_cols"],
  to_rows: Float32[Array, "rows patch_rows"],
  to_cols: Float32[Array, "cols patch_cols"],
  class_index: Int32[Array, " names"],
  kept: Bool[Array, " names"],
  factor: Float32[Array, ""],
  threshold: Float32[Array, ""],
) -> Int32[Array, "rows cols"]:
  """Labels a block of rows.

  The best of all names belongs to the class whose best name is best, so the
  maximum over a class's names needs no step of its own. A name that is not
  kept has no part in the maximum, and still one in the softmax.
  """
  exact = jax.lax.Precision.HIGHEST
  scores = jnp.einsum("rp,pnq->rnq", to_rows, scores, precision=exact)
  logits = jnp.einsum("rnq,cq->rnc", scores, to_cols, precision=exact)
  logits *= factor
  total = jax.nn.logsumexp(logits, axis=1)
  candidates = jnp.where(kept[None, :, None], logits, -jnp.inf)
  best = jnp.argmax(candidates, axis=1)
  probability = jnp.exp(jnp.max(candidates, axis=1) - total)
  labels = class_index[best]
  return jnp.where(probability < threshold, 0, labels)
