"""Resizing, windows, and the way from patch scores to pixel scores.

The scores of an image are resampled three times: from the patches of a window
to its pixels, by the mean over overlapping windows to the pixels of the resized
image, and from there to the pixels of the original. Each step is linear and
treats rows and columns apart, so all three are one small matrix for the rows
and one for the columns: `axis_weights`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from s3_jax.extras import require


class Axis(NamedTuple):
  """How the windows lie on one axis of the resized image.

  Attributes:
    size: pixels of the resized image.
    starts: first pixel of each window.
    window: pixels of a window, the same for all.
    before: zeros before each window.
    after: zeros after it.
    tokens: patches of a padded window.
    patch: pixels of a patch.
    stretched: whether the patches are stretched over the window, rather than
      over the padded window.
  """

  size: int
  starts: tuple[int, ...]
  window: int
  before: int
  after: int
  tokens: int
  patch: int
  stretched: bool


def resized_shape(
  rows: int, cols: int, *, short_side: int, long_side: int
) -> tuple[int, int]:
  """Scales a size so that it just fits into two bounds, as mmseg's Resize.

  Rows and columns are each rounded half up and at least 1.

  References:
    mmcv, image/geometric.py, `rescale_size`.
  """
  factor = min(long_side / max(rows, cols), short_side / min(rows, cols))
  return max(1, int(rows * factor + 0.5)), max(1, int(cols * factor + 0.5))


def resize_image(
  image: UInt8[np.ndarray, "rows cols 3"],
  *,
  short_side: int,
  long_side: int,
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Resizes an image as mmseg does, bilinearly and without antialiasing.

  References:
    OpenCV's INTER_LINEAR, which rounds in fixed point: Pillow's bilinear filter
    widens where it shrinks and gives other pixels.
  """
  require("segmentation", "cv2", by="Resizing as mmseg does")
  import cv2

  rows, cols = image.shape[:2]
  new = resized_shape(rows, cols, short_side=short_side, long_side=long_side)
  if new == (rows, cols):
    return image
  return np.asarray(
    cv2.resize(
      np.ascontiguousarray(image), new[::-1], interpolation=cv2.INTER_LINEAR
    )
  )


def place_windows(
  size: int, *, window: int, stride: int, patch: int, padding: str
) -> Axis:
  """Lays windows over one axis of the resized image.

  `tokens` is 0 where not one patch fits.

  References:
    mmseg's `slide_inference`; the paddings of SCLIP, ClearCLIP and MaskCLIP.
  """
  window = min(window or size, size)
  count = 1 + max(0, -(-(size - window) // stride))
  starts = tuple(min(i * stride, size - window) for i in range(count))
  missing = 0 if padding == "floor" else -window % patch
  before = missing // 2 if padding == "center" else 0
  return Axis(
    size=size,
    starts=starts,
    window=window,
    before=before,
    after=missing - before,
    tokens=(window + missing) // patch,
    patch=patch,
    stretched=padding != "center",
  )


def cut_windows(
  pixels: Float32[np.ndarray, "rows cols 3"], rows: Axis, cols: Axis
) -> Float32[np.ndarray, "windows _ _ 3"]:
  """Cuts the windows out of a normalised image, padded with zeros."""
  return np.stack(
    [
      np.pad(
        pixels[top : top + rows.window, left : left + cols.window],
        ((rows.before, rows.after), (cols.before, cols.after), (0, 0)),
      )
      for top in rows.starts
      for left in cols.starts
    ]
  )


def axis_weights(
  axis: Axis, original: int
) -> Float32[np.ndarray, "original _"]:
  """Weights that bring patch scores of all windows to the original's pixels.

  `original <- resized image <- mean over windows <- window <- patches`, in one
  axis and computed in float64. One row a pixel of the original; columns run
  over windows, then patches.
  """
  if axis.stretched:
    up = bilinear_weights(axis.tokens, axis.window)
  else:
    padded = bilinear_weights(axis.tokens, axis.tokens * axis.patch)
    up = padded[axis.before : axis.before + axis.window]
  placed = np.zeros((axis.size, len(axis.starts), axis.tokens))
  covered = np.zeros((axis.size, 1, 1))
  for index, start in enumerate(axis.starts):
    placed[start : start + axis.window, index] = up
    covered[start : start + axis.window] += 1
  mean = (placed / covered).reshape(axis.size, -1)
  return (bilinear_weights(axis.size, original) @ mean).astype(np.float32)


def bilinear_weights(old: int, new: int) -> np.ndarray:
  """Weights of torch's bilinear interpolation, one row an output.

  `interpolate(mode="bilinear", align_corners=False)`: centres of cells, never
  antialiased; what lies beyond the border is the border. Every row sums to 1.
  """
  source = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
  low = np.minimum(source.astype(int), old - 1)
  share = source - low
  weights = np.zeros((new, old))
  weights[np.arange(new), low] = 1 - share
  np.add.at(weights, (np.arange(new), np.minimum(low + 1, old - 1)), share)
  return weights
