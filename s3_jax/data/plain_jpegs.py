"""Plain JPEGs, decoded by simplejpeg to the very pixels that Pillow decodes.

Both use libjpeg-turbo with its accurate transform and its smooth chroma, and
simplejpeg writes an array, where Pillow makes a picture that is then copied
into one. A plain file is what both read alike: 8 bits, grey or YCbCr, baseline
or progressive, chroma at full or half size. Any other, and any with something
to warn of, is left to Pillow.
"""

import functools
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, features

_FRAMES = (0xC0, 0xC2)  # baseline and progressive, Huffman-coded
_OTHER_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4} - set(_FRAMES)
_CHROMA = ((), (0x11, 0x11))
_SAMPLING = {(luma, *rest) for luma in (0x11, 0x21, 0x22) for rest in _CHROMA}


def decode_plain_jpeg(
  data: bytes, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows cols *bands"] | None:
  """Decodes a plain JPEG of a size: RGB, or grey. None where Pillow must."""
  bands = _plain_bands(data)
  if not bands or not _agrees():
    return None
  pixels = _decode(data, bands)
  if pixels is None or pixels.shape[:2] != size[::-1]:
    return None
  return pixels


def reduce_plain_jpeg(
  data: bytes, shortest: int
) -> UInt8[np.ndarray, "rows cols *bands"] | None:
  """Decodes a plain JPEG sooner, and not to the pixels that Pillow decodes.

  It is made at the least number of eighths of its size at which no side is
  shorter than `shortest`, if four or fewer suffice (more save nothing), and its
  chroma is not smoothed. None where Pillow must decode.
  """
  bands = _plain_bands(data)
  if not bands:
    return None
  return _decode(
    data,
    bands,
    min_width=shortest,
    min_height=shortest,
    min_factor=2,
    fastupsample=True,
  )


def _decode(data: bytes, bands: int, **options: Any) -> Any:
  import simplejpeg

  colours = "RGB" if bands == 3 else "GRAY"
  try:
    pixels = simplejpeg.decode_jpeg(data, colours, **options)
  except (ValueError, MemoryError, OSError):
    return None  # the reason is Pillow's to tell
  return pixels if bands == 3 else pixels[..., 0]


def _plain_bands(data: bytes) -> int:
  """Reads a JPEG's header: 3 or 1 if it is a plain one, otherwise 0."""
  place, bands = 2, 0
  while place + 4 <= len(data) and data[place] == 0xFF:
    marker = data[place + 1]
    if marker == 0xDA:  # pixels
      return bands
    end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    body = data[place + 4 : end]
    if marker in _FRAMES and not bands:
      bands = _frame_bands(body)
    elif marker in _OTHER_FRAMES or marker in _FRAMES:
      return 0
    elif marker == 0xEE and body[:5] == b"Adobe" and body[11:12] != b"\x01":
      return 0  # colours that are not YCbCr
    place = end
  return 0


def _frame_bands(body: bytes) -> int:
  if len(body) < 6 or body[0] != 8 or len(body) != 6 + 3 * body[5]:
    return 0
  names, sampling = tuple(body[6::3]), tuple(body[7::3])
  if sampling not in _SAMPLING or (len(names) == 3 and names != (1, 2, 3)):
    return 0
  return body[5]


@functools.cache
def _agrees() -> bool:
  """Says whether both decode alike, as far as some small files can tell."""
  try:
    import simplejpeg  # noqa: F401
  except ImportError:
    return False
  # Before 2.1 it smoothed unfinished progressive files in another way.
  version = features.version_feature("libjpeg_turbo") or "0"
  if tuple(int(part) for part in version.split(".")[:2]) < (2, 1):
    return False
  values = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
  picture = Image.fromarray(values).resize((67, 45), Image.Resampling.BICUBIC)
  for image in (picture, picture.convert("L")):
    for sampling in (0, 1, 2):  # full, half as wide, half as wide and high
      for progressive in (False, True):
        for quality in (35, 92):
          buffer = io.BytesIO()
          image.save(
            buffer,
            "JPEG",
            quality=quality,
            subsampling=sampling,
            progressive=progressive,
          )
          found = _decode(buffer.getvalue(), len(image.getbands()))
          if not np.array_equal(found, np.asarray(Image.open(buffer))):
            return False
  return True
