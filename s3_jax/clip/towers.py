"""CLIP's two towers in Flax Linen: a vision transformer and a text transformer.

Both are stacks of the same pre-norm transformer block. The image tower cuts the
image into patches, puts a class token before them and pools that token; the
text tower is causal and pools the first end token. Both project without a bias,
and `embed_images` and `embed_texts` return unit vectors in float32.

`dtype` names the type in which matrices are multiplied. "float32" is float32 on
every platform. "bfloat16" casts the operands of every product to bfloat16 and
accumulates in float32; activations, softmax, layer norms and the residual
stream stay float32, in the backward pass too.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4; layer by layer the
  network of `transformers.CLIPModel`.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray, UInt, UInt8

from s3_jax.clip.transformer import Block, Dense, LayerNorm
from s3_jax.clip.zoo import ModelSpec
from s3_jax.embeddings import l2_normalize

DTYPES = ("float32", "bfloat16")


class ImageTower(nn.Module):
  """CLIP's vision transformer: normalised pixels to raw embeddings."""

  spec: ModelSpec
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self, images: Float[Array, "batch height width 3"]
  ) -> Float[Array, "batch dim"]:
    """Embeds normalised images of the image size; not unit vectors."""
    spec, width = self.spec, self.spec.image_width
    patches = _patches(images, spec.patch_size)
    x = Dense(
      width,
      patches.shape[-1] ** -0.5,
      use_bias=False,
      dtype=self.dtype,
      name="patch_embedding",
    )(patches)
    normal = nn.initializers.normal(width**-0.5)
    first = self.param("class_embedding", normal, (width,))
    first = jnp.broadcast_to(first, (x.shape[0], 1, width))
    x = jnp.concatenate([first, x], axis=1)
    x += self.param("position_embedding", normal, x.shape[1:])[None]
    x = LayerNorm(spec.layer_norm_eps, name="pre_norm")(x)
    for index in range(spec.image_layers):
      x = Block(
        spec.image_heads,
        spec.image_mlp_dim,
        spec.activation,
        spec.layer_norm_eps,
        causal=False,
        out_std=(2 * width * spec.image_layers) ** -0.5,
        dtype=self.dtype,
        name=f"block_{index}",
      )(x)
    pooled = LayerNorm(spec.layer_norm_eps, name="post_norm")(x[:, 0])
    return Dense(
      spec.embed_dim,
      width**-0.5,
      use_bias=False,
      dtype=self.dtype,
      name="projection",
    )(pooled)


class TextTower(nn.Module):
  """CLIP's causal text transformer: token ids to raw embeddings."""

  spec: ModelSpec
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self, token_ids: Int[Array, "texts context"]
  ) -> Float[Array, "texts dim"]:
    """Embeds token ids; not unit vectors."""
    spec, width = self.spec, self.spec.text_width
    tokens = self.param(
      "token_embedding",
      nn.initializers.normal(0.02),
      (spec.vocab_size, width),
    )
    positions = self.param(
      "position_embedding",
      nn.initializers.normal(0.01),
      (spec.context_length, width),
    )
    x = tokens[token_ids] + positions[None, : token_ids.shape[1]]
    for index in range(spec.text_layers):
      x = Block(
        spec.text_heads,
        spec.text_mlp_dim,
        spec.activation,
        spec.layer_norm_eps,
        causal=True,
        out_std=(2 * width * spec.text_layers) ** -0.5,
        dtype=self.dtype,
        name=f"block_{index}",
      )(x)
    # argmax of the comparison is the first end token; what follows it is
    # padding, which a causal tower never looks at from there.
    end = jnp.argmax(token_ids == spec.end_token_id, axis=1)
    pooled = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
    pooled = LayerNorm(spec.layer_norm_eps, name="final_norm")(pooled)
    return Dense(
      spec.embed_dim,
      width**-0.5,
      use_bias=False,
      dtype=self.dtype,
      name="projection",
    )(pooled)


def _patches(
  images: Float[Array, "batch height width 3"], size: int
) -> Float[Array, "batch patches inputs"]:
  """Cuts images into patches, row by row; inputs run row, col, channel."""
  batch, height, width, channels = images.shape
  rows, cols = height // size, width // size
  x = images.reshape(batch, rows, size, cols, size, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, rows * cols, size * size * channels)


