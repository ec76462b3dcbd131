"""The transformer block that both towers of CLIP are stacks of.

Every product of matrices goes through `contract`, so that one word chooses the
type they are multiplied in. Parameters may be stored in float32, float16 or
bfloat16, whatever that word is; what is computed from them is float32.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

ACTIVATIONS = {
  "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
  "gelu": lambda x: jax.nn.gelu(x, approximate=False),
  "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
}


Gather = Callable[[Any, Array], Any]
"""(parameters, input) -> the parameters as the module that reads the input
multiplies them: such as whole where they are stored in parts."""


def gathered(
  module: type[nn.Module], gather: Gather | None, x: Float[Array, "..."]
) -> Any:
  """Returns a module's class, the parameters of which go through `gather`."""
  if gather is None:
    return module
  return nn.map_variables(
    module, "params", trans_in_fn=lambda variables: gather(variables, x)
  )


def contract(
  equation: str,
  lhs: Float[Array, "..."],
  rhs: Float[Array, "..."],
  *,
  dtype: str = "float32",
) -> Float32[Array, "..."]:
  """Multiplies two arrays as an einsum, in `dtype`, summing in float32."""
  if dtype == "bfloat16":
    return _contract_bfloat16(equation, lhs, rhs)
  return jnp.einsum(equation, lhs, rhs, precision=jax.lax.Precision.HIGHEST)


def _product(equation, lhs, rhs):
  return jnp.einsum(
    equation,
    lhs.astype(jnp.bfloat16),
    rhs.astype(jnp.bfloat16),
    preferred_element_type=jnp.float32,
  )


_contract_bfloat16: Any = jax.custom_vjp(_product, nondiff_argnums=(0,))


def _contract_forward(equation, lhs, rhs):
  return _contract_bfloat16(equation, lhs, rhs), (lhs, rhs)


def _contract_backward(equation, operands, cotangent):
  # Left to itself, autodiff would multiply the float32 cotangent with bfloat16
  # operands, which no platform has a fast product for.
  lhs, rhs = operands
  inputs, out = equation.split("->")
  left, right = inputs.split(",")
  to_left = _contract_bfloat16(f"{out},{right}->{left}", cotangent, rhs)
  to_right = _contract_bfloat16(f"{left},{out}->{right}", lhs, cotangent)
  return to_left.astype(lhs.dtype), to_right.astype(rhs.dtype)


_contract_bfloat16.defvjp(_contract_forward, _contract_backward)


class Dense(nn.Module):
  """Linear map of the last axis; normal initialisation of deviation `std`."""

  features: int
  std: float
  use_bias: bool = True
  dtype: str = "float32"

  @nn.compact
  def __call__(self, x: Float[Array, "*axes inputs"]) -> Float[Array, "..."]:
    """Maps the last axis."""
    kernel = self.param(
      "kernel", nn.initializers.normal(self.std), (x.shape[-1], self.features)
    )
    # Axes are not merged: the gradient of the kernel is fast on CPU only so.
    axes = "abc"[: x.ndim - 1]
    y = contract(f"{axes}i,io->{axes}o", x, kernel, dtype=self.dtype)
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      y += bias.reshape((1,) * (x.ndim - 1) + (-1,))
    return y


class LayerNorm(nn.Module):
  """Layer norm over the last axis, float32, variance in two passes."""

  epsilon: float

  @nn.compact
  def __call__(self, x: Float[Array, "*axes width"]) -> Float[Array, "..."]:
    """Normalises the last axis."""
    shape = (x.shape[-1],)
    wide = (1,) * (x.ndim - 1) + shape
    scale = self.param("scale", nn.initializers.ones, shape).reshape(wide)
    bias = self.param("bias", nn.initializers.zeros, shape).reshape(wide)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * (jax.lax.rsqrt(variance + self.epsilon) * scale) + bias


