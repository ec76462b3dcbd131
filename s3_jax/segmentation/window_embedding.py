"""What the tower makes of the windows of an image.

The image is resized and cut into windows, whose patches are embedded, or each
window as a whole.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, UInt8

from s3_jax.clip import Clip, ModelSpec, embed_images, embed_patches
from s3_jax.segmentation import windows
from s3_jax.segmentation.protocols import (
  SegmentationProtocol,
  check_protocol,
)
from s3_jax.sharding import share_batch

_MAX_WINDOWS = 8
"""Windows whose patches are embedded at once, on each device."""

_WHOLE_WINDOWS = 64
"""Windows that are embedded at once as they are, on each device."""


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
  cut = [
    _cut(spec, protocol, np.asarray(image), patch=spec.patch_size)
    for image in images
  ]
  found: list[list[np.ndarray]] = [[] for _ in cut]
  for shape in dict.fromkeys(each.pixels.shape[1:] for each in cut):
    some = [i for i, each in enumerate(cut) if each.pixels.shape[1:] == shape]
    counts = [len(cut[i].pixels) for i in some]
    total, devices = sum(counts), 1 if mesh is None else mesh.size
    # Up to eight windows are one batch; more make full ones, all of one shape.
    share = _MAX_WINDOWS if total > _MAX_WINDOWS else -(-total // devices)
    embedded = _embed_in_batches(
      functools.partial(
        embed_patches,
        spec,
        params,
        attention=protocol.attention,
        position_offset=protocol.position_offset,
        neighbor_std=protocol.neighbor_std,
        residual_share=protocol.residual_share,
        dtype=dtype,
      ),
      np.concatenate([cut[i].pixels for i in some]),
      size=share * devices,
      mesh=mesh,
    )
    parts = np.split(embedded, np.cumsum(counts)[:-1])
    for i, part in zip(some, parts, strict=True):
      found[i].append(part)
  return [
    _to_patches(each, np.concatenate(parts))
    for each, parts in zip(cut, found, strict=True)
  ]


def embed_whole_windows(
  spec: ModelSpec,
  params: Any,
  images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
  mesh: Mesh | None = None,
) -> list[WindowPatches]:
  """Embeds every window of some images as one image, where patches fail.

  CLIP pools its class token; patches of a small checkpoint that was trained on
  nothing else may hardly tell classes apart. A window that is classified whole
  still finds what lies where, at the price of a pass of the tower for every
  one. Its score counts for all of its pixels; a pixel gets the mean over the
  windows that hold it, so the map is about as fine as the stride. Ours; no
  published protocol does it.
  """
  _check_window(spec, protocol)
  protocol = protocol._replace(padding="floor")
  size = _WHOLE_WINDOWS * (1 if mesh is None else mesh.size)
  found = []
  for image in images:
    cut = _cut(spec, protocol, image, patch=protocol.window)
    embed = functools.partial(embed_images, spec, params, dtype=dtype)
    embedded = _embed_in_batches(embed, cut.pixels, size=size, mesh=mesh)
    found.append(_to_patches(cut, embedded))
  return found


EMBEDDINGS: dict[str, Callable[..., list[WindowPatches]]] = {
  "patches": embed_windows,
  "windows": embed_whole_windows,
}
"""What the tower may be asked for, by the word of a config's `embeddings`."""


def check_embeddings(
  clip: Clip, protocol: SegmentationProtocol, embeddings: str
) -> None:
  """Refuses what a checkpoint cannot give, before anything is computed."""
  if embeddings == "windows":
    _check_window(clip.spec, protocol)
    return
  side = clip.spec.image_size
  image = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
  patches = functools.partial(
    embed_patches, clip.spec, attention=protocol.attention
  )
  jax.eval_shape(patches, clip.params, image)


def _check_window(spec: ModelSpec, protocol: SegmentationProtocol) -> None:
  if protocol.window != spec.image_size:
    raise ValueError(
      f"`window` of the protocol must be {spec.image_size}, the size of"
      f" {spec.name}'s images, where whole windows are embedded, got"
      f" {protocol.window}."
    )


class _Cut(NamedTuple):
  """The windows of one image."""

  pixels: Float32[np.ndarray, "windows rows cols 3"]  # normalised
  rows: windows.Axis
  cols: windows.Axis
  shape: tuple[int, ...]  # of the image


def _cut(
  spec: ModelSpec,
  protocol: SegmentationProtocol,
  image: UInt8[np.ndarray, "_ _ 3"],
  *,
  patch: int,
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
      patch=patch,
      padding=protocol.padding,
    )
    for size in resized.shape[:2]
  )
  if not rows.tokens or not cols.tokens:
    whole = patch == protocol.window
    advice = "" if whole else '; take a protocol whose padding is "center"'
    raise ValueError(
      f"`image` must be at least {patch} pixels, one"
      f" {'window' if whole else 'patch'}, high and wide after the resize, got"
      f" {rows.size} x {cols.size}{advice}."
    )
  mean, std = np.multiply(255, (spec.image_mean, spec.image_std))
  if protocol.pixel_mean is not None:
    mean, std = np.asarray((protocol.pixel_mean, protocol.pixel_std))
  pixels = (resized - mean.astype(np.float32)) / std.astype(np.float32)
  cut = windows.cut_windows(pixels, rows, cols)
  return _Cut(cut, rows, cols, image.shape)


def _embed_in_batches(
  embed: Callable[[Array | np.ndarray], Array],
  cut: Float32[np.ndarray, "windows rows cols 3"],
  *,
  size: int,
  mesh: Mesh | None,
) -> Float32[np.ndarray, "windows ..."]:
  """Runs the tower on windows of one size; the last batch is filled up."""
  padded = np.pad(cut, ((0, -len(cut) % size), *[(0, 0)] * 3))
  found = [
    np.asarray(embed(share_batch(padded[start : start + size], mesh)))
    for start in range(0, len(padded), size)
  ]
  return np.concatenate(found)[: len(cut)]


def _to_patches(
  cut: _Cut, embeddings: Float32[np.ndarray, "windows ..."]
) -> WindowPatches:
  starts = len(cut.rows.starts), len(cut.cols.starts)
  return WindowPatches(
    embeddings.reshape(*starts, cut.rows.tokens, cut.cols.tokens, -1),
    windows.axis_weights(cut.rows, cut.shape[0]),
    windows.axis_weights(cut.cols, cut.shape[1]),
  )
