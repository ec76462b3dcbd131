"""The embedded world: pictographs of DejaVu Sans, drawn with numpy.

A glyph becomes a signed distance field once; an image is that field seen
through a random affine map, thresholded into a soft silhouette and painted.
Stroke weight, outlines and hatching are then arithmetic on the field, so one
short renderer serves the training images and every test set.

Conventions: images are uint8[size, size, 3]; colours and opacities are floats
in [0, 1]; distances are in pixels of the image, positive inside the glyph.
Every image is a pure function of `(seed, style, class, index)`: the same on
every machine with the same versions of numpy, Pillow and matplotlib.
The world is ours (METHOD section 6), not the paper's.
"""

import functools
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

IMAGE_SIZE = 64
FIELD_SIZE = 128  # pixels of a glyph's stored distance field
GLYPH_SPAN = 104  # of which the longer side of the glyph's box takes this many
STYLES = ("plain", "outline", "contrast", "clutter", "rendering")
VARIED = "varied"  # of training images only; test sets never use it
IGNORE = 255  # mask value of the 1-pixel border around a pictograph

# Random streams: a split never shares a random number with another one.
_STREAMS = {"train": 0, "validation": 1, "test": 2, "segmentation": 3}


class Placement(NamedTuple):
  """Where a glyph lies in an image: an affine map from pixels to its field."""

  center: tuple[float, float]  # row, column of the glyph's middle, in pixels
  size: float  # length of the longer side of the glyph's box, in pixels
  angle: float  # radians, counter-clockwise
  stretch: float  # horizontal over vertical scale
  shear: float


