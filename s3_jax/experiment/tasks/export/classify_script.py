"""The script that an export writes beside its files, which needs no s3_jax.

It is text here, since it is a program of its own: it imports what no module of
this package may, and docs/EXPORT.md prints it.
"""

CLASSIFY = '''"""Classifies images: python classify.py FOLDER IMAGE ..."""

import io
import json
import pathlib
import sys

import jax
import numpy as np
from jax import export
from PIL import Image, ImageOps


def read_pixels(path, how):
  """Reads an image file as the network takes it: u8[rows, cols, 3]."""
  image = Image.open(io.BytesIO(path.read_bytes()))
  if how["exif_orientation"]:
    image = ImageOps.exif_transpose(image)
  if image.mode[0] in "IF":  # 16 bits a pixel
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
      sys.exit(f"{str(path)!r} must have 8 or 16 bits a channel.")
    values = (values.astype(np.int64) + 128) // 257
    image = Image.fromarray(values.astype(np.uint8))
  early = how["school"] == "transformers"  # RGB before the resize, else after
  if early and ("A" in image.getbands() or "transparency" in image.info):
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  image = image.convert("RGB") if early else image
  width, height = image.size
  resized = (how["resize_size"],) * 2  # "squash"
  if how["resize_mode"] == "shortest":
    scaled = int(resized[0] * max(image.size) / min(image.size))
    resized = (resized[0], scaled) if width <= height else (scaled, resized[0])
  if resized != image.size:
    kernel = Image.Resampling[how["interpolation"].upper()]
    image = image.resize(resized, kernel)
  crop = how["crop_size"]
  spare = [side - crop for side in resized]
  left, top = (x // 2 if early else round(x / 2) for x in spare)
  image = image.crop((left, top, left + crop, top + crop))
  image.info.pop("transparency", None)
  return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
  folder, *images = map(pathlib.Path, sys.argv[1:])
  about = json.loads((folder / "classifier.json").read_text("utf-8"))
  arrays = jax.device_put(dict(np.load(folder / "classifier.npz")))
  program = (folder / "classifier.jaxexport").read_bytes()
  classify = jax.jit(export.deserialize(program).call)
  for image in images:
    scores = classify(arrays, read_pixels(image, about["image"])[None])[0]
    shares = jax.nn.softmax(np.exp(about["logit_scale"]) * scores)
    name = about["classes"][int(np.nanargmax(scores))]
    print(f"{str(image)!r}: {name!r}, {float(shares.max()):.1%}")
'''
