"""numpy's own files: `.npz` archives, and `.npy` files with one dictionary.

big_vision keeps weights in `.npz`. Scenic keeps OpenAI's weights in a `.npy`
whose one entry is a pickled dictionary; that pickle is read as data, and of all
that it could ask for, only numpy's arrays are understood.
"""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from s3_jax.clip.documents import shown
from s3_jax.clip.readers.archive import (
  INFLATED_LIMIT,
  open_archive,
  read_member,
)
from s3_jax.clip.readers.mapped import BFLOAT16, as_array, map_file
from s3_jax.clip.readers.pickles import Inert, read_pickle
from s3_jax.clip.readers.trees import flatten

_KINDS = "fiub"  # numbers: float, int, unsigned, bool
_CODES = "f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1 b1"  # with the size in bytes
_RECONSTRUCT = (
  "numpy._core.multiarray._reconstruct",
  "numpy.core.multiarray._reconstruct",
)
_SCALAR = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
_FROM_BUFFER = (
  "numpy._core.numeric._frombuffer",
  "numpy.core.numeric._frombuffer",
)
_ARRAY, _DTYPE = "numpy.ndarray", "numpy.dtype"
# How protocol 2 writes bytes, and how it writes none.
_ENCODE, _NO_BYTES = "_codecs.encode", "__builtin__.bytes"
_BFLOAT16 = ("ml_dtypes.bfloat16", "jax.numpy.bfloat16")
_DICT = "collections.OrderedDict"
_ALLOWED = {
  *_RECONSTRUCT,
  *_SCALAR,
  *_FROM_BUFFER,
  *_BFLOAT16,
  _ARRAY,
  _DTYPE,
  _ENCODE,
  _NO_BYTES,
  _DICT,
}


def read_npz(
  path: pathlib.Path,
  *,
  texts: bool = False,
  inflated_limit: int = INFLATED_LIMIT,
) -> dict[str, np.ndarray]:
  """Reads an archive as `numpy.savez` writes it; nothing is unpickled."""
  arrays = {}
  try:
    archive = open_archive(path)
    for member in archive.members:
      name = member.removesuffix(".npy")
      content = read_member(archive, member, inflated_limit=inflated_limit)
      try:
        arrays[name] = _npy_member(content, texts)
      except ValueError as error:
        raise ValueError(f"{error} in {shown(member)}") from error
    if len(arrays) != len(archive.members):
      raise ValueError("two members for one name")
  except ValueError as error:
    raise ValueError(
      f"{path} must be an archive of arrays as numpy.savez writes, got: "
      f"{error}."
    ) from error
  return arrays


def read_npy_array(path: pathlib.Path) -> np.ndarray:
  """Reads one array of numbers or texts; nothing is unpickled."""
  try:
    return _npy_member(map_file(path), True)
  except ValueError as error:
    raise ValueError(
      f"{path} must be an array as numpy.save writes, got: {error}."
    ) from error