def font_path() -> pathlib.Path:
  """Returns the path of DejaVuSans.ttf inside the installed matplotlib."""
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

  Args:
    codepoints: Unicode code points, all of which DejaVu Sans draws.

  Returns:
    f32[classes, FIELD_SIZE, FIELD_SIZE]: distance in field pixels to the
    glyph's boundary, positive inside.

  Raises:
    ValueError: if the font has no picture for a code point.
  """
  from matplotlib.ft2font import FT2Font
  from PIL import ImageFont

  covered = FT2Font(str(font_path())).get_charmap()
  layout = ImageFont.Layout.BASIC
  probe = ImageFont.truetype(font_path(), 512, layout_engine=layout)
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
      font_path(),
      512 * GLYPH_SPAN / max(right - left, bottom - top),
      layout_engine=layout,
    )
    fields.append(_signed_distance(_centred_mask(font, text)))
  return np.stack(fields)


def _centred_mask(font, text: str) -> Bool[np.ndarray, "rows cols"]:
  from PIL import Image, ImageDraw

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
  return (
    np.sqrt(_squared_distance_to(~inside))
    - np.sqrt(_squared_distance_to(inside))
  ).astype(np.float32)


def _squared_distance_to(
  target: Bool[np.ndarray, "rows cols"],
) -> np.ndarray:
  """Squared Euclidean distance to the nearest target pixel, one axis a time."""
  size = target.shape[0]
  steps = np.square(np.arange(size)[:, None] - np.arange(size)).astype(np.int32)
  cost = np.where(target, 0, 4 * size**2).astype(np.int32)
  cost = np.stack([(steps + row).min(-1) for row in cost])
  return np.stack([(steps + col).min(-1) for col in cost.T], axis=1)


def distance_in_image(
  field: Float32[np.ndarray, "field_rows field_cols"],
  placement: Placement,
  rows: np.ndarray,
  cols: np.ndarray,
) -> Float[np.ndarray, "rows cols"]:
  """Samples a glyph's field at image pixels, bilinearly.

  Args:
    field: signed distance field of the glyph, in field pixels.
    placement: where the glyph lies.
    rows: f32[rows, cols], row coordinate of each pixel.
    cols: f32[rows, cols], column coordinate of each pixel.

  Returns:
    Distance to the glyph's boundary in image pixels, positive inside.
  """
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


@functools.lru_cache(maxsize=4)
def _pixel_grid(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
  grid = np.mgrid[:rows, :cols].astype(np.float32)
  return grid[0], grid[1]


def _random_placement(
  generator: np.random.Generator, size: tuple[float, float], span: int | float
) -> Placement:
  share = generator.uniform(*size)
  slack = 0.5 * (1 - share) * span
  middle = (span - 1) / 2
  shift = generator.uniform(-slack, slack, 2)
  return Placement(
    center=(middle + shift[0], middle + shift[1]),
    size=share * span,
    angle=generator.uniform(-0.22, 0.22),
    stretch=generator.uniform(0.88, 1.14),
    shear=generator.uniform(-0.1, 0.1),
  )


def _luminance(color: np.ndarray) -> float:
  return float(color @ np.array([0.299, 0.587, 0.114]))


def _random_colors(
  generator: np.random.Generator, style: str
) -> tuple[np.ndarray, np.ndarray]:
  """Draws ink and paper; `contrast` inverts them and brings them close."""
  low, high = (0.16, 0.28) if style == "contrast" else (0.4, 1.0)
  inverted = style == "contrast" or (
    style == VARIED and generator.random() < 0.5
  )
  while True:
    ink, paper = generator.uniform(0, 1, (2, 3))
    gap = _luminance(paper) - _luminance(ink)
    if inverted:
      gap = -gap
    if low <= gap <= high:
      return ink.astype(np.float32), paper.astype(np.float32)


def _smooth_noise(
  generator: np.random.Generator, rows: int, cols: int, cells: int
) -> Float[np.ndarray, "rows cols"]:
  """Bilinear interpolation of a coarse grid of numbers in [-1, 1]."""
  coarse = generator.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
  y = np.linspace(0, cells - 1e-3, rows, dtype=np.float32)
  x = np.linspace(0, cells - 1e-3, cols, dtype=np.float32)
  top, left = y.astype(int), x.astype(int)
  y, x = (y - top)[:, None], x - left
  bands = coarse[:, left] * (1 - x) + coarse[:, left + 1] * x
  return bands[top] * (1 - y) + bands[top + 1] * y


def _paper(
  generator: np.random.Generator, color: np.ndarray, rows: int, cols: int
) -> Float[np.ndarray, "rows cols 3"]:
  shade = _smooth_noise(generator, rows, cols, 2)
  tint = generator.uniform(-0.1, 0.1, 3).astype(np.float32)
  return color + shade[:, :, None] * tint


def _paint(image: np.ndarray, color: np.ndarray, opacity: np.ndarray) -> None:
  image += opacity[:, :, None] * (color - image)


def _strokes(
  generator: np.random.Generator,
  image: np.ndarray,
  count: int,
  opacity: tuple[float, float],
) -> None:
  """Paints `count` distractors: straight strokes and rings, at random."""
  rows, cols = _pixel_grid(*image.shape[:2])
  span = max(image.shape[:2])
  for _ in range(count):
    color = generator.uniform(0, 1, 3).astype(np.float32)
    y, x = generator.uniform(0, span, 2)
    width = generator.uniform(0.4, 1.2)
    if generator.random() < 0.6:
      angle = generator.uniform(0, math.pi)
      along = math.cos(angle) * (cols - x) + math.sin(angle) * (rows - y)
      across = math.cos(angle) * (rows - y) - math.sin(angle) * (cols - x)
      length = generator.uniform(0.1, 0.4) * span
      ink = np.minimum(width - np.abs(across), length - np.abs(along))
    else:
      radius = generator.uniform(0.05, 0.2) * span
      ink = width - np.abs(np.hypot(rows - y, cols - x) - radius)
    ink = np.clip(ink + np.float32(0.5), 0, 1)
    _paint(image, color, np.float32(generator.uniform(*opacity)) * ink)


def _ink(
  generator: np.random.Generator, distance: np.ndarray, style: str
) -> Float[np.ndarray, "rows cols"]:
  """Turns distances into opacities: silhouette, contour line or engraving."""
  weight = np.float32(generator.uniform(-0.1, 0.7))  # pixels of boldness
  if style == "outline":
    return np.clip(1.1 + 0.3 * weight - np.abs(distance), 0, 1)
  fill = np.clip(distance + weight + np.float32(0.5), 0, 1)
  if style == VARIED:
    # A heavier contour around ink that is thinned, evenly or in patches.
    edge = np.clip(generator.uniform(1.2, 2.2) - np.abs(distance), 0, 1)
    patches = _smooth_noise(generator, distance.shape[0], distance.shape[1], 8)
    density = generator.uniform(0.1, 1) + generator.uniform(0, 0.6) * patches
    thinned = fill * np.clip(density, 0, 1).astype(np.float32)
    return np.maximum(thinned, edge).astype(np.float32)
  if style != "rendering":
    return fill
  rows, cols = _pixel_grid(*distance.shape)
  angle = generator.uniform(0, math.pi)
  phase = (math.cos(angle) * rows + math.sin(angle) * cols) / generator.uniform(
    0.55, 0.8
  )
  hatch = np.clip(0.7 + 1.5 * np.sin(phase + generator.uniform(0, 6.3)), 0, 1)
  contour = np.clip(1 - np.abs(distance), 0, 1)
  return np.maximum(fill * hatch, 0.6 * contour).astype(np.float32)


def render(
  field: Float32[np.ndarray, "field_rows field_cols"],
  generator: np.random.Generator,
  *,
  style: str = "plain",
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Draws one pictograph.

  Args:
    field: the glyph's signed distance field, from `glyph_fields`.
    generator: source of every random choice.
    style: "plain"; or one of the shifts: "outline" (contour only),
      "contrast" (light on dark, close in brightness), "clutter" (strokes
      and an occluding patch), "rendering" (a wavering, hatched engraving);
      or VARIED, light or dark, hollow or patchy, for training.

  Returns:
    uint8[IMAGE_SIZE, IMAGE_SIZE, 3].

  Raises:
    ValueError: if `style` is unknown.
  """
  if style not in (*STYLES, VARIED):
    raise ValueError(
      f"`style` must be one of {', '.join((*STYLES, VARIED))}, got {style!r}."
    )
  rows, cols = _pixel_grid(IMAGE_SIZE, IMAGE_SIZE)
  ink_color, paper_color = _random_colors(generator, style)
  image = _paper(generator, paper_color, IMAGE_SIZE, IMAGE_SIZE)
  cluttered = style == "clutter"
  _strokes(generator, image, int(generator.integers(0, 3)), (0.2, 0.5))
  if cluttered:
    _strokes(generator, image, int(generator.integers(4, 8)), (0.5, 0.9))
  placement = _random_placement(generator, (0.66, 0.94), IMAGE_SIZE)
  if style == "rendering":
    rows = rows + 1.5 * _smooth_noise(generator, IMAGE_SIZE, IMAGE_SIZE, 6)
    cols = cols + 1.5 * _smooth_noise(generator, IMAGE_SIZE, IMAGE_SIZE, 6)
  distance = distance_in_image(field, placement, rows, cols)
  _paint(image, ink_color, _ink(generator, distance, style))
  if cluttered:
    _occlude(generator, image, paper_color, placement)
    _strokes(generator, image, 2, (0.4, 0.8))
  return _develop(generator, image)


