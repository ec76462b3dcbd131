"""Names of `transformers`: CLIPModel and SiglipModel.

The two agree but for the ends of the towers: CLIP has projections beside its
towers, SigLIP has heads in them, of which the image tower's joins the three
maps of its attention.
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

_TOWERS = {"image": "vision_model", "text": "text_model"}
_WORDS = {
  "pre_norm": "pre_layrnorm",  # the layout's own spelling
  "post_norm": "post_layernorm",
  "final_norm": "final_layer_norm",
  "norm_1": "layer_norm1",
  "norm_2": "layer_norm2",
  "attention": "self_attn",
  "query": "q_proj",
  "key": "k_proj",
  "value": "v_proj",
  "out": "out_proj",
  "up": "fc1",
  "down": "fc2",
  "kernel": "weight",
  "scale": "weight",
}
_HEAD_WORDS = {**_WORDS, "attention": "attention", "norm": "layernorm"}
_PROJECTIONS = {"image": "visual_projection", "text": "text_projection"}
_JOINED = ("query", "key", "value")


def tensors(spec: ModelSpec) -> dict[str, Tensor]:
  """Lists the arrays of a file."""
  family = family_of(spec, "hugging_face", ("clip", "siglip"))
  return arrange(spec, functools.partial(_place, spec, family))


def own_name(name: str) -> str | None:
  """Gives the name that `tensors` uses; None for what is no parameter.

  Old versions of `transformers` stored index buffers (0, 1, 2, ...) beside the
  weights, which its newer versions skip as well. Checkpoints written in
  training have a prefix.
  """
  name = unwrapped(name)
  return None if name.endswith(".embeddings.position_ids") else name


def _place(spec: ModelSpec, family: str, path: Path, shape: Shape) -> Location:
  stored, axes = torch_form(path, shape, spec.patch_size)
  if len(path) == 1:
    return Location(path[0], () if family == "clip" else (1,))
  tower, first, *rest = path
  model = _TOWERS[tower]
  words = [_WORDS.get(word, word) for word in rest]
  if first == "pooling":
    return _place_in_head(f"{model}.head", rest, stored, axes)
  if first == "projection":
    name = _PROJECTIONS[tower] if family == "clip" else f"{model}.head"
    return Location(f"{name}.{words[0]}", stored, axes)
  if first == "class_embedding":
    return Location(f"{model}.embeddings.{first}", stored)
  if first.endswith("_embedding"):
    last = words[0] if words else "weight"
    return Location(f"{model}.embeddings.{first}.{last}", stored, axes)
  if first.startswith("block_"):
    layer = f"{model}.encoder.layers.{first.removeprefix('block_')}"
    return Location(".".join([layer, *words]), stored, axes)
  return Location(".".join([model, _WORDS[first], *words]), stored, axes)


def _place_in_head(
  head: str, rest: list[str], stored: Shape, axes: tuple[int, ...]
) -> Location:
  if rest == ["probe"]:
    return Location(f"{head}.probe", (1, 1, *stored))
  if rest[:-1] in [["attention", word] for word in _JOINED]:
    leaf = _WORDS.get(rest[-1], rest[-1])
    name = f"{head}.attention.in_proj_{leaf}"
    return Location(name, stored, axes, _JOINED.index(rest[1]))
  words = [_HEAD_WORDS.get(word, word) for word in rest]
  return Location(".".join([head, *words]), stored, axes)
