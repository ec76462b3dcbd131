"""Nested dictionaries of arrays as flat ones."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_DEEPEST = 64
_MOST_ARRAYS = 100_000


def flatten(
  tree: Mapping[Any, Any],
  read: Callable[[Any], np.ndarray | Mapping[Any, Any]],
) -> dict[str, np.ndarray]:
  """Joins the names on the way to each array with "/".

  Args:
    tree: nested dictionaries.
    read: turns a value into an array, or into a dictionary to go into; raises
      ValueError for anything else.

  Returns:
    Names and arrays.

  Raises:
    ValueError: a value is neither, two paths give one name, or the tree is too
      deep or too large to be a checkpoint.
  """
  arrays: dict[str, np.ndarray] = {}

  def walk(branch: Mapping[Any, Any], prefix: str, depth: int) -> None:
    if depth > _DEEPEST:
      raise ValueError(f"dictionaries in each other, {depth} deep")
    for key, value in branch.items():
      name = f"{prefix}{key}"
      if not isinstance(key, str):
        raise ValueError(f"the key {key!r:.40} in {prefix!r}")
      try:
        value = read(value)
      except ValueError as error:
        raise ValueError(f"{error} in {name!r}") from error
      if isinstance(value, Mapping):
        walk(value, f"{name}/", depth + 1)
      elif name in arrays:
        raise ValueError(f"the name {name!r} twice")
      else:
        arrays[name] = value
      if len(arrays) > _MOST_ARRAYS:
        raise ValueError(f"more than {_MOST_ARRAYS} arrays")

  walk(tree, "", 0)
  return arrays
