"""Flax's checkpoints: nested dictionaries of arrays in msgpack.

The library `msgpack` reads the form; hooks refuse a repeated key and more
values than a checkpoint has. An array is a view of the bytes that it came in.

References:
  The msgpack specification; flax.serialization for its three extensions and
  for arrays that are cut into chunks.
"""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from s3_jax.clip.documents import shown
from s3_jax.clip.readers.mapped import BFLOAT16, as_array, map_file
from s3_jax.clip.readers.trees import flatten

_DTYPES = {
  name: np.dtype(name)
  for name in (
    *("float64", "float32", "float16", "bool"),
    *("int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8"),
  )
} | {"bfloat16": BFLOAT16, "V2": BFLOAT16}
_ARRAY, _SCALAR = 1, 3  # flax's extension codes; 2 is a complex number
_MOST_VALUES = 500_000  # of a training state, in lists and dictionaries
# What a training state holds beside the weights.
_BESIDE = {"global_step", "metadata", "opt_state", "rng", "step"}
_CHUNKED = "__msgpack_chunked_array__"


def read_msgpack(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the weights of a Flax checkpoint."""
  try:
    data = map_file(path)
    tree = _unpack(data)
    if not isinstance(tree, dict):
      raise ValueError(f"{type(tree).__name__} for a dictionary")
    if "params" in tree:
      tree = _weights(tree)
    return flatten(tree, _array, most_bytes=data.size)
  except ValueError as error:
    raise ValueError(
      f"{path} must be a Flax checkpoint in msgpack, got: {error}."
    ) from error


def _unpack(data: np.ndarray) -> Any:
  """Reads a file's one value; what lists and dictionaries hold is counted."""
  left = _MOST_VALUES

  def counted(values: list[Any]) -> list[Any]:
    nonlocal left
    left -= len(values)
    if left < 0:
      raise ValueError(f"more than {_MOST_VALUES} values")
    return values

  unpack = functools.partial(
    msgpack.unpackb,
    list_hook=counted,
    object_pairs_hook=lambda pairs: _dictionary(counted(pairs)),
    strict_map_key=False,  # `_dictionary` says which key is wrong
    # Room is made for what a file says it has, before it is read.
    max_array_len=_MOST_VALUES,
    max_map_len=_MOST_VALUES,
  )

  def extension(kind: int, content: bytes) -> Any:
    # What is no array is an error only where one is needed. An array holds no
    # extension, so that this is not called inside itself.
    if kind not in (_ARRAY, _SCALAR):
      return msgpack.ExtType(kind, b"")
    return _read_array(unpack(content))

  try:
    return unpack(data, ext_hook=extension)
  except msgpack.ExtraData as error:
    raise ValueError(f"{len(error.extra)} bytes too many") from error
  except MemoryError as error:  # msgpack copies what comes too many
    raise ValueError("more bytes than the memory has room for") from error
  except msgpack.FormatError as error:
    raise ValueError("the byte 0xc1 for a value") from error
  except msgpack.StackError as error:
    raise ValueError("values in each other, too deep") from error
  except UnicodeDecodeError as error:
    raise ValueError("a text that is no UTF-8") from error
  except ValueError as error:
    words = str(error)  # msgpack's of a length begin with it
    if "max_array_len" in words or "max_map_len" in words:
      raise ValueError(f"more than {_MOST_VALUES} values") from error
    if "incomplete input" in words or "exceeds max_" in words:
      raise ValueError(
        f"an end at byte {data.size}, before that of a value"
      ) from error
    raise


def _dictionary(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
  result: dict[str, Any] = {}
  for key, value in pairs:
    if not isinstance(key, str):
      raise ValueError(f"{type(key).__name__} for a key")
    if key in result:
      raise ValueError(f"the key {shown(key)} twice")
    result[key] = value
  return result


def _read_array(fields: Any) -> np.ndarray:
  """Makes an array of its shape, its type and its bytes."""
  if not isinstance(fields, list) or len(fields) != 3:
    raise ValueError("an array without shape, type and bytes")
  shape, name, content = fields
  if isinstance(name, bytes):
    name = name.decode("utf-8", "replace")
  known = isinstance(name, str) and name in _DTYPES
  if not known or not isinstance(content, bytes):
    raise ValueError(f"an array of {shown(name)}")
  if not isinstance(shape, list):
    raise ValueError(f"the shape {shown(shape)}")
  return as_array(np.frombuffer(content, np.uint8), _DTYPES[name], shape)


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
  """Picks what belongs to the network out of a training state."""
  merged = {}
  for key, value in state.items():
    if key == "model_state" and isinstance(value, dict):
      merged |= value
    elif key not in _BESIDE:
      merged[key] = value
  return merged


def _array(value: Any) -> np.ndarray | Mapping[Any, Any]:
  if isinstance(value, Mapping) and _CHUNKED in value:
    return _join(value)
  if isinstance(value, np.ndarray | Mapping):
    return value
  raise ValueError(f"{type(value).__name__} for an array")


def _join(value: Mapping[str, Any]) -> np.ndarray:
  """Puts the chunks of a large array together."""
  shape, chunks = value.get("shape"), value.get("chunks")
  if not isinstance(shape, dict) or not isinstance(chunks, dict) or not chunks:
    raise ValueError("an array without its chunks")
  sizes = [shape.get(str(index)) for index in range(len(shape))]
  pieces: list[Any] = [chunks.get(str(index)) for index in range(len(chunks))]
  if not all(isinstance(piece, np.ndarray) for piece in pieces):
    raise ValueError("an array without its chunks")
  if any(piece.dtype != pieces[0].dtype for piece in pieces):
    raise ValueError("an array in chunks of several types")
  whole = np.concatenate([piece.ravel() for piece in pieces])
  return as_array(whole.view(np.uint8), whole.dtype, sizes)
