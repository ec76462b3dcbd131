"""Cost of images: decoding, resizing, random resized crops, AugMix.

  python benchmarks/views.py --photographs=FOLDER

prints CPU time an image of JPEGs at 224 x 224 by ViT-B/16's preprocessing: as
Pillow alone does it, and as a run does it, by turns in one process; then its
views, one image after another and through the pipeline. Without a folder the
JPEG is a drawn one of 500 x 375 pixels.
"""

import functools
import io
import pathlib
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags
from measuring import machine, table
from PIL import Image

from s3_jax.clip import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.resampling import _axis, resize_part
from s3_jax.data.decoding import decode_image, decoded_image
from s3_jax.data.views import make_views, view_batches

_PHOTOGRAPHS = flags.DEFINE_string("photographs", "", "Folder of JPEGs.")
_VIEWS = flags.DEFINE_integer("views", 64, "Views an image.")
_IMAGES = flags.DEFINE_integer("images", 8, "Images of a timed run of views.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed runs of each.")

_SIZE = 224


def drawn() -> bytes:
  """Draws a smooth picture and encodes it as a JPEG."""
  coarse = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
  picture = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
  buffer = io.BytesIO()
  picture.save(buffer, "JPEG", quality=90)
  return buffer.getvalue()


def by_turns(
  runs: dict[str, Callable[[], None]], count: int, repeats: int
) -> dict[str, float]:
  """Times runs by turns: CPU seconds an image, the least of the repeats."""
  best = dict.fromkeys(runs, float("inf"))
  for _ in range(repeats + 1):
    for name, run in runs.items():
      start = time.process_time()
      run()
      best[name] = min(best[name], (time.process_time() - start) / count)
  return best


def resized(width: int, height: int):
  """Returns the size after the resize, and the centre crop in it."""
  size = (
    (_SIZE, int(_SIZE * height / width))
    if width <= height
    else (int(_SIZE * width / height), _SIZE)
  )
  left, top = ((side - _SIZE) // 2 for side in size)
  return size, (left, top, left + _SIZE, top + _SIZE)


def time_images(data: list[bytes]) -> list[list[str]]:
  """Times decoding and resizing, Pillow's own and ours."""
  spec = ZOO["openai/clip-vit-base-patch16"]
  images = [decode_image(each).convert("RGB") for each in data]
  arrays = [np.asarray(image) for image in images]

  def pillow(image):
    size, part = resized(*image.size)
    resample = Image.Resampling.BICUBIC
    return np.array(image.resize(size, resample).crop(part))

  def ours(pixels):
    return resize_part(pixels, *resized(*pixels.shape[1::-1]))

  def anew(pixels):
    _axis.cache_clear()
    return ours(pixels)

  def decode(each):
    with decoded_image(each, arrays=True) as image:
      return image

  def over(function, items):
    return lambda: [function(item) for item in items] and None

  for image, pixels in zip(images, arrays, strict=True):
    if not np.array_equal(pillow(image), ours(pixels)):
      raise ValueError("a resize gave other pixels than Pillow's")
  kinds = {
    "decode": (over(decode_image, data), over(decode, data)),
    "resize and crop": (over(pillow, images), over(ours, arrays)),
    "the same, each size for the first time": (
      over(pillow, images),
      over(anew, arrays),
    ),
    "decode, resize and crop": (
      over(lambda each: pillow(decode_image(each).convert("RGB")), data),
      over(lambda each: preprocess_image(spec, decode(each)), data),
    ),
  }
  runs = {
    f"{name} {way}": run
    for name, both in kinds.items()
    for way, run in zip(("old", "new"), both, strict=True)
  }
  best = by_turns(runs, len(data), _REPEATS.value)
  rows = []
  for name in kinds:
    old, new = best[f"{name} old"], best[f"{name} new"]
    rows.append(
      [name, f"{1000 * old:.2f}", f"{1000 * new:.2f}", f"{old / new:.2f}"]
    )
  return rows


def time_views(data: list[bytes]) -> list[list[str]]:
  """Times the views of images."""
  spec, views = ZOO["openai/clip-vit-base-patch16"], _VIEWS.value
  preprocess = functools.partial(preprocess_image, spec)
  data = [data[index % len(data)] for index in range(_IMAGES.value)]
  records = [{"image": each, "label": 0} for each in data]

  def one_by_one(augmix):
    for index, each in enumerate(data):
      make_views(
        decode_image(each),
        preprocess,
        count=views,
        augmix=augmix,
        seed=0,
        index=index,
      )

  def pipeline(augmix):
    batches = view_batches(
      records, preprocess, count=views, augmix=augmix, seed=0, batch_size=4
    )
    for _ in batches:
      pass

  runs = {
    f"{name}, {kind}": functools.partial(run, kind == "AugMix")
    for kind in ("crops", "AugMix")
    for name, run in (("make_views", one_by_one), ("view_batches", pipeline))
  }
  best = by_turns(runs, len(data), 2)
  return [
    [name, f"{1000 * seconds:.1f}", f"{views / seconds:.0f}"]
    for name, seconds in best.items()
  ]


def main(argv):
  """Prints the tables."""
  del argv
  data = [drawn()]
  if _PHOTOGRAPHS.value:
    folder = pathlib.Path(_PHOTOGRAPHS.value)
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() != ".txt")
    data = [file.read_bytes() for file in files]
  print(machine())  # noqa: T201
  print(  # noqa: T201
    table(
      ["what", "Pillow, CPU ms an image", "a run", "times"], time_images(data)
    )
  )
  print(  # noqa: T201
    table(["what", "CPU ms an image", "views a CPU second"], time_views(data))
  )


if __name__ == "__main__":
  app.run(main)
