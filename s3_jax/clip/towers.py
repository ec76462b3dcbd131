"""CLIP's two towers behind two functions, and the parameters that they take.

`embed_images` and `embed_texts` return unit vectors in float32, whatever the
network: a vision transformer or OpenAI's ResNet, a text transformer that sees a
text in one direction or in both. The spec says which, and `check_spec` refuses
settings that contradict each other.

`dtype` names the type in which matrices are multiplied. "float32" is float32 on
every platform. "bfloat16" casts the operands of every product to bfloat16 and
accumulates in float32; activations, softmax, layer norms and the residual
stream stay float32, in the backward pass too. Parameters may be float32,
float16 or bfloat16 arrays; parameters stored in bfloat16 take half the memory,
and with `dtype="bfloat16"` they need no cast and are multiplied as they are.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4; layer by layer the
  networks of `transformers.CLIPModel`, `transformers.SiglipModel` and OpenAI's
  own code.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, PRNGKeyArray, UInt, UInt8

from s3_jax.clip.arguments import takes_arrays
from s3_jax.clip.image_tower import VisionTransformer
from s3_jax.clip.resnet import STRIDE, ResNet
from s3_jax.clip.text_tower import TextTower
from s3_jax.clip.transformer import ACTIVATIONS, Gather
from s3_jax.clip.zoo import ModelSpec
from s3_jax.embeddings import l2_normalize

DTYPES = ("float32", "bfloat16")

TOWERS_VERSION = 1
"""Raise it when the towers give other numbers for the same parameters.

