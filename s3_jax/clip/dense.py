"""One embedding for each patch of an image, for segmentation.

CLIP was trained to pool its class token alone. Its patches become comparable
with texts when the last block attends in another way, of which the literature
has several; everything before that block stays as it was trained. With `h` the
normalised input `x` of the last block, `q`, `k`, `v` its projections in each
head, `s = head_dim^-1/2`, and `o` the output projection:

| attention | weights A | the block gives |
|---|---|---|
| vanilla | softmax(s q k^T) | y + FFN(norm(y)) with y = x + o(A v) |
| maskclip | the identity | the same |
| sclip | softmax(s q q^T) + softmax(s k k^T) | the same |
| clearclip | softmax(s q q^T) | o(A v) alone |
| naclip | softmax(s k k^T + w) | o(A v) alone |
| resclip_rcs | 2 ((1 - r) A_naclip + r R) | o(A v) alone |

Of naclip, `w` is `exp(-d^2 / (2 std^2))` for two patches that lie `d` patches
apart, and 0 with the class token. Of resclip_rcs, `R` is the mean over some
middle blocks of their own softmax(s q k^T), in each head.

The class token takes part in the attention and is dropped after the block. The
last layer norm and the projection follow, as they do for the class token.

References:
  MaskCLIP: Zhou et al. 2022 (arXiv 2112.01071). SCLIP: Wang et al. 2023 (arXiv
  2312.01597). ClearCLIP: Lan et al. 2024 (arXiv 2407.12442). NACLIP: Hajimiri
  et al. 2024 (arXiv 2404.08181). ResCLIP: Yang et al. 2024 (arXiv 2411.15851),
  of which this is the residual attention, not the second pass. ProxyCLIP, for
  weights from another network: Lan et al. 2024 (arXiv 2408.04883).
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from s3_jax.clip.arguments import takes_arrays
from s3_jax.clip.image_tower import VisionTransformer
from s3_jax.clip.towers import check_dtype, normalize_images
from s3_jax.clip.transformer import Dense, LayerNorm, Mlp, attend, contract
from s3_jax.clip.zoo import ModelSpec
from s3_jax.embeddings import l2_normalize

ATTENTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
  "vanilla": (("query", "key"),),
  "maskclip": (),
  "sclip": (("query", "query"), ("key", "key")),
  "clearclip": (("query", "query"),),
  "naclip": (("key", "key"),),
  "resclip_rcs": (("key", "key"),),
}
"""The pairs whose softmax weights are summed; none: each token to itself."""

_NEIGHBORS = ("naclip", "resclip_rcs")  # patches look at those around them
_ALONE = ("clearclip", *_NEIGHBORS)  # without residual and FFN
_RESIDUAL_FACTOR = 2.0  # ResCLIP's, the same for every data set


@takes_arrays("images")
@functools.partial(
  jax.jit,
  static_argnames=(
    *("spec", "attention", "position_offset", "neighbor_std"),
    *("residual_share", "dtype"),
  ),
)
def embed_patches(
  spec: ModelSpec,
  params: Mapping[str, Any],
  images: UInt8[Array | np.ndarray, "batch height width 3"]
  | Float32[Array | np.ndarray, "batch height width 3"],
  *,
  attention: str = "clearclip",
  affinity: Float[Array | np.ndarray, "batch patches patches"] | None = None,
  position_offset: float = 0.1,
  neighbor_std: float = 5.0,
  residual_share: float = 0.3,
  dtype: str = "float32",
) -> Float32[Array, "batch rows cols dim"]:
  """Embeds every patch of images of any size as a unit vector.

  Rows and columns that a patch does not fill, at the bottom and at the right,
  are not seen. The grid of position embeddings is resampled bicubically, unless
  the image has as many patches as the checkpoint's own images: then the grid is
  taken as it is, whatever the shape of the image, as the original codes do.

  Args:
    spec: the checkpoint's settings; a vision transformer with a class token.
    params: the checkpoint's parameters, both towers.
    images: uint8 images are RGB pixels and are normalised here; float32 images
      are already normalised. At least one patch high and wide.
    attention: of the last block: "vanilla", "maskclip", "sclip", "clearclip",
      "naclip", "resclip_rcs".
    affinity: weights that replace the attention of the last block in all heads:
      row i says how much of every patch's value patch i gets, patches row by
      row, without the class token. Rows usually sum to 1, which is not checked.
      The block then gives o(A v), without residual and FFN, and `attention`
      plays no part. None for none.
    position_offset: what is added to the number of rows and of columns before
      it is divided by that of the checkpoint's grid; the quotient is the scale
      of the resampling. In [0, 1): 0.1 in SCLIP and ClearCLIP, which have it
      from DINO, 0 in MaskCLIP.
    neighbor_std: of the Gaussian of naclip and resclip_rcs, in patches, > 0.
    residual_share: of the middle blocks' attention in resclip_rcs, in [0, 1].
      The middle blocks are the 6th to 9th of 12, as its authors have them; of
      another number the same part.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".

  Returns:
    One unit embedding per patch, by its row and column.

  Raises:
    ValueError: the checkpoint has no class token, an image is smaller than a
      patch, a word is unknown, or `affinity` has another number of patches.

  References:
    The formulas are those of the papers above, as their authors' codes compute
    them. ProxyCLIP resamples the values to the grid of its other network; here
    `affinity` is given on the grid of CLIP's patches.
  """
  check_dtype(dtype)
  if attention not in ATTENTIONS:
    raise ValueError(
      f"`attention` must be one of {', '.join(ATTENTIONS)}, got {attention!r}."
    )
  if spec.image_tower != "vit" or spec.image_pooling != "class_token":
    raise ValueError(
      f"`spec` must be a ViT with a class token, got {spec.name} "
      f"({spec.image_tower}, {spec.image_pooling} pooling), whose pooling maps "
      "no single patch to the texts; take another checkpoint."
    )
  if not 0 <= position_offset < 1:
    raise ValueError(
      f"`position_offset` must be >= 0 and < 1, got {position_offset}."
    )
  rows, cols = (side // spec.patch_size for side in images.shape[1:3])
  if not rows or not cols:
    raise ValueError(
      f"`images` must have at least {spec.patch_size} x {spec.patch_size} "
      f"pixels, one patch of {spec.name}, got {images.shape[1]} x "
      f"{images.shape[2]}; pad or resize them."
    )
  if affinity is not None and affinity.shape[1] != rows * cols:
    raise ValueError(
      f"`affinity` must be of {rows * cols} patches, {rows} rows of {cols}, "
      f"got {affinity.shape[1]}."
    )
  if not neighbor_std > 0:
    raise ValueError(f"`neighbor_std` must be > 0, got {neighbor_std}.")
  if not 0 <= residual_share <= 1:
    raise ValueError(
      f"`residual_share` must be in [0, 1], got {residual_share}."
    )
  if images.dtype == jnp.uint8:
    images = normalize_images(spec, images)
  tower = _PatchTower(
    spec,
    dtype,
    attention=attention,
    position_offset=position_offset,
    neighbor_std=neighbor_std,
    residual_share=residual_share if attention == "resclip_rcs" else 0.0,
  )
  raw = tower.apply({"params": params["image"]}, images, affinity)
  assert isinstance(raw, jax.Array)  # apply's type allows for mutable state
  return l2_normalize(raw.reshape(raw.shape[0], rows, cols, raw.shape[-1]))


class _PatchTower(VisionTransformer):
  """The image tower with another last block, and without the pooling."""

  attention: str = "clearclip"
  position_offset: float = 0.1
  neighbor_std: float = 5.0
  residual_share: float = 0.0

  @nn.compact
  def __call__(
    self,
    images: Float[Array, "batch height width 3"],
    affinity: Float[Array | np.ndarray, "batch patches patches"] | None = None,
  ) -> Float32[Array, "batch _ dim"]:
    """Embeds patches of normalised images; not unit vectors."""
    spec, width = self.spec, self.spec.image_width
    side = spec.image_size // spec.patch_size
    x = self.tokens(images)
    positions = self.param(
      "position_embedding",
      nn.initializers.normal(width**-0.5),
      (1 + side * side, width),
    )
    grid = (
      images.shape[1] // spec.patch_size,
      images.shape[2] // spec.patch_size,
    )
    x += _resample(positions, side, grid, self.position_offset)[None]
    residual: list[Array] = []

    def look(index: int, x: Array) -> None:
      if index in middle_blocks(spec.image_layers):
        params = self.variables["params"][f"block_{index}"]
        residual.append(_attention_of(spec, params, x, dtype=self.dtype))

    share = self.residual_share
    x = self.blocks(x, spec.image_layers - 1, before=look if share else None)
    bias = None
    if self.attention in _NEIGHBORS:
      bias = _neighborhood(grid, self.neighbor_std)
    x = _LastBlock(
      spec,
      self.dtype,
      self.attention,
      share,
      name=f"block_{spec.image_layers - 1}",
    )(x, affinity, bias, jnp.mean(jnp.stack(residual), 0) if residual else None)
    x = LayerNorm(spec.layer_norm_eps, name="post_norm")(x)
    return self.project(x)


def middle_blocks(layers: int) -> range:
  """Names the blocks whose attention ResCLIP takes, counted from 0."""
  first = 5 * layers // 12
  return range(first, max(first + 1, 9 * layers // 12))


def _attention_of(
  spec: ModelSpec,
  params: Mapping[str, Any],
  x: Float[Array, "batch tokens channels"],
  *,
  dtype: str,
) -> Float32[Array, "batch_heads patches tokens"]:
  """Computes with what weights a block's patches attend, in each head."""
  batch, tokens, width = x.shape
  heads = spec.image_heads
  norm = LayerNorm(spec.layer_norm_eps, parent=None)
  h = norm.apply({"params": params["norm_1"]}, x)
  linear = Dense(width, 0.0, dtype=dtype, parent=None)

  def split(name):
    part: Any = linear.apply({"params": params["attention"][name]}, h)
    part = part.reshape(batch, tokens, heads, width // heads).swapaxes(1, 2)
    return part.reshape(batch * heads, tokens, width // heads)

  query = split("query")[:, 1:] * (width // heads) ** -0.5
  logits = contract("nqd,nkd->nqk", query, split("key"), dtype=dtype)
  return jax.nn.softmax(logits, axis=-1)


def _neighborhood(
  grid: tuple[int, int], std: float
) -> Float32[np.ndarray, "patches tokens"]:
  """NACLIP's Gaussian of the distance of patches; the class token has none."""
  rows, cols = (np.arange(side) for side in grid)
  places = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
  squared = ((places[:, None] - places[None]) ** 2).sum(-1)
  near = np.exp(-squared / (2.0 * std**2))
  return np.pad(near, ((0, 0), (1, 0))).astype(np.float32)


class _LastBlock(nn.Module):
  """The last block under another attention; has the parameters of `Block`."""

  spec: ModelSpec
  dtype: str
  attention: str
  residual_share: float

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "batch tokens channels"],
    affinity: Float[Array | np.ndarray, "batch patches patches"] | None,
    bias: Float[Array | np.ndarray, "patches tokens"] | None,
    residual: Float[Array, "batch_heads patches tokens"] | None,
  ) -> Float32[Array, "batch patches channels"]:
    """Gives the patches after the block, without the class token."""
    spec = self.spec
    hidden = LayerNorm(spec.layer_norm_eps, name="norm_1")(x)
    mixed = _LastAttention(
      spec.image_heads,
      self.dtype,
      self.attention,
      self.residual_share,
      name="attention",
    )(hidden, affinity, bias, residual)
    if affinity is not None or self.attention in _ALONE:
      return mixed
    x = x[:, 1:] + mixed
    mlp = Mlp(
      spec.image_mlp_dim,
      spec.activation,
      out_std=spec.image_width**-0.5,
      dtype=self.dtype,
      name="mlp",
    )
    return x + mlp(LayerNorm(spec.layer_norm_eps, name="norm_2")(x))


class _LastAttention(nn.Module):
  """One of `ATTENTIONS`, or given weights; has the parameters of `Attention`.

  What is mixed is linear in the weights, so a sum of two softmaxes is the sum
  of what each of them mixes.
  """

  heads: int
  dtype: str
  attention: str
  residual_share: float

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "batch tokens channels"],
    affinity: Float[Array | np.ndarray, "batch patches patches"] | None,
    bias: Float[Array | np.ndarray, "patches tokens"] | None,
    residual: Float[Array, "batch_heads patches tokens"] | None,
  ) -> Float32[Array, "batch patches channels"]:
    """Mixes the tokens; the class token asks nothing."""
    width = x.shape[-1]

    def linear(name, inputs):
      std = width**-0.5
      return Dense(width, std, dtype=self.dtype, name=name)(inputs)

    value = linear("value", x)
    pairs = ATTENTIONS[self.attention]
    if affinity is not None:
      weights, patches = jnp.asarray(affinity, jnp.float32), value[:, 1:]
      mixed = contract("nqk,nkd->nqd", weights, patches, dtype=self.dtype)
    elif not pairs:
      mixed = value[:, 1:]
    else:
      names = sorted({name for pair in pairs for name in pair})
      projected = {name: linear(name, x) for name in names}
      mixed = jnp.zeros_like(value[:, 1:])
      for query, key in pairs:
        mixed += attend(
          projected[query][:, 1:],
          projected[key],
          value,
          heads=self.heads,
          bias=bias,
          dtype=self.dtype,
        )
    if self.attention == "resclip_rcs" and affinity is None:
      mixed *= 1.0 - self.residual_share
      if residual is not None:
        mixed += self.residual_share * self._mix(residual, value)
      mixed *= _RESIDUAL_FACTOR
    return linear("out", mixed)

  def _mix(
    self,
    weights: Float[Array, "batch_heads patches tokens"],
    value: Float[Array, "batch tokens width"],
  ) -> Float32[Array, "batch patches width"]:
    """Mixes values by given weights in each head."""
    batch, tokens, width = value.shape
    size = width // self.heads
    parts = value.reshape(batch, tokens, self.heads, size).swapaxes(1, 2)
    parts = parts.reshape(batch * self.heads, tokens, size)
    mixed = contract("nqk,nkd->nqd", weights, parts, dtype=self.dtype)
    patches = weights.shape[1]  # by its number: there may be no image
    mixed = mixed.reshape(batch, self.heads, patches, size).swapaxes(1, 2)
    return mixed.reshape(batch, patches, width)


