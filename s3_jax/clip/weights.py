"""Checkpoints written: what `load_clip` and others read again."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer

from s3_jax.clip.hf_files import hf_files, hf_kind
from s3_jax.clip.layouts import from_params
from s3_jax.clip.open_clip_files import fits_open_clip, open_clip_files
from s3_jax.clip.readers.mapped import BFLOAT16
from s3_jax.clip.sentencepiece import SentencePiece
from s3_jax.clip.tokenizer import tokenizer_file
from s3_jax.clip.zoo import ModelSpec
from s3_jax.files import atomic_write, replacing

_DTYPES = {
  "float32": np.dtype("f4"),
  "float16": np.dtype("f2"),
  "bfloat16": BFLOAT16,
}


def save_clip(
  folder: str | os.PathLike[str],
  spec: ModelSpec,
  params: Mapping[str, Any],
  tokenizer: Tokenizer | SentencePiece,
  *,
  dtype: str = "float16",
  origin: Mapping[str, str] | None = None,
) -> None:
  """Writes a checkpoint that `load_clip` reads.

  CLIP and SigLIP are written in the Hugging Face layout, which `transformers`
  reads as well; what that layout has no words for, ResNets above all, in
  open_clip's. Each file is written under another name, flushed to disk and
  renamed, the weights last, so that a killed process leaves no half-written
  file behind.
  """
  if dtype not in _DTYPES:
    raise ValueError(
      f"`dtype` must be one of {', '.join(_DTYPES)}, got {dtype!r}."
    )
  vocabulary, content = tokenizer_file(tokenizer)
  if hf_kind(spec) is not None:
    layout, weights = "hugging_face", "model.safetensors"
    files = hf_files(spec, tokenizer)
  elif fits_open_clip(spec):
    layout, weights = "open_clip", "open_clip_model.safetensors"
    files = open_clip_files(spec)
  else:
    raise ValueError(
      f"`spec` must be one that the Hugging Face or the open_clip layout has"
      f" words for, got {spec}."
    )
  files[vocabulary] = content
  tensors = from_params(params, spec, layout)
  for name in tensors:  # one after the other: two copies need twice the memory
    tensors[name] = _stored(name, tensors[name], dtype)
  # `transformers` reads no file without the note of its format.
  metadata = {**(origin or {}), "format": "pt"}
  folder = pathlib.Path(folder)
  for name, data in files.items():
    atomic_write(folder / name, data)
  with replacing(folder / weights) as temporary:
    safetensors.numpy.save_file(tensors, temporary, metadata=metadata)


def _stored(name: str, value: np.ndarray, dtype: str) -> np.ndarray:
  """Rounds an array to the type of the file; scalars keep float32."""
  if value.size > 1:
    with np.errstate(over="ignore"):
      value = value.astype(_DTYPES[dtype])
  if not np.isfinite(value.astype(np.float32)).all():
    raise ValueError(f"`params` must be finite in {dtype}; {name} is not.")
  return value
