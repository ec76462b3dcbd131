"""CLIP's vision transformer, with each of the three poolings that occur.

The image is cut into patches; a stack of transformer blocks mixes them; the
pooling makes one vector of them. OpenAI's networks and their successors put a
class token before the patches and pool that one. SigLIP's pool with an
attention layer whose only query is learned. The mean over the patches is the
third way. Rows and columns are kept apart wherever a grid is meant.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4; Zhai et al. 2022 (arXiv
  2106.04560), section 3.3, for the pooling by attention.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from s3_jax.clip.transformer import (
  Attention,
  Block,
  Dense,
  Gather,
  LayerNorm,
  Mlp,
  gathered,
)
from s3_jax.clip.zoo import ModelSpec


class VisionTransformer(nn.Module):
  """Normalised pixels to raw embeddings.

  Attributes:
    spec: the architecture.
    dtype: type in which matrices are multiplied.
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
    x = self.tokens(images)
    normal = nn.initializers.normal(width**-0.5)
    positions = self.param("position_embedding", normal, x.shape[1:])
    if self.gather is not None:
      positions = self.gather(positions, x)
    x += positions[None]
    x = self.blocks(x, spec.image_layers)
    if spec.image_pooling == "class_token":
      x = x[:, 0]
    x = LayerNorm(spec.layer_norm_eps, name="post_norm")(x)
    if spec.image_pooling == "mean":
      x = jnp.mean(x, axis=1)
    elif spec.image_pooling == "attention":
      pooling = gathered(AttentionPooling, self.gather, x)
      x = pooling(spec, self.dtype, name="pooling")(x)
    return self.project(x)

  def tokens(
    self, images: Float[Array, "batch height width 3"]
  ) -> Float32[Array, "batch tokens channels"]:
    """Embeds the patches, after the class token where there is one."""
    spec, width = self.spec, self.spec.image_width
    patches = _patches(images, spec.patch_size)
    x = gathered(Dense, self.gather, patches)(
      width,
      patches.shape[-1] ** -0.5,
      use_bias=spec.patch_bias,
      dtype=self.dtype,
      name="patch_embedding",
    )(patches)
    if spec.image_pooling != "class_token":
      return x
    normal = nn.initializers.normal(width**-0.5)
    first = self.param("class_embedding", normal, (width,))
    first = jnp.broadcast_to(first, (x.shape[0], 1, width))
    return jnp.concatenate([first, x], axis=1)

  def blocks(
    self,
    x: Float[Array, "batch tokens channels"],
    count: int,
    *,
    before: Callable[[int, Array], None] | None = None,
  ) -> Float32[Array, "batch tokens channels"]:
    """Runs the first `count` blocks over tokens that have their positions.

    `before` is shown the number of each block and what goes into it.
    """
    spec = self.spec
    if spec.pre_norm:
      x = LayerNorm(spec.layer_norm_eps, name="pre_norm")(x)
    for index in range(count):
      if before is not None:
        before(index, x)
      x = gathered(Block, self.gather, x)(
        spec.image_heads,
        spec.image_mlp_dim,
        spec.activation,
        spec.layer_norm_eps,
        causal=False,
        out_std=(2 * spec.image_width * spec.image_layers) ** -0.5,
        dtype=self.dtype,
        name=f"block_{index}",
      )(x)
    return x

  def project(
    self, x: Float[Array, "*axes channels"]
  ) -> Float32[Array, "*axes dim"]:
    """Maps to the space that images share with texts."""
    spec = self.spec
    if not spec.image_projection:
      return x
    return gathered(Dense, self.gather, x)(
      spec.embed_dim,
      spec.image_width**-0.5,
      use_bias=False,
      dtype=self.dtype,
      name="projection",
    )(x)


class AttentionPooling(nn.Module):
  """SigLIP's head: a learned query gathers the patches, an MLP follows.

  The query is the same for every image. The MLP is residual and has a layer
  norm before it; there is none before the attention, whose input was
  normalised already.
  """

  spec: ModelSpec
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch patches width"]
  ) -> Float32[Array, "batch width"]:
    """Makes one vector of the patches of each image."""
    spec, (batch, _, width) = self.spec, x.shape
    probe = self.param("probe", nn.initializers.normal(width**-0.5), (width,))
    probe = jnp.broadcast_to(probe.astype(jnp.float32), (batch, 1, width))
    attention = Attention(
      spec.image_heads,
      causal=False,
      out_std=width**-0.5,
      dtype=self.dtype,
      name="attention",
    )
    mlp = Mlp(
      spec.image_mlp_dim,
      spec.activation,
      out_std=width**-0.5,
      dtype=self.dtype,
      name="mlp",
    )
    x = attention(x, probe)
    x += mlp(LayerNorm(spec.layer_norm_eps, name="norm")(x))
    return x[:, 0]


def _patches(
  images: Float[Array, "batch height width 3"], size: int
) -> Float[Array, "batch patches inputs"]:
  """Cuts images into patches, row by row; inputs run row, col, channel.

  What is left over at the lower and right border is dropped, as a convolution
  with a stride of one patch drops it.
  """
  batch, height, width, channels = images.shape
  rows, cols = height // size, width // size
  x = images[:, : rows * size, : cols * size]
  x = x.reshape(batch, rows, size, cols, size, channels)
  x = x.transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, rows * cols, size * size * channels)
