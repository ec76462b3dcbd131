"""OpenAI's modified ResNet.

It differs from the plain bottleneck ResNet in three ways: the stem is three
convolutions and a mean over windows; where a block halves the rows and columns,
a mean over windows of 2 x 2 does it and every convolution after the first one
of the stem has stride 1; and an attention layer, whose query is the mean of the
cells, makes the embedding. Means and variances of the batch norms are
parameters here; where the collection BATCH may be written, in training, a batch
is normalised by its own, which are left there.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4; He et al. 2015 (arXiv
  1512.03385) for the bottleneck block; Zhang 2019 (arXiv 1904.11486) for the
  means before the strides.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from s3_jax.clip.transformer import (
  Dense,
  Gather,
  attend,
  contract,
  gathered,
)
from s3_jax.clip.zoo import ModelSpec

STRIDE = 32
"""Pixels that a cell of the last feature map covers in rows and columns."""

BATCH = "batch"
"""Collection of the moments of a batch; where it is mutable they normalise."""

_EXPANSION = 4  # a block's output channels over its inner ones
_EPSILON = 1e-5  # of every batch norm


class ResNet(nn.Module):
  """Normalised pixels to raw embeddings.

  Attributes:
    spec: the architecture.
    dtype: type in which numbers are multiplied.
    gather: what parameters go through before they are used; those of a block
      with the block's input.
  """

  spec: ModelSpec
  dtype: str = "float32"
  gather: Gather | None = None

  @nn.compact
  def __call__(
    self, images: Float[Array, "batch height width 3"]
  ) -> Float32[Array, "batch dim"]:
    """Embeds normalised images of the image size; not unit vectors."""
    spec, width = self.spec, self.spec.image_width
    stem = gathered(_Stem, self.gather, images)
    x = stem(width, self.dtype, name="stem")(images)
    for stage, blocks in enumerate(spec.image_stages):
      x = _Stage(
        width * 2**stage,
        blocks,
        halve=stage > 0,
        dtype=self.dtype,
        gather=self.gather,
        name=f"stage_{stage + 1}",
      )(x)
    pooling = gathered(_CellPooling, self.gather, x)(
      spec.image_heads, spec.embed_dim, self.dtype, name="pooling"
    )
    return pooling(x)


class _Stem(nn.Module):
  width: int
  dtype: str

  @nn.compact
  def __call__(self, x):
    half = self.width // 2
    x = _Convolution(half, 3, 2, self.dtype, name="conv_1")(x)
    x = nn.relu(_BatchNorm(name="norm_1")(x))
    x = _Convolution(half, 3, 1, self.dtype, name="conv_2")(x)
    x = nn.relu(_BatchNorm(name="norm_2")(x))
    x = _Convolution(self.width, 3, 1, self.dtype, name="conv_3")(x)
    x = nn.relu(_BatchNorm(name="norm_3")(x))
    return _halve(x)


class _Stage(nn.Module):
  inner: int
  blocks: int
  halve: bool
  dtype: str
  gather: Gather | None

  @nn.compact
  def __call__(self, x):
    for index in range(self.blocks):
      x = gathered(_Bottleneck, self.gather, x)(
        self.inner,
        first=index == 0,
        halve=self.halve and index == 0,
        dtype=self.dtype,
        name=f"block_{index}",
      )(x)
    return x


class _Bottleneck(nn.Module):
  """Residual block; the first one of a stage maps its shortcut as well."""

  inner: int
  first: bool
  halve: bool
  dtype: str

  @nn.compact
  def __call__(self, x):
    outer = self.inner * _EXPANSION
    y = _Convolution(self.inner, 1, 1, self.dtype, name="conv_1")(x)
    y = nn.relu(_BatchNorm(name="norm_1")(y))
    y = _Convolution(self.inner, 3, 1, self.dtype, name="conv_2")(y)
    y = nn.relu(_BatchNorm(name="norm_2")(y))
    y = _halve(y) if self.halve else y
    y = _Convolution(outer, 1, 1, self.dtype, name="conv_3")(y)
    # From zero, so that a network without checkpoint starts as its shortcuts.
    y = _BatchNorm(nn.initializers.zeros, name="norm_3")(y)
    if self.first:
      x = _Shortcut(outer, self.halve, self.dtype, name="shortcut")(x)
    return nn.relu(x + y)


class _Shortcut(nn.Module):
  outer: int
  halve: bool
  dtype: str

  @nn.compact
  def __call__(self, x):
    x = _halve(x) if self.halve else x
    x = _Convolution(self.outer, 1, 1, self.dtype, name="conv")(x)
    return _BatchNorm(name="norm")(x)


class _BatchNorm(nn.Module):
  """Batch norm by stored moments of each channel, or by those of a batch."""

  scale_init: nn.initializers.Initializer = nn.initializers.ones

  @nn.compact
  def __call__(self, x):
    shape = (x.shape[-1],)
    scale = self.param("scale", self.scale_init, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    mean = self.param("mean", nn.initializers.zeros, shape)
    variance = self.param("variance", nn.initializers.ones, shape)
    if self.is_mutable_collection(BATCH):
      mean = jnp.mean(x, (0, 1, 2))
      variance = jnp.mean(jnp.square(x), (0, 1, 2)) - jnp.square(mean)
      variance = jnp.maximum(variance, 0)
      self.variable(BATCH, "mean", jnp.zeros, shape).value = mean
      self.variable(BATCH, "variance", jnp.ones, shape).value = variance
    # One multiplication and one addition a value; half precision would do for
    # the stored numbers, not for the root.
    factor = jax.lax.rsqrt(variance.astype(jnp.float32) + _EPSILON) * scale
    shift = bias - mean * factor
    return x * factor[None, None, None] + shift[None, None, None]


class _Convolution(nn.Module):
  """Convolution without bias; `size` // 2 zeros around rows and columns."""

  features: int
  size: int
  stride: int
  dtype: str

  @nn.compact
  def __call__(self, x):
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.he_normal(), shape)
    return convolve(x, kernel, stride=self.stride, dtype=self.dtype)