@functools.partial(jax.jit, static_argnames="spec")
def init_params(key: PRNGKeyArray | UInt[Array, "2"], spec: ModelSpec) -> dict:
  """Draws the parameters of both towers for training from scratch.

  Linear maps are normal with a deviation of their input's width to the power
  -1/2; those that write to the residual stream shrink with depth as well.

  Args:
    key: random key.
    spec: the architecture.

  Returns:
    {"image": ..., "text": ..., "logit_scale": f32[]}, the last one the natural
    log of 1 / 0.07.

  References:
    Radford et al. 2021 (arXiv 2103.00020), section 2.5 for the temperature.
  """
  image_key, text_key = jax.random.split(key)
  images = jnp.zeros((1, spec.image_size, spec.image_size, 3), jnp.float32)
  token_ids = jnp.zeros((1, spec.context_length), jnp.int32)
  return {
    "image": ImageTower(spec).init(image_key, images)["params"],
    "text": TextTower(spec).init(text_key, token_ids)["params"],
    "logit_scale": jnp.asarray(math.log(1 / 0.07), jnp.float32),
  }


def normalize_images(
  spec: ModelSpec, images: UInt8[Array | np.ndarray, "... 3"]
) -> Float32[Array, "... 3"]:
  """Scales pixels as the checkpoint was trained: (x / 255 - mean) / std.

  Args:
    spec: the checkpoint's settings.
    images: resized and cropped RGB pixels.

  Returns:
    What the image tower reads, of the same shape.
  """
  wide = (1,) * (images.ndim - 1) + (3,)
  mean = np.asarray(spec.image_mean, np.float32).reshape(wide)
  std = np.asarray(spec.image_std, np.float32).reshape(wide)
  return (jnp.asarray(images).astype(jnp.float32) / 255 - mean) / std


@functools.partial(jax.jit, static_argnames=("spec", "dtype"))
def embed_images(
  spec: ModelSpec,
  params: Mapping[str, Any],
  images: UInt8[Array | np.ndarray, "batch height width 3"]
  | Float32[Array | np.ndarray, "batch height width 3"],
  *,
  dtype: str = "float32",
) -> Float32[Array, "batch dim"]:
  """Embeds images as unit vectors.

  Args:
    spec: the checkpoint's settings.
    params: the checkpoint's parameters, both towers.
    images: uint8 images are resized and cropped RGB pixels and are normalised
      here; float32 images are already normalised. Both of the image size.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".

  Returns:
    One unit embedding per image.

  Raises:
    ValueError: the images have another size, or `dtype` is unknown.
  """
  _check_dtype(dtype)
  size = (spec.image_size, spec.image_size)
  if images.shape[1:3] != size:
    raise ValueError(
      f"`images` must have the {size[0]} x {size[1]} pixels of {spec.name}, "
      f"got {images.shape[1]} x {images.shape[2]}; `preprocess` resizes."
    )
  if images.dtype == jnp.uint8:
    images = normalize_images(spec, images)
  raw = ImageTower(spec, dtype).apply({"params": params["image"]}, images)
  assert isinstance(raw, jax.Array)  # apply's type allows for mutable state
  return l2_normalize(raw)


@functools.partial(jax.jit, static_argnames=("spec", "dtype"))
def embed_texts(
  spec: ModelSpec,
  params: Mapping[str, Any],
  token_ids: Int[Array | np.ndarray, "texts context"],
  *,
  dtype: str = "float32",
) -> Float32[Array, "texts dim"]:
  """Embeds tokenised texts as unit vectors.

  The tower is causal and pools the first end token (the first token where a
  text has none), so columns that hold nothing but padding may be cut off
  without changing the result.

  Args:
    spec: the checkpoint's settings.
    params: the checkpoint's parameters, both towers.
    token_ids: ids, at most the context length long.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".

  Returns:
    One unit embedding per text.

  Raises:
    ValueError: the texts are too long, or `dtype` is unknown.
  """
  _check_dtype(dtype)
  if not 1 <= token_ids.shape[1] <= spec.context_length:
    raise ValueError(
      f"`token_ids` must have 1 to {spec.context_length} columns, the context "
      f"length of {spec.name}, got {token_ids.shape[1]}; `tokenize` truncates."
    )
  token_ids = jnp.asarray(token_ids)
  raw = TextTower(spec, dtype).apply({"params": params["text"]}, token_ids)
  assert isinstance(raw, jax.Array)  # apply's type allows for mutable state
  return l2_normalize(raw)


def _check_dtype(dtype: str) -> None:
  if dtype not in DTYPES:
    raise ValueError(
      f"`dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}."
    )
