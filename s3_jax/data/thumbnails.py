"""Pictures as people look at them: turned upright, and small."""

import io
from typing import Any

import numpy as np

SIDE = 160


def turn_upright(image: Any) -> Any:
  """Turns a picture as its orientation tag says.

  Args:
    image: a loaded PIL image.

  Returns:
    The picture, upright; as it was where there is no tag, or where the tags are
    damaged.
  """
  from PIL import ImageOps

  try:
    return ImageOps.exif_transpose(image)
  except Exception:  # damaged tags fail in any of Pillow's parsers
    return image


def make_thumbnail(image: Any, *, side: int = SIDE) -> bytes:
  """Shrinks a whole picture and encodes it.

  What is transparent lies on white, and 16 bits a pixel are scaled to 8, as
  `s3_jax.clip.preprocess` does; nothing is cropped or enlarged.

  Args:
    image: a loaded PIL image; it may be shrunk in place.
    side: greatest width and height in pixels.

  Returns:
    A JPEG without metadata.
  """
  from PIL import Image

  if image.mode in ("I", "F") or image.mode.startswith("I;16"):
    image = _from_16_bits(image)
  if "A" in image.getbands() or "transparency" in image.info:
    image = image.convert("RGBA")
  elif image.mode not in ("L", "RGB", "CMYK"):  # 1 bit, palettes, others
    image = image.convert("RGB")
  image.thumbnail((side, side))
  if image.mode == "RGBA":
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  rgb = image.convert("RGB")
  encoded = io.BytesIO()
  # Given nothing, Pillow would copy the file's own profile and comment.
  rgb.info.clear()
  rgb.save(encoded, "JPEG", quality=80)
  return encoded.getvalue()


def _from_16_bits(image: Any) -> Any:
  from PIL import Image

  values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
  return Image.fromarray(((values + 128) // 257).astype("u1"))