def convolve(
  x: Float[Array, "batch rows cols inputs"],
  kernel: Float[Array, "size size inputs outputs"],
  *,
  stride: int = 1,
  dtype: str = "float32",
) -> Float32[Array, "batch _ _ outputs"]:
  """Convolves maps with `size` // 2 zeros around them, summing in float32."""
  if kernel.shape[0] == 1 and stride == 1:
    return contract("abci,io->abco", x, kernel[0, 0], dtype=dtype)
  if dtype == "bfloat16":
    return _convolve_bfloat16(stride, x, kernel)
  return _convolve(stride, x, kernel.astype(jnp.float32))


def _convolve(stride, x, kernel):
  padding = (kernel.shape[0] // 2,) * 2
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(stride, stride),
    padding=(padding, padding),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve_bfloat16(stride, x, kernel):
  return _convolve(stride, x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))


def _forward(stride, x, kernel):
  return _convolve_bfloat16(stride, x, kernel), (x, kernel)


def _backward(stride, operands, cotangent):
  # XLA has no gradient of a convolution that reads bfloat16 and writes float32.
  # The same rounded numbers in float32 have one, of the same values.
  def rounded(x):
    return x.astype(jnp.bfloat16).astype(jnp.float32)

  exact = functools.partial(_convolve, stride)
  _, transpose = jax.vjp(exact, *map(rounded, operands))
  to_x, to_kernel = transpose(rounded(cotangent))
  x, kernel = operands
  return to_x.astype(x.dtype), to_kernel.astype(kernel.dtype)


_convolve_bfloat16.defvjp(_forward, _backward)


def _halve(
  x: Float[Array, "batch rows cols channels"],
) -> Float32[Array, "batch _ _ channels"]:
  """Means over windows of 2 x 2; an odd last row or column is left out."""
  rows, cols = (size // 2 * 2 for size in x.shape[1:3])
  x = x[:, :rows, :cols]
  # As a sum of four slices it is one loop; a mean over new axes is several.
  upper = x[:, ::2, ::2] + x[:, ::2, 1::2]
  lower = x[:, 1::2, ::2] + x[:, 1::2, 1::2]
  return (upper + lower) / 4


class _CellPooling(nn.Module):
  """Attention over the cells of the feature map, asked by their mean."""

  heads: int
  embed_dim: int
  dtype: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch rows cols channels"]
  ) -> Float32[Array, "batch dim"]:
    """Makes one embedding of the cells of each image."""
    batch, rows, cols, width = x.shape
    x = x.reshape(batch, rows * cols, width)
    x = jnp.concatenate([jnp.mean(x, axis=1, keepdims=True), x], axis=1)
    normal = nn.initializers.normal(width**-0.5)
    x += self.param("position_embedding", normal, x.shape[1:])[None]

    def linear(name, inputs, features=width):
      return Dense(features, width**-0.5, dtype=self.dtype, name=name)(inputs)

    mixed = attend(
      linear("query", x[:, :1]),
      linear("key", x),
      linear("value", x),
      heads=self.heads,
      dtype=self.dtype,
    )
    return linear("out", mixed[:, 0], self.embed_dim)
