"""A cache of embeddings that is right or absent.

One `.npz` file per content key, readable with `numpy.load` alone. Beside the
arrays it holds a `header`: schema version, key, shapes, dtypes, free metadata
and the sha256 of all of it. A file that is cut off, altered, of another schema
or of other shapes is reported and ignored, and the caller computes again.
Nothing is ever unpickled.
"""

import hashlib
import io
import json
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from s3_jax.files import atomic_write

__all__ = [
  "Entry",
  "content_key",
  "is_stored",
  "load",
  "load_entry",
  "peek",
  "store",
]

# Raise it when the meaning of what is stored changes; old files then miss.
_SCHEMA = 1
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset({"header", "file", "allow_pickle"})


Expected = Mapping[str, tuple[tuple[int | None, ...], str]]
"""Shape and dtype name of every array; None is a length that may be any."""

_SPARE = 1 << 24
"""Bytes of a file beside its arrays: names, and the reasons of bad images."""


class Entry(NamedTuple):
  """What is stored under a key.

  Attributes:
    arrays: by name.
    metadata: the facts that were stored with them.
  """

  arrays: dict[str, np.ndarray]
  metadata: dict[str, Any]


def content_key(parts: Mapping[str, Any]) -> str:
  """Returns the name under which a computation's result is stored.

  sha256 of the parts in canonical JSON, together with the schema version. All
  that can change the result belongs in: sha256 of the weights, preprocessing,
  tokenizer, templates and texts, dtype, data set, split and its checksum. The
  order of the names does not matter; 1, 1.0, "1" and True are four different
  values.
  """
  if not parts:
    raise ValueError("`parts` must name at least one part, got none.")
  for name, value in parts.items():
    _check_part(name, value)
  content = {"schema": _SCHEMA, "parts": dict(parts)}
  return hashlib.sha256(_canonical(content)).hexdigest()


def store(
  folder: Path,
  key: str,
  arrays: Mapping[str, np.ndarray],
  metadata: Mapping[str, Any],
) -> Path:
  """Stores arrays under a key, all or nothing.

  Arrays are numeric or bool; metadata is JSON, for a person who opens the file.
  """
  path = _path(folder, key)
  for name, array in arrays.items():
    if not _NAME.fullmatch(name) or name in _RESERVED:
      raise ValueError(
        "`arrays` must have names of lower-case letters, digits and _ other "
        f"than {', '.join(sorted(_RESERVED))}, got {name!r}."
      )
    if array.dtype.kind not in "biuf":
      raise ValueError(
        f"`arrays` must be numeric or bool, got {array.dtype} for {name!r}."
      )
  for name, value in metadata.items():
    _check_part(name, value)
  header = {
    "schema": _SCHEMA,
    "key": key,
    "arrays": {name: _describe(array) for name, array in arrays.items()},
    "metadata": dict(metadata),
  }
  header["sha256"] = _digest(header, arrays)
  buffer = io.BytesIO()
  members: dict[str, Any] = dict(arrays)
  members["header"] = np.array(_canonical(header).decode())
  np.savez(buffer, **members)
  atomic_write(path, buffer.getvalue())
  return path


def load(
  folder: Path,
  key: str,
  *,
  expected: Expected,
) -> dict[str, np.ndarray] | None:
  """Loads the arrays stored under a key; None as `load_entry`."""
  entry = load_entry(folder, key, expected=expected)
  return None if entry is None else entry.arrays


def load_entry(
  folder: Path,
  key: str,
  *,
  expected: Expected,
) -> Entry | None:
  """Loads the arrays stored under a key with their metadata.

  None when there is no such file, or, with a warning, when there is one that
  cannot be trusted. The checksum covers the metadata too.
  """
  path = _path(folder, key)
  try:
    size = path.stat().st_size
    if size > _most_bytes(expected):
      return _miss(path, "it is larger than what it should hold")
    content = path.read_bytes()
  except FileNotFoundError:
    return None
  except OSError as error:
    return _miss(path, error.strerror or "it cannot be read")
  try:
    _check_members(content)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays.pop("header")[()]))
    stored_digest = header.pop("sha256")
  except Exception:  # A damaged archive can fail in any of its parsers.
    return _miss(path, "it is damaged")
  if not isinstance(header, dict) or header.get("schema") != _SCHEMA:
    return _miss(path, "it has another schema version")
  if header.get("key") != key:
    return _miss(path, "it belongs to another key")
  described = {name: _describe(array) for name, array in arrays.items()}
  if header.get("arrays") != described or stored_digest != _digest(
    header, arrays
  ):
    return _miss(path, "its content does not match its checksum")
  if not _is_expected(arrays, expected):
    return _miss(path, "it holds other shapes or dtypes than expected")
  return Entry(arrays, header["metadata"])


