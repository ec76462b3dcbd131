"""Encoded bytes to a picture, or the reason why there is none.

Data sets hold files that are empty, cut off, or no pictures at all, and folders
of one's own hold worse. Each becomes a `BadImage` whose reason goes into the
results, so that a run neither dies of one file nor hides it.
"""

import contextlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from s3_jax.data.plain_jpegs import decode_plain_jpeg, reduce_plain_jpeg
from s3_jax.files import LFS_POINTER_BYTES, is_lfs_pointer
from s3_jax.resampling import is_compiled, keep_pixels

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


class UnreadImage(BadImage):
  """An image that could not be read or decoded now, and may be another time.

  What is wrong is not its bytes: too little memory, too many open files, a
  server that does not answer. Such a reason is never stored.
  """


class _Budget:
  """Pixels that the threads of this process may decode at the same time."""

  def __init__(self, total: int):
    self._total = total
    self._used = 0
    self._free = threading.Condition()

  @contextlib.contextmanager
  def hold(self, amount: int) -> Iterator[None]:
    """Waits until so much is free; what is larger than all waits for all."""
    with self._free:
      while self._used and self._used + amount > self._total:
        self._free.wait()
      self._used += amount
    try:
      yield
    finally:
      with self._free:
        self._used -= amount
        self._free.notify_all()


_BUDGET = _Budget(2 * MAX_PIXELS)


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

  References:
    The limit of pixels is Pillow's own. The limits of pictures and of the ratio
    of the sides are ours.
  """
  with decoded_image(data, max_pixels=max_pixels) as image:
    return image


@contextlib.contextmanager
def decoded_image(
  data: bytes,
  *,
  max_pixels: int = MAX_PIXELS,
  to_resize: bool = False,
  shortest: int = 0,
) -> Iterator[Any]:
  """Decodes as `decode_image` does; threads share a budget until the end.

  All pictures that are decoded at the same time have 2 * MAX_PIXELS declared
  pixels at most, or there is one alone. Decode no other picture inside. One
  that is only going to be resized by `s3_jax.resampling` may be decoded to an
  array, sooner; the picture then loads the same pixels when it is used
  otherwise. With `shortest`, pixels that no side of a plain JPEG must have more
  of, it may be a smaller picture, and other pixels: see `reduce_plain_jpeg`.
  """
  if max_pixels < 1:
    raise ValueError(f"`max_pixels` must be >= 1, got {max_pixels}.")
  if not data:
    raise BadImage("empty file")
  with contextlib.ExitStack() as stack:
    yield _quietly(data, max_pixels, stack, to_resize, shortest)


def _quietly(
  data: bytes,
  max_pixels: int,
  stack: contextlib.ExitStack,
  to_resize: bool,
  shortest: int,
) -> Any:
  _install_filter()
  _SILENCE.on = True
  try:
    image = _open(data, max_pixels, stack)
    pixels = None
    if image.format == "JPEG" and shortest:
      pixels = reduce_plain_jpeg(data, shortest)
    elif image.format == "JPEG" and to_resize and is_compiled():
      pixels = decode_plain_jpeg(data, image.size)
    if pixels is None:
      image.load()
    elif pixels.shape[:2] == image.size[::-1]:
      keep_pixels(image, pixels)
    else:
      smaller = Image.fromarray(pixels)
      smaller.info = dict(image.info)
      return smaller
    return image
  except BadImage:
    raise
  except Exception as error:  # Pillow's readers raise nearly every type
    if _is_passing(error):
      raise UnreadImage(_reason(error)) from error
    raise BadImage(_reason(error)) from error
  finally:
    _SILENCE.on = False


def is_known_format(head: bytes) -> bool:
  """Says whether a file's first bytes are those of a format that is decoded."""
  return _find_factory(head) is not None


def _find_factory(data: bytes) -> Any:
  Image.init()
  for name in _FORMATS:
    factory, accept = Image.OPEN[name]
    # A text for an answer says that this Pillow lacks the decoder.
    if accept is not None and accept(data[:16]) in (True, 1):
      return factory
  return None


