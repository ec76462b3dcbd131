"""One embedding a window, where a checkpoint's patches know too little.

CLIP pools its class token; patches of a small checkpoint that was trained on
nothing else may hardly tell classes apart. A window that slides over the image
and is classified whole then still finds what lies where, at the price of a pass
of the tower for every place. Ours; no published protocol does it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import UInt8

from s3_jax.clip import Clip, ModelSpec, embed_patches
from s3_jax.experiment.tower_batches import image_tower, run_tower
from s3_jax.segmentation import (
  SegmentationProtocol,
  WindowPatches,
  embed_windows,
  windows,
)
from s3_jax.sharding import share_batch

__all__ = ["EMBEDDINGS", "check_embeddings", "embed_whole_windows"]

_BATCH = 64
"""Windows that go through the tower at once, on each device."""


def embed_whole_windows(
  spec: ModelSpec,
  params: Any,
  image: UInt8[np.ndarray, "rows cols 3"],
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
  mesh: Mesh | None = None,
) -> WindowPatches:
  """Embeds every window of an image as one image.

  The score of a window counts for all of its pixels; a pixel gets the mean over
  the windows that hold it, so the map is about as fine as the stride.
  """
  _check_window(spec, protocol)
  resized = windows.resize_image(
    image, short_side=protocol.short_side, long_side=protocol.long_side
  )
  if min(resized.shape[:2]) < protocol.window:
    raise ValueError(
      f"`image` must be at least {protocol.window} pixels, one window, high and"
      f" wide after the resize, got {resized.shape[0]} x {resized.shape[1]}."
    )
  rows, cols = (
    windows.place_windows(
      size,
      window=protocol.window,
      stride=protocol.stride,
      patch=protocol.window,
      padding="floor",
    )
    for size in resized.shape[:2]
  )
  mean, std = np.multiply(255, (spec.image_mean, spec.image_std))
  if protocol.pixel_mean is not None:
    mean, std = np.asarray((protocol.pixel_mean, protocol.pixel_std))
  pixels = (resized - mean.astype(np.float32)) / std.astype(np.float32)
  cut = windows.cut_windows(pixels, rows, cols)
  batch = _BATCH * (1 if mesh is None else mesh.size)
  padded = np.pad(cut, ((0, -len(cut) % batch), (0, 0), (0, 0), (0, 0)))
  tower = Partial(image_tower(spec, dtype), params)
  embeddings = np.concatenate(
    [
      np.asarray(run_tower(tower, share_batch(padded[start:][:batch], mesh)))
      for start in range(0, len(padded), batch)
    ]
  )[: len(cut)]
  return WindowPatches(
    embeddings.reshape(len(rows.starts), len(cols.starts), 1, 1, -1),
    windows.axis_weights(rows, image.shape[0]),
    windows.axis_weights(cols, image.shape[1]),
  )


def _check_window(spec: ModelSpec, protocol: SegmentationProtocol) -> None:
  if protocol.window != spec.image_size:
    raise ValueError(
      f"`window` of the protocol must be {spec.image_size}, the size of"
      f" {spec.name}'s images, where whole windows are embedded, got"
      f" {protocol.window}."
    )


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


def _embed_each(
  spec: ModelSpec,
  params: Any,
  images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
  *,
  protocol: SegmentationProtocol,
  dtype: str = "float32",
  mesh: Mesh | None = None,
) -> list[WindowPatches]:
  """As `embed_windows`, but of whole windows."""
  return [
    embed_whole_windows(
      spec, params, image, protocol=protocol, dtype=dtype, mesh=mesh
    )
    for image in images
  ]


EMBEDDINGS: dict[str, Callable[..., list[WindowPatches]]] = {
  "patches": embed_windows,
  "windows": _embed_each,
}
"""What the tower may be asked for, by the word of a config's `embeddings`."""
