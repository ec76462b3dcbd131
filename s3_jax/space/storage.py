"""Spaces in one file: safetensors with a checked description."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from s3_jax.files import atomic_write
from s3_jax.space.build import SynonymousSpace
from s3_jax.topology import RipsComplex

_SCHEMA = 1
"""Raised when the meaning of what is stored changes."""

_METADATA = "s3_jax_space"
"""The only key of the file's metadata, so that its bytes are always the same.

It holds JSON: `schema`, `fields` (shape and dtype of each array) and `sha256`.
"""

_ARRAYS = {
  "points": "float32",
  "mask": "bool",
  "gram": "float32",
  "max_edge_length": "float32",
  "deaths": "float32",
}
_COMPLEX = {
  "simplices": "int32",
  "diameters": "float32",
  "count": "int32",
  "overflow": "bool",
}


def save_space(path: str | os.PathLike[str], space: SynonymousSpace) -> str:
  """Writes a space into one safetensors file, whole or not at all.

  The file holds every array of the space, its complex included, and as
  metadata the JSON of schema version, shapes and dtypes, and the sha256 over
  these and all bytes. Equal spaces give equal files. Nothing is pickled.

  Args:
    path: the file; missing folders are made.
    space: one space of any size, with or without a complex.

  Returns:
    The content's sha256, 64 hexadecimal digits.

  Raises:
    OSError: the file cannot be written.

  References:
    Ours.
  """
  import safetensors.numpy

  arrays = {name: getattr(space, name) for name in _ARRAYS}
  if space.simplices is not None:
    arrays |= {
      f"complex.{name}": getattr(space.simplices, name) for name in _COMPLEX
    }
  arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
  description = _describe(arrays)
  digest = _digest(description, arrays)
  metadata = _canonical({**description, "sha256": digest})
  content = safetensors.numpy.save(arrays, {_METADATA: metadata})
  atomic_write(Path(path), content)
  return digest


def load_space(path: str | os.PathLike[str]) -> SynonymousSpace:
  """Reads a space that `save_space` wrote.

  Args:
    path: the file.

  Returns:
    The same space, to the bit.

  Raises:
    ValueError: the file is cut off, altered, of another schema, or no space.
    OSError: it is absent or cannot be read.

  References:
    Ours.
  """
  import safetensors
  import safetensors.numpy

  content = Path(path).read_bytes()
  try:
    arrays = safetensors.numpy.load(content)
    header = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header])["__metadata__"]
    description = json.loads(metadata[_METADATA])
    digest = description.pop("sha256")
    schema = description["schema"]
  except (
    safetensors.SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
  ):
    raise _refusal(path, "is cut off, damaged or of another kind") from None
  if schema != _SCHEMA:
    raise _refusal(path, f"has schema {schema!r}, and {_SCHEMA} is read here")
  if description != _describe(arrays) or digest != _digest(description, arrays):
    raise _refusal(path, "was altered: its sha256 does not match")
  if not _is_space(arrays):
    raise _refusal(path, "holds arrays that make no space")
  fields: dict[str, Any] = {name: jnp.asarray(arrays[name]) for name in _ARRAYS}
  complexes = None
  if len(arrays) > len(_ARRAYS):
    complexes = RipsComplex(
      **{name: jnp.asarray(arrays[f"complex.{name}"]) for name in _COMPLEX}
    )
  return SynonymousSpace(**fields, simplices=complexes)


def _refusal(path, reason):
  return ValueError(
    f"`path` must be a file that `save_space` wrote, and {str(path)!r} "
    f"{reason}; build the space again."
  )


def _describe(arrays):
  fields = {
    name: {"shape": list(array.shape), "dtype": array.dtype.name}
    for name, array in arrays.items()
  }
  return {"schema": _SCHEMA, "fields": fields}


def _digest(description, arrays):
  digest = hashlib.sha256(_canonical(description).encode())
  for name in sorted(arrays):
    digest.update(np.ascontiguousarray(arrays[name]).view(np.uint8).data)
  return digest.hexdigest()


def _canonical(value):
  return json.dumps(
    value, sort_keys=True, separators=(",", ":"), allow_nan=False
  )


def _is_space(arrays):
  """Tells whether names, dtypes and shapes are those of one space."""
  wanted = dict(_ARRAYS)
  if any(name.startswith("complex.") for name in arrays):
    wanted |= {f"complex.{name}": dtype for name, dtype in _COMPLEX.items()}
  if {name: array.dtype.name for name, array in arrays.items()} != wanted:
    return False
  if arrays["points"].ndim != 3:
    return False
  classes, synonyms, dim = arrays["points"].shape
  shapes = {
    "points": (classes, synonyms, dim),
    "mask": (classes, synonyms),
    "gram": (classes, synonyms, synonyms),
    "max_edge_length": (classes,),
    "deaths": (classes, max(synonyms - 1, 0)),
  }
  if len(wanted) > len(_ARRAYS):
    simplices = arrays["complex.simplices"].shape
    if len(simplices) != 3 or simplices[0] != classes or not simplices[2]:
      return False
    shapes |= {
      "complex.simplices": simplices,
      "complex.diameters": simplices[:2],
      "complex.count": (classes,),
      "complex.overflow": (classes,),
    }
  return all(arrays[name].shape == shape for name, shape in shapes.items())
