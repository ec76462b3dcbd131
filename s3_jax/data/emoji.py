"""The drawn world: emoji in seven sets by five teams, placed on grounds.

A sheet of an artist is one RGBA picture of cells, CELL pixels wide and high,
in the order of the classes of the table `emoji`; `tools/make_emoji.py` makes
them. An image is one drawing seen through a random affine map on a ground.
Held-out images change nothing else; training images also vary colours, lines
and sharpness, as other artists would.

Conventions: drawings and images are uint8, with channels last; distances are
in pixels. Every image is a pure function of its drawing and its random stream.
"""

import functools
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageFilter

CELL = 64  # rows and columns of a drawing in its sheet, pixels
COLUMNS = 20  # cells in a row of a sheet
IMAGE_SIZE = 64
IGNORE = 255  # mask value of a drawing's soft edge
SHEETS = pathlib.Path(__file__).parent / "emoji_sheets"

_STREAMS = {"train": 0, "validation": 1, "test": 2, "scenes": 3}


class Artist(NamedTuple):
  """Who made a sheet, and on which side of the split the team stands.

  Attributes:
    title: what the set is called.
    team: who drew it; all sheets of a team are on one side.
    licence: of the drawings.
    link: where they come from.
    trained: whether the embedded checkpoint was trained on the sheet.
  """

  title: str
  team: str
  licence: str
  link: str
  trained: bool = False


ARTISTS = {
  "noto": Artist(
    "Noto Emoji",
    "Google",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
    trained=True,
  ),
  "noto-v1": Artist(
    "Noto Emoji, first version",
    "Google",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
    trained=True,
  ),
  "fluent-emoji-flat": Artist(
    "Fluent Emoji, flat",
    "Microsoft",
    "MIT",
    "https://github.com/microsoft/fluentui-emoji",
    trained=True,
  ),
  "fluent-emoji-high-contrast": Artist(
    "Fluent Emoji, high contrast",
    "Microsoft",
    "MIT",
    "https://github.com/microsoft/fluentui-emoji",
    trained=True,
  ),
  "twemoji": Artist(
    "Twemoji",
    "Twitter",
    "CC-BY-4.0",
    "https://github.com/jdecked/twemoji",
    trained=True,
  ),
  "emojione": Artist(
    "EmojiOne 2",
    "Emoji One",
    "CC-BY-4.0",
    "https://github.com/EmojiTwo/emojitwo",
  ),
  "fxemoji": Artist(
    "FxEmojis",
    "Mozilla",
    "CC-BY-4.0",
    "https://github.com/mozilla/fxemoji",
  ),
}
"""The sheets, those that training sees first."""
TRAINED = tuple(name for name, artist in ARTISTS.items() if artist.trained)
UNSEEN = tuple(name for name, artist in ARTISTS.items() if not artist.trained)


@functools.cache
def drawings(artist: str) -> UInt8[np.ndarray, "classes cell cell 4"]:
  """Reads the drawings of an artist.

  Args:
    artist: a key of ARTISTS.

  Returns:
    Red, green, blue and opacity, in class order; a class that the artist has
    not drawn is all clear, as are the cells after the last class.

  Raises:
    ValueError: there is no such artist.
  """
  if artist not in ARTISTS:
    raise ValueError(
      f"`artist` must be one of {', '.join(ARTISTS)}, got {artist!r}."
    )
  with Image.open(SHEETS / f"{artist}.webp") as sheet:
    pixels = np.asarray(sheet.convert("RGBA"))
  rows = pixels.shape[0] // CELL
  cells = pixels.reshape(rows, CELL, COLUMNS, CELL, 4).swapaxes(1, 2)
  return cells.reshape(-1, CELL, CELL, 4)


@functools.cache
def drawn_classes(artist: str) -> tuple[int, ...]:
  """Lists the classes that an artist has drawn."""
  drawn = drawings(artist)[..., 3].any((1, 2))
  return tuple(int(label) for label in np.flatnonzero(drawn))


def image_generator(
  seed: int, split: str, artist: str, label: int, index: int
) -> np.random.Generator:
  """Returns the random stream of one image, apart from every other one."""
  return np.random.default_rng(
    [seed, _STREAMS[split], tuple(ARTISTS).index(artist), label, index]
  )


