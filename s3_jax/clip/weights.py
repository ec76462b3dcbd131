"""Checkpoints in the Hugging Face CLIP layout: reading and writing.

A folder of this layout holds config.json, preprocessor_config.json,
tokenizer.json and model.safetensors. Every tensor of the file must be one that
the towers have, of the right shape, and none may be missing.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import UInt8
from PIL import Image
from tokenizers import Tokenizer

from s3_jax.clip.hf_config import config_files, read_spec
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.tokenizer import (
  TextTokenizer,
  load_tokenizer,
  read_tokenizer,
)
from s3_jax.clip.towers import init_params
from s3_jax.clip.zoo import MODELS, ModelSpec
from s3_jax.files import atomic_write

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"

# Index buffers that old versions of `transformers` stored beside the weights
# and that its newer versions skip, as we do: 0, 1, 2, ... carry no information.
_BUFFERS = {
  "text_model.embeddings.position_ids",
  "vision_model.embeddings.position_ids",
}


class Clip(NamedTuple):
  """A checkpoint, ready to embed.

  Attributes:
    spec: its settings.
    params: its parameters, float32: {"image", "text", "logit_scale"}.
    tokenize: list of texts to i32[texts, context].
    preprocess: PIL image to u8[rows, cols, 3], resized and cropped.
    sha256: of the weights file, hexadecimal.
  """

  spec: ModelSpec
  params: dict[str, Any]
  tokenize: TextTokenizer
  preprocess: Callable[[Image.Image], UInt8[np.ndarray, "rows cols 3"]]
  sha256: str


def load_clip(source: str | os.PathLike[str]) -> Clip:
  """Loads a CLIP checkpoint with everything that belongs to it.

  Args:
    source: a name of `MODELS`, or a local folder in the Hugging Face layout
      (config.json, preprocessor_config.json, tokenizer.json,
      model.safetensors in float32, float16 or bfloat16).

  Returns:
    The checkpoint.

  Raises:
    ValueError: no such name or folder; a file is missing or broken; a setting
      is not supported; tensors are missing, left over, mis-shaped or not
      finite. The message names the file and what is wrong.
  """
  if source in MODELS:
    name, folder = str(source), MODELS[str(source)]
  else:
    folder = pathlib.Path(source)
    name = folder.resolve().name
    if not folder.is_dir():
      raise ValueError(
        "`source` must be a folder in the Hugging Face CLIP layout or one of "
        f"{', '.join(MODELS)}, got {os.fspath(source)!r}."
      )
  tokenizer = read_tokenizer(folder / TOKENIZER)
  spec = read_spec(folder, tokenizer, name=name)
  params, sha256 = _read_params(folder / WEIGHTS, spec)
  return Clip(
    spec,
    params,
    load_tokenizer(folder / TOKENIZER, spec),
    functools.partial(preprocess_image, spec),
    sha256,
  )


def save_clip(
  folder: str | os.PathLike[str],
  spec: ModelSpec,
  params: Mapping[str, Any],
  tokenizer: Tokenizer,
  *,
  dtype: str = "float16",
) -> None:
  """Writes a checkpoint that `load_clip` and `transformers` can read.

  Each file is written under another name, flushed to disk and renamed, the
  weights last, so that a killed process leaves no half-written file behind.

  Args:
    folder: where to write; made when missing.
    spec: the checkpoint's settings.
    params: its parameters.
    tokenizer: its byte-pair encoding.
    dtype: type of the stored tensors, "float16" or "float32"; the logit scale
      is always stored in float32.

  Raises:
    ValueError: `dtype` is unknown, the parameters do not fit the spec, or a
      value is not finite in `dtype`.
  """
  if dtype not in ("float16", "float32"):
    raise ValueError(f"`dtype` must be float16 or float32, got {dtype!r}.")
  leaves = _flatten(params)
  layout = _layout(spec)
  if leaves.keys() != {tensor.path for tensor in layout.values()}:
    raise ValueError(f"`params` must be those of the spec of {spec.name}.")
  tensors = {}
  for name, tensor in layout.items():
    value = np.asarray(leaves[tensor.path], np.float32)
    if value.shape != tensor.ours:
      raise ValueError(
        f"`params` must have shape {tensor.ours} at {'/'.join(tensor.path)}, "
        f"got {value.shape}."
      )
    value = _to_layout(value, tensor)
    if value.ndim:
      with np.errstate(over="ignore"):
        value = value.astype(dtype)
    if not np.isfinite(value).all():
      raise ValueError(f"`params` must be finite in {dtype}; {name} is not.")
    tensors[name] = np.require(value, requirements="C")
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  files = config_files(spec)
  files[TOKENIZER] = tokenizer.to_str(pretty=True).encode()
  # `transformers` reads no file without this note of its origin.
  files[WEIGHTS] = safetensors.numpy.save(tensors, metadata={"format": "pt"})
  for name, content in files.items():
    atomic_write(folder / name, content)


class _Tensor(NamedTuple):
  """One tensor: its path in our tree, and its shape here and in the file."""

  path: tuple[str, ...]
  ours: tuple[int, ...]
  theirs: tuple[int, ...]


def _layout(spec: ModelSpec) -> dict[str, _Tensor]:
  """Maps the file's tensor names to our parameters."""
  shapes = jax.eval_shape(lambda: init_params(jax.random.key(0), spec))
  layout = {}
  for path, leaf in _flatten(shapes).items():
    ours = theirs = leaf.shape
    if path[-1] == "kernel":
      theirs = ours[::-1]
    if path[1:2] == ("patch_embedding",):
      theirs = (ours[1], 3, spec.patch_size, spec.patch_size)
    layout[_name(path)] = _Tensor(path, ours, theirs)
  return layout


