"""The settings of a checkpoint in open_clip's layout, written."""

import json
from typing import Any

from s3_jax.clip.hf_config import OURS
from s3_jax.clip.open_clip_config import OPEN_CLIP_CONFIG
from s3_jax.clip.zoo import ModelSpec

# What a vision transformer or a ResNet must be to be written here.
_TEXT = (
  "text_causal",
  "text_pooling",
  "text_projection_bias",
  "tokenizer",
  "text_cleaning",
)
_IMAGE = ("image_pooling", "pre_norm", "patch_bias", "image_projection")
_RESNET = ("attention", False, False, False)


def fits_open_clip(spec: ModelSpec) -> bool:
  """Says whether `open_clip_files` can write a spec."""
  default = ModelSpec._field_defaults
  image = tuple(getattr(spec, name) for name in _IMAGE)
  if spec.image_tower == "resnet":
    same = image == _RESNET
  else:
    same = image == tuple(default[name] for name in _IMAGE)
  same &= all(getattr(spec, name) == default[name] for name in _TEXT)
  exact = spec.activation in ("quick_gelu", "gelu")
  exact &= spec.text_activation is None
  sizes = spec.resize_size == spec.crop_size == spec.image_size
  return same and exact and sizes and spec.layer_norm_eps == 1e-5


def open_clip_files(spec: ModelSpec) -> dict[str, bytes]:
  """Writes a spec as the layout's settings file."""
  if spec.image_tower == "resnet":
    vision: dict[str, Any] = {
      "layers": list(spec.image_stages),
      "width": spec.image_width,
      "head_width": spec.image_width * spec.patch_size // spec.image_heads,
      "patch_size": None,
    }
  else:
    vision = {
      "layers": spec.image_layers,
      "width": spec.image_width,
      "head_width": spec.image_width // spec.image_heads,
      "mlp_ratio": _ratio(spec.image_mlp_dim, spec.image_width),
      "patch_size": spec.patch_size,
    }
  model: dict[str, Any] = {
    "embed_dim": spec.embed_dim,
    "quick_gelu": spec.activation == "quick_gelu",
    "vision_cfg": {"image_size": spec.image_size, **vision},
    "text_cfg": {
      "context_length": spec.context_length,
      "vocab_size": spec.vocab_size,
      "width": spec.text_width,
      "heads": spec.text_heads,
      "layers": spec.text_layers,
      "mlp_ratio": _ratio(spec.text_mlp_dim, spec.text_width),
    },
  }
  if spec.logit_bias:
    model["init_logit_bias"] = 0.0
  document = {
    "model_cfg": model,
    "preprocess_cfg": {
      "mean": list(spec.image_mean),
      "std": list(spec.image_std),
      "interpolation": spec.interpolation,
      "resize_mode": spec.resize_mode,
    },
    OURS: {"school": spec.school, "pad_token_id": spec.pad_token_id},
  }
  content = json.dumps(document, indent=2) + "\n"
  return {OPEN_CLIP_CONFIG: content.encode()}


def _ratio(mlp_dim: int, width: int) -> float:
  """Returns a ratio whose product with the width rounds down to `mlp_dim`."""
  ratio = mlp_dim / width
  return ratio if int(width * ratio) == mlp_dim else (mlp_dim + 0.5) / width
