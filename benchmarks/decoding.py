"""The host's work on an image: decoding, resizing, views; against Pillow alone.

  pip install "s3_jax[data,fast]"
  python benchmarks/decoding.py --photographs=FOLDER

prints CPU milliseconds an image, at 224 x 224 by ViT-B/16's preprocessing, each
task by Pillow alone and by what the extra `fast` brings, all in one run and
interleaved. Without a folder of JPEGs the picture is a drawn one of 500 x 375.
"""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
from absl import app, flags
from measuring import machine, measure, table
from PIL import Image

from s3_jax import resampling
from s3_jax.clip import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.decoding import BadImage, decode_image, decoded_image
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.views import make_views, view_batches
from s3_jax.extras import require

_FOLDER = flags.DEFINE_string("photographs", "", "Folder of JPEGs.")
_IMAGES = flags.DEFINE_integer("images", 32, "Images of a timed run.")
_VIEWS = flags.DEFINE_integer("views", 64, "Views an image.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed runs of each.")
_SPEC = ZOO["openai/clip-vit-base-patch16"]
_SHORTEST = 2 * _SPEC.resize_size  # of `config.decoding = "fast"`


def photographs() -> list[bytes]:
  """Reads the folder's files, evenly spread over their names; or draws one."""
  paths = sorted(
    path
    for path in pathlib.Path(_FOLDER.value or ".").rglob("*")
    if _FOLDER.value and path.suffix.lower() in (".jpg", ".jpeg")
  )
  if not paths:
    coarse = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(
      buffer, "JPEG", quality=90
    )
    return [buffer.getvalue()] * _IMAGES.value
  spread = np.linspace(0, len(paths) - 1, min(_IMAGES.value, len(paths)))
  return [paths[int(place)].read_bytes() for place in spread]


@contextlib.contextmanager
def by_pillow() -> Iterator[None]:
  """Leaves all resizes, and thereby all decoding, to Pillow."""
  with (
    mock.patch.object(resampling, "_compiled", lambda: None),
    mock.patch("s3_jax.data.decoding.is_compiled", lambda: False),
  ):
    yield


def preprocess(image: Any) -> np.ndarray:
  """Prepares a picture as a run does."""
  return preprocess_image(_SPEC, image)


def decode(data: bytes, **options: Any) -> None:
  """Decodes as the pipeline does."""
  with decoded_image(data, **options):
    pass


def prepare(data: bytes, **options: Any) -> np.ndarray:
  """Decodes and prepares as the pipeline does."""
  with decoded_image(data, **options) as image:
    return preprocess(image)


def views_of(data: bytes, augmix: bool) -> np.ndarray:
  """Makes an image's views as the pipeline does."""
  with decoded_image(data, to_resize=True) as image:
    return make_views(
      image,
      preprocess,
      count=_VIEWS.value,
      augmix=augmix,
      seed=0,
      index=0,
    )


def check(files: list[bytes]) -> None:
  """Compares pixels before anything is timed."""
  differences = []
  for data in files:
    with by_pillow():
      expected = prepare(data), views_of(data, False)[:4]
    found = prepare(data, to_resize=True), views_of(data, False)[:4]
    if not all(map(np.array_equal, expected, found)):
      raise AssertionError("other pixels than Pillow's")
    fast = prepare(data, shortest=_SHORTEST)
    differences.append(np.abs(np.subtract(fast, expected[0], dtype=int)))
  mean = np.mean([each.mean() for each in differences])
  most = max(each.max() for each in differences)
  print(  # noqa: T201
    f"{len(files)} images, pixels equal; fast: {mean:.2f} of 255 off on"
    f" average, {most} at most"
  )


def main(argv):
  """Prints the table."""
  del argv
  require("fast", by="This comparison")
  files, some = [], []
  for data in photographs():
    with contextlib.suppress(BadImage):
      decode_image(data)
      files.append(data)
  some = files[:: max(1, len(files) // 8)][:8]
  resampling.FIRST_BY_PILLOW = 0
  prepare(files[0], to_resize=True)  # compiles
  check(files)
  pictures = [decode_image(data) for data in files]

  def records(inputs: list[bytes]) -> list[dict[str, Any]]:
    return [{"image": data, "label": 0} for data in inputs]

  def drain(batches: Any) -> None:
    for _ in batches:
      pass

  def each(work: Callable[..., Any], items: list[Any], **options: Any):
    return lambda: [work(item, **options) for item in items]

  def pipeline(**options: Any):
    return lambda: drain(
      padded_batches(records(files), preprocess, batch_size=8, **options)
    )

  def view_pipeline(augmix: bool):
    return lambda: drain(
      view_batches(
        records(some),
        preprocess,
        count=_VIEWS.value,
        augmix=augmix,
        seed=0,
        batch_size=4,
      )
    )

  def old(run: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: by_pillow()(run)()

  quick, fast = {"to_resize": True}, {"shortest": _SHORTEST}
  tasks = {
    "decode": {
      "Pillow": old(each(decode, files)),
      "exact": each(decode, files, **quick),
      "fast": each(decode, files, **fast),
    },
    "resize and crop a picture": {
      "Pillow": old(each(preprocess, pictures)),
      "exact": each(preprocess, pictures),
    },
    "decode, resize, crop": {
      "Pillow": old(each(prepare, files)),
      "exact": each(prepare, files, **quick),
      "fast": each(prepare, files, **fast),
    },
    "padded_batches": {
      "Pillow": old(pipeline()),
      "exact": pipeline(),
      "fast": pipeline(**fast),
    },
  }
  for augmix in (False, True):
    name = f"{_VIEWS.value} views" + (", AugMix" if augmix else "")
    tasks[name] = {
      "Pillow": old(each(views_of, some, augmix=augmix)),
      "exact": each(views_of, some, augmix=augmix),
    }
    tasks[f"view_batches, {name}"] = {
      "Pillow": old(view_pipeline(augmix)),
      "exact": view_pipeline(augmix),
    }
  print(machine())  # noqa: T201
  lines = []
  for task, runs in tasks.items():
    count = len(some) if "views" in task else len(files)
    rows = measure(
      task,
      {who: (run, 1000 / count) for who, run in runs.items()},
      _REPEATS.value,
    )
    lines += [
      [task, row.who, f"{row.cpu:.2f}", f"{1 / row.ratio:.2f}"] for row in rows
    ]
  print(  # noqa: T201
    table(["task", "by", "CPU ms an image", "images a CPU second, x"], lines)
  )


if __name__ == "__main__":
  app.run(main)
