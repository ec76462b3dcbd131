"""Pillow's resize of 8-bit pictures, pixel for pixel, of the part that is kept.

Pillow resizes 8 bits in whole numbers, first along one side and then along the
other: a value is the sum of pixels times weights in units of 2^-22, rounded
half up and clipped. Where Numba is installed the same sums are compiled for the
processor at hand, over what is needed for the part that is kept. Pillow stays
the definition: its weights are read off what it makes of combs, and it does all
work itself where both have ever been seen to differ.
"""

import functools
import inspect
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt8
from PIL import Image

_BITS = 22  # of a weight
_ROWS = 32  # that are weighed at once
_REACH = {Image.Resampling.BILINEAR: 1.0, Image.Resampling.BICUBIC: 2.0}

FIRST_BY_PILLOW = 1000
"""Resizes of a process without Numba: importing and compiling take about what
these save."""


class _Plan(NamedTuple):
  """A resize of which a part is kept. Boxes: left, top, right, bottom."""

  source: tuple[int, int, int, int]  # what is resized, of the picture
  size: tuple[int, int]
  box: tuple[int, int, int, int]  # what is kept, of the resized
  kernel: Image.Resampling


class _Axis(NamedTuple):
  """How pixels along a side become values."""

  start: int  # the first pixel that is needed
  stop: int
  first: Int64[np.ndarray, " values"]  # pixel of the first weight, from `start`
  weights: Int32[np.ndarray, "values taps"]


def keep_pixels(
  image: Any, pixels: UInt8[np.ndarray, "rows cols *bands"]
) -> None:
  """Lays beside a file that Pillow has opened what it would load from it."""
  image.s3_jax_pixels = pixels


def _kept_pixels(image: Any) -> UInt8[np.ndarray, "rows cols *bands"] | None:
  """Returns what was laid beside a file that has not been loaded since."""
  return getattr(image, "s3_jax_pixels", None) if _is_unread(image) else None


def _is_unread(image: Any) -> bool:
  # A list of what is to be decoded, empty from then on. Who changes a picture
  # in place has loaded it.
  return bool(getattr(image, "tile", None))