def _open(data: bytes, max_pixels: int, stack: contextlib.ExitStack) -> Any:
  """Opens a file of which neither size nor pictures are too many."""
  factory = _find_factory(data)
  if factory is None:
    if is_lfs_pointer(data[:LFS_POINTER_BYTES]):
      raise BadImage("a Git LFS pointer, not the image: run `git lfs pull`")
    raise BadImage("not an image of a known format")
  canvas = _webp_canvas(data)
  if canvas is not None:
    # Pillow makes room for it before anybody can ask for its size.
    _check_size(canvas, 1, max_pixels)
    stack.enter_context(_BUDGET.hold(canvas[0] * canvas[1]))
  image = factory(io.BytesIO(data), "")
  # A GIF may grow while its pictures are counted.
  _check_size(image.size, 1, max_pixels)
  if canvas is None:
    stack.enter_context(_BUDGET.hold(image.size[0] * image.size[1]))
  frames = _count_frames(image, data)
  if frames > MAX_FRAMES:
    number = frames if frames <= _MOST else f"over {_MOST}"
    raise BadImage(f"animation of {number} pictures, more than {MAX_FRAMES}")
  _check_size(image.size, frames, max_pixels)
  return image


_MOST = 1000
"""Pictures of a file that are counted, where one leads to the next."""


def _count_frames(image: Any, data: bytes) -> int:
  if image.format == "GIF":
    return _count_gif(data)
  if image.format != "TIFF":
    return getattr(image, "n_frames", 1)
  frames = 1
  with contextlib.suppress(EOFError):
    while frames <= _MOST:
      image.seek(frames)
      frames += 1
  image.seek(0)
  return frames


def _count_gif(data: bytes) -> int:
  """Walks over a GIF's blocks; Pillow would decode one after the other."""
  frames, index = 0, 13 + _table_bytes(data[10])
  while frames <= _MOST and index + 10 < len(data):
    if data[index] == 0x2C:  # a picture, its table, and the size of its codes
      frames += 1
      index += 11 + _table_bytes(data[index + 9])
    elif data[index] == 0x21:  # an extension
      index += 2
    else:
      break
    while index < len(data) and data[index]:
      index += 1 + data[index]
    index += 1
  return max(frames, 1)


def _table_bytes(flags: int) -> int:
  """Returns the size of the colour table that a GIF's flags tell of."""
  return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
  """Reads a WebP's width and height; None of another file, or a damaged one."""
  if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
    return None
  kind, body = data[12:16], data[20:30]
  if kind == b"VP8X":
    sides = body[4:7] + b"\0" + body[7:10] + b"\0"
    width, height = struct.unpack("<II", sides)
    return width + 1, height + 1
  if kind == b"VP8L":
    (bits,) = struct.unpack_from("<I", body, 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
  if kind == b"VP8 ":
    width, height = struct.unpack_from("<HH", body, 6)
    return max(width & 0x3FFF, 1), max(height & 0x3FFF, 1)
  return None


def _check_size(size: tuple[int, int], frames: int, max_pixels: int) -> None:
  width, height = size
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


def _is_passing(error: Exception) -> bool:
  """Tells what may go otherwise next time from what is wrong with the bytes."""
  if isinstance(error, OSError):
    # Only the system's own have a number; Pillow's say what a codec met.
    return error.errno is not None or "out of memory" in str(error).lower()
  return isinstance(error, MemoryError | ImportError)


def _reason(error: Exception) -> str:
  """Says what happened in words of ours: Pillow's hold addresses."""
  if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
    return "needs more memory than there is"
  if isinstance(error, OSError) and error.errno is not None:
    return f"cannot be decoded now: {os.strerror(error.errno)}"
  if isinstance(error, Image.DecompressionBombError):
    return "more pixels than Pillow allows"
  if isinstance(error, EOFError) or "truncated" in str(error).lower():
    return "cut off"
  kind = type(error)
  module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
  return f"damaged ({module}{kind.__qualname__})"


def encode_png(pixels: np.ndarray) -> io.BytesIO:
  """Encodes an image or a mask, quickly rather than small."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
  buffer.seek(0)
  return buffer