def render(
  drawing: UInt8[np.ndarray, "cell cell 4"],
  generator: np.random.Generator,
  *,
  strength: float = 0.0,
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Draws one emoji on a ground.

  Args:
    drawing: a cell of a sheet.
    generator: the image's random stream.
    strength: how far a training image may vary, in [0, 1]; 0 for held-out
      images, which vary in place and ground alone.

  Returns:
    The image, IMAGE_SIZE rows and columns.
  """
  picture = drawing.astype(np.float32) / 255
  if generator.random() < 0.6 * strength:
    picture[..., :3] = _other_colors(generator, picture[..., :3])
  picture[..., :3] *= picture[..., 3:]
  if generator.random() < 0.6 * strength:
    picture = _warp(generator, picture)
  if generator.random() < 0.25 * strength:
    picture = _outline(generator, picture)
  picture = _place(picture, _placement(generator, strength), IMAGE_SIZE)
  image = _ground(generator, IMAGE_SIZE)
  image = picture[..., :3] + image * (1 - picture[..., 3:])
  if generator.random() < 0.2 * strength:
    _occlude(generator, image)
  if generator.random() < 0.05 * strength:
    image = 1 - image
  grain = generator.standard_normal(image.shape, dtype=np.float32)
  image = image + np.float32(generator.uniform(0, 0.03)) * grain
  pixels = _to_uint8(image)
  if generator.random() < 0.3 * strength:
    soft = ImageFilter.GaussianBlur(generator.uniform(0.3, 1.2))
    pixels = np.asarray(Image.fromarray(pixels).filter(soft))
  return pixels


class _Placement(NamedTuple):
  """An affine map from a cell to an image, about the middles of both."""

  matrix: np.ndarray  # (x, y) of the cell to (x, y) of the image
  shift: tuple[float, float]  # x, y, in shares of the image


def _placement(generator: np.random.Generator, strength: float) -> _Placement:
  size = generator.uniform(0.75 - 0.15 * strength, 0.95 + 0.05 * strength)
  spread = 0.4 + 0.6 * strength
  angle, skew, stretch = spread * generator.normal(0, (0.18, 0.1, 0.1))
  flip = -1.0 if generator.random() < 0.4 * strength else 1.0
  cos, sin = math.cos(angle), math.sin(angle)
  squeeze = math.exp(stretch)
  matrix = (
    np.array([[cos, -sin], [sin, cos]])
    @ np.array([[flip * squeeze, skew], [0, 1 / squeeze]])
    * size
  )
  slack = 0.5 * (1 - size)
  x, y = generator.uniform(-slack, slack, 2)
  return _Placement(matrix, (x, y))


def _place(
  picture: Float32[np.ndarray, "cell cell 4"], placement: _Placement, span: int
) -> Float32[np.ndarray, "rows cols 4"]:
  """Sees a drawing, colours times opacity, through an affine map."""
  back = np.linalg.inv(placement.matrix) * (CELL / span)
  middle = (span - 1) / 2 + span * np.asarray(placement.shift)
  offset = (CELL - 1) / 2 - back @ middle
  return _transform(
    picture,
    span,
    Image.Transform.AFFINE,
    (*back[0], offset[0], *back[1], offset[1]),
  )


def _transform(
  picture: np.ndarray, span: int, method: Image.Transform, data: Any
) -> Float32[np.ndarray, "rows cols 4"]:
  # As four plain bands: Pillow would weigh colours by their opacity once more.
  bands = Image.fromarray(_to_uint8(picture), "CMYK")
  seen = bands.transform((span, span), method, data, Image.Resampling.BILINEAR)
  return np.asarray(seen, np.float32) / 255


def _other_colors(
  generator: np.random.Generator, color: np.ndarray
) -> np.ndarray:
  """Turns hues, drains them or mixes channels; then light and contrast."""
  kind = generator.random()
  grey = color @ np.array([0.299, 0.587, 0.114], np.float32)
  if kind < 0.2:
    color = np.repeat(grey[..., None], 3, 2)
  elif kind < 0.75:
    color = color @ _hue_rotation(0.35 * generator.normal()).T
    color = grey[..., None] + (color - grey[..., None]) * np.float32(
      generator.uniform(0.4, 1.6)
    )
  else:
    mix = np.eye(3) + 0.2 * generator.standard_normal((3, 3))
    color = color @ mix.astype(np.float32)
  color = np.clip(color, 0, 1) ** np.float32(math.exp(0.3 * generator.normal()))
  contrast, light = generator.uniform(0.6, 1.4), 0.1 * generator.normal()
  return np.clip((color - 0.5) * contrast + 0.5 + light, 0, 1).astype(
    np.float32
  )


def _hue_rotation(angle: float) -> Float32[np.ndarray, "3 3"]:
  """Rotates colours about the axis of greys."""
  cos, sin = math.cos(angle), math.sin(angle) / math.sqrt(3)
  third = (1 - cos) / 3
  return np.array(
    [
      [cos + third, third - sin, third + sin],
      [third + sin, cos + third, third - sin],
      [third - sin, third + sin, cos + third],
    ],
    np.float32,
  )


def _warp(generator: np.random.Generator, picture: np.ndarray) -> np.ndarray:
  """Moves the inner corners of a grid of 4 x 4 pieces about."""
  edges = np.linspace(0, CELL, 5)
  corners = np.stack(np.meshgrid(edges, edges), 2)  # x, y by row and column
  corners[1:-1, 1:-1] += generator.normal(0, 2.5, (3, 3, 2))
  pieces = []
  for row in range(4):
    for col in range(4):
      left, top, right, bottom = edges[[col, row, col + 1, row + 1]].astype(int)
      quad = corners[[row, row + 1, row + 1, row], [col, col, col + 1, col + 1]]
      pieces.append(((left, top, right, bottom), tuple(quad.ravel())))
  return _transform(picture, CELL, Image.Transform.MESH, pieces)


def _outline(generator: np.random.Generator, picture: np.ndarray) -> np.ndarray:
  """Adds a contour around the drawing, mostly a dark one."""
  alpha = picture[..., 3]
  width = 3 if generator.random() < 0.6 else 5
  grown = Image.fromarray(_to_uint8(alpha)).filter(ImageFilter.MaxFilter(width))
  line = np.clip(np.asarray(grown, np.float32) / 255 - alpha, 0, 1)[..., None]
  tone = generator.uniform(0, 0.3 if generator.random() < 0.7 else 1, 3)
  ink = np.concatenate([tone.astype(np.float32), np.ones(1, np.float32)])
  return picture + line * ink


def _ground(
  generator: np.random.Generator, span: int
) -> Float32[np.ndarray, "rows cols 3"]:
  """Paints a plain light ground, or one of any colour that shades off."""
  if generator.random() < 0.4:
    return np.full((span, span, 3), generator.uniform(0.75, 1), np.float32)
  color = generator.uniform(0, 1, 3)
  if generator.random() < 0.5:
    color = 1 - 0.4 * color
  cells = int(generator.integers(1, 4))
  coarse = generator.uniform(-1, 1, (3, cells + 1, cells + 1))
  shades = [
    Image.fromarray(band.astype(np.float32)).resize(
      (span, span), Image.Resampling.BILINEAR
    )
    for band in coarse
  ]
  depth = generator.uniform(0, 0.3)
  shade = np.stack([np.asarray(band) for band in shades], 2)
  return (color + depth * shade).astype(np.float32)


def _occlude(generator: np.random.Generator, image: np.ndarray) -> None:
  """Lays a disc somewhere over the image."""
  rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
  row, col = generator.uniform(0, image.shape[0], 2)
  inside = np.hypot(rows - row, cols - col) < generator.uniform(6, 14)
  image[inside] = generator.uniform(0, 1, 3)


def _to_uint8(values: np.ndarray) -> np.ndarray:
  return (255 * np.clip(values, 0, 1) + 0.5).astype(np.uint8)


def render_scene(
  cells: Sequence[UInt8[np.ndarray, "cell cell 4"]],
  labels: Sequence[int],
  generator: np.random.Generator,
  *,
  size: int = 128,
) -> tuple[UInt8[np.ndarray, "rows cols 3"], UInt8[np.ndarray, "rows cols"]]:
  """Draws several emoji side by side, and the mask of each by its opacity.

  Args:
    cells: the drawings.
    labels: the mask value of each.
    generator: the scene's random stream.
    size: rows and columns of the scene, pixels.

  Returns:
    The scene and its mask: 0 is the ground, IGNORE the soft edges.
  """
  image = _ground(generator, size)
  mask = np.zeros((size, size), np.uint8)
  per_side = math.ceil(math.sqrt(len(cells)))
  span = size // per_side
  places = generator.permutation(per_side**2)[: len(cells)]
  for cell, label, place in zip(cells, labels, places, strict=True):
    picture = cell.astype(np.float32) / 255
    picture[..., :3] *= picture[..., 3:]
    seen = _place(picture, _placement(generator, 0.0), span)
    top, left = (span * int(corner) for corner in divmod(place, per_side))
    window = np.s_[top : top + span, left : left + span]
    alpha = seen[..., 3]
    image[window] = seen[..., :3] + image[window] * (1 - alpha[..., None])
    mask[window][alpha > 0.1] = IGNORE
    mask[window][alpha >= 0.9] = label
  grain = generator.standard_normal(image.shape, dtype=np.float32)
  return _to_uint8(image + np.float32(0.015) * grain), mask
