"""From a PIL image to the pixels that a checkpoint was trained on.

The school of `transformers`: to RGB first, then the shortest side to the
spec's size with PIL's bicubic filter, then a centre crop whose offsets are
rounded down. Pixels stay uint8; `normalize_images` does the rest on the device.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from s3_jax.clip.zoo import ModelSpec


def preprocess_image(
  spec: ModelSpec, image: Image.Image
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Converts an image to RGB, resizes its shortest side and crops its centre.

  Transparency is laid on white. Grey images with 16 bits a pixel are scaled to
  8 bits, not clipped. The orientation tag is left to whoever reads the file.
  An image that has the right size already is not resampled.

  Args:
    spec: the checkpoint's settings.
    image: an image of any size and any mode but floating point.

  Returns:
    RGB pixels of the spec's crop size.

  Raises:
    ValueError: a mode whose range of values is unknown.

  References:
    `transformers` 5, CLIPImageProcessor: equal pixels but for 16-bit images,
    where it clips. Scaling those is ours.
  """
  image = _to_rgb(image)
  width, height = image.size
  short, size, crop = min(width, height), spec.resize_size, spec.crop_size
  new_width, new_height = size * width // short, size * height // short
  # Integer and float division differ where the quotient is just below a whole
  # number; the school divides in floating point.
  if width > height:
    new_width = int(size * width / height)
  elif height > width:
    new_height = int(size * height / width)
  if (new_width, new_height) != (width, height):
    image = image.resize((new_width, new_height), Image.Resampling.BICUBIC)
  top, left = (new_height - crop) // 2, (new_width - crop) // 2
  return np.array(image)[top : top + crop, left : left + crop]


def _to_rgb(image: Image.Image) -> Image.Image:
  if image.mode == "RGB" and "transparency" not in image.info:
    return image
  if image.mode in ("I", "F") or image.mode.startswith("I;16"):
    return _from_16_bits(image).convert("RGB")
  if "A" in image.getbands() or "transparency" in image.info:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
  values = np.asarray(image)
  if image.mode == "F" or values.min() < 0 or values.max() > 65535:
    raise ValueError(
      "`image` must have 8 or 16 bits a channel, got mode "
      f"{image.mode!r} with values from {values.min()} to {values.max()}; "
      "convert it to 8 bits first."
    )
  return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype("u1"))
