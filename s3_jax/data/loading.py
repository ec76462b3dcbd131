"""One image file of one's own: read, decoded and prepared, or a reason."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from s3_jax.data.decoding import BadImage, decoded_image
from s3_jax.data.input_pipeline import why_bad
from s3_jax.data.reading import read_file
from s3_jax.data.thumbnails import make_thumbnail, turn_upright


class LoadedImage(NamedTuple):
  """One file, read and prepared, or the reason why not.

  Attributes:
    pixels: what the image tower takes; None for a file that cannot be used.
    problem: the reason, empty for a good file.
    size: bytes of the file; -1 where it could not be read.
    width: of the picture in pixels as stored; 0 where unknown.
    height: likewise.
    thumbnail: a small JPEG; empty where none was wanted or could be made.
  """

  pixels: UInt8[np.ndarray, "rows cols 3"] | None
  problem: str
  size: int = -1
  width: int = 0
  height: int = 0
  thumbnail: bytes = b""


def load_image(
  path: str,
  preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]],
  *,
  max_pixels: int,
  thumbnail: bool,
  exif_orientation: bool,
) -> LoadedImage:
  """Reads, decodes and prepares one file, once for the tower and the page."""
  size = -1
  try:
    size = os.stat(path).st_size
    data = read_file(path)
  except BadImage as error:
    return LoadedImage(None, error.reason, size)
  except (OSError, MemoryError) as error:
    return LoadedImage(None, why_bad(error)[0])
  width = height = 0
  try:
    with decoded_image(data, max_pixels=max_pixels) as image:
      width, height = image.size
      if exif_orientation:
        image = turn_upright(image)
      pixels = preprocess(image)
      small = make_thumbnail(image) if thumbnail else b""
  # BadImage, or what `preprocess` cannot take
  except (ValueError, MemoryError) as error:
    return LoadedImage(None, why_bad(error)[0], len(data), width, height)
  return LoadedImage(pixels, "", len(data), width, height, small)
