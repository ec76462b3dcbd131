"""The settings of a checkpoint in open_clip's layout, read.

The layout is one file, open_clip_config.json: `model_cfg` for the towers and
`preprocess_cfg` for the pixels. SigLIP's image tower is named by its timm
model there. A setting that ours cannot follow is an error, never ignored.
"""

import pathlib
from typing import Any, NamedTuple

from s3_jax.clip.bpe import special_ids
from s3_jax.clip.bpe_files import read_tokenizer
from s3_jax.clip.documents import Document, is_count
from s3_jax.clip.hf_config import piece_ids, with_ours
from s3_jax.clip.zoo import SIGLIP, ModelSpec

OPEN_CLIP_CONFIG = "open_clip_config.json"

_CELL = 32  # pixels that one cell of a ResNet's last feature map covers


class _Trunk(NamedTuple):
  """What a timm model's name stands for."""

  size: int
  patch: int
  width: int
  layers: int
  heads: int
  mlp_dim: int
  activation: str


_B = (768, 12, 12, 3072)
_L = (1024, 24, 16, 4096)
_SO = (1152, 27, 16, 4304)
_G = (1536, 40, 16, 6144)
# SigLIP's trunks with attention pooling, as timm defines them.
_TRUNKS = {
  "vit_base_patch32_siglip_256": _Trunk(256, 32, *_B, "gelu_tanh"),
  "vit_base_patch16_siglip_224": _Trunk(224, 16, *_B, "gelu"),
  "vit_base_patch16_siglip_256": _Trunk(256, 16, *_B, "gelu"),
  "vit_base_patch16_siglip_384": _Trunk(384, 16, *_B, "gelu"),
  "vit_base_patch16_siglip_512": _Trunk(512, 16, *_B, "gelu"),
  "vit_large_patch16_siglip_256": _Trunk(256, 16, *_L, "gelu"),
  "vit_large_patch16_siglip_384": _Trunk(384, 16, *_L, "gelu"),
  "vit_large_patch16_siglip_512": _Trunk(512, 16, *_L, "gelu_tanh"),
  "vit_so400m_patch14_siglip_224": _Trunk(224, 14, *_SO, "gelu"),
  "vit_so400m_patch14_siglip_378": _Trunk(378, 14, *_SO, "gelu"),
  "vit_so400m_patch14_siglip_384": _Trunk(384, 14, *_SO, "gelu"),
  "vit_so400m_patch16_siglip_256": _Trunk(256, 16, *_SO, "gelu_tanh"),
  "vit_so400m_patch16_siglip_384": _Trunk(384, 16, *_SO, "gelu_tanh"),
  "vit_so400m_patch16_siglip_512": _Trunk(512, 16, *_SO, "gelu_tanh"),
  "vit_giantopt_patch16_siglip_256": _Trunk(256, 16, *_G, "gelu_tanh"),
  "vit_giantopt_patch16_siglip_384": _Trunk(384, 16, *_G, "gelu_tanh"),
}
# The layout's own values of settings that a file may leave out.
_VISION_DEFAULTS = {
  "layers": 12,
  "width": 768,
  "head_width": 64,
  "mlp_ratio": 4.0,
  "patch_size": 16,
  "image_size": 224,
}
_TEXT_DEFAULTS = {
  "context_length": 77,
  "vocab_size": 49408,
  "width": 512,
  "heads": 8,
  "layers": 12,
  "mlp_ratio": 4.0,
  "pool_type": "argmax",
}
_PIXEL_DEFAULTS = {
  "mean": [0.48145466, 0.4578275, 0.40821073],
  "std": [0.26862954, 0.26130258, 0.27577711],
  "interpolation": "bicubic",
  "resize_mode": "shortest",
}
# Settings with one value here, and settings of training alone.
# Settings of the image tower that say nothing about what it computes.
_VISION_IGNORED = {"attn_pooler_heads", "attn_pooler_queries", "patch_dropout"}
_TRUNK_IGNORED = {"timm_drop", "timm_drop_path", "timm_model_pretrained"}
_MODEL_IGNORED = {"custom_text", "init_logit_scale"}
_SIZES = {"context_length", "vocab_size", "width", "heads", "layers"}
_BPE_PADDING = 0  # whatever `pad_id` says


