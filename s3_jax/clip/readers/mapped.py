"""Files as mapped bytes, and bytes as arrays, with every bound checked."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from s3_jax.clip.documents import shown

BFLOAT16 = np.dtype(jnp.bfloat16)
_MOST_AXES = 32
_LARGEST_SIZE = 2**40


def map_file(path: pathlib.Path) -> UInt8[np.ndarray, " bytes"]:
  """Maps a file into memory for reading."""
  if path.stat().st_size == 0:  # an empty file cannot be mapped
    return np.zeros(0, np.uint8)
  return np.memmap(path, np.uint8, mode="r").view(np.ndarray)


def check_shape(shape: Sequence[Any]) -> None:
  """Refuses what can be no array's shape."""
  if len(shape) > _MOST_AXES:
    raise ValueError(f"{len(shape)} axes")
  for size in shape:
    if type(size) is not int or not 0 <= size <= _LARGEST_SIZE:
      raise ValueError(f"a size of {shown(size)}")


def as_array(
  data: UInt8[np.ndarray, " bytes"],
  dtype: np.dtype,
  shape: Sequence[Any],
  *,
  fortran: bool = False,
) -> np.ndarray:
  """Views bytes as an array."""
  check_shape(shape)
  wanted = math.prod(shape) * dtype.itemsize
  if wanted != data.size:
    raise ValueError(f"{data.size} bytes for {wanted}")
  array = np.frombuffer(data, dtype)
  return array.reshape(tuple(shape), order="F" if fortran else "C")
