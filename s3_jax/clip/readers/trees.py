"""Nested dictionaries of arrays as flat ones."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s3_jax.clip.documents import shown

_DEEPEST = 64
MOST_ENTRIES = 50_000
"""Entries that a file's dictionaries may have in all. A dictionary that several
others hold counts each time: a chain of those is walked in exponential time."""
LONGEST_NAME = 500
"""Letters of a name: long ones, put behind each other, fill the memory."""


def flatten(
  tree: Mapping[Any, Any],
  read: Callable[[Any], np.ndarray | Mapping[Any, Any]],
  *,
  most_bytes: int,
) -> dict[str, np.ndarray]:
  """Joins the names on the way to each array with "/"."""
  arrays: dict[str, np.ndarray] = {}
  entries = taken = 0

  def walk(branch: Mapping[Any, Any], prefix: str, depth: int) -> None:
    nonlocal entries, taken
    if depth > _DEEPEST:
      raise ValueError(f"dictionaries in each other, {depth} deep")
    for key, value in branch.items():
      entries += 1
      if entries > MOST_ENTRIES:
        raise ValueError(f"more than {MOST_ENTRIES} entries")
      if not isinstance(key, str):
        raise ValueError(f"the key {shown(key)} in {shown(prefix)}")
      if len(prefix) + len(key) > LONGEST_NAME:
        raise ValueError(f"a name of more than {LONGEST_NAME} letters")
      name = f"{prefix}{key}"
      try:
        value = read(value)
      except ValueError as error:
        raise ValueError(f"{error} in {shown(name)}") from error
      if isinstance(value, Mapping):
        walk(value, f"{name}/", depth + 1)
      elif name in arrays:
        raise ValueError(f"the name {shown(name)} twice")
      else:
        arrays[name] = value
        taken += value.nbytes
        if taken > most_bytes:
          raise ValueError(f"arrays of more than the file's {most_bytes} bytes")

  walk(tree, "", 0)
  return arrays
