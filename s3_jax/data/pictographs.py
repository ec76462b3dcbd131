"""The embedded world: pictographs of DejaVu Sans, drawn with numpy.

An image is a glyph's signed distance field (`glyphs`) seen through a random
affine map, thresholded into a soft silhouette and painted.
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
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from s3_jax.data.glyphs import Placement, distance_in_image

IMAGE_SIZE = 64
STYLES = ("plain", "outline", "contrast", "clutter", "rendering")
VARIED = "varied"  # of training images only; test sets never use it
IGNORE = 255  # mask value of the 1-pixel border around a pictograph

# Random streams: a split never shares a random number with another one.
_STREAMS = {"train": 0, "validation": 1, "test": 2, "segmentation": 3}


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
  """Draws one pictograph."""
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
  """Draws several pictographs side by side on a textured ground."""
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
