"""Views of an image for test-time adaptation: itself, and random crops of it.

View 0 is what the checkpoint's own preprocessing makes of the image; the others
are random resized crops, flipped half of the time and mixed by AugMix if asked.
A view is a pure function of `(seed, index, view)`: batches, threads, hosts, a
run that goes on after a kill and the number of views change nothing in it.

The distributions are those of torchvision and TPT's code. The random numbers
are numpy's (Philox), so the crops are others than in a run of theirs.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from s3_jax.colors import is_transparent, to_rgb
from s3_jax.data.augmix import mix_augmented
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import Records
from s3_jax.resampling import resize_crop

_SCALE = (0.08, 1.0)  # share of the image's area
_RATIO = (3 / 4, 4 / 3)  # width over height
_TRIES = 10


def make_views(
  image: Any,
  preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]],
  *,
  count: int = 64,
  augmix: bool = False,
  seed: int,
  index: int,
) -> UInt8[np.ndarray, "views rows cols 3"]:
  """Makes the views of one image, the original first.

  The crops have the size of view 0. They come from the image in RGB, whose
  transparent parts lie on what `preprocess` lays them on.

  References:
    TPT (arXiv 2209.07511) and TPS (arXiv 2403.12952): 64 views, AugMix on the
    ten fine-grained sets and not on ImageNet's. The random numbers are ours.
  """
  _check(count, seed)
  if index < 0:
    raise ValueError(f"`index` must be >= 0, got {index}.")
  own = preprocess(image)
  views = np.empty((count, *own.shape), np.uint8)
  views[0] = own
  if count > 1:
    image = _opaque(image, preprocess)
  for view in range(1, count):
    rng = _generator(seed, index, view)
    crop = _random_crop(image, own.shape[:2], rng)
    views[view] = mix_augmented(Image.fromarray(crop), rng) if augmix else crop
  return views


def view_batches(
  records: Records,
  preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]],
  *,
  count: int = 64,
  augmix: bool = False,
  seed: int,
  batch_size: int,
  numbers: Int[np.ndarray, " records"] | None = None,
  threads: int | None = None,
  max_pixels: int = MAX_PIXELS,
  bad: dict[int, str] | None = None,
  passing: set[int] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Decodes records into batches of images with all their views, in order.

  As `padded_batches` in all but `image`: an image that cannot be used has black
  views, its own `index` and a false `mask`, and is listed in `bad`. A thread
  makes all views of an image; about `3 * batch_size + threads` images are held
  with their views, 9.6 MB each for 64 views of 224 x 224.
  """
  # Now, and not image by image, where it would make every image a bad one.
  _check(count, seed)
  if numbers is not None:
    if len(numbers) != len(records):
      raise ValueError(
        "`numbers` and `records` must agree on their length, got"
        f" {len(numbers)} and {len(records)}."
      )
    if numbers.size and numbers.min() < 0:
      raise ValueError(f"`numbers` must be >= 0, got {numbers.min()}.")
  make = functools.partial(
    make_views, preprocess=preprocess, count=count, augmix=augmix, seed=seed
  )

  def views(image: Any, position: int) -> UInt8[np.ndarray, "v rows cols 3"]:
    number = position if numbers is None else int(numbers[position])
    return make(image, index=number)

  return padded_batches(
    records,
    views,
    with_position=True,
    batch_size=batch_size,
    threads=threads,
    max_pixels=max_pixels,
    bad=bad,
    passing=passing,
  )


def _opaque(
  image: Any, preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]]
) -> Any:
  """Converts to RGB on the ground that `preprocess` lays pictures on."""
  if not is_transparent(image):
    return to_rgb(image)
  # Nothing of this is to be seen but the ground. One who drops transparency
  # sees red, or black where Pillow's resize has taken the colour away.
  shown = preprocess(Image.new("RGBA", (64, 64), (255, 0, 0, 0)))
  ground = tuple(shown[shown.shape[0] // 2, shown.shape[1] // 2].tolist())
  dropped = ground in ((255, 0, 0), (0, 0, 0))
  return to_rgb(image, background=None if dropped else ground)


def _check(count: int, seed: int) -> None:
  if count < 1:
    raise ValueError(
      f"`count` must be >= 1, got {count}; the image itself is a view."
    )
  if seed < 0:
    raise ValueError(f"`seed` must be >= 0, got {seed}.")


def _generator(seed: int, index: int, view: int) -> np.random.Generator:
  """Returns the random stream of one view, apart from every other one."""
  sequence = np.random.SeedSequence(seed, spawn_key=(index, view))
  return np.random.Generator(np.random.Philox(sequence))


def crop_box(
  width: int, height: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Draws which part of an image a random resized crop takes.

  Area and logarithm of the aspect are uniform, 8 to 100 % of the image and from
  3:4 to 4:3. After ten draws that do not fit it is the middle of the image, as
  large as these aspects allow.

  References:
    torchvision's RandomResizedCrop with its defaults.
  """
  narrow, wide = _RATIO
  for _ in range(_TRIES):
    area = width * height * _between(_SCALE, rng)
    ratio = math.exp(_between((math.log(narrow), math.log(wide)), rng))
    cols = round(math.sqrt(area * ratio))
    rows = round(math.sqrt(area / ratio))
    if 0 < cols <= width and 0 < rows <= height:
      top = int((height - rows + 1) * rng.random())
      left = int((width - cols + 1) * rng.random())
      return left, top, left + cols, top + rows
  cols = min(width, round(height * wide))
  rows = min(height, round(width / narrow))
  left, top = (width - cols) // 2, (height - rows) // 2
  return left, top, left + cols, top + rows


def _between(ends: tuple[float, float], rng: np.random.Generator) -> float:
  low, high = ends
  return low + (high - low) * rng.random()


def _random_crop(
  image: Any, shape: tuple[int, ...], rng: np.random.Generator
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Crops at random, resizes to rows and columns, and flips or does not."""
  rows, cols = shape
  width, height = image.size
  crop = resize_crop(
    image,
    (cols, rows),
    (0, 0, cols, rows),
    Image.Resampling.BILINEAR,
    # Cut out first: a resize with `box` would draw on pixels around the box.
    source=crop_box(width, height, rng),
  )
  return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop
