"""The settings files of a checkpoint in a Hugging Face layout, written."""

import json
from typing import Any

from tokenizers import Tokenizer

from s3_jax.clip.bpe import END, START
from s3_jax.clip.hf_config import (
  ACTIVATIONS,
  CLEANINGS,
  CONFIG,
  FIXED,
  OURS,
  PREPROCESSOR,
  RESAMPLE,
  TOKENIZER_CONFIG,
)
from s3_jax.clip.sentencepiece import SentencePiece
from s3_jax.clip.zoo import SIGLIP, ModelSpec

_ACTIVATIONS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
_RESAMPLE = {ours: theirs for theirs, ours in RESAMPLE.items()}
# First of the classes that clean so.
_TOKENIZERS = {
  ours: theirs for theirs, ours in reversed(list(CLEANINGS.items()))
}
# What `transformers` can say of a checkpoint only as a whole.
_CLIP = ModelSpec._field_defaults
_SIGLIP = {**_CLIP, **SIGLIP, "resize_mode": "squash"}
_FREE = {"source", "text_activation", "text_cleaning"}


def hf_kind(spec: ModelSpec) -> str | None:
  """Says which of the layout's models a spec describes."""
  fields = spec._asdict()
  for kind, wanted in (("clip", _CLIP), ("siglip", _SIGLIP)):
    if all(fields[key] == wanted[key] for key in wanted.keys() - _FREE):
      cleaned = spec.text_cleaning in (
        ("clip",) if kind == "clip" else tuple(_TOKENIZERS)
      )
      resized = kind == "siglip" or spec.interpolation == "bicubic"
      alike = kind == "siglip" or spec.text_activation is None
      if cleaned and resized and alike:
        return kind
  return None


def hf_files(
  spec: ModelSpec, tokenizer: Tokenizer | SentencePiece
) -> dict[str, bytes]:
  """Writes a spec as the layout's settings files."""
  kind = hf_kind(spec)
  documents = {
    CONFIG: _config(spec, kind),
    PREPROCESSOR: _preprocessor(spec, kind),
    TOKENIZER_CONFIG: _tokenizer(spec, kind, tokenizer),
  }
  return {
    name: (json.dumps(document, indent=2) + "\n").encode()
    for name, document in documents.items()
  }


def _config(spec: ModelSpec, kind: str | None) -> dict[str, Any]:
  shared: dict[str, Any] = {
    "layer_norm_eps": spec.layer_norm_eps,
    "attention_dropout": 0.0,
  }
  text: dict[str, Any] = {}
  whole: dict[str, Any] = {}
  if kind == "clip":
    shared["projection_dim"] = spec.embed_dim
    whole["projection_dim"] = spec.embed_dim
  else:
    text["projection_size"] = spec.embed_dim
  return {
    "architectures": [f"{'CLIP' if kind == 'clip' else 'Siglip'}Model"],
    "model_type": kind,
    # What to compute in; the tensors may be stored in half precision.
    "dtype": "float32",
    **whole,
    "text_config": {
      "model_type": f"{kind}_text_model",
      "hidden_act": _ACTIVATIONS[spec.text_activation or spec.activation],
      "vocab_size": spec.vocab_size,
      "hidden_size": spec.text_width,
      "intermediate_size": spec.text_mlp_dim,
      "num_hidden_layers": spec.text_layers,
      "num_attention_heads": spec.text_heads,
      "max_position_embeddings": spec.context_length,
      "bos_token_id": spec.start_token_id,
      "eos_token_id": spec.end_token_id,
      "pad_token_id": spec.pad_token_id,
      **text,
      **shared,
    },
    "vision_config": {
      "model_type": f"{kind}_vision_model",
      "hidden_act": _ACTIVATIONS[spec.activation],
      "hidden_size": spec.image_width,
      "intermediate_size": spec.image_mlp_dim,
      "num_hidden_layers": spec.image_layers,
      "num_attention_heads": spec.image_heads,
      "num_channels": 3,
      "image_size": spec.image_size,
      "patch_size": spec.patch_size,
      **shared,
    },
  }


def _preprocessor(spec: ModelSpec, kind: str | None) -> dict[str, Any]:
  crop = {"height": spec.crop_size, "width": spec.crop_size}
  if kind == "clip":
    word = "CLIPImageProcessor"
    steps = {**FIXED, "do_center_crop": True}
    sizes = {"size": {"shortest_edge": spec.resize_size}, "crop_size": crop}
  else:
    word = "SiglipImageProcessor"
    steps, sizes = FIXED, {"size": crop}
  document = {
    "image_processor_type": word,
    **steps,
    "resample": _RESAMPLE[spec.interpolation],
    **sizes,
    "rescale_factor": 1 / 255,
    "image_mean": list(spec.image_mean),
    "image_std": list(spec.image_std),
  }
  ours: dict[str, Any] = {}
  if spec.school != "transformers":
    ours["school"] = spec.school
  if kind == "clip" and spec.pad_token_id != spec.end_token_id:
    ours["pad_token_id"] = spec.pad_token_id
  return {**document, OURS: ours} if ours else document


def _tokenizer(
  spec: ModelSpec, kind: str | None, tokenizer: Tokenizer | SentencePiece
) -> dict[str, Any]:
  document: dict[str, Any] = {"model_max_length": spec.context_length}
  if kind == "clip":
    return {
      "tokenizer_class": "CLIPTokenizer",
      **document,
      "bos_token": START,
      "eos_token": END,
      "pad_token": END,
      "unk_token": END,
    }
  if isinstance(tokenizer, SentencePiece):
    word = tokenizer.processor.id_to_piece
  else:
    word = tokenizer.id_to_token
  return {
    "tokenizer_class": _TOKENIZERS[spec.text_cleaning],
    **document,
    "do_lower_case": True,
    "eos_token": word(spec.end_token_id),
    "pad_token": word(spec.pad_token_id),
  }
