"""The text transformers: CLIP's, which looks back only, and SigLIP's.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4; Zhai et al. 2023 (arXiv
  2303.15343) for the one that sees a text in both directions.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from s3_jax.clip.transformer import Block, Dense, LayerNorm
from s3_jax.clip.zoo import ModelSpec


class TextTower(nn.Module):
  """Token ids to raw embeddings.

  Padding is not masked: a causal tower that pools the end token never looks at
  it, and SigLIP's was trained to see it.
  """

  spec: ModelSpec
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self, token_ids: Int[Array, "texts context"]
  ) -> Float32[Array, "texts dim"]:
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
    x = tokens[token_ids].astype(jnp.float32)
    x += positions[None, : token_ids.shape[1]]
    for index in range(spec.text_layers):
      x = Block(
        spec.text_heads,
        spec.text_mlp_dim,
        spec.text_activation or spec.activation,
        spec.layer_norm_eps,
        causal=spec.text_causal,
        out_std=(2 * width * spec.text_layers) ** -0.5,
        dtype=self.dtype,
        name=f"block_{index}",
      )(x)
    if spec.text_pooling == "last":
      pooled = x[:, -1]
    else:
      # argmax of the comparison is the first end token; what follows it is
      # padding, which a causal tower never looks at from there.
      end = jnp.argmax(token_ids == spec.end_token_id, axis=1)
      pooled = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
    pooled = LayerNorm(spec.layer_norm_eps, name="final_norm")(pooled)
    return Dense(
      spec.embed_dim,
      width**-0.5,
      use_bias=spec.text_projection_bias,
      dtype=self.dtype,
      name="projection",
    )(pooled)
