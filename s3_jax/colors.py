"""A decoded picture of any mode as RGB of 8 bits: the one conversion."""

from typing import Any

import numpy as np
from PIL import Image

WHITE = (255, 255, 255)
"""What transparent pixels lie on in the school of `transformers`."""


def to_rgb(
  image: Any, *, background: tuple[int, int, int] | None = WHITE
) -> Any:
  """Converts a loaded picture to RGB without transparency, 16 bits to 8.

  `background` is what transparent pixels lie on; None drops the transparency,
  so that what stands under it is seen, as in OpenAI's code and open_clip.

  References:
    Compositing as in `transformers` 5; dropping as in Pillow's own conversion,
    without its warning of what is lost. Scaling 16 bits is ours.
  """
  image = scale_to_8_bits(image)
  if is_transparent(image):
    if background is not None:
      image = image.convert("RGBA")
      ground = Image.new("RGBA", image.size, (*background, 255))
      image = Image.alpha_composite(ground, image)
    elif "transparency" in image.info:
      image = image.copy()
      del image.info["transparency"]
  return image if image.mode == "RGB" else image.convert("RGB")


def is_transparent(image: Any) -> bool:
  """Says whether a PIL image may have transparent pixels."""
  return "A" in image.getbands() or "transparency" in image.info


def scale_to_8_bits(image: Any) -> Any:
  """Scales a grey picture of 16 bits a pixel to 8, half rounded up."""
  if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
    return image
  values = np.asarray(image)
  if image.mode == "F" or values.min() < 0 or values.max() > 65535:
    raise ValueError(
      "`image` must have 8 or 16 bits a channel, got mode "
      f"{image.mode!r} with values from {values.min()} to {values.max()}; "
      "convert it to 8 bits first."
    )
  return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype("u1"))
