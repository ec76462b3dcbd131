"""One image to one map of labels, by a protocol.

`segment_image` is `embed_windows`, which runs the tower, and then
`label_windows`, which several targets can share the embeddings of.

The image is resized and cut into windows; every patch of every window is scored
against the texts; scores are brought to the original's pixels (`windows`) and
make labels (`label_map`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, Int32, UInt8

from s3_jax.clip import ModelSpec, embed_patches
from s3_jax.messages import nearest
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.segmentation import windows
from s3_jax.segmentation.label_map import label_pixels
from s3_jax.segmentation.protocols import (
  SegmentationProtocol,
  check_protocol,
)
from s3_jax.sharding import share_batch
from s3_jax.space import SynonymousSpace
from s3_jax.zero_shot import zero_shot_scores

_MAX_WINDOWS = 8
"""Windows that go through the tower at once."""


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


class WindowPatches(NamedTuple):
  """The patches of all windows of one image.

  Attributes:
    embeddings: unit vectors, by the row and the column of the window and then
      of the patch in it.
    to_rows: weights that bring scores of patches to the rows of the image; its
      columns run over rows of windows, then of patches.
    to_cols: the same for the columns.
  """

  embeddings: Float32[np.ndarray, "window_rows window_cols rows cols dim"]
  to_rows: Float32[np.ndarray, "height _"]
  to_cols: Float32[np.ndarray, "width _"]


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
  (patches,) = embed_windows(
    spec, params, [image], protocol=protocol, dtype=dtype
  )
  return label_windows(patches, target, protocol=protocol)


def embed_windows(
  spec: ModelSpec,
  params: Any,
  images: Sequence[UInt8[Array | np.ndarray, "_ _ 3"]],
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
  mesh: Mesh | None = None,
) -> list[WindowPatches]:
  """Embeds the patches of all windows of some images: what the tower is for.

  Windows of one size share batches whatever image they are of, eight at a time
  on each device, so that images of many sizes need one compiled program a size
  of window.

  Args:
    spec: the checkpoint's settings; a ViT with a class token.
    params: the checkpoint's parameters, both towers.
    images: RGB pixels at the size that the labels shall have.
    protocol: everything but its factor and thresholds matters here.
    dtype: type in which the tower multiplies, "float32" or "bfloat16".
    mesh: devices that share the windows; all of them should hold `params`.
      None for one device.

  Returns:
    WindowPatches of each image, for `label_windows`.

  Raises:
    ValueError: the protocol or the checkpoint cannot be used, or an image is
      empty or, after the resize, narrower than a patch.

  References:
    As `segment_image`.
  """
  check_protocol(protocol)
  cut = [_cut(spec, protocol, np.asarray(image)) for image in images]
  found: list[list[np.ndarray]] = [[] for _ in cut]
  for shape in dict.fromkeys(each.windows.shape[1:] for each in cut):
    some = [i for i, each in enumerate(cut) if each.windows.shape[1:] == shape]
    counts = [len(cut[i].windows) for i in some]
    embedded = _embed_in_batches(
      spec,
      params,
      np.concatenate([cut[i].windows for i in some]),
      protocol=protocol,
      dtype=dtype,
      mesh=mesh,
    )
    parts = np.split(embedded, np.cumsum(counts)[:-1])
    for i, part in zip(some, parts, strict=True):
      found[i].append(part)
  return [
    WindowPatches(
      np.concatenate(parts).reshape(*each.indices, -1),
      windows.axis_weights(each.rows, each.shape[0]),
      windows.axis_weights(each.cols, each.shape[1]),
    )
    for each, parts in zip(cut, found, strict=True)
  ]


class _Cut(NamedTuple):
  """The windows of one image."""

  windows: np.ndarray  # f32[windows, rows, cols, 3], normalised
  rows: Any  # windows.Windows of each axis
  cols: Any
  shape: tuple[int, ...]  # of the image

  @property
  def indices(self) -> tuple[int, ...]:
    """Rows and columns of windows, and of patches in each."""
    starts = (len(self.rows.starts), len(self.cols.starts))
    return (*starts, self.rows.tokens, self.cols.tokens)


def _cut(
  spec: ModelSpec, protocol: SegmentationProtocol, image: np.ndarray
) -> _Cut:
  if image.size == 0:
    raise ValueError(
      f"`image` must have pixels, got {image.shape[0]} x {image.shape[1]}."
    )
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
  return _Cut(np.asarray(cut), rows, cols, image.shape)


def _embed_in_batches(
  spec: ModelSpec,
  params: Any,
  cut: Float32[np.ndarray, "windows rows cols 3"],
  *,
  protocol: SegmentationProtocol,
  dtype: str,
  mesh: Mesh | None,
) -> Float32[np.ndarray, "windows _ _ dim"]:
  """Runs the tower on windows of one size; the last batch is filled up."""
  total = len(cut)
  devices = 1 if mesh is None else mesh.size
  # Up to eight windows are one batch; more make full ones, all of one shape.
  share = _MAX_WINDOWS if total > _MAX_WINDOWS else -(-total // devices)
  size = share * devices
  cut = np.pad(cut, ((0, -total % size), *[(0, 0)] * 3))
  found = [
    np.asarray(
      embed_patches(
        spec,
        params,
        share_batch(cut[start : start + size], mesh),
        attention=protocol.attention,
        position_offset=protocol.position_offset,
        dtype=dtype,
      )
    )
    for start in range(0, len(cut), size)
  ]
  return np.concatenate(found)[:total]


def label_windows(
  patches: WindowPatches, target: Target, *, protocol: SegmentationProtocol
) -> Int32[np.ndarray, "rows cols"]:
  """Labels an image whose patches are embedded.

  Args:
    patches: from `embed_windows`.
    target: as in `segment_image`.
    protocol: only its factor and its thresholds matter here.

  Returns:
    Class indices.

  Raises:
    ValueError: the protocol or the target cannot be used, or a score is not
      finite.

  References:
    As `segment_image`.
  """
  check_protocol(protocol)
  embeddings = patches.embeddings
  score, class_index = _read_target(target, embeddings.shape[-1])
  scores = np.asarray(score(jnp.asarray(embeddings)), np.float32)
  if not np.isfinite(scores).all():
    raise ValueError(
      "scores of patches must be finite, got NaN or inf; check `params`, "
      "`target` and the metric."
    )
  # [row of windows, row of patches, name, column of windows, of patches]
  scores = scores.transpose(0, 2, 4, 1, 3).reshape(
    patches.to_rows.shape[1], scores.shape[-1], patches.to_cols.shape[1]
  )
  return label_pixels(
    jnp.asarray(scores), patches.to_rows, patches.to_cols, class_index, protocol
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
          f"the metric of `target` must be one of {nearest(POINT_TO_SPACE)}, "
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
