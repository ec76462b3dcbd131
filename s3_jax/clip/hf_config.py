"""The settings files of a checkpoint in a Hugging Face layout, read.

`read_spec` turns config.json, preprocessor_config.json (or what
`transformers` 5 writes for it, processor_config.json) and the tokenizer's
special tokens into a `ModelSpec`, for CLIP and for SigLIP at one resolution. A
setting that the towers or the preprocessing cannot follow is an error, never
ignored. `hf_files` writes what is read here.
"""

import math
import pathlib
from typing import Any

from s3_jax.clip.bpe import special_ids
from s3_jax.clip.bpe_files import read_tokenizer, read_vocabulary
from s3_jax.clip.documents import (
  Document,
  is_count,
  is_number,
)
from s3_jax.clip.sentencepiece import read_sentencepiece
from s3_jax.clip.zoo import SIGLIP, ModelSpec

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
OURS = "s3_jax"
"""Key of preprocessor_config.json for what the layout has no word for."""

# The layouts' words for our activations.
ACTIVATIONS = {
  "quick_gelu": "quick_gelu",
  "gelu": "gelu",
  "gelu_pytorch_tanh": "gelu_tanh",
}
RESAMPLE = {2: "bilinear", 3: "bicubic"}  # PIL's numbers of the filters
# What the classes of tokenizers do to a text.
CLEANINGS = {
  "SiglipTokenizer": "canonical",
  "Siglip2Tokenizer": "lower",
  # SigLIP 2's files name Gemma's class, which leaves capitals; its training
  # did not.
  "GemmaTokenizer": "lower",
  "GemmaTokenizerFast": "lower",
}

# The layouts' own values of settings that a config.json may leave out.
_CLIP_TEXT = {
  "vocab_size": 49408,
  "hidden_size": 512,
  "intermediate_size": 2048,
  "num_hidden_layers": 12,
  "num_attention_heads": 8,
  "max_position_embeddings": 77,
  "hidden_act": "quick_gelu",
  "layer_norm_eps": 1e-5,
  "eos_token_id": 49407,
}
_CLIP_VISION = {
  "hidden_size": 768,
  "intermediate_size": 3072,
  "num_hidden_layers": 12,
  "num_attention_heads": 12,
  "num_channels": 3,
  "image_size": 224,
  "patch_size": 32,
  "hidden_act": "quick_gelu",
  "layer_norm_eps": 1e-5,
}
_SIGLIP_TEXT = {
  "vocab_size": 32000,
  "hidden_size": 768,
  "intermediate_size": 3072,
  "num_hidden_layers": 12,
  "num_attention_heads": 12,
  "max_position_embeddings": 64,
  "hidden_act": "gelu_pytorch_tanh",
  "layer_norm_eps": 1e-6,
}
_SIGLIP_VISION = {
  **_SIGLIP_TEXT,
  "num_channels": 3,
  "image_size": 224,
  "patch_size": 16,
  "vision_use_head": True,
}
# Settings of preprocessor_config.json that have one value here, and those that
# say nothing about the pixels.
FIXED = {
  "do_resize": True,
  "do_rescale": True,
  "do_normalize": True,
  "do_convert_rgb": True,
}
_IGNORED = {
  "_valid_processor_keys",
  "data_format",
  "device",
  "disable_grouping",
  "feature_extractor_type",
  "image_processor_type",
  "input_data_format",
  "processor_class",
  "return_tensors",
}
_LEGACY_END = 2
"""Old configs give this end id, and mean the highest id of the vocabulary."""


def read_spec(
  folder: pathlib.Path, vocabulary: pathlib.Path, *, name: str
) -> ModelSpec:
  """Reads the settings of a checkpoint.

  Start and end ids come from the vocabulary, and CLIP's texts are padded with
  the end token, as its tokenizer does, whatever config.json says of them.
  """
  config = Document(folder / CONFIG)
  config.require("quantization_config", None, default=None)
  kind = config.choice("model_type", ("clip", "siglip"))
  if kind == "clip":
    settings, read_pixels = _clip(config, vocabulary), _shortest
  else:
    settings, read_pixels = _siglip(config), _squash
  preprocessor, *others = _preprocessors(folder)
  pixels = read_pixels(preprocessor, settings["image_size"])
  for other in others:
    if read_pixels(other, settings["image_size"]) != pixels:
      raise ValueError(
        f"{preprocessor.path} and {other.path.name} must say the same of the"
        " pixels, got two different answers; delete the wrong one."
      )
  settings |= pixels
  if kind == "siglip":
    settings |= _pieces(folder, vocabulary)
  spec = ModelSpec(name=name, school="transformers", **settings)
  return with_ours(spec, preprocessor)


