"""Names of Scenic's CLIP: a nested Flax tree, its words joined with "/".

A block is called `resblocks.0`, with a dot in one word. The attention's maps
have an axis for the heads: (inputs, heads, channels), and (heads, channels,
outputs) the one back. Means and variances of the batch norms stand apart from
the parameters, under `batch_stats`.

References:
  Scenic (github.com/google-research/scenic), projects/baselines/clip.
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
  "patch_embedding": "conv1",
  "position_embedding": "positional_embedding",
  "pre_norm": "ln_pre",
  "post_norm": "ln_post",
  "final_norm": "ln_final",
  "projection": "proj",
  "norm_1": "ln_1",
  "norm_2": "ln_2",
  "attention": "attn",
  "up": "c_fc",
  "down": "c_proj",
}
_TEXT_WORDS = {
  **_WORDS,
  "token_embedding": "token_embedding/embedding",
  "projection": "text_projection",
}
_RESNET_WORDS = {
  **{f"conv_{i}": f"conv{i}" for i in (1, 2, 3)},
  **{f"norm_{i}": f"bn{i}" for i in (1, 2, 3)},
  "conv": "0",
  "norm": "1",
  "shortcut": "downsample",
}
_STATISTICS = {"mean": "mean", "variance": "var"}
# What a training checkpoint holds beside the parameters.
_TRAINING = ("opt_state", "global_step", "rng", "metadata")


def tensors(spec: ModelSpec) -> dict[str, Tensor]:
  """Lists the arrays of a tree."""
  family = family_of(spec, "scenic", ("clip", "resnet"))
  return arrange(spec, functools.partial(_place, spec, family))


def own_name(name: str) -> str | None:
  """Gives the name that `tensors` uses; None for what is no parameter.

  A training checkpoint keeps the statistics under `model_state`, and the
  optimiser's state and more beside the parameters.
  """
  if name.split("/")[0] in _TRAINING:
    return None
  return name.removeprefix("model_state/")


def _place(spec: ModelSpec, family: str, path: Path, shape: Shape) -> Location:
  if len(path) == 1:
    return Location(f"params/{path[0]}", ())
  tower, first, *rest = path
  if tower == "image" and family == "resnet":
    return _place_in_resnet(spec, first, rest, shape)
  prefix = "params/visual" if tower == "image" else "params/text"
  words = _WORDS if tower == "image" else _TEXT_WORDS
  heads = spec.image_heads if tower == "image" else spec.text_heads
  if first == "patch_embedding":
    shape = (spec.patch_size, spec.patch_size, 3, shape[1])
  if first.startswith("block_"):
    prefix += f"/transformer/resblocks.{first.removeprefix('block_')}"
    name = _join(prefix, rest, words)
    return Location(name, split_heads(rest, shape, heads))
  return Location(_join(prefix, [first, *rest], words), shape)


def _place_in_resnet(
  spec: ModelSpec, first: str, rest: list[str], shape: Shape
) -> Location:
  if first == "pooling":
    if rest[0] == "position_embedding":
      return Location("params/visual/attnpool/positional_embedding", shape)
    name = _join("params/visual/attnpool/attn", rest, {})
    return Location(name, split_heads(rest, shape, spec.image_heads))
  above = "visual"
  if first != "stem":
    block, *rest = rest
    stage = first.removeprefix("stage_")
    above = f"visual/layer{stage}/{block.removeprefix('block_')}"
  *above_leaf, leaf = rest
  kind = "batch_stats" if leaf in _STATISTICS else "params"
  leaf = _STATISTICS.get(leaf, leaf)
  return Location(
    _join(f"{kind}/{above}", [*above_leaf, leaf], _RESNET_WORDS), shape
  )


def _join(prefix: str, path: list[str], words: dict[str, str]) -> str:
  return "/".join([prefix, *(words.get(word, word) for word in path)])
