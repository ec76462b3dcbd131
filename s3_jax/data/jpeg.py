"""Plain JPEGs decoded by simplejpeg, where that gives Pillow's own pixels.

Both call libjpeg-turbo, but not one build of it: a process first compares the
two on pictures of every common kind, and takes Pillow for all if any differs.
Whatever is not plain, or not whole, is Pillow's as well, with its reasons.
"""

import functools
import importlib.util
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, JpegImagePlugin, features

_ORIENTATION = 0x0112


def plain_pixels(
  image: Any, data: bytes
) -> UInt8[np.ndarray, "rows cols 3"] | None:
  """Decodes an opened JPEG, or returns None of one that is left to Pillow.

  Args:
    image: as Pillow opened it; its header is read, its pixels are not.
    data: the whole file.
  """
  if not _is_plain(image) or not is_exact():
    return None
  pixels = _decode(data)
  if pixels is None or pixels.shape != (image.height, image.width, 3):
    return None
  return pixels


def _is_plain(image: Any) -> bool:
  """Says whether a header is that of a colour JPEG which cameras write."""
  if type(image) is not JpegImagePlugin.JpegImageFile or image.mode != "RGB":
    return False
  names = tuple(name for name, *_ in image.layer)
  sampling = tuple((across, down) for _, across, down, _ in image.layer)
  if names != (1, 2, 3) or sampling[1:] != ((1, 1), (1, 1)):
    return False
  if sampling[0] not in ((1, 1), (2, 1), (2, 2)):
    return False
  if image.info.get("adobe_transform", 1) != 1:  # colours that are not YCbCr
    return False
  if "exif" not in image.info:
    return True
  return image.getexif().get(_ORIENTATION, 1) == 1


@functools.cache
def is_exact() -> bool:
  """Says whether simplejpeg is installed and decodes as Pillow does."""
  version = features.version_feature("libjpeg_turbo") or "0"
  # Before 2.1 it smoothed unfinished progressive files in another way.
  if tuple(map(int, version.split(".")[:2])) < (2, 1):
    return False
  if importlib.util.find_spec("simplejpeg") is None:
    return False
  shades = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
  picture = Image.fromarray(shades).resize((83, 61), Image.Resampling.BICUBIC)
  for sampling in ("4:4:4", "4:2:2", "4:2:0"):
    for progressive in (False, True):
      for quality in (30, 90):
        file = io.BytesIO()
        picture.save(
          file,
          "JPEG",
          subsampling=sampling,
          progressive=progressive,
          quality=quality,
        )
        with Image.open(file) as opened:
          expected = np.asarray(opened)
        found = _decode(file.getvalue())
        if found is None or not np.array_equal(found, expected):
          return False
  return True


def _decode(data: bytes) -> UInt8[np.ndarray, "rows cols 3"] | None:
  """Decodes a file in which libjpeg-turbo finds nothing to warn of."""
  import simplejpeg

  try:
    return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
  except ValueError:
    return None
