"""What `results.json` holds (schema 2): checked when written and when read.

docs/RESULT_FILES.md describes every key.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s3_jax.fields import flat_fields, read
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.records import SCHEMA, InResults, Results

__all__ = ["SCHEMA", "plain", "read_results", "validate_results"]


def plain(value: Any, where: str = "results") -> Any:
  """Turns numpy values, tuples and NamedTuples into what JSON knows."""
  if isinstance(value, np.generic | np.ndarray):
    value = value.tolist()
  if isinstance(value, Mapping):
    for key in value:
      if not isinstance(key, str):
        raise ValueError(f"keys of `{where}` must be strings, got {key!r}.")
    return {
      valid_unicode(key): plain(item, f"{where}.{key}")
      for key, item in value.items()
    }
  as_dict = getattr(value, "_asdict", None)
  if isinstance(value, tuple) and as_dict is not None:
    return plain(as_dict(), where)
  if isinstance(value, list | tuple):
    return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"`{where}` must be finite, got {value}.")
  if isinstance(value, str):
    return valid_unicode(value)
  if value is None or isinstance(value, bool | int | float):
    return value
  raise ValueError(
    f"`{where}` must be made of numbers, texts, lists and mappings, got "
    f"{type(value).__name__}."
  )


def validate_results(results: Mapping[str, Any]) -> None:
  """Checks a results mapping against schema 2.

  Fractions must lie in [0, 1] (differences in [-1, 1]), intervals must be
  ordered, every method and comparison must name a listed data set, and no
  (data set, method) may occur twice.
  """
  tree = plain(results)
  read(Results, tree, InResults("results"))
  known = {field.name for field in flat_fields(Results)}
  if unknown := sorted(set(tree) - known):
    raise ValueError(f"`results` must have no other keys, got {unknown[0]!r}.")


def read_results(path: Path) -> dict[str, Any]:
  """Reads the results of a run, of this version or of an older one.

  Parts that an older version did not write are absent; keys that a newer one
  added within the schema are kept and not looked at.
  """
  file = path / "results.json" if path.is_dir() else path
  try:
    text = file.read_text("utf-8-sig")
  except OSError as error:
    raise ValueError(
      f"{str(file)!r} must be a results.json or a folder that holds one:"
      f" {error.strerror}."
    ) from error
  except UnicodeDecodeError:
    raise ValueError(
      f"{str(file)!r} must be a results.json, got a file that is not UTF-8."
    ) from None
  try:
    tree = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{str(file)!r} must be a results.json, got a file that is not JSON:"
      f" {error}."
    ) from None
  try:
    tree = plain(tree)
    read(Results, tree, InResults("results"))
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{str(file)!r} must hold the results of a run: {error}"
    ) from None
  return tree
