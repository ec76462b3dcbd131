"""From a PIL image to the pixels that a checkpoint was trained on.

Two schools, equal on most photographs and not on all. That of `transformers`
converts to RGB first, laying transparency on white, and rounds the offsets of
the centre crop down. That of OpenAI's code and open_clip resizes in the file's
own mode (a palette is then not interpolated), rounds the offsets half to even,
and converts to RGB last, which drops transparency. Pixels stay uint8;
`normalize_images` does the rest on the device.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from s3_jax.clip.arguments import describe
from s3_jax.clip.zoo import ModelSpec
from s3_jax.colors import WHITE, is_transparent, scale_to_8_bits, to_rgb
from s3_jax.resampling import resize_crop

_SCHOOLS = ("transformers", "openai")
_RESIZE_MODES = ("shortest", "squash")
_FILTERS = {
  "bicubic": Image.Resampling.BICUBIC,
  "bilinear": Image.Resampling.BILINEAR,
}


def preprocess_image(
  spec: ModelSpec, image: Image.Image, *, exif_orientation: bool = False
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Resizes an image, crops its centre and converts it to RGB.

  "shortest" brings the shortest side to the spec's size, "squash" both sides,
  whatever the aspect. An image that has the right size already is not
  resampled. Grey images with 16 bits a pixel are scaled to 8 bits, not clipped.

  References:
    `transformers` 5, CLIPImageProcessor and SiglipImageProcessor; OpenAI's
    CLIP, clip.py, and open_clip, transform.py, with torchvision. Pixels equal
    theirs but for 16-bit images, which they clip. Scaling those is ours.
  """
  if not isinstance(image, Image.Image):
    raise ValueError(
      f"`image` must be a PIL image, got {describe(image)}; open a file with"
      " `PIL.Image.open`, or make one of an array of uint8 pixels with"
      " `PIL.Image.fromarray`."
    )
  for name, words in (
    ("school", _SCHOOLS),
    ("resize_mode", _RESIZE_MODES),
    ("interpolation", tuple(_FILTERS)),
  ):
    if getattr(spec, name) not in words:
      raise ValueError(
        f"`{name}` of the spec must be one of {', '.join(words)}, got"
        f" {getattr(spec, name)!r}."
      )
  if exif_orientation:
    image = ImageOps.exif_transpose(image)
  image = scale_to_8_bits(image)
  # A grey picture is resized before it is RGB: the same pixels, a third of the
  # work.
  opaque = image.mode in ("RGB", "L") and not is_transparent(image)
  if spec.school == "transformers" and not opaque:
    image, opaque = to_rgb(image, background=WHITE), True
  size = _resized(spec, *image.size)
  crop = spec.crop_size
  spare = [side - crop for side in size]
  if spec.school == "transformers":
    left, top = (side // 2 for side in spare)
  else:
    left, top = (round(side / 2) for side in spare)  # half to even
  box = (left, top, left + crop, top + crop)
  if opaque:
    return resize_crop(image, size, box, _FILTERS[spec.interpolation])
  if size != image.size:
    image = image.resize(size, _FILTERS[spec.interpolation])
  return np.array(to_rgb(image.crop(box), background=None))


def _resized(spec: ModelSpec, width: int, height: int) -> tuple[int, int]:
  """Returns width and height after the resize."""
  size = spec.resize_size
  if spec.resize_mode == "squash":
    return size, size
  # Both schools divide in floating point, which differs from `//` where the
  # quotient is just below a whole number.
  if width <= height:
    return size, int(size * height / width)
  return int(size * width / height), size
