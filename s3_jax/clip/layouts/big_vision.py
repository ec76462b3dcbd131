"""Names of big_vision's SigLIP in its .npz files.

The attention's maps have an axis for the heads, as in every Flax tree:
(inputs, heads, channels), and (heads, channels, outputs) the one back. The
networks trained later were compiled as a loop over the blocks; their files join
each parameter of all blocks in one array under `encoderblock`, the blocks along
its first axis, where others have an `encoderblock_0` and so on.

References:
  big_vision (github.com/google-research/big_vision), models/vit.py and
  models/proj/image_text.
"""

import functools

from s3_jax.clip.layouts.tensor import (
  Location,
  Path,
  Shape,
  Tensor,
  arrange,
  family_of,
  split_heads,
)
from s3_jax.clip.zoo import ModelSpec

_WORDS = {
  "norm_1": "LayerNorm_0",
  "norm_2": "LayerNorm_1",
  "norm": "LayerNorm_0",  # of the pooling
  "attention": "MultiHeadDotProductAttention_0",
  "mlp": "MlpBlock_0",
  "up": "Dense_0",
  "down": "Dense_1",
}
_SCALARS = {"logit_scale": "params/t", "logit_bias": "params/b"}
_ENDS = {
  ("image", "patch_embedding"): "params/img/embedding",
  ("image", "position_embedding"): "params/img/pos_embedding",
  ("image", "post_norm"): "params/img/Transformer/encoder_norm",
  ("image", "pooling"): "params/img/MAPHead_0",
  ("text", "token_embedding"): "params/txt/Embed_0/embedding",
  ("text", "position_embedding"): "params/txt/pos_embedding",
  ("text", "final_norm"): "params/txt/Encoder_0/encoder_norm",
  ("text", "projection"): "params/txt/head",
}
_ENCODERS = {
  "image": "params/img/Transformer/encoderblock",
  "text": "params/txt/Encoder_0/encoderblock",
}
# What a training checkpoint holds beside the parameters.
_TRAINING = ("opt", "extra")


def tensors(spec: ModelSpec, *, scanned: bool = False) -> dict[str, Tensor]:
  """Lists the arrays of a file."""
  family_of(spec, "big_vision", ("siglip",))
  return arrange(spec, functools.partial(_place, spec, scanned))


def own_name(name: str) -> str | None:
  """Gives the name that `tensors` uses; None for what is no parameter.

  Some files leave out the first word; training checkpoints hold more.
  """
  first = name.split("/")[0]
  if first in _TRAINING:
    return None
  return f"params/{name}" if first in ("img", "txt", "t", "b") else name


def _place(
  spec: ModelSpec, scanned: bool, path: Path, shape: Shape
) -> Location:
  if len(path) == 1:
    return Location(_SCALARS[path[0]], (1,))
  tower, first, *rest = path
  heads = spec.image_heads if tower == "image" else spec.text_heads
  if len(rest) > 1:
    shape = split_heads(rest, shape, heads)
  if first.startswith("block_"):
    block = int(first.removeprefix("block_"))
    if scanned:
      return Location(_join(_ENCODERS[tower], rest), (1, *shape), part=block)
    return Location(_join(f"{_ENCODERS[tower]}_{block}", rest), shape)
  if first == "patch_embedding" and rest == ["kernel"]:
    shape = (spec.patch_size, spec.patch_size, 3, shape[1])
  elif first == "position_embedding":
    shape = (1, *shape)
  elif rest == ["probe"]:
    shape = (1, 1, *shape)
  return Location(_join(_ENDS[tower, first], rest), shape)


def _join(prefix: str, path: list[str]) -> str:
  return "/".join([prefix, *(_WORDS.get(word, word) for word in path)])
