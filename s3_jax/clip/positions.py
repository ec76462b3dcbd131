"""Position embeddings for another image size, on request.

The towers never do this by themselves: an image of another size is an error.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from s3_jax.clip.towers import check_spec
from s3_jax.clip.zoo import ModelSpec


def resize_positions(
  spec: ModelSpec, params: Mapping[str, Any], image_size: int
) -> tuple[ModelSpec, dict[str, Any]]:
  """Makes a checkpoint read images of another size.

  The grid of position embeddings is resampled bicubically: Keys' kernel with
  a = -1/2, half-pixel centres, weights that are renormalised at the border and
  a kernel that widens where the grid shrinks. That is what open_clip does when
  it loads a checkpoint at another size: torch's `interpolate` with
  `mode="bicubic", antialias=True, align_corners=False`. (Code that leaves out
  `antialias` uses a = -3/4 and gets other numbers, in growing as in shrinking.)
  The entry of the class token, or of a ResNet's mean, stays what it is.
  """
  resized = spec._replace(
    image_size=image_size,
    crop_size=image_size,
    resize_size=round(spec.resize_size * image_size / spec.image_size),
  )
  check_spec(resized)
  image = dict(params["image"])
  # A ResNet adds its positions at the pooling, a ViT before the first block.
  owner = image
  if spec.image_tower == "resnet":
    owner = image["pooling"] = dict(image["pooling"])
  old, new = spec.image_size // spec.patch_size, image_size // spec.patch_size
  owner["position_embedding"] = _resample(
    owner["position_embedding"], (old, old), (new, new)
  )
  return resized, {**params, "image": image}


def _resample(
  positions: Float[Array, "entries width"],
  old: tuple[int, int],
  new: tuple[int, int],
) -> Float[Array, "_ width"]:
  """Resamples the last rows x cols entries; those before them stay."""
  width = positions.shape[-1]
  first, grid = jnp.split(positions, [len(positions) - math.prod(old)])
  if old == new:
    return positions
  grid = jax.image.resize(
    grid.reshape(*old, width).astype(jnp.float32),
    (*new, width),
    "cubic",
    precision=jax.lax.Precision.HIGHEST,
  )
  grid = grid.reshape(math.prod(new), width).astype(positions.dtype)
  return jnp.concatenate([first, grid])
