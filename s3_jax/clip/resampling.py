"""Pillow's resize of 8-bit pixels, of a part of the result, by products.

Pillow sums integers: weights of 22 bits times pixels, rounded after the pass
over the columns and again after the pass over the rows. The same sums in
float32 are off by so little that only those next to a half can round another
way; these few are summed in integers again. So every pixel is Pillow's own.
"""

import functools
import threading
from typing import NamedTuple

import numpy as np
import PIL
from jaxtyping import Float, Int, UInt8

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Filters, with their reach in pixels of the smaller image."""

_BITS = 22
_BLOCK = 4
_CHANNELS = 3
# OpenBLAS does smaller products in the thread that asks; in others it would
# wait for them by spinning.
_MAX_PRODUCT = 1 << 18


class _Axis(NamedTuple):
  """The sums of one pass; every array is read only.

  Attributes:
    first: of the pixels that any sum takes.
    last: one past the last of them.
    pixels: that each sum takes, counted from `first`, for the exact sums.
    weights: integers of 22 bits.
    starts: the first value of each block, counted from `first`.
    blocks: weights in float32, of `reach` pixels for `_BLOCK` sums.
    limit: distance from an integer beyond which a sum must be made exactly.
  """

  first: int
  last: int
  pixels: Int[np.ndarray, "sums taps"]
  weights: Int[np.ndarray, "sums taps"]
  starts: list[int]
  blocks: Float[np.ndarray, "blocks reach sums"]
  limit: np.float32


def resize_part(
  pixels: UInt8[np.ndarray, "rows cols 3"],
  size: tuple[int, int],
  part: tuple[int, int, int, int],
  *,
  interpolation: str = "bicubic",
) -> UInt8[np.ndarray, "part_rows part_cols 3"]:
  """Resizes an image and cuts a part out, of which alone it computes pixels.

  Args:
    pixels: of an RGB image.
    size: columns and rows of the resized image.
    part: left, top, right and bottom in the resized image, inside of it.
    interpolation: "bicubic" or "bilinear", with a filter as wide as a shrinking
      asks for.

  Returns:
    The pixels that `Image.resize` and `Image.crop` give.

  Raises:
    ValueError: if the part leaves the resized image or is empty, or the
      interpolation is another.

  References:
    The arithmetic is that of Pillow's Resample.c; the products are ours.
  """
  rows, cols, _ = pixels.shape
  left, top, right, bottom = part
  if interpolation not in SUPPORT:
    raise ValueError(
      f"`interpolation` must be bicubic or bilinear, got {interpolation!r}."
    )
  if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
    raise ValueError(
      f"`part` must lie in the resized image of {size[0]} x {size[1]} pixels"
      f" and not be empty, got {part}."
    )
  support = SUPPORT[interpolation]
  lines = pixels.reshape(rows, cols * _CHANNELS)
  passes = []
  if cols != size[0]:
    across = _axis(cols, size[0], left, right, support, _CHANNELS)
    left, right = across.first, across.last
    passes.append((_across, across))
  if rows != size[1]:
    down = _axis(rows, size[1], top, bottom, support, 1)
    top, bottom = down.first, down.last
    passes.append((_down, down))
  if _is_rows_first(rows - size[1], cols - size[0]):
    passes.reverse()
  lines = lines[top:bottom, left * _CHANNELS : right * _CHANNELS]
  for run, axis in passes:
    lines = run(lines, axis)
  lines = lines if passes else lines.copy()
  return lines.reshape(len(lines), -1, _CHANNELS)


def is_known(version: str) -> bool:
  """Says whether a version of Pillow is one whose arithmetic this is."""
  return version.partition(".")[0] in ("11", "12", "13")


def _is_rows_first(fewer_rows: int, fewer_cols: int) -> bool:
  """Says which pass comes first, which shows in the rounding between them.

  References:
    Pillow 13, which takes the rows first where they shrink by much more
    (pull request 9549); those before never do.
  """
  new = int(PIL.__version__.partition(".")[0]) >= 13
  return new and fewer_rows > max(0, 2 * fewer_cols)


def _across(
  lines: UInt8[np.ndarray, "rows values"], axis: _Axis
) -> UInt8[np.ndarray, "rows new_values"]:
  """Makes the pass over the columns, some rows at a time."""
  rows = lines.shape[0]
  width = axis.weights.shape[0] * _CHANNELS
  blocks, reach, sums = axis.blocks.shape
  result = np.empty((rows, width), np.uint8)
  step = max(1, min(rows, _MAX_PRODUCT // (reach * sums)))
  for begin in range(0, rows, step):
    part = lines[begin : begin + step]
    taken = _scratch("taken", part.shape)
    np.copyto(taken, part)
    total = _scratch("total", (len(part), blocks * sums))
    for number, start in enumerate(axis.starts):
      np.matmul(
        taken[:, start : start + reach],
        axis.blocks[number],
        out=total[:, number * sums : (number + 1) * sums],
      )
    rounded, (row, place) = _round(total[:, :width], axis.limit)
    if row.size:
      col, channel = np.divmod(place, _CHANNELS)
      places = axis.pixels[col] * _CHANNELS + channel[:, None]
      rounded[row, place] = _sum_exactly(
        part[row[:, None], places], axis.weights[col]
      )
    np.copyto(result[begin : begin + step], rounded, casting="unsafe")
  return result


def _down(
  lines: UInt8[np.ndarray, "rows values"], axis: _Axis
) -> UInt8[np.ndarray, "new_rows values"]:
  """Makes the pass over the rows, some values of each at a time."""
  width, new = lines.shape[1], axis.weights.shape[0]
  blocks, reach, sums = axis.blocks.shape
  result = np.empty((new, width), np.uint8)
  step = max(1, min(width, _MAX_PRODUCT // (reach * sums)))
  for begin in range(0, width, step):
    part = lines[:, begin : begin + step]
    taken = _scratch("taken", part.shape)
    np.copyto(taken, part)
    total = _scratch("total", (blocks * sums, part.shape[1]))
    for number, start in enumerate(axis.starts):
      np.matmul(
        axis.blocks[number].T,
        taken[start : start + reach],
        out=total[number * sums : (number + 1) * sums],
      )
    rounded, (row, place) = _round(total[:new], axis.limit)
    if row.size:
      rounded[row, place] = _sum_exactly(
        part[axis.pixels[row], place[:, None]], axis.weights[row]
      )
    np.copyto(result[:, begin : begin + step], rounded, casting="unsafe")
  return result


def _round(
  total: Float[np.ndarray, "rows cols"], limit: np.float32
) -> tuple[Float[np.ndarray, "rows cols"], tuple[np.ndarray, np.ndarray]]:
  """Rounds sums to pixels, and lists those that may round another way."""
  rounded = np.rint(total, out=_scratch("rounded", total.shape))
  distance = np.subtract(total, rounded, out=total)
  np.abs(distance, out=distance)
  doubtful = np.divmod(np.flatnonzero(distance > limit), total.shape[1])
  return np.clip(rounded, 0, 255, out=rounded), doubtful


def _sum_exactly(
  pixels: UInt8[np.ndarray, "sums taps"], weights: Int[np.ndarray, "sums taps"]
) -> Int[np.ndarray, " sums"]:
  total = (pixels.astype(np.int64) * weights).sum(axis=1)
  return np.clip((total + (1 << _BITS - 1)) >> _BITS, 0, 255)


_THREAD = threading.local()


def _scratch(name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "a b"]:
  """Returns memory of this thread: fresh pages cost more than the sums."""
  size = shape[0] * shape[1]
  held = getattr(_THREAD, name, None)
  if held is None or held.size < size:
    held = np.empty(size, np.float32)
    setattr(_THREAD, name, held)
  return held[:size].reshape(shape)


@functools.lru_cache(maxsize=128)
def _axis(
  old: int, new: int, begin: int, end: int, support: float, channels: int
) -> _Axis:
  """Computes the sums of one pass, from `old` pixels to a part of `new`."""
  scale = old / new
  wide = max(scale, 1.0)
  centers = (np.arange(begin, end) + 0.5) * scale
  firsts = np.maximum((centers - support * wide + 0.5).astype(np.int64), 0)
  lasts = np.minimum((centers + support * wide + 0.5).astype(np.int64), old)
  taps = int((lasts - firsts).max())
  pixels = firsts[:, None] + np.arange(taps)
  weights = _FILTERS[support]((pixels - centers[:, None] + 0.5) * (1.0 / wide))
  weights[pixels >= lasts[:, None]] = 0.0
  # One after the other, as in C; `sum` would add in another order.
  weights /= np.cumsum(weights, axis=1)[:, -1:]
  weights *= 1 << _BITS
  weights = (weights + np.where(weights < 0, -0.5, 0.5)).astype(np.int64)

  count = -(-len(centers) // _BLOCK)
  filled = np.minimum(np.arange(count * _BLOCK), len(centers) - 1)
  each = filled.reshape(count, _BLOCK)
  starts, stops = firsts[each].min(axis=1), lasts[each].max(axis=1)
  first, last = int(firsts.min()), int(lasts.max())
  pixels = np.minimum(pixels, last - 1) - first
  reach = int((stops - starts).max())
  starts = np.minimum(starts, last - reach)
  blocks = np.zeros(
    (count, reach + taps, channels, _BLOCK, channels), np.float32
  )
  number, column = np.divmod(np.arange(len(centers)), _BLOCK)
  place = firsts - starts[number]
  for channel in range(channels):
    blocks[
      number[:, None],
      place[:, None] + np.arange(taps),
      channel,
      column[:, None],
      channel,
    ] = weights * 2.0**-_BITS
  blocks = np.ascontiguousarray(blocks[:, :reach])
  # Products and sums each round by half a unit of the last place at most, and
  # there are no more of them than taps; sums with zero are exact.
  largest = 255 * np.abs(weights).sum(axis=1).max() * 2.0**-_BITS
  error = (taps + 2) * 2.0**-24 * largest
  return _Axis(
    first,
    last,
    pixels,
    weights,
    ((starts - first) * channels).tolist(),
    blocks.reshape(count, reach * channels, _BLOCK * channels),
    np.float32(0.5 - error),
  )


def _bilinear(x: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
  x = np.abs(x)
  return np.where(x < 1.0, 1.0 - x, 0.0)


def _bicubic(x: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
  x = np.abs(x)
  near = (1.5 * x - 2.5) * x * x + 1.0
  far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
  return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


_FILTERS = {1.0: _bilinear, 2.0: _bicubic}