def _resample(
  positions: Float[Array, "entries channels"],
  side: int,
  grid: tuple[int, int],
  offset: float,
) -> Float32[Array, "_ channels"]:
  """Brings the grid of position embeddings to another number of patches."""
  rows, cols = grid
  positions = positions.astype(jnp.float32)
  if rows * cols == side * side:
    return positions
  first, old = positions[:1], positions[1:].reshape(side, side, -1)
  to_rows = jnp.asarray(_bicubic(side, rows, offset))
  to_cols = jnp.asarray(_bicubic(side, cols, offset))
  new = contract("ri,ijd->rjd", to_rows, old)
  new = contract("cj,rjd->rcd", to_cols, new)
  return jnp.concatenate([first, new.reshape(rows * cols, -1)])


def _bicubic(
  old: int, new: int, offset: float
) -> Float32[np.ndarray, "new old"]:
  """Weights of torch's bicubic interpolation, one row an output.

  Keys' kernel with a = -3/4 between the centres of cells, never widened; what
  lies beyond the border is the border. The scale is (new + offset) / old, and
  it sets where the kernel samples as well.
  """
  a = -0.75
  source = (np.arange(new) + 0.5) * old / (new + offset) - 0.5
  weights = np.zeros((new, old))
  for tap in range(-1, 3):
    distance = np.abs(np.floor(source) + tap - source)
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    index = np.clip(np.floor(source) + tap, 0, old - 1).astype(int)
    np.add.at(
      weights, (np.arange(new), index), np.where(distance <= 1, near, far)
    )
  return weights.astype(np.float32)