def read_open_clip_spec(
  folder: pathlib.Path, vocabulary: pathlib.Path, *, name: str
) -> ModelSpec:
  """Reads the settings of a checkpoint."""
  document = Document(folder / OPEN_CLIP_CONFIG)
  model = document.section("model_cfg", {"quick_gelu": False})
  model.only(
    {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_bias"}
    | _MODEL_IGNORED
  )
  quick = model.get("quick_gelu")
  if not isinstance(quick, bool):
    model.fail("quick_gelu", "must be true or false")
  dim = model.count("embed_dim")
  vision = model.section("vision_cfg", _VISION_DEFAULTS)
  text = model.section("text_cfg", _TEXT_DEFAULTS)
  if vision.get("timm_model_name") is not None:
    settings = {**SIGLIP, **_trunk(model.section("vision_cfg"), dim)}
    settings |= _siglip_text(text, settings["activation"])
    settings |= piece_ids(folder, vocabulary)
  else:
    settings = _resnet(vision) if _has_stages(vision) else _vit(vision)
    settings["activation"] = "quick_gelu" if quick else "gelu"
    settings |= _clip_text(text, vocabulary)
  settings |= _pixels(document, settings["image_size"])
  settings["logit_bias"] = model.get("init_logit_bias") is not None
  spec = ModelSpec(name=name, embed_dim=dim, school="openai", **settings)
  return with_ours(spec, document)


def open_clip_tokenizer_kind(folder: pathlib.Path) -> str:
  """Returns `ModelSpec.tokenizer` of the checkpoint in a folder."""
  model = Document(folder / OPEN_CLIP_CONFIG).section("model_cfg")
  trunk = model.section("vision_cfg").get("timm_model_name")
  return "bpe" if trunk is None else "sentencepiece"


def _has_stages(vision: Document) -> bool:
  return isinstance(vision.get("layers"), list)


def _vit(vision: Document) -> dict[str, Any]:
  vision.require("pos_embed_type", "learnable", default="learnable")
  vision.require("pool_type", "tok", default="tok")
  vision.only(
    {"pos_embed_type", "pool_type", *_VISION_DEFAULTS, *_VISION_IGNORED}
  )
  width, size = vision.count("width"), vision.square("image_size")
  if width % vision.count("head_width"):
    vision.fail("head_width", f"must divide the width {width}")
  if size % vision.square("patch_size"):
    vision.fail("patch_size", f"must divide the image size {size}")
  return {
    "image_size": size,
    "patch_size": vision.square("patch_size"),
    "image_width": width,
    "image_layers": vision.count("layers"),
    "image_heads": width // vision.count("head_width"),
    "image_mlp_dim": _mlp_dim(vision, width),
  }


def _resnet(vision: Document) -> dict[str, Any]:
  vision.only({*_VISION_DEFAULTS, *_VISION_IGNORED})
  stages = vision.get("layers")
  if len(stages) != 4 or not all(map(is_count, stages)):
    vision.fail("layers", "must be four whole numbers >= 1")
  width, size = vision.count("width"), vision.square("image_size")
  if size % _CELL:
    vision.fail("image_size", f"must be a multiple of {_CELL}")
  if width * _CELL % vision.count("head_width"):
    vision.fail("head_width", f"must divide {width * _CELL}")
  return {
    "image_tower": "resnet",
    "image_stages": tuple(stages),
    "image_size": size,
    "patch_size": _CELL,
    "image_width": width,
    "image_layers": sum(stages),
    "image_heads": width * _CELL // vision.count("head_width"),
    "image_mlp_dim": 0,
    "image_pooling": "attention",
    "pre_norm": False,
    "image_projection": False,
  }


def _trunk(vision: Document, dim: int) -> dict[str, Any]:
  trunk = _TRUNKS[vision.choice("timm_model_name", _TRUNKS)]
  vision.require("timm_pool", "map")
  vision.require("timm_proj", "none")
  vision.require("image_size", trunk.size)
  vision.only(
    {"timm_model_name", "timm_pool", "timm_proj", "image_size"}
    | _TRUNK_IGNORED
    | _VISION_IGNORED
  )
  if trunk.width != dim:
    vision.fail("timm_model_name", f"must be as wide as embed_dim, {dim},")
  return {
    "image_size": trunk.size,
    "patch_size": trunk.patch,
    "image_width": trunk.width,
    "image_layers": trunk.layers,
    "image_heads": trunk.heads,
    "image_mlp_dim": trunk.mlp_dim,
    "activation": trunk.activation,
    "layer_norm_eps": 1e-6,
  }


def _clip_text(text: Document, vocabulary: pathlib.Path) -> dict[str, Any]:
  text.require("pool_type", "argmax")
  # `pad_id` is what attention masks are made of elsewhere.
  text.only({*_SIZES, "mlp_ratio", "pool_type", "pad_id"})
  tokenizer = read_tokenizer(vocabulary)
  start, end = special_ids(tokenizer)
  text.require("vocab_size", tokenizer.get_vocab_size())
  return _text_sizes(text) | {
    "layer_norm_eps": 1e-5,
    "start_token_id": start,
    "end_token_id": end,
    "pad_token_id": _BPE_PADDING,
  }


def _siglip_text(text: Document, activation: str) -> dict[str, Any]:
  text.require("no_causal_mask", True)
  text.require("proj_bias", True)
  text.require("pool_type", "last")
  text.require("norm_kwargs", {"eps": 1e-6})
  text.require("tokenizer_kwargs", {"clean": "canonicalize"})
  kinds = {"gelu": None, "gelu_tanh": {"approximate": "tanh"}}
  kwargs = text.get("act_kwargs")
  own = next((kind for kind in kinds if kinds[kind] == (kwargs or None)), None)
  if own is None:
    text.fail("act_kwargs", 'must be {"approximate": "tanh"} or be left out')
  text.only(
    {*_SIZES, "mlp_ratio", "pool_type", "no_causal_mask", "proj_bias"}
    | {"norm_kwargs", "act_kwargs", "tokenizer_kwargs", "hf_tokenizer_name"}
  )
  return _text_sizes(text) | {
    # SigLIP 2's image tower is exact there, and its text tower is not.
    "text_activation": None if own == activation else own,
    "text_cleaning": "canonical",
  }


def _text_sizes(text: Document) -> dict[str, Any]:
  width, heads = text.count("width"), text.count("heads")
  if width % heads:
    text.fail("width", f"must be divisible by the {heads} heads")
  return {
    "text_width": width,
    "text_layers": text.count("layers"),
    "text_heads": heads,
    "text_mlp_dim": _mlp_dim(text, width),
    "vocab_size": text.count("vocab_size"),
    "context_length": text.count("context_length"),
  }


def _mlp_dim(tower: Document, width: int) -> int:
  return int(width * tower.positive("mlp_ratio"))


def _pixels(document: Document, image_size: int) -> dict[str, Any]:
  pixels = document.section("preprocess_cfg", _PIXEL_DEFAULTS)
  pixels.require("mode", "RGB", default="RGB")
  pixels.only({*_PIXEL_DEFAULTS, "mode", "size", "fill_color"})
  if pixels.get("size") is not None and pixels.square("size") != image_size:
    pixels.fail("size", f"must be the image size {image_size}")
  return {
    "image_mean": pixels.three("mean"),
    "image_std": pixels.three("std", positive=True),
    "resize_size": image_size,
    "crop_size": image_size,
    "interpolation": pixels.choice("interpolation", ("bicubic", "bilinear")),
    "resize_mode": pixels.choice("resize_mode", ("shortest", "squash")),
  }