# Words of our paths and of the file's names, where they differ.
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


def _name(path: tuple[str, ...]) -> str:
  """Translates a path of our tree to the file's name of that tensor."""
  if path == ("logit_scale",):
    return "logit_scale"
  tower, first, *rest = path
  model = "vision_model" if tower == "image" else "text_model"
  rest = [_WORDS.get(word, word) for word in rest]
  if first == "projection":
    return f"{'visual' if tower == 'image' else 'text'}_projection.weight"
  if first == "class_embedding":
    return f"{model}.embeddings.class_embedding"
  if first.endswith("_embedding"):
    return f"{model}.embeddings.{first}.weight"
  if first.startswith("block_"):
    return ".".join(
      [model, "encoder.layers", first.removeprefix("block_"), *rest]
    )
  return ".".join([model, _WORDS[first], *rest])


def _to_layout(value: np.ndarray, tensor: _Tensor) -> np.ndarray:
  if len(tensor.theirs) == 4:
    width, channels, size, _ = tensor.theirs
    value = value.reshape(size, size, channels, width).transpose(3, 2, 0, 1)
  elif tensor.path[-1] == "kernel":
    value = value.T
  return value


def _from_layout(value: np.ndarray, tensor: _Tensor) -> np.ndarray:
  if len(tensor.theirs) == 4:
    value = value.transpose(2, 3, 1, 0).reshape(tensor.ours)
  elif tensor.path[-1] == "kernel":
    value = value.T
  return value


def _read_params(
  path: pathlib.Path, spec: ModelSpec
) -> tuple[dict[str, Any], str]:
  """Reads a weights file as our tree and returns it with the file's sha256."""
  try:
    with open(path, "rb") as file:
      sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with safetensors.safe_open(path, framework="numpy") as file:
      tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except OSError as error:
    reason = error.strerror or error
    raise ValueError(
      f"{path} must be a readable file, got: {reason}."
    ) from error
  except safetensors.SafetensorError as error:
    raise ValueError(
      f"{path} must be a whole safetensors file, got: {error}."
    ) from error
  layout = _layout(spec)
  _check_tensors(path, tensors, layout)
  params: dict[str, Any] = {}
  for name, tensor in layout.items():
    value = _from_layout(tensors[name].astype(np.float32), tensor)
    branch = params
    for word in tensor.path[:-1]:
      branch = branch.setdefault(word, {})
    branch[tensor.path[-1]] = jnp.asarray(value)
  return params, sha256


def _check_tensors(
  path: pathlib.Path,
  tensors: Mapping[str, np.ndarray],
  layout: Mapping[str, _Tensor],
) -> None:
  """Raises one error that names all that is wrong with a file's tensors."""
  names = tensors.keys() - _BUFFERS
  wrong = []
  if missing := sorted(layout.keys() - names):
    wrong.append(f"missing: {', '.join(missing)}")
  if extra := sorted(names - layout.keys()):
    wrong.append(f"left over: {', '.join(extra)}")
  shared = sorted(names & layout.keys())
  if shapes := [
    f"{name} {list(tensors[name].shape)} for {list(layout[name].theirs)}"
    for name in shared
    if tensors[name].shape != layout[name].theirs
  ]:
    wrong.append(f"mis-shaped: {', '.join(shapes)}")
  if numbers := [
    name
    for name in shared
    if not np.isfinite(tensors[name].astype(np.float32)).all()
  ]:
    wrong.append(f"not finite: {', '.join(numbers)}")
  if wrong:
    raise ValueError(
      f"{path} must hold the tensors that its config.json asks for, got "
      f"{'; '.join(wrong)}."
    )


def _flatten(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> dict:
  leaves = {}
  for key, value in tree.items():
    if isinstance(value, Mapping):
      leaves |= _flatten(value, (*prefix, key))
    else:
      leaves[*prefix, key] = value
  return leaves