def read_npy(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a dictionary of arrays that `numpy.save` has pickled."""
  try:
    with open(path, "rb") as file:
      shape, _, dtype = _read_header(file)
      if dtype != np.dtype("O") or shape != ():
        raise ValueError(f"an array of {dtype.str} with {len(shape)} axes")
      size = path.stat().st_size
      outer = read_pickle(
        file, size - file.tell(), lambda name: name in _ALLOWED
      )
    return flatten(_dictionary(outer), _array, most_bytes=size)
  except ValueError as error:
    raise ValueError(
      f"{path} must be one dictionary of arrays as numpy.save pickles it, got:"
      f" {error}."
    ) from error


def _read_header(
  file: io.BufferedIOBase,
) -> tuple[tuple[int, ...], bool, np.dtype]:
  try:
    version = np.lib.format.read_magic(file)
  except ValueError as error:
    raise ValueError("no beginning of the npy form") from error
  readers = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }
  if version not in readers:
    raise ValueError(f"the version {version} of the npy form")
  try:
    return readers[version](file)
  except Exception as error:  # numpy tries more than one parser
    raise ValueError("no header of the npy form") from error


def _npy_member(content: np.ndarray, texts: bool) -> np.ndarray:
  file = io.BytesIO(content[:70_000].tobytes())  # a header has at most 64 KiB
  shape, fortran, dtype = _read_header(file)
  if not (texts and dtype.kind == "U" and dtype == dtype.newbyteorder("<")):
    dtype = _number(dtype)
  return as_array(content[file.tell() :], dtype, shape, fortran=fortran)


def _number(dtype: np.dtype) -> np.dtype:
  """Admits numbers, little-endian; bfloat16 hides as two raw bytes."""
  if dtype.kind == "V" and dtype.names is None and dtype.itemsize == 2:
    return BFLOAT16
  if dtype == BFLOAT16:
    return dtype
  if dtype.kind not in _KINDS or dtype != dtype.newbyteorder("<"):
    raise ValueError(f"an array of {dtype.str}")
  return dtype


def _called(value: Any, names: tuple[str, ...]) -> bool:
  called = isinstance(value, Inert) and value.arguments is not None
  return called and value.name in names


def _dictionary(outer: Any) -> Mapping[Any, Any]:
  """Unwraps the array with one entry that `numpy.save` puts around."""
  if _called(outer, _RECONSTRUCT) and isinstance(outer.state, tuple):
    entries = outer.state[-1]
    if isinstance(entries, list) and len(entries) == 1:
      outer = entries[0]
  if _called(outer, (_DICT,)) and outer.arguments == ():
    outer = outer.items
  if type(outer) is not dict:
    raise ValueError(f"{type(outer).__name__} for a dictionary")
  return outer


def _array(value: Any) -> np.ndarray | Mapping[Any, Any]:
  """Turns what a pickle says of an array into an array."""
  if type(value) is dict or _called(value, (_DICT,)):
    return _dictionary(value)
  if _called(value, _RECONSTRUCT) and isinstance(value.state, tuple):
    if len(value.state) == 5:
      _, shape, dtype, fortran, raw = value.state
      return _from_bytes(raw, dtype, shape, bool(fortran))
  elif _called(value, _FROM_BUFFER) and len(value.arguments) == 4:
    raw, dtype, shape, order = value.arguments
    return _from_bytes(raw, dtype, shape, order == "F")
  elif _called(value, _SCALAR) and len(value.arguments) == 2:
    dtype, raw = value.arguments
    return _from_bytes(raw, dtype, (), False)
  word = shown(value.name) if isinstance(value, Inert) else shown(value)
  raise ValueError(f"{word} for an array")


def _from_bytes(raw: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
  if _called(raw, (_ENCODE,)) and len(raw.arguments) == 2:
    text, encoding = raw.arguments
    if encoding != "latin1" or not isinstance(text, str):
      raise ValueError(f"bytes in {shown(encoding)}")
    try:
      raw = text.encode("latin1")
    except UnicodeEncodeError as error:
      raise ValueError("letters for bytes") from error
  elif _called(raw, (_NO_BYTES,)) and raw.arguments == ():
    raw = b""
  if not isinstance(raw, bytes | bytearray) or not isinstance(shape, tuple):
    raise ValueError(f"{type(raw).__name__} for an array's bytes")
  data = np.frombuffer(raw, np.uint8)
  return as_array(data, _dtype(dtype), shape, fortran=fortran)


def _dtype(value: Any) -> np.dtype:
  """Reads a pickled dtype: a code such as "f4", then its byte order."""
  if not _called(value, (_DTYPE,)) or not value.arguments:
    raise ValueError(f"{type(value).__name__} for a dtype")
  code = value.arguments[0]
  if code == "bfloat16" or (isinstance(code, Inert) and code.name in _BFLOAT16):
    return BFLOAT16
  state = value.state
  order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
  if not isinstance(code, str) or code not in _CODES.split(" "):
    raise ValueError(f"the dtype {shown(code)}")
  if order not in ("<", "=", "|"):
    raise ValueError(f"the byte order {shown(order)}")
  return np.dtype(code)
