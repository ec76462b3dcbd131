"""Flax's checkpoints: nested dictionaries of arrays in msgpack.

The form is small, so it is read here: arrays stay views of the mapped file, a
repeated key is an error, and what training keeps beside the weights (the
optimizer's state) costs nothing.

References:
  The msgpack specification; flax.serialization for its three extensions and
  for arrays that are cut into chunks.
"""

import pathlib
import struct
from collections.abc import Mapping
from typing import Any

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
_DEEPEST = 64
_MOST_VALUES = 500_000  # of a training state; each costs a microsecond or two
# Of a training state only these hold weights.
_WEIGHTS = ("params", "model_state")
_BESIDE = {"global_step", "metadata", "opt_state", "rng", "step"}
_CHUNKED = "__msgpack_chunked_array__"

# First byte: struct format of a plain value.
_NUMBERS = {
  0xCA: ">f",
  0xCB: ">d",
  0xCC: ">B",
  0xCD: ">H",
  0xCE: ">I",
  0xCF: ">Q",
  0xD0: ">b",
  0xD1: ">h",
  0xD2: ">i",
  0xD3: ">q",
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
# First byte: format of the length that follows.
_STRINGS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def read_msgpack(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the weights of a Flax checkpoint."""
  try:
    data = map_file(path)
    reader = _Reader(data)
    tree = reader.value()
    if reader.position != reader.data.size:
      raise ValueError(f"{reader.data.size - reader.position} bytes too many")
    if not isinstance(tree, dict):
      raise ValueError(f"{type(tree).__name__} for a dictionary")
    if "params" in tree:
      tree = _weights(tree)
    return flatten(tree, _array, most_bytes=data.size)
  except ValueError as error:
    raise ValueError(
      f"{path} must be a Flax checkpoint in msgpack, got: {error}."
    ) from error


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
  if not isinstance(shape, dict) or not isinstance(chunks, dict):
    raise ValueError("an array without its chunks")
  sizes = [shape.get(str(index)) for index in range(len(shape))]
  pieces = []
  for index in range(len(chunks)):
    piece = chunks.get(str(index))
    if not isinstance(piece, np.ndarray):
      raise ValueError("an array without its chunks")
    pieces.append(piece.ravel())
  if not pieces:
    raise ValueError("an array without its chunks")
  if any(piece.dtype != pieces[0].dtype for piece in pieces):
    raise ValueError("an array in chunks of several types")
  whole = np.concatenate(pieces)
  return as_array(whole.view(np.uint8), whole.dtype, sizes)


class _Reader:
  """Reads msgpack values one after the other.

  Attributes:
    data: the file's bytes.
    position: where the next value begins.
    values: how many were read, those inside others too.
  """

  def __init__(self, data: np.ndarray, values: int = 0):
    self.data = data
    self.position = 0
    self.values = values

  def take(self, length: int) -> np.ndarray:
    end = self.position + length
    if end > self.data.size:
      raise ValueError(f"an end at byte {self.data.size}, before {end}")
    taken = self.data[self.position : end]
    self.position = end
    return taken

  def number(self, form: str) -> Any:
    (value,) = struct.unpack(form, self.take(struct.calcsize(form)).tobytes())
    return value

  def text(self, length: int) -> str:
    try:
      return self.take(length).tobytes().decode("utf-8")
    except UnicodeDecodeError as error:
      raise ValueError("a text that is no UTF-8") from error

  def value(self, depth: int = 0) -> Any:
    if depth > _DEEPEST:
      raise ValueError(f"values in each other, {depth} deep")
    self.values += 1
    if self.values > _MOST_VALUES:
      raise ValueError(f"more than {_MOST_VALUES} values")
    code = self.number(">B")
    if code <= 0x7F:
      return code
    if code >= 0xE0:
      return code - 0x100
    if code <= 0x8F:
      return self._map(code & 0x0F, depth)
    if code <= 0x9F:
      return self._list(code & 0x0F, depth)
    if code <= 0xBF:
      return self.text(code & 0x1F)
    if code in _CONSTANTS:
      return _CONSTANTS[code]
    if code in _NUMBERS:
      return self.number(_NUMBERS[code])
    if code in _STRINGS:
      return self.text(self.number(_STRINGS[code]))
    if code in _BYTES:
      return self.take(self.number(_BYTES[code]))
    if code in _LISTS:
      return self._list(self.number(_LISTS[code]), depth)
    if code in _MAPS:
      return self._map(self.number(_MAPS[code]), depth)
    if code in _FIXED_EXTENSIONS:
      return self._extension(_FIXED_EXTENSIONS[code], depth)
    if code in _EXTENSIONS:
      return self._extension(self.number(_EXTENSIONS[code]), depth)
    raise ValueError(f"the byte {code:#04x} for a value")

  def _list(self, length: int, depth: int) -> list[Any]:
    return [self.value(depth + 1) for _ in range(length)]

  def _map(self, length: int, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for _ in range(length):
      key = self.value(depth + 1)
      if not isinstance(key, str):
        raise ValueError(f"{type(key).__name__} for a key")
      if key in result:
        raise ValueError(f"the key {shown(key)} twice")
      result[key] = self.value(depth + 1)
    return result

  def _extension(self, length: int, depth: int) -> Any:
    """Reads an array: shape, type and bytes, in msgpack again."""
    kind = self.number(">b")
    inner = _Reader(self.take(length), self.values)
    if kind not in (_ARRAY, _SCALAR):
      return inner.data  # no array; an error only where one is needed
    fields = inner.value(depth + 1)
    self.values = inner.values
    if not isinstance(fields, list) or len(fields) != 3:
      raise ValueError("an array without shape, type and bytes")
    shape, name, data = fields
    if isinstance(name, np.ndarray):
      name = name.tobytes().decode("utf-8", "replace")
    known = isinstance(name, str) and name in _DTYPES
    if not known or not isinstance(data, np.ndarray):
      raise ValueError(f"an array of {shown(name)}")
    if not isinstance(shape, list):
      raise ValueError(f"the shape {shown(shape)}")
    return as_array(data, _DTYPES[name], shape)