def _most_bytes(expected: Expected) -> float:
  """Bounds a file's size by what it should hold."""
  total = float(_SPARE)
  for shape, dtype in expected.values():
    if None in shape:
      return math.inf  # what it holds is bounded by what it is
    total += np.dtype(dtype).itemsize * math.prod(shape)  # pyright: ignore
  return total


def _check_members(content: bytes) -> None:
  """Refuses an archive that unpacks to more than it is."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    members = archive.infolist()
  packed = any(each.compress_type != zipfile.ZIP_STORED for each in members)
  if packed or sum(each.file_size for each in members) > len(content):
    raise ValueError("members must be stored as they are, each once.")


def _is_expected(arrays: Mapping[str, np.ndarray], expected: Expected) -> bool:
  def fits(
    array: np.ndarray, shape: tuple[int | None, ...], dtype: str
  ) -> bool:
    lengths = zip(array.shape, shape, strict=True)
    return (
      array.dtype.name == dtype
      and array.ndim == len(shape)
      and all(wanted in (None, length) for length, wanted in lengths)
    )

  return arrays.keys() == expected.keys() and all(
    fits(arrays[name], *rule) for name, rule in expected.items()
  )


def peek(path: Path, name: str, *, most: int) -> np.ndarray | None:
  """Reads one array of at most `most` bytes from any file.

  Nobody has checked its content; None where there is none.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      member = archive.getinfo(f"{name}.npy")
      if member.file_size > most + 4096 or member.compress_type:
        return None
      data = archive.read(member)
    return np.load(io.BytesIO(data), allow_pickle=False)
  except Exception:  # as of a damaged archive
    return None


def is_stored(folder: Path, key: str) -> bool:
  """Says whether there is a file under a key; only `load` looks into it."""
  return _path(folder, key).is_file()


def _miss(path: Path, reason: str) -> None:
  warnings.warn(
    f"Cache file {path.name} is not used: {reason}; computing again.",
    stacklevel=4,
  )


def _path(folder: Path, key: str) -> Path:
  if not re.fullmatch(r"[0-9a-f]{64}", key):
    raise ValueError(f"`key` must be 64 hexadecimal digits, got {key!r}.")
  return folder / f"{key}.npz"


def _describe(array: np.ndarray) -> dict[str, Any]:
  return {"shape": list(array.shape), "dtype": array.dtype.name}


def _canonical(value: Any) -> bytes:
  # Not ASCII-escaped: an emoji and its two escaped surrogates must differ.
  return json.dumps(
    value,
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    allow_nan=False,
  ).encode("utf-8")


def _digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
  digest = hashlib.sha256(_canonical(header))
  for name in sorted(arrays):
    digest.update(np.ascontiguousarray(arrays[name]).tobytes())
  return digest.hexdigest()


def _check_part(name: Any, value: Any) -> None:
  """Refuses what JSON would change, drop or confuse with something else."""
  if not isinstance(name, str):
    raise ValueError(f"names of parts must be strings, got {name!r}.")
  if isinstance(value, Mapping):
    for inner, item in value.items():
      _check_part(inner, item)
  elif isinstance(value, list | tuple):
    for item in value:
      _check_part(name, item)
  elif value is not None and type(value) not in (str, int, float, bool):
    raise ValueError(
      f"part {name!r} must be made of strings, numbers, booleans, None, lists "
      f"and mappings, got {type(value).__name__}."
    )
  elif isinstance(value, float) and not np.isfinite(value):
    raise ValueError(f"part {name!r} must be finite, got {value}.")
  for text in (name, value):
    if isinstance(text, str) and not text.isascii():
      try:
        text.encode("utf-8")
      except UnicodeEncodeError:
        raise ValueError(
          f"part {ascii(name)} must be valid Unicode, got a lone surrogate."
        ) from None
