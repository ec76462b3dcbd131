"""Patch embeddings by the formulas of the papers, in torch."""

import math

import torch
from torch.nn import functional


def torch_patches(
  model,
  pixels,
  attention,
  *,
  affinity=None,
  offset=0.1,
  std=5.0,
  share=0.3,
  middle=(),
):
  """The vision model of `transformers` with another last block.

  Args:
    model: CLIPModel, float64 where it is the reference.
    pixels: f[batch, 3, height, width] of the model's type, normalised.
    attention: name of the last block's attention.
    affinity: f64[batch, patches, patches] instead of it, or None.
    offset: added to rows and columns in the scale of the positions.
    std: of NACLIP's Gaussian, patches.
    share: of the middle layers' attention in ResCLIP's.
    middle: layers that it takes, from 0.

  Returns:
    f64[batch, rows, cols, dim], unit.
  """
  vision = model.vision_model
  with torch.no_grad():
    x = vision.embeddings.patch_embedding(pixels)
    batch, width, rows, cols = x.shape
    x = x.flatten(2).transpose(1, 2)
    first = vision.embeddings.class_embedding.expand(batch, 1, width)
    x = torch.cat([first, x], dim=1)
    positions = vision.embeddings.position_embedding.weight
    side = round((len(positions) - 1) ** 0.5)
    if rows * cols != side * side:
      grid = positions[1:].T.reshape(1, width, side, side)
      grid = functional.interpolate(
        grid,
        scale_factor=((rows + offset) / side, (cols + offset) / side),
        mode="bicubic",
      )
      assert grid.shape[2:] == (rows, cols)
      grid = grid.flatten(2)[0].T
      positions = torch.cat([positions[:1], grid])
    x = vision.pre_layrnorm(x + positions)
    seen = []
    for number, layer in enumerate(vision.encoder.layers[:-1]):
      if number in middle:
        seen.append(own_attention(model, layer, x))
      x = layer(x, attention_mask=None)
      x = x if isinstance(x, torch.Tensor) else x[0]
    last = vision.encoder.layers[-1]
    h, heads = last.layer_norm1(x), last.self_attn
    count = model.config.vision_config.num_attention_heads

    def split(projection):
      parts = projection(h).reshape(batch, -1, count, width // count)
      return parts.transpose(1, 2)

    q, k, v = map(split, (heads.q_proj, heads.k_proj, heads.v_proj))
    scale = (width // count) ** -0.5

    def softmax(left, right):
      return (scale * left @ right.transpose(-1, -2)).softmax(dim=-1)

    if affinity is not None:
      v = v[:, :, 1:]
      weights = affinity[:, None]
    elif attention == "vanilla":
      weights = softmax(q, k)
    elif attention == "maskclip":
      weights = torch.eye(v.shape[2], dtype=v.dtype)
    elif attention == "sclip":
      weights = softmax(q, q) + softmax(k, k)
    elif attention in ("naclip", "resclip_rcs"):
      near = torch.zeros(1 + rows * cols, 1 + rows * cols, dtype=v.dtype)
      for one in range(rows * cols):
        for other in range(rows * cols):
          down = one // cols - other // cols
          across = one % cols - other % cols
          near[1 + one, 1 + other] = math.exp(
            -(down**2 + across**2) / (2 * std**2)
          )
      weights = (scale * k @ k.transpose(-1, -2) + near).softmax(dim=-1)
      if attention == "resclip_rcs":
        residual = torch.stack(seen).mean(dim=0)
        weights = 2 * ((1 - share) * weights + share * residual)
    else:
      assert attention == "clearclip"
      weights = softmax(q, q)
    mixed = heads.out_proj((weights @ v).transpose(1, 2).flatten(2))
    if affinity is not None:
      x = mixed
    elif attention in ("clearclip", "naclip", "resclip_rcs"):
      x = mixed[:, 1:]
    else:
      x = x + mixed
      x = (x + last.mlp(last.layer_norm2(x)))[:, 1:]
    x = model.visual_projection(vision.post_layernorm(x))
    x = x / x.norm(dim=-1, keepdim=True)
  return x.reshape(batch, rows, cols, -1).numpy()


def own_attention(model, layer, x):
  """Weights of a layer's own attention: f64[batch, heads, tokens, tokens]."""
  config = model.config.vision_config
  count, width = config.num_attention_heads, config.hidden_size
  h = layer.layer_norm1(x)

  def split(projection):
    parts = projection(h).reshape(len(x), -1, count, width // count)
    return parts.transpose(1, 2)

  q, k = split(layer.self_attn.q_proj), split(layer.self_attn.k_proj)
  scale = (width // count) ** -0.5
  return (scale * q @ k.transpose(-1, -2)).softmax(dim=-1)