def attend(
  query: Float32[Array, "batch queries width"],
  key: Float32[Array, "batch tokens width"],
  value: Float32[Array, "batch tokens width"],
  *,
  heads: int,
  causal: bool = False,
  bias: Float[Array | np.ndarray, "queries tokens"] | None = None,
  dtype: str = "float32",
) -> Float32[Array, "batch queries width"]:
  """Mixes values by the softmax of query-key products, in each head apart.

  `bias` is added to the products of every head.
  """
  batch, queries, width = query.shape
  tokens, head_dim = key.shape[1], width // heads

  def split(x, rows):
    x = x.reshape(batch, rows, heads, head_dim).swapaxes(1, 2)
    return x.reshape(batch * heads, rows, head_dim)

  # n runs over images and heads: products with one leading batch axis are
  # twice as fast on CPU as the einsum that leaves the heads in the middle.
  query, key = split(query, queries), split(key, tokens)
  query *= head_dim**-0.5
  logits = contract("nqd,nkd->nqk", query, key, dtype=dtype)
  if causal:
    later = ~np.tri(queries, tokens, dtype=bool)[None]
    logits = jnp.where(later, -jnp.inf, logits)
  if bias is not None:
    logits += bias[None]
  weights = jax.nn.softmax(logits, axis=-1)
  mixed = contract("nqk,nkd->nqd", weights, split(value, tokens), dtype=dtype)
  mixed = mixed.reshape(batch, heads, queries, head_dim).swapaxes(1, 2)
  return mixed.reshape(batch, queries, width)


class Attention(nn.Module):
  """Multi-head attention; `causal` hides the tokens that come later."""

  heads: int
  causal: bool
  out_std: float
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "batch tokens width"],
    queries: Float[Array, "batch queries width"] | None = None,
  ) -> Float[Array, "batch _ width"]:
    """Mixes the tokens of `x`, as its own tokens or `queries` ask."""
    width = x.shape[-1]

    def linear(name, inputs):
      return Dense(width, width**-0.5, dtype=self.dtype, name=name)(inputs)

    mixed = attend(
      linear("query", x if queries is None else queries),
      linear("key", x),
      linear("value", x),
      heads=self.heads,
      causal=self.causal,
      dtype=self.dtype,
    )
    return Dense(width, self.out_std, dtype=self.dtype, name="out")(mixed)


class Mlp(nn.Module):
  """Two linear maps with the activation between them."""

  hidden: int
  activation: str
  out_std: float
  dtype: str = "float32"

  @nn.compact
  def __call__(self, x: Float[Array, "*axes width"]) -> Float[Array, "..."]:
    """Maps each token by itself."""
    width = x.shape[-1]
    up = Dense(self.hidden, (2 * width) ** -0.5, dtype=self.dtype, name="up")
    down = Dense(width, self.out_std, dtype=self.dtype, name="down")
    return down(ACTIVATIONS[self.activation](up(x)))


class Block(nn.Module):
  """Pre-norm transformer block, the same in both towers.

  Attributes:
    heads: attention heads.
    mlp_dim: hidden channels of the MLP.
    activation: a name of `ACTIVATIONS`.
    epsilon: guard of the layer norms.
    causal: True in the text tower.
    out_std: deviation at the start of the two maps back to the residual stream.
    dtype: type in which matrices are multiplied.
  """

  heads: int
  mlp_dim: int
  activation: str
  epsilon: float
  causal: bool
  out_std: float
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch tokens width"]
  ) -> Float[Array, "batch tokens width"]:
    """Adds attention and MLP to the residual stream."""
    attention = Attention(
      self.heads, self.causal, self.out_std, self.dtype, name="attention"
    )
    mlp = Mlp(
      self.mlp_dim, self.activation, self.out_std, self.dtype, name="mlp"
    )
    x += attention(LayerNorm(self.epsilon, name="norm_1")(x))
    return x + mlp(LayerNorm(self.epsilon, name="norm_2")(x))
