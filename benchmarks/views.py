"""Cost of an image's views: decoding, random resized crops, AugMix.

  python benchmarks/views.py

prints views per CPU second for a JPEG of 500 x 375 pixels, made at 224 x 224 by
ViT-B/16's preprocessing: one image after another, and through the pipeline.
"""

import io
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags
from measuring import machine, table
from PIL import Image

from s3_jax.clip import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.decoding import decode_image
from s3_jax.data.views import make_views, view_batches

_VIEWS = flags.DEFINE_integer("views", 64, "Views an image.")
_IMAGES = flags.DEFINE_integer("images", 8, "Images of a timed run.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs of each.")


def photograph() -> bytes:
  """Draws a smooth picture and encodes it as a JPEG."""
  coarse = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
  picture = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
  buffer = io.BytesIO()
  picture.save(buffer, "JPEG", quality=90)
  return buffer.getvalue()


def per_image(run: Callable[[], None]) -> float:
  """Times an image of a run over all, CPU seconds, the least of the repeats."""
  run()
  seconds = []
  for _ in range(_REPEATS.value):
    start = time.process_time()
    run()
    seconds.append((time.process_time() - start) / _IMAGES.value)
  return min(seconds)


def main(argv):
  """Prints the table."""
  del argv
  spec, data = ZOO["openai/clip-vit-base-patch16"], photograph()
  images, views = range(_IMAGES.value), _VIEWS.value

  def preprocess(image):
    return preprocess_image(spec, image)

  def alone():
    for _ in images:
      preprocess(decode_image(data))

  def one_by_one(augmix):
    for index in images:
      make_views(
        decode_image(data),
        preprocess,
        count=views,
        augmix=augmix,
        seed=0,
        index=index,
      )

  def pipeline(augmix):
    records = [{"image": data, "label": 0} for _ in images]
    batches = view_batches(
      records, preprocess, count=views, augmix=augmix, seed=0, batch_size=4
    )
    for _ in batches:
      pass

  rows = [["decode and preprocess, one view", per_image(alone), 1]]
  for augmix in (False, True):
    name = "AugMix" if augmix else "crops"
    rows += [
      [
        f"make_views, {name}",
        per_image(lambda augmix=augmix: one_by_one(augmix)),
        views,
      ],
      [
        f"view_batches, {name}",
        per_image(lambda augmix=augmix: pipeline(augmix)),
        views,
      ],
    ]
  print(machine())  # noqa: T201
  print(  # noqa: T201
    table(
      ["what", "CPU ms an image", "views a CPU second"],
      [
        [name, f"{1000 * seconds:.1f}", f"{count / seconds:.0f}"]
        for name, seconds, count in rows
      ],
    )
  )


if __name__ == "__main__":
  app.run(main)