def resize_crop(
  image: Any,
  size: tuple[int, int],
  box: tuple[int, int, int, int],
  kernel: Image.Resampling,
  *,
  source: tuple[int, int, int, int] | None = None,
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Resizes a picture in mode RGB or L, cuts a box out, and makes RGB of it.

  The pixels are those of `image.resize(size, kernel).crop(box)`, or of
  `image.crop(source)` in place of `image`.
  """
  source = source or (0, 0, *image.size)
  plan = _Plan(source, size, box, kernel)
  if _fits(image.mode, plan):
    kernels = _compiled()
    if kernels and _agrees(kernels, kernel, _is_tall(plan)):
      return _quickly(kernels, image, plan)
  return _by_pillow(image, plan)


def _by_pillow(image: Any, plan: _Plan) -> UInt8[np.ndarray, "rows cols 3"]:
  pixels = _kept_pixels(image)
  if pixels is not None:
    image = Image.fromarray(pixels)
  if plan.source != (0, 0, *image.size):
    image = image.crop(plan.source)
  if plan.size != image.size:
    image = image.resize(plan.size, plan.kernel)
  image = image.crop(plan.box)
  return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _size(plan: _Plan) -> tuple[int, int]:
  left, top, right, bottom = plan.source
  return right - left, bottom - top


def _fits(mode: str, plan: _Plan) -> bool:
  (width, height), (left, top, right, bottom) = plan.size, plan.box
  return (
    mode in ("RGB", "L")
    and plan.size != _size(plan)
    and plan.kernel in _REACH
    and 0 <= left < right <= width
    and 0 <= top < bottom <= height
  )


def _is_tall(plan: _Plan) -> bool:
  """Says whether Pillow, from version 13 on, begins with the columns."""
  (width, height), (new_width, new_height) = _size(plan), plan.size
  fewer = height - new_height
  return fewer > 0 and fewer > 2 * (width - new_width)


_Kernels = tuple[Callable[..., None], Callable[..., None]]


def _quickly(
  kernels: _Kernels, image: Any, plan: _Plan
) -> UInt8[np.ndarray, "rows cols 3"]:
  along_rows, along_columns = kernels
  (width, height), (left, top, right, bottom) = _size(plan), plan.box
  across = _axis(width, plan.size[0], left, right, plan.kernel)
  down = _axis(height, plan.size[1], top, bottom, plan.kernel)
  x, y = plan.source[:2]
  needed = (x + across.start, y + down.start, x + across.stop, y + down.stop)
  pixels = _pixels(image, needed)
  bands = 3 if pixels.ndim == 3 else 1
  rows, cols = bottom - top, (right - left) * bands
  pixels = pixels.reshape(pixels.shape[0], -1)
  made = np.empty((rows, cols), np.uint8)
  if _is_tall(plan):
    middle = np.empty((rows, pixels.shape[1]), np.uint8)
    along_columns(pixels, down.first, down.weights, middle)
    along_rows(middle, bands, across.first, across.weights, made, _ROWS)
  else:
    middle = np.empty((pixels.shape[0], cols), np.uint8)
    along_rows(pixels, bands, across.first, across.weights, middle, _ROWS)
    along_columns(middle, down.first, down.weights, made)
  made = made.reshape(rows, -1, bands)
  return made if bands == 3 else np.repeat(made, 3, axis=2)


def _pixels(
  image: Any, box: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "rows cols *bands"]:
  """Returns the pixels of a part, without gaps."""
  pixels = _kept_pixels(image)
  if pixels is None:
    return np.asarray(image if box == (0, 0, *image.size) else image.crop(box))
  left, top, right, bottom = box
  return np.ascontiguousarray(pixels[top:bottom, left:right])


@functools.lru_cache(maxsize=1024)
def _axis(
  pixels: int, values: int, start: int, stop: int, kernel: Image.Resampling
) -> _Axis:
  """Plans one side; the photographs of a data set share few sizes."""
  scale = pixels / values
  reach = _REACH[kernel] * max(scale, 1.0)
  taps = 2 * math.ceil(reach) + 4  # one or two more than have a weight
  # A row of the comb has a tooth at every `taps`-th pixel, so that a value of
  # it is one weight. 32 bits are resized with the same weights, and rounded
  # alike.
  comb = np.zeros((taps, pixels), np.int32)
  comb[np.arange(pixels) % taps, np.arange(pixels)] = 1 << _BITS
  made = np.asarray(Image.fromarray(comb).resize((values, taps), kernel))
  number = np.arange(start, stop)
  place = np.floor((number + 0.5) * scale - reach).astype(np.int64) - 1
  place = place[:, None] + np.arange(taps)
  weights = made[place % taps, number[:, None]]
  weights[(place < 0) | (place >= pixels)] = 0
  # From the first weight that is not 0 on, but not over the last pixel.
  used = weights != 0
  low, high = int(place[used].min()), int(place[used].max()) + 1
  begin, end = used.argmax(axis=1), taps - used[:, ::-1].argmax(axis=1)
  taps = int((end - begin).max())
  first = np.minimum(place[:, 0] + begin, high - taps)
  column = (first - place[:, 0])[:, None] + np.arange(taps)
  inside = (column >= 0) & (column < weights.shape[1])
  column = np.where(inside, column, 0)
  weights = np.where(inside, np.take_along_axis(weights, column, axis=1), 0)
  return _Axis(low, high, first - low, weights.astype(np.int32))


def _weigh_along_rows(pixels, bands, first, weights, made, some):
  """Makes the values of each row, for some rows at a time.

  Args:
    pixels: u8[rows, cols * bands].
    bands: 3 for RGB, 1 for grey.
    first: i64[values].
    weights: i32[values, taps].
    made: u8[rows, values * bands], which is written.
    some: how many rows; a constant here would not be compiled to vectors.
  """
  turned = np.zeros((pixels.shape[1], some), np.uint8)
  values = np.empty((made.shape[1], some), np.uint8)
  sums = np.empty(some, np.int32)
  for start in range(0, pixels.shape[0], some):
    rows = min(some, pixels.shape[0] - start)
    for row in range(rows):
      line = pixels[start + row]
      for place in range(line.size):
        turned[place, row] = line[place]
    for value in range(first.size):
      for band in range(bands):
        for row in range(some):
          sums[row] = np.int32(1 << 21)
        for tap in range(weights.shape[1]):
          weight = weights[value, tap]
          column = turned[(first[value] + tap) * bands + band]
          for row in range(some):
            sums[row] += np.int32(weight * np.int32(column[row]))
        column = values[value * bands + band]
        for row in range(some):
          column[row] = np.uint8(
            min(max(sums[row] >> np.int32(22), np.int32(0)), np.int32(255))
          )
    for row in range(rows):
      line = made[start + row]
      for place in range(line.size):
        line[place] = values[place, row]


def _weigh_along_columns(pixels, first, weights, made):
  """Makes the values of each column: u8[rows, cols] to u8[values, cols]."""
  sums = np.empty(pixels.shape[1], np.int32)
  for value in range(first.size):
    for place in range(sums.size):
      sums[place] = np.int32(1 << 21)
    for tap in range(weights.shape[1]):
      weight = weights[value, tap]
      line = pixels[first[value] + tap]
      for place in range(sums.size):
        sums[place] += np.int32(weight * np.int32(line[place]))
    line = made[value]
    for place in range(sums.size):
      line[place] = np.uint8(
        min(max(sums[place] >> np.int32(22), np.int32(0)), np.int32(255))
      )


_COUNT = itertools.count()
_COMPILING = threading.Lock()


def is_compiled() -> bool:
  """Says whether resizes are already faster than Pillow's."""
  return bool(_compile.cache_info().currsize) and _compile() is not None


def _compiled() -> _Kernels | None:
  """Returns the compiled sums; None at first, and where Numba is absent."""
  if _compile.cache_info().currsize:
    return _compile()
  if next(_COUNT) < FIRST_BY_PILLOW or not _COMPILING.acquire(blocking=False):
    return None  # other threads go on with Pillow
  try:
    return _compile()
  finally:
    _COMPILING.release()


@functools.cache
def _compile() -> _Kernels | None:
  try:
    import numba
  except ImportError:
    return None
  array = numba.types.Array
  pixels = array(numba.uint8, 2, "C", readonly=True)
  made = array(numba.uint8, 2, "C")
  axis = (array(numba.int64, 1, "C"), array(numba.int32, 2, "C"))

  def compiled(function: Callable[..., None], *types: Any) -> Any:
    # Tests wrap every function to look at its types.
    compiler = numba.njit(numba.void(*types), nogil=True)
    return compiler(inspect.unwrap(function))

  return (
    compiled(_weigh_along_rows, pixels, numba.int64, *axis, made, numba.int64),
    compiled(_weigh_along_columns, pixels, *axis, made),
  )


@functools.cache
def _agrees(kernels: _Kernels, kernel: Image.Resampling, tall: bool) -> bool:
  """Says whether this Pillow computes so: other builds of it do not."""
  width, height = (61, 157) if tall else (83, 67)
  values = np.random.default_rng(0).integers(
    0, 256, (height, width, 3), np.uint8
  )
  image = Image.fromarray(values)
  for size in ((40, 29), (71, 131)) if tall else ((40, 29), (97, 75)):
    box = (3, 2, size[0] - 1, size[1] - 5)
    plan = _Plan((0, 0, width, height), size, box, kernel)
    for each in (image, image.convert("L")):
      found = _quickly(kernels, each, plan)
      if not np.array_equal(found, _by_pillow(each, plan)):
        return False
  return True
