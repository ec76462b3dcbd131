"""Pictures as people look at them: turned upright, and small."""

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from s3_jax.colors import to_rgb

SIDE = 160


def turn_upright(image: Any) -> Any:
  """Turns a picture as its orientation tag says."""
  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # damaged tags fail in any of Pillow's parsers
    return image


def make_thumbnail(image: Any, *, side: int = SIDE) -> bytes:
  """Shrinks a whole picture and encodes it.

  What is transparent lies on white, and 16 bits a pixel are scaled to 8, as
  `s3_jax.clip.preprocess` does; nothing is cropped or enlarged.
  """
  # Small first where that gives the same, as most pictures are large.
  if image.mode not in ("L", "RGB", "CMYK") or "transparency" in image.info:
    image = to_rgb(image)
  image.thumbnail((side, side))
  rgb = to_rgb(image)
  encoded = io.BytesIO()
  # Given nothing, Pillow would copy the file's own profile and comment.
  rgb.info.clear()
  rgb.save(encoded, "JPEG", quality=80)
  return encoded.getvalue()


def shrink_pixels(pixels: UInt8[np.ndarray, "rows cols 3"]) -> bytes:
  """Shrinks a picture that is in memory and encodes it."""
  return make_thumbnail(Image.fromarray(pixels))
