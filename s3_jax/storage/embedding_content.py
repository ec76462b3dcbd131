"""What a file of embeddings holds: arrays by their part, checked one by one.

Which key of a file is which part stands in `IMAGE_KEYS` and `TEXT_KEYS`. What
numpy's arrays cannot say well, names above all, may stand in a JSON file
beside them.
"""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from s3_jax.clip.documents import parse_json
from s3_jax.clip.readers import read_data_arrays
from s3_jax.files import texts_sha256
from s3_jax.messages import nearest

__all__ = [
  "IMAGE_KEYS",
  "LABEL_KEYS",
  "TEXT_KEYS",
  "Content",
  "Part",
  "read_content",
  "strings",
  "unit_rows",
  "whole_numbers",
]

# Part -> the keys by which files name it.
LABEL_KEYS = {
  "labels": ("labels", "y", "label", "targets"),
  "rows": ("image_rows",),
}
IMAGE_KEYS = {
  "embeddings": (
    "embeddings",
    "x",
    "features",
    "image_embeddings",
    "image_features",
  ),
  **LABEL_KEYS,
  "files": ("files", "paths"),
}
TEXT_KEYS = {
  "embeddings": (
    "embeddings",
    "v",
    "x",
    "features",
    "text_embeddings",
    "text_features",
  ),
  "names": ("names", "texts", "prompts"),
  "class_index": ("class_index", "labels"),
  "class_names": ("class_names", "classes"),
  "forms": ("forms", "form"),
  "form_names": ("form_names",),
  "template": ("template",),
  # A file may say with the texts which images to score.
  "rows": ("image_rows",),
  "image_labels": ("y",),
}

_BLOCK = 16_384
"""Rows that are in float64 at once."""

_ALREADY_UNIT = 1e-6
"""Rows whose length is this near to 1 keep their bits."""

# How far from 1 the length of a row may be that its encoder has normalised:
# half precision rounds every coordinate, bfloat16 more so.
_UNIT, _UNIT_BFLOAT16 = 2e-3, 2e-2

_MOST_CLASSES = 1 << 24


class Part(NamedTuple):
  """One value of a file.

  Attributes:
    where: key and file, for messages.
    value: an array, or what JSON gave.
  """

  where: str
  value: Any


class Content(NamedTuple):
  """The parts of a file and of the JSON beside it.

  Attributes:
    parts: what -> the value.
    sha256: of the file, or of all digests where there are several files.
  """

  parts: dict[str, Part]
  sha256: str


def read_content(
  path: pathlib.Path,
  keys: Mapping[str, Sequence[str]],
  *,
  unnamed: str,
  listed: str,
  json_path: pathlib.Path | None = None,
  others: bool = False,
) -> Content:
  """Reads a file of arrays and the JSON beside it."""
  parts: dict[str, Part] = {}
  known = {key: part for part, names in keys.items() for key in names}

  def add(key: str, value: Any, part: str | None, file: pathlib.Path) -> None:
    if part is None:
      if not others:
        names = nearest([name for some in keys.values() for name in some], key)
        raise ValueError(
          f"{file} must have keys among {names}, got {key!r:.40}."
        )
      return
    where = f"{key!r} in {file}" if key else str(file)
    if part in parts:
      raise ValueError(
        f"{file} must say {part.replace('_', ' ')} once, got {key!r:.40} beside"
        f" {parts[part].where}."
      )
    parts[part] = Part(where, value)

  digests = []
  if path.suffix.lower() == ".json":
    json_path = path
  else:
    arrays, digest = read_data_arrays(path)
    digests.append(digest)
    for name, array in arrays.items():
      add(name, array, known.get(name) if name else unnamed, path)
    json_path = json_path or _beside(path, listed)
  if json_path is not None:
    document, digest = _read_json(json_path)
    digests.append(digest)
    if isinstance(document, dict):
      entry = document.get(path.stem)
      # One JSON may describe several files, by their stems.
      if isinstance(entry, dict) or (
        isinstance(entry, list) and path.stem not in known
      ):
        document = entry
    if isinstance(document, list):
      add("", document, listed, json_path)
    else:
      for key, value in document.items():
        add(key, value, known.get(key), json_path)
  if len(digests) > 1:
    digests = [texts_sha256(digests, separator="")]
  return Content(parts, digests[0])


def _beside(path: pathlib.Path, listed: str) -> pathlib.Path | None:
  """Finds the JSON of the same stem, or names.json with an entry for it."""
  own = path.with_suffix(".json")
  if own.is_file():
    return own
  common = path.with_name("names.json")
  if not common.is_file():
    return None
  document, _ = _read_json(common)
  of_texts = listed == "names" and (
    isinstance(document, list) or "names" in document
  )
  return common if of_texts or path.stem in document else None


