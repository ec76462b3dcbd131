"""The safetensors form: a JSON header, then the tensors' bytes.

The `safetensors` library takes the last of two equal names and says nothing, so
the header is read and checked here.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from s3_jax.clip.documents import parse_object, shown
from s3_jax.clip.readers.mapped import BFLOAT16, as_array, map_file

_LONGEST_HEADER = 100_000_000  # bytes; the form's own limit
_DTYPES = {
  "F64": np.dtype("<f8"),
  "F32": np.dtype("<f4"),
  "F16": np.dtype("<f2"),
  "BF16": BFLOAT16,
  "I64": np.dtype("<i8"),
  "I32": np.dtype("<i4"),
  "I16": np.dtype("<i2"),
  "I8": np.dtype("i1"),
  "U8": np.dtype("u1"),
  "BOOL": np.dtype("?"),
}


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a safetensors file.

  Names are looked up, so the header may list the tensors in any order; their
  bytes must fill the file without a gap or an overlap.
  """
  data = map_file(path)
  try:
    return _tensors(data, path)
  except ValueError as error:
    if str(error).startswith(str(path)):
      raise
    raise ValueError(
      f"{path} must be a whole safetensors file, got: {error}."
    ) from error


def _tensors(data: np.ndarray, path: pathlib.Path) -> dict[str, np.ndarray]:
  if data.size < 8:
    raise ValueError(f"{data.size} bytes, less than the header's length takes")
  length = int.from_bytes(data[:8].tobytes(), "little")
  if length > min(data.size - 8, _LONGEST_HEADER):
    raise ValueError(f"a header of {length} bytes in {data.size} of the file")
  header = parse_object(
    data[8 : 8 + length].tobytes(), f"{path}: the safetensors header"
  )
  body = data[8 + length :]
  header.pop("__metadata__", None)
  spans = {name: _span(name, entry) for name, entry in header.items()}
  position = 0
  for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
    if begin != position:
      raise ValueError(
        f"{shown(name)} at {shown(begin)}, where the tensor before it ends at"
        f" {position}"
      )
    position = end
  if position != body.size:
    raise ValueError(f"{body.size} bytes of tensors for {shown(position)}")
  tensors = {}
  for name, (begin, end) in spans.items():
    entry = header[name]
    try:
      tensors[name] = as_array(
        body[begin:end], _DTYPES[entry["dtype"]], entry["shape"]
      )
    except ValueError as error:
      raise ValueError(f"{error} in {shown(name)}") from error
  return tensors


def _span(name: str, entry: Any) -> tuple[int, int]:
  """Checks a header entry's form and returns where the bytes lie."""
  if not isinstance(entry, Mapping) or (
    sorted(entry) != ["data_offsets", "dtype", "shape"]
  ):
    raise ValueError(f"{shown(entry)} as the entry of {shown(name)}")
  if entry["dtype"] not in tuple(_DTYPES):
    raise ValueError(
      f"the type {shown(entry['dtype'])} of {shown(name)}, none of"
      f" {', '.join(_DTYPES)}"
    )
  offsets = entry["data_offsets"]
  good = isinstance(entry["shape"], list) and isinstance(offsets, list)
  if (
    not good or len(offsets) != 2 or any(type(at) is not int for at in offsets)
  ):
    raise ValueError(
      f"{shown(entry['shape'])} at {shown(offsets)} as the entry of"
      f" {shown(name)}"
    )
  begin, end = offsets
  if not 0 <= begin <= end:
    raise ValueError(f"offsets {shown(begin)} to {shown(end)} of {shown(name)}")
  return begin, end