def _preprocessors(folder: pathlib.Path) -> list[Document]:
  """Finds what is said of the pixels: one answer, or one a file."""
  found = []
  # `transformers` 5 puts the image processor into this file, and reads it
  # first; older versions wrote a file of the name without it.
  if (folder / PROCESSOR).exists():
    processor = Document(folder / PROCESSOR)
    if processor.get("image_processor") is not None:
      found.append(processor.section("image_processor"))
  if not found or (folder / PREPROCESSOR).exists():
    found.append(Document(folder / PREPROCESSOR))
  return found


def tokenizer_kind(folder: pathlib.Path) -> str:
  """Returns `ModelSpec.tokenizer` of the checkpoint in a folder."""
  kind = Document(folder / CONFIG).choice("model_type", ("clip", "siglip"))
  return {"clip": "bpe", "siglip": "sentencepiece"}[kind]


def _clip(config: Document, vocabulary: pathlib.Path) -> dict[str, Any]:
  text = config.section("text_config", _CLIP_TEXT)
  vision = config.section("vision_config", _CLIP_VISION)
  # No CLIP has two of them: one is what an edit or an old file left behind.
  vision.require("hidden_act", text.get("hidden_act"))
  settings = _towers(text, vision)
  if settings["image_size"] % settings["patch_size"]:
    size = settings["image_size"]
    vision.fail("patch_size", f"must divide the image size {size}")
  tokenizer = read_tokenizer(vocabulary)
  start, end = special_ids(tokenizer)
  if text.get("eos_token_id") == _LEGACY_END:
    text.values["eos_token_id"] = text.count("vocab_size") - 1
  text.require("eos_token_id", end)
  text.require("vocab_size", tokenizer.get_vocab_size())
  return settings | {
    "embed_dim": config.count("projection_dim", default=512),
    "start_token_id": start,
    "end_token_id": end,
    "pad_token_id": end,
  }


def _siglip(config: Document) -> dict[str, Any]:
  text = config.section("text_config", _SIGLIP_TEXT)
  vision = config.section("vision_config", _SIGLIP_VISION)
  vision.require("vision_use_head", True)
  dim = vision.count("hidden_size")
  if text.get("projection_size") is None:
    text.values["projection_size"] = text.count("hidden_size")
  text.require("projection_size", dim)
  return _towers(text, vision) | {
    "embed_dim": dim,
    **SIGLIP,
  }


def _towers(text: Document, vision: Document) -> dict[str, Any]:
  """Reads what CLIP and SigLIP call by the same words."""
  vision.require("num_channels", 3)
  vision.require("layer_norm_eps", text.get("layer_norm_eps"))
  activation, own = (
    ACTIVATIONS[tower.choice("hidden_act", ACTIVATIONS)]
    for tower in (vision, text)
  )
  for tower in (text, vision):
    heads = tower.count("num_attention_heads")
    if tower.count("hidden_size") % heads:
      tower.fail("hidden_size", f"must be divisible by the {heads} heads")
  return {
    "image_size": vision.square("image_size"),
    "patch_size": vision.square("patch_size"),
    "image_width": vision.count("hidden_size"),
    "image_layers": vision.count("num_hidden_layers"),
    "image_heads": vision.count("num_attention_heads"),
    "image_mlp_dim": vision.count("intermediate_size"),
    "text_width": text.count("hidden_size"),
    "text_layers": text.count("num_hidden_layers"),
    "text_heads": text.count("num_attention_heads"),
    "text_mlp_dim": text.count("intermediate_size"),
    "vocab_size": text.count("vocab_size"),
    "context_length": text.count("max_position_embeddings"),
    "activation": activation,
    "text_activation": None if own == activation else own,
    "layer_norm_eps": text.positive("layer_norm_eps"),
  }