def _read_json(path: pathlib.Path) -> tuple[list | dict[str, Any], str]:
  try:
    text = path.read_bytes()
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  document = parse_json(text, path)
  if not isinstance(document, list | dict):
    raise ValueError(
      f"{path} must hold an object or a list, got {document!r:.40}."
    )
  return document, hashlib.sha256(text).hexdigest()


def whole_numbers(part: Part, *, low: int = 0) -> Int32[np.ndarray, " _"]:
  """Reads a list of whole numbers."""
  where, value = part
  if isinstance(value, list):
    for row, item in enumerate(value):
      if type(item) is not int:
        raise ValueError(
          f"{where} must hold whole numbers, got {item!r:.40} at {row}."
        )
    # Those that no array can hold are out of range as well.
    value = np.clip(np.array(value, object), -1, _MOST_CLASSES).astype(np.int64)
  if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
    raise ValueError(f"{where} must hold whole numbers, got {_word(value)}.")
  if value.ndim == 2 and value.shape[1] == 1:
    value = value[:, 0]
  if value.ndim != 1:
    raise ValueError(
      f"{where} must be one whole number a row, got the shape {value.shape}."
    )
  good = (value >= low) & (value < _MOST_CLASSES)  # False for NaN
  if value.dtype.kind == "f":
    good &= value == np.trunc(value)
  if not good.all():
    row = int(np.argmin(good))
    raise ValueError(
      f"{where} must hold whole numbers >= {low}, below {_MOST_CLASSES}, got"
      f" {value[row]!s:.30} at {row}."
    )
  return value.astype(np.int32)


def strings(part: Part) -> tuple[str, ...]:
  """Reads a list of texts, none of them blank."""
  where, value = part
  if isinstance(value, np.ndarray):
    if value.dtype.kind != "U" or value.ndim != 1:
      raise ValueError(
        f"{where} must be one text a row, got {_word(value)} of the shape"
        f" {value.shape}."
      )
    try:
      value = value.tolist()
    except ValueError as error:  # code points beyond Unicode
      raise ValueError(f"{where} must hold texts, got: {error}.") from error
  if not isinstance(value, list):
    raise ValueError(f"{where} must be a list of texts, got {_word(value)}.")
  for row, text in enumerate(value):
    if not isinstance(text, str) or not text.strip() or not _is_unicode(text):
      raise ValueError(
        f"{where} must hold texts that can be read, got {text!r:.40} at {row}."
      )
  return tuple(value)


def unit_rows(
  part: Part,
) -> tuple[Float32[np.ndarray, "rows dim"], bool]:
  """Scales every row to unit length, in float64 and without overflow."""
  where, value = part
  if isinstance(value, list):
    raise ValueError(
      f"{where} must be an array of a file of numbers, got a list."
    )
  bfloat16 = value.dtype.name == "bfloat16"
  if value.dtype.kind != "f" and not bfloat16:
    raise ValueError(f"{where} must hold floating numbers, got {_word(value)}.")
  if value.ndim != 2 or not value.size:
    raise ValueError(
      f"{where} must have the shape [rows, dim] with at least one of each, got"
      f" {value.shape}."
    )
  unit = np.empty(value.shape, np.float32)
  normalized, tolerance = True, _UNIT_BFLOAT16 if bfloat16 else _UNIT
  for start in range(0, len(value), _BLOCK):
    with np.errstate(invalid="ignore"):  # of NaNs, which are refused below
      block = value[start : start + _BLOCK].astype(np.float64)
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
      row = int(np.argmin(finite))
      odd = block[row][~np.isfinite(block[row])][0]
      raise ValueError(
        f"{where} must be finite, got {odd} in row {start + row}: leave the row"
        " out, or make it again."
      )
    largest = np.abs(block).max(axis=1, keepdims=True)
    if not largest.all():
      row = start + int(np.argmin(largest))
      raise ValueError(
        f"{where} must have no row of zeros, which points nowhere, got row"
        f" {row}: leave it out, or make it again."
      )
    scaled = block / largest
    length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):
      error = np.abs(largest * length - 1)
    normalized = normalized and bool((error <= tolerance).all())
    kept = error <= _ALREADY_UNIT
    unit[start : start + _BLOCK] = np.where(kept, block, scaled / length)
  return unit, normalized


def _is_unicode(text: str) -> bool:
  return not any("\ud800" <= character <= "\udfff" for character in text)


def _word(value: Any) -> str:
  if isinstance(value, np.ndarray):
    return f"an array of {value.dtype.name}"
  return type(value).__name__
