"""CLIP in JAX: towers, checkpoints, tokenizer and preprocessing."""

from s3_jax.clip.bpe import train_tokenizer
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.dense import embed_patches
from s3_jax.clip.listing import list_models
from s3_jax.clip.load import Clip, load_clip
from s3_jax.clip.tokenizer import load_tokenizer
from s3_jax.clip.towers import (
  embed_images,
  embed_texts,
  init_params,
  normalize_images,
)
from s3_jax.clip.weights import save_clip
from s3_jax.clip.zoo import MODELS, ModelSpec

__all__ = [
  "MODELS",
  "ZOO",
  "Clip",
  "ModelSpec",
  "embed_images",
  "embed_patches",
  "embed_texts",
  "init_params",
  "list_models",
  "load_clip",
  "load_tokenizer",
  "normalize_images",
  "save_clip",
  "train_tokenizer",
]