def _shortest(document: Document, image_size: int) -> dict[str, Any]:
  """Reads CLIP's preprocessing: shortest side, then a centre crop."""
  document.require("do_center_crop", True, default=True)
  document.require("resample", 3, default=3)
  settings = _pixels(document, {"do_center_crop", "crop_size"})
  resize = document.get("size")
  if isinstance(resize, dict):
    resize = resize["shortest_edge"] if list(resize) == ["shortest_edge"] else 0
  if not is_count(resize):
    document.fail("size", 'must be pixels or {"shortest_edge": pixels}')
  crop = document.square("crop_size")
  if crop != image_size:
    document.fail("crop_size", f"must be the image size {image_size}")
  if resize < crop:
    document.fail("size", f"must be at least the crop size {crop}")
  return settings | {
    "resize_size": resize,
    "crop_size": crop,
    "interpolation": "bicubic",
  }


def _squash(document: Document, image_size: int) -> dict[str, Any]:
  """Reads SigLIP's preprocessing: both sides to the image size."""
  settings = _pixels(document, {"default_to_square"})
  if document.square("size") != image_size:
    document.fail("size", f"must be the image size {image_size}")
  if document.get("resample", 3) not in tuple(RESAMPLE):
    document.fail("resample", "must be 2 or 3")
  return settings | {
    "resize_size": image_size,
    "crop_size": image_size,
    "resize_mode": "squash",
    "interpolation": RESAMPLE[document.get("resample", 3)],
  }


def _pixels(document: Document, more: set[str]) -> dict[str, Any]:
  """Reads what both kinds of preprocessing share; `more` are their own keys."""
  for key, value in FIXED.items():
    # SigLIP's files say null where they mean that every image is RGB already.
    if not (key == "do_convert_rgb" and document.get(key) is None):
      document.require(key, value, default=value)
  factor = document.get("rescale_factor", 1 / 255)
  if not is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
    document.fail("rescale_factor", "must be 1/255")
  known = {"size", "resample", "rescale_factor", "image_mean", "image_std"}
  document.only({*known, *more, *FIXED, *_IGNORED, OURS})
  return {
    "image_mean": document.three("image_mean"),
    "image_std": document.three("image_std", positive=True),
  }


def _pieces(folder: pathlib.Path, vocabulary: pathlib.Path) -> dict[str, Any]:
  """Reads what SigLIP's tokenizer does around its vocabulary."""
  config = Document(folder / TOKENIZER_CONFIG)
  word = config.choice("tokenizer_class", CLEANINGS)
  config.require("do_lower_case", True, default=True)
  cleaning = {"text_cleaning": CLEANINGS[word]}
  return cleaning | piece_ids(folder, vocabulary)


def piece_ids(
  folder: pathlib.Path, vocabulary: pathlib.Path
) -> dict[str, int | None]:
  """Reads which tokens a SentencePiece tokenizer puts around a text."""
  config = Document(folder / TOKENIZER_CONFIG)
  ids = []
  for key in ("eos_token", "pad_token"):
    token = config.get(key)
    token = token.get("content") if isinstance(token, dict) else token
    found = _piece_id(vocabulary, token)
    if found is None:
      config.fail(key, f"must be a token of {vocabulary.name}")
    ids.append(found)
  end, pad = ids
  return {"start_token_id": None, "end_token_id": end, "pad_token_id": pad}


def _piece_id(vocabulary: pathlib.Path, token: Any) -> int | None:
  """Looks up a special token in a .model or a tokenizer.json."""
  if not isinstance(token, str):
    return None
  if vocabulary.suffix != ".json":
    processor = read_sentencepiece(vocabulary).processor
    found = processor.piece_to_id(token)  # that of "unknown" where it has none
    return found if processor.id_to_piece(found) == token else None
  added = read_vocabulary(vocabulary).get("added_tokens")
  for entry in added if isinstance(added, list) else []:
    if isinstance(entry, dict) and entry.get("content") == token:
      index = entry.get("id")
      return index if type(index) is int and index >= 0 else None
  return None


def with_ours(spec: ModelSpec, document: Document) -> ModelSpec:
  """Follows what a folder that we wrote says beside the layout's own words."""
  ours = document.section(OURS)
  ours.only({"school", "pad_token_id"})
  if "school" in ours.values:
    school = ours.choice("school", ("openai", "transformers"))
    spec = spec._replace(school=school)
  pad = ours.get("pad_token_id", spec.pad_token_id)
  if type(pad) is not int or not 0 <= pad < spec.vocab_size:
    ours.fail("pad_token_id", "must be a token id")
  return spec._replace(pad_token_id=pad)