Stored embeddings are then made again. A test holds numbers of each version.
"""

_WORDS = {
  "image_tower": ("vit", "resnet"),
  "image_pooling": ("class_token", "mean", "attention"),
  "text_pooling": ("end_token", "last"),
  "activation": tuple(ACTIVATIONS),
}


def check_spec(spec: ModelSpec) -> None:
  """Refuses settings that no tower can follow."""
  if spec.text_activation not in (None, *ACTIVATIONS):
    words = ", ".join(ACTIVATIONS)
    _refuse(spec, "text_activation", f"None or one of {words}")
  for field, words in _WORDS.items():
    if getattr(spec, field) not in words:
      _refuse(spec, field, f"one of {', '.join(words)}")
  _check_divides(spec, "text_width", "text_heads")
  if not 1 <= spec.patch_size <= spec.image_size:
    _refuse(spec, "patch_size", f"1 to {spec.image_size}, its image_size")
  if spec.image_tower == "resnet":
    if spec.patch_size != STRIDE:
      _refuse(spec, "patch_size", f"{STRIDE}, as its tower is a ResNet")
    _check_divides(spec, "image_size", "patch_size")
    if spec.image_pooling != "attention":
      _refuse(spec, "image_pooling", "attention, as its tower is a ResNet")
    if spec.patch_bias:
      _refuse(spec, "patch_bias", "False, as its tower is a ResNet")
    stages = spec.image_stages
    counted = len(stages) == 4 and min(stages) >= 1
    if not counted or sum(stages) != spec.image_layers:
      rule = f"four counts >= 1 that add up to {spec.image_layers} layers"
      _refuse(spec, "image_stages", rule)
    if spec.image_width % 2 or spec.image_width * 32 % spec.image_heads:
      rule = f"even, and 32 times it divisible by {spec.image_heads} heads"
      _refuse(spec, "image_width", rule)
    return
  if spec.image_stages:
    _refuse(spec, "image_stages", "(), as its tower is a ViT")
  _check_divides(spec, "image_width", "image_heads")
  if not spec.image_projection and spec.image_width != spec.embed_dim:
    rule = f"{spec.embed_dim}, as no projection changes the image width"
    _refuse(spec, "image_width", rule)


def _check_divides(spec: ModelSpec, field: str, divisor: str) -> None:
  number = getattr(spec, divisor)
  if number < 1 or getattr(spec, field) % number:
    _refuse(spec, field, f"divisible by its {divisor}, {number}")


def _refuse(spec: ModelSpec, field: str, rule: str) -> None:
  raise ValueError(
    f"`{field}` of {spec.name} must be {rule}, got {getattr(spec, field)!r}."
  )


def image_tower(
  spec: ModelSpec, dtype: str = "float32", gather: Gather | None = None
) -> nn.Module:
  """Makes the image network of a spec, normalised pixels to raw embeddings."""
  check_spec(spec)
  tower = ResNet if spec.image_tower == "resnet" else VisionTransformer
  return tower(spec, dtype, gather)


def text_tower(spec: ModelSpec, dtype: str = "float32") -> nn.Module:
  """Makes the text network of a spec, token ids to raw embeddings."""
  check_spec(spec)
  return TextTower(spec, dtype)


@functools.partial(jax.jit, static_argnames="spec")
def init_params(key: PRNGKeyArray | UInt[Array, "2"], spec: ModelSpec) -> dict:
  """Draws the parameters of both towers for training from scratch.

  Linear maps are normal with a deviation of their input's width to the power
  -1/2; those that write to the residual stream shrink with depth as well.

  The batch norms of a ResNet begin with mean 0 and variance 1; `training` keeps
  a running mean of those of the batches.

  References:
    Radford et al. 2021 (arXiv 2103.00020), section 2.5, and Zhai et al. 2023
    (arXiv 2303.15343), section 3.2, for the temperature and the bias.
  """
  image_key, text_key = jax.random.split(key)
  images = jnp.zeros((1, spec.image_size, spec.image_size, 3), jnp.float32)
  token_ids = jnp.zeros((1, 1), jnp.int32)  # the length shapes no parameter
  params = {
    "image": image_tower(spec).init(image_key, images)["params"],
    "text": text_tower(spec).init(text_key, token_ids)["params"],
    "logit_scale": jnp.asarray(math.log(1 / 0.07), jnp.float32),
  }
  if spec.logit_bias:
    params["logit_scale"] = jnp.asarray(math.log(10), jnp.float32)
    params["logit_bias"] = jnp.asarray(-10, jnp.float32)
  return params


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


@takes_arrays("images")
@functools.partial(jax.jit, static_argnames=("spec", "dtype", "gather"))
def embed_images(
  spec: ModelSpec,
  params: Mapping[str, Any],
  images: UInt8[Array | np.ndarray, "batch height width 3"]
  | Float32[Array | np.ndarray, "batch height width 3"],
  *,
  dtype: str = "float32",
  gather: Gather | None = None,
) -> Float32[Array, "batch dim"]:
  """Embeds images as unit vectors.

  Args:
    spec: the checkpoint's settings.
    params: the checkpoint's parameters, both towers.
    images: uint8 images are resized and cropped RGB pixels and are normalised
      here; float32 images are already normalised. Both of the image size.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".
    gather: (parameters, input) -> parameters, what those of each block, and
      the others, go through just before they are used; such as
      `sharding.gather_params`, where devices store parts of them. It compiles
      once for each object.

  Returns:
    One unit embedding per image.

  Raises:
    ValueError: the images are no array, have another size or a type that is
      neither, or `dtype` is unknown.
  """
  check_dtype(dtype)
  size = (spec.image_size, spec.image_size)
  if images.shape[1:3] != size:
    raise ValueError(
      f"`images` must have the {size[0]} x {size[1]} pixels of {spec.name}, "
      f"got {images.shape[1]} x {images.shape[2]}; `preprocess` resizes them, "
      "`resize_positions` makes the tower read another size."
    )
  if images.dtype == jnp.uint8:
    images = normalize_images(spec, images)
  raw = image_tower(spec, dtype, gather).apply(
    {"params": params["image"]}, images
  )
  assert isinstance(raw, jax.Array)  # apply's type allows for mutable state
  return l2_normalize(raw)


@takes_arrays("token_ids")
@functools.partial(jax.jit, static_argnames=("spec", "dtype"))
def embed_texts(
  spec: ModelSpec,
  params: Mapping[str, Any],
  token_ids: Int[Array | np.ndarray, "texts context"],
  *,
  dtype: str = "float32",
) -> Float32[Array, "texts dim"]:
  """Embeds tokenised texts as unit vectors.

  A causal tower that pools the first end token (the first token where a text
  has none) never looks at what follows it, so columns that hold nothing but
  padding may be cut off without changing the result. Every other tower, as
  SigLIP's, needs the whole padded text.

  Args:
    spec: the checkpoint's settings.
    params: the checkpoint's parameters, both towers.
    token_ids: ids, at most the context length long; just as long where the
      tower is not causal or pools the last token.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".

  Returns:
    One unit embedding per text.

  Raises:
    ValueError: the ids are no array of whole numbers, the texts are too long or
      may not be cut, or `dtype` is unknown.
  """
  check_dtype(dtype)
  columns = token_ids.shape[1]
  if not may_cut_padding(spec) and columns != spec.context_length:
    raise ValueError(
      f"`token_ids` must have {spec.context_length} columns, as the text tower "
      f"of {spec.name} sees its padding, got {columns}; `tokenize` pads."
    )
  if not 1 <= columns <= spec.context_length:
    raise ValueError(
      f"`token_ids` must have 1 to {spec.context_length} columns, the context "
      f"length of {spec.name}, got {columns}; `tokenize` truncates."
    )
  token_ids = jnp.asarray(token_ids)
  raw = text_tower(spec, dtype).apply({"params": params["text"]}, token_ids)
  assert isinstance(raw, jax.Array)  # apply's type allows for mutable state
  return l2_normalize(raw)


def may_cut_padding(spec: ModelSpec) -> bool:
  """Says whether columns of nothing but padding change no embedding."""
  return spec.text_causal and spec.text_pooling == "end_token"


def check_dtype(dtype: str) -> None:
  """Refuses a type in which no tower multiplies."""
  if dtype not in DTYPES:
    raise ValueError(
      f"`dtype` must be one of {', '.join(DTYPES)}, got {dtype!r}."
    )
