"""Scenic's `inputs` to what a checkpoint's image tower reads.

Every pipeline of Scenic scales pixels in its own way, and a batch does not say
how. A `PixelScaling` does.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from s3_jax.clip import ModelSpec

_SLACK = 0.5
"""How far values may leave [0, 1]: resizing in floating point overshoots."""


class PixelScaling(NamedTuple):
  """What a pipeline did to pixels in 0..255: `(pixel - mean) / std`.

  Attributes:
    mean: subtracted from red, green and blue.
    std: what was then divided by.
  """

  mean: tuple[float, float, float]
  std: tuple[float, float, float]


BYTES = PixelScaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Floating-point numbers in 0..255."""

UNIT = PixelScaling((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
"""Floating-point numbers in 0..1."""

IMAGENET = PixelScaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""ImageNet's statistics, as Scenic's `imagenet` data set is normalised."""


def tower_inputs(
  spec: ModelSpec,
  inputs: UInt8[Array, "batch height width 3"]
  | Float[Array, "batch height width 3"],
  scaling: PixelScaling | None,
) -> (
  UInt8[Array, "batch height width 3"] | Float[Array, "batch height width 3"]
):
  """Turns inputs into uint8 pixels as they came, or normalised float32.

  `scaling` is what was done to floating-point inputs; None where they are
  normalised by the checkpoint's own statistics already.
  """
  if inputs.dtype == jnp.uint8:
    if scaling is not None:
      raise ValueError(
        "`scaling` must be None for uint8 inputs, which are pixels, got"
        f" {scaling}."
      )
    return inputs
  inputs = inputs.astype(jnp.float32)
  if scaling is None:
    return inputs
  # One product and one sum: normalised = (pixel / 255 - mean) / std.
  mean, std = np.asarray(scaling.mean), np.asarray(scaling.std)
  own_mean, own_std = np.asarray(spec.image_mean), np.asarray(spec.image_std)
  factor = std / 255 / own_std
  offset = (mean / 255 - own_mean) / own_std
  return inputs * _row(factor) + _row(offset)


def outside_range(
  spec: ModelSpec,
  images: UInt8[Array, "batch height width 3"]
  | Float[Array, "batch height width 3"],
) -> Bool[Array, " batch"]:
  """Says which images cannot be normalised as the checkpoint's were.

  Their values, the normalisation undone, are far outside 0..1, as those of
  pixels are which were never divided by 255.
  """
  if images.dtype == jnp.uint8:
    return jnp.zeros(images.shape[:1], bool)
  unit = images * _row(np.asarray(spec.image_std))
  unit = unit + _row(np.asarray(spec.image_mean))
  outside = (unit < -_SLACK) | (unit > 1 + _SLACK)
  return jnp.any(outside, axis=(1, 2, 3))


def _row(channels: Float[np.ndarray, "3"]) -> Float[np.ndarray, "1 1 1 3"]:
  return channels.astype(np.float32).reshape(1, 1, 1, 3)
