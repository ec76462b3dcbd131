"""Encoded bytes to a picture, or the reason why there is none.

Data sets hold files that are empty, cut off, or no pictures at all, and folders
of one's own hold worse. Each becomes a `BadImage` whose reason goes into the
results, so that a run neither dies of one file nor hides it.
"""

import io
import os
import threading
import warnings
from typing import Any

__all__ = [
  "MAX_FRAMES",
  "MAX_PIXELS",
  "MAX_RATIO",
  "BadImage",
  "decode_image",
  "decoding_threads",
]

MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs
MAX_FRAMES = 16  # a camera's file holds a few pictures, an animation many
MAX_RATIO = 256  # a resize by the shortest side makes the longest this long

# Names of Pillow's. Its other readers start programs (EPS), ask for a library
# that is not there (HDF5), or take a file's first bytes on trust (TGA).
_FORMATS = (
  "JPEG",  # and MPO, several JPEGs in one file
  "PNG",
  "GIF",
  "BMP",
  "TIFF",
  "WEBP",
  "PPM",
  "JPEG2000",
  "AVIF",
)


def decoding_threads() -> int:
  """Returns how many threads to decode in: one a core that this process has.

  At least 4, as some of them wait for files, and at most 32, as Python's own
  part of the work is done by one thread at a time.
  """
  cores = os.cpu_count() or 1
  if hasattr(os, "sched_getaffinity"):  # what Slurm or taskset leaves
    cores = len(os.sched_getaffinity(0))
  return max(4, min(cores, 32))


class BadImage(ValueError):
  """An image that cannot be used.

  Attributes:
    reason: a few words that are the same wherever and whenever it is decoded;
      they hold no path and no address.
  """

  def __init__(self, reason: str):
    super().__init__(reason)
    self.reason = reason


class _Silence(threading.local):
  """Matches every warning that this thread gives while `on`.

  `warnings.catch_warnings` puts back what another thread may just have changed.
  A filter that stays, and whose pattern looks at its own thread, touches nobody
  else's warnings.
  """

  on = False

  def match(self, text: str) -> bool:
    """Says what a compiled pattern would: whether the filter applies."""
    del text
    return self.on


_SILENCE = _Silence()
_FILTER: Any = ("ignore", _SILENCE, Warning, None, 0)


def _install_filter() -> None:
  filters: Any = warnings.filters  # a list, whatever its annotation says
  if not filters or filters[0] is not _FILTER:
    filters.insert(0, _FILTER)


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Any:
  """Decodes the first picture of an encoded file.

  Size and number of pictures are read from the header, before any pixel is.
  Mode, palette, transparency, bit depth and orientation stay what the file
  says; `s3_jax.clip.preprocess` has the one conversion of each.

  Args:
    data: a whole file: JPEG, PNG, GIF, BMP, TIFF, WebP, PPM, JPEG 2000 or AVIF,
      told by its first bytes and not by a name.
    max_pixels: greatest width x height x pictures, >= 1. Pillow's global limit
      is neither read nor changed, but for WebP and tiled TIFF, where Pillow
      itself refuses twice its limit.

  Returns:
    The picture, loaded; nothing of it is read later.

  Raises:
    BadImage: whatever is wrong with the file; any warning of Pillow's is kept
      back.

  References:
    The limit of pixels is Pillow's own. The limits of pictures and of the ratio
    of the sides are ours.
  """
  if max_pixels < 1:
    raise ValueError(f"`max_pixels` must be >= 1, got {max_pixels}.")
  if not data:
    raise BadImage("empty file")
  _install_filter()
  _SILENCE.on = True
  try:
    return _decode(data, max_pixels)
  except BadImage:
    raise
  except Exception as error:  # Pillow's readers raise nearly every type
    raise BadImage(_reason(error)) from error
  finally:
    _SILENCE.on = False


def _decode(data: bytes, max_pixels: int) -> Any:
  image = _open(data)
  # A GIF may grow while its pictures are counted.
  _check_size(image, 1, max_pixels)
  frames = getattr(image, "n_frames", 1)
  if frames > MAX_FRAMES:
    raise BadImage(f"animation of {frames} pictures, more than {MAX_FRAMES}")
  _check_size(image, frames, max_pixels)
  image.load()
  return image


def _open(data: bytes) -> Any:
  """Reads the header, as `PIL.Image.open` does without its global limit."""
  from PIL import Image

  Image.init()
  for name in _FORMATS:
    factory, accept = Image.OPEN[name]
    # A text for an answer says that this Pillow lacks the decoder.
    if accept is not None and accept(data[:16]) in (True, 1):
      return factory(io.BytesIO(data), "")
  raise BadImage("not an image of a known format")


def _check_size(image: Any, frames: int, max_pixels: int) -> None:
  width, height = image.size
  pixels = width * height * frames
  if pixels > max_pixels:
    raise BadImage(
      f"{width} x {height} pixels"
      + (f" x {frames} pictures" if frames > 1 else "")
      + f", more than {max_pixels} in all"
    )
  if max(width, height) > MAX_RATIO * min(width, height):
    raise BadImage(
      f"{width} x {height} pixels, sides further apart than 1:{MAX_RATIO}"
    )


def _reason(error: Exception) -> str:
  """Says what happened in words of ours: Pillow's hold addresses."""
  from PIL import Image

  if isinstance(error, MemoryError):
    return "needs more memory than there is"
  if isinstance(error, Image.DecompressionBombError):
    return "more pixels than Pillow allows"
  if isinstance(error, EOFError) or "truncated" in str(error).lower():
    return "cut off"
  kind = type(error)
  module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
  return f"damaged ({module}{kind.__qualname__})"
