"""Names of open_clip, which are those of OpenAI's code, and its SigLIP.

A class-token ViT and a ResNet have OpenAI's names: `visual.*` for the image
tower, no prefix for the text tower. open_clip's SigLIP takes its image tower
from timm (`visual.trunk.*`) and puts the text tower under `text.*`.
"""

import functools

from s3_jax.clip.layouts.tensor import (
  Location,
  Path,
  Shape,
  Tensor,
  arrange,
  family_of,
  torch_form,
  unwrapped,
)
from s3_jax.clip.zoo import ModelSpec

STATED = {
  "input_resolution": "image_size",
  "context_length": "context_length",
  "vocab_size": "vocab_size",
}
"""Numbers that OpenAI's files hold beside the weights: names, our fields."""

_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "mean": "running_mean",
  "variance": "running_var",
}
_BLOCK = {
  "norm_1": "ln_1",
  "norm_2": "ln_2",
  "attention": "attn",
  "out": "out_proj",
  "up": "c_fc",
  "down": "c_proj",
}
_VISUAL = {
  "patch_embedding": "conv1",
  "position_embedding": "positional_embedding",
  "pre_norm": "ln_pre",
  "post_norm": "ln_post",
}
_TEXT = {
  "token_embedding": "token_embedding.weight",
  "position_embedding": "positional_embedding",
  "final_norm": "ln_final",
}
_RESNET = {
  **{f"conv_{i}": f"conv{i}" for i in (1, 2, 3)},
  **{f"norm_{i}": f"bn{i}" for i in (1, 2, 3)},
  "conv": "0",
  "norm": "1",
  "shortcut": "downsample",
}
_CELL_POOLING = {
  "position_embedding": "positional_embedding",
  "query": "q_proj",
  "key": "k_proj",
  "value": "v_proj",
  "out": "c_proj",
}
_TRUNK = {
  "patch_embedding": "patch_embed.proj",
  "position_embedding": "pos_embed",
  "post_norm": "norm",
  "norm_1": "norm1",
  "norm_2": "norm2",
  "attention": "attn",
  "out": "proj",
  "up": "fc1",
  "down": "fc2",
}
_JOINED = ("query", "key", "value")


def tensors(spec: ModelSpec) -> dict[str, Tensor]:
  """Lists the arrays of a file."""
  family = family_of(spec, "open_clip", ("clip", "resnet", "siglip"))
  return arrange(spec, functools.partial(_place, spec, family))


def own_name(name: str) -> str | None:
  """Gives the name that `tensors` uses; None for what is no parameter.

  The batch norms count the batches that they saw. Checkpoints written in
  training have a prefix.
  """
  name = unwrapped(name)
  return None if name.endswith(".num_batches_tracked") else name


def _place(spec: ModelSpec, family: str, path: Path, shape: Shape) -> Location:
  if len(path) == 1:
    return Location(path[0], ())
  tower, *rest = path
  stored, axes = torch_form(path, shape, spec.patch_size)
  if tower == "text":
    return _place_in_text(family, rest, shape, stored, axes)
  if family == "resnet":
    return _place_in_resnet(rest, stored, axes)
  if family == "siglip":
    return _place_in_trunk(rest, stored, axes)
  if rest[0] == "projection":  # a bare matrix, not transposed
    return Location("visual.proj", shape)
  if rest[0].startswith("block_"):
    return _place_in_block("visual.transformer", rest, stored, axes)
  return Location(_join("visual", rest, _VISUAL), stored, axes)


def _join(prefix: str, path: list[str], words: dict[str, str]) -> str:
  known = {**_LEAVES, **words}
  joined = ".".join(known.get(word, word) for word in path)
  return f"{prefix}.{joined}" if prefix else joined


def _place_in_text(
  family: str,
  rest: list[str],
  shape: Shape,
  stored: Shape,
  axes: tuple[int, ...],
) -> Location:
  prefix = "text" if family == "siglip" else ""
  if rest[0].startswith("block_"):
    above = f"{prefix}.transformer" if prefix else "transformer"
    return _place_in_block(above, rest, stored, axes)
  if rest[0] == "projection":
    if family != "siglip":  # a bare matrix, not transposed
      return Location("text_projection", shape)
    return Location(_join("text.text_projection", rest[1:], {}), stored, axes)
  return Location(_join(prefix, rest, _TEXT), stored, axes)


def _place_in_block(
  above: str, rest: list[str], stored: Shape, axes: tuple[int, ...]
) -> Location:
  prefix = f"{above}.resblocks.{rest[0].removeprefix('block_')}"
  if rest[2] in _JOINED:
    name = f"{prefix}.attn.in_proj_{_LEAVES.get(rest[3], rest[3])}"
    return Location(name, stored, axes, _JOINED.index(rest[2]))
  return Location(_join(prefix, rest[1:], _BLOCK), stored, axes)


def _place_in_resnet(
  rest: list[str], stored: Shape, axes: tuple[int, ...]
) -> Location:
  first, *rest = rest
  if first == "pooling":
    return Location(_join("visual.attnpool", rest, _CELL_POOLING), stored, axes)
  if first == "stem":
    return Location(_join("visual", rest, _RESNET), stored, axes)
  stage, block = first.removeprefix("stage_"), rest[0].removeprefix("block_")
  prefix = f"visual.layer{stage}.{block}"
  return Location(_join(prefix, rest[1:], _RESNET), stored, axes)


def _place_in_trunk(
  rest: list[str], stored: Shape, axes: tuple[int, ...]
) -> Location:
  first, *inner = rest
  if first == "position_embedding":
    return Location("visual.trunk.pos_embed", (1, *stored))
  if first.startswith("block_"):
    prefix = f"visual.trunk.blocks.{first.removeprefix('block_')}"
    if inner[1] in _JOINED:
      name = _join(f"{prefix}.attn.qkv", inner[2:], {})
      return Location(name, stored, axes, _JOINED.index(inner[1]))
    return Location(_join(prefix, inner, _TRUNK), stored, axes)
  if first != "pooling":
    return Location(_join("visual.trunk", rest, _TRUNK), stored, axes)
  prefix = "visual.trunk.attn_pool"
  if inner == ["probe"]:
    return Location(f"{prefix}.latent", (1, 1, *stored))
  if inner[0] != "attention":
    return Location(_join(prefix, inner, _TRUNK), stored, axes)
  if inner[1] in ("key", "value"):
    part = ("key", "value").index(inner[1])
    return Location(_join(f"{prefix}.kv", inner[2:], {}), stored, axes, part)
  word = {"query": "q", "out": "proj"}[inner[1]]
  return Location(_join(f"{prefix}.{word}", inner[2:], {}), stored, axes)