def _occlude(
  generator: np.random.Generator,
  image: np.ndarray,
  paper_color: np.ndarray,
  placement: Placement,
) -> None:
  """Lays a disc, about a tenth of the glyph's square, over the glyph."""
  rows, cols = _pixel_grid(*image.shape[:2])
  radius = placement.size * generator.uniform(0.12, 0.2)
  offset = generator.uniform(-0.35, 0.35, 2) * placement.size
  reach = np.hypot(
    rows - placement.center[0] - offset[0],
    cols - placement.center[1] - offset[1],
  )
  tint = paper_color + generator.uniform(-0.15, 0.15, 3).astype(np.float32)
  _paint(image, tint, np.clip(radius - reach, 0, 1).astype(np.float32))


def _develop(
  generator: np.random.Generator, image: np.ndarray
) -> UInt8[np.ndarray, "rows cols 3"]:
  grain = generator.standard_normal(image.shape, dtype=np.float32)
  image = image + np.float32(generator.uniform(0, 0.04)) * grain
  return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)


def image_generator(
  seed: int, split: str, style: str, label: int, index: int
) -> np.random.Generator:
  """Returns the random stream of one image, apart from every other one."""
  return np.random.default_rng(
    [seed, _STREAMS[split], (*STYLES, VARIED).index(style), label, index]
  )


def render_scene(
  fields: Sequence[Float32[np.ndarray, "field_rows field_cols"]],
  labels: Sequence[int],
  generator: np.random.Generator,
  *,
  size: int = 128,
) -> tuple[UInt8[np.ndarray, "rows cols 3"], UInt8[np.ndarray, "rows cols"]]:
  """Draws several pictographs side by side on a textured ground.

  Args:
    fields: the signed distance fields to draw, two to nine of them.
    labels: mask value of each, 1..254; 0 is the background.
    generator: source of every random choice.
    size: side of the square image in pixels.

  Returns:
    The image, and its mask: labels, 0 for background and IGNORE on the
    1-pixel border that surrounds every pictograph.
  """
  rows, cols = _pixel_grid(size, size)
  ink_color, paper_color = _random_colors(generator, "plain")
  image = _paper(generator, paper_color, size, size)
  texture = _smooth_noise(generator, size, size, 24)
  image += 0.08 * texture[:, :, None]
  mask = np.zeros((size, size), np.uint8)
  per_side = math.ceil(math.sqrt(len(fields)))
  cell = size / per_side
  cells = generator.permutation(per_side**2)[: len(fields)]
  for field, label, position in zip(fields, labels, cells, strict=True):
    local = _random_placement(generator, (0.72, 0.94), cell)
    top, left = divmod(int(position), per_side)
    center = (local.center[0] + top * cell, local.center[1] + left * cell)
    distance = distance_in_image(
      field, local._replace(center=center), rows, cols
    )
    tint = ink_color + generator.uniform(-0.15, 0.15, 3).astype(np.float32)
    ink = _ink(generator, distance, "plain")
    _paint(image, np.clip(tint, 0, 1), ink)
    solid = ink >= 0.5
    mask[_grow(solid) & ~solid] = IGNORE
    mask[solid] = label
  return _develop(generator, image), mask


def _grow(region: Bool[np.ndarray, "rows cols"]) -> np.ndarray:
  grown = region.copy()
  grown[1:] |= region[:-1]
  grown[:-1] |= region[1:]
  grown[:, 1:] |= region[:, :-1]
  grown[:, :-1] |= region[:, 1:]
  return grown
