"""Glyphs of DejaVu Sans as signed distance fields, and how to place them.

Distances are in pixels, positive inside the glyph. The font is the one that
ships with matplotlib.
"""

import functools
import math
import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image, ImageDraw, ImageFont

from s3_jax.extras import require

FIELD_SIZE = 128  # pixels of a glyph's stored distance field
GLYPH_SPAN = 104  # of which the longer side of the glyph's box takes this many


class Placement(NamedTuple):
  """Where a glyph lies in an image: an affine map from pixels to its field."""

  center: tuple[float, float]  # row, column of the glyph's middle, in pixels
  size: float  # length of the longer side of the glyph's box, in pixels
  angle: float  # radians, counter-clockwise
  stretch: float  # horizontal over vertical scale
  shear: float


def font_path() -> pathlib.Path:
  """Returns the path of DejaVuSans.ttf inside the installed matplotlib."""
  require("figures", by="The font of the pictographs")
  import matplotlib

  return pathlib.Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")


@functools.lru_cache(maxsize=2)
def glyph_fields(
  codepoints: tuple[int, ...],
) -> Float32[np.ndarray, "classes rows cols"]:
  """Computes the signed distance field of each glyph in a square.

  A glyph's box holds its ink, its origin and its advance, as Pillow measures
  it. The box is centred and its longer side spans GLYPH_SPAN; the ink alone may
  be shorter and lie off the centre.
  """
  path = font_path()
  from matplotlib.ft2font import FT2Font

  covered = FT2Font(str(path)).get_charmap()
  layout = ImageFont.Layout.BASIC
  probe = ImageFont.truetype(path, 512, layout_engine=layout)
  fields = []
  for codepoint in codepoints:
    if codepoint not in covered:
      raise ValueError(
        "`codepoints` must be drawn by DejaVu Sans, got"
        f" U+{codepoint:04X}: choose a code point that the font covers."
      )
    text = chr(codepoint)
    left, top, right, bottom = probe.getbbox(text)
    font = ImageFont.truetype(
      path,
      512 * GLYPH_SPAN / max(right - left, bottom - top),
      layout_engine=layout,
    )
    fields.append(_signed_distance(_centred_mask(font, text)))
  return np.stack(fields)


def _centred_mask(font, text: str) -> Bool[np.ndarray, "rows cols"]:
  left, top, right, bottom = font.getbbox(text)
  canvas = Image.new("L", (FIELD_SIZE, FIELD_SIZE))
  ImageDraw.Draw(canvas).text(
    (
      (FIELD_SIZE - (right - left)) // 2 - left,
      (FIELD_SIZE - (bottom - top)) // 2 - top,
    ),
    text,
    fill=255,
    font=font,
  )
  return np.asarray(canvas) >= 128


def _signed_distance(
  inside: Bool[np.ndarray, "rows cols"],
) -> Float32[np.ndarray, "rows cols"]:
  from scipy.ndimage import distance_transform_edt

  if inside.all() or not inside.any():  # far from an edge, everywhere
    far = 2 * inside.shape[0]
    return np.full(inside.shape, far if inside.all() else -far, np.float32)
  # Its type allows for more that may be asked for.
  within: Any = distance_transform_edt(inside)
  without: Any = distance_transform_edt(~inside)
  return (within - without).astype(np.float32)


def distance_in_image(
  field: Float32[np.ndarray, "field_rows field_cols"],
  placement: Placement,
  rows: np.ndarray,
  cols: np.ndarray,
) -> Float[np.ndarray, "rows cols"]:
  """Samples a glyph's field at image pixels, bilinearly."""
  zoom = GLYPH_SPAN / placement.size
  cos, sin = math.cos(placement.angle), math.sin(placement.angle)
  down, right = rows - placement.center[0], cols - placement.center[1]
  u = zoom * (cos * right - sin * down) / placement.stretch
  v = zoom * (sin * right + cos * down)
  u = u + placement.shear * v + (FIELD_SIZE - 1) / 2
  v = v + (FIELD_SIZE - 1) / 2
  limit = np.float32(FIELD_SIZE - 1.001)
  u, v = np.clip(u, 0, limit), np.clip(v, 0, limit)
  left, top = u.astype(np.int32), v.astype(np.int32)
  right_share, bottom_share = u - left, v - top
  flat, corner = field.ravel(), top * FIELD_SIZE + left
  upper = flat[corner] + right_share * (flat[corner + 1] - flat[corner])
  corner = corner + FIELD_SIZE
  lower = flat[corner] + right_share * (flat[corner + 1] - flat[corner])
  return (upper + bottom_share * (lower - upper)) / np.float32(zoom)
