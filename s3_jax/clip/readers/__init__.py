"""Weight files to named numpy arrays, without executing anything in them.

Every reader takes a path and returns a dictionary from tensor names to arrays
in the type of the file; nested trees have names joined with "/". Most arrays
are read-only views of the mapped file, so reading costs no memory; copy what is
to outlive the file. A file that is cut off, inconsistent, or asks for anything
but numbers is a ValueError of one line.
"""

import contextlib
import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from s3_jax.clip.documents import check_file, shown
from s3_jax.clip.readers.msgpack_file import read_msgpack
from s3_jax.clip.readers.numpy_files import (
  read_npy,
  read_npy_array,
  read_npz,
)
from s3_jax.clip.readers.safetensors_file import read_safetensors
from s3_jax.clip.readers.shards import INDEX_SUFFIX, read_index
from s3_jax.clip.readers.torch_archive import read_torch
from s3_jax.clip.readers.trees import LONGEST_NAME
from s3_jax.files import file_sha256, texts_sha256

__all__ = [
  "DATA_SUFFIXES",
  "SUFFIXES",
  "read_arrays",
  "read_data_arrays",
]

Arrays = dict[str, np.ndarray]

_READERS: Mapping[str, Callable[[pathlib.Path], Arrays]] = {
  ".safetensors": read_safetensors,
  ".pt": read_torch,
  ".pth": read_torch,
  ".bin": read_torch,
  ".npz": read_npz,
  ".npy": read_npy,
  ".msgpack": read_msgpack,
}
SUFFIXES = tuple(_READERS)
_read_tensors = functools.partial(read_torch, alone=True)
# Files of data: arrays without a name have the name "".
_DATA_READERS: Mapping[str, Callable[[pathlib.Path], Arrays]] = {
  ".npz": functools.partial(read_npz, texts=True, inflated_limit=1 << 30),
  ".npy": lambda path: {"": read_npy_array(path)},
  ".safetensors": read_safetensors,
  ".pt": _read_tensors,
  ".pth": _read_tensors,
}
DATA_SUFFIXES = tuple(_DATA_READERS)
# flax.training.checkpoints writes msgpack under this name.
# Several names may stand for the same numbers, such as tied weights, and small
# archives may be compressed; more is a trap.
_SHARED, _UNPACKED = 8, 1 << 24  # times the file's size, and bytes beside them
_FLAX = re.compile(r"checkpoint_\d+")


def read_arrays(path: pathlib.Path) -> tuple[Arrays, str]:
  """Reads a weights file of any known form."""
  reader = _READERS.get(path.suffix)
  if _FLAX.fullmatch(path.name):
    reader = read_msgpack
  if path.name.endswith(INDEX_SUFFIX):
    with _readable(path):
      return _read_shards(path)
  if reader is None:
    raise ValueError(
      f"{path} must end in one of {', '.join(SUFFIXES)}, be named"
      f" checkpoint_N, or be a *{INDEX_SUFFIX}."
    )
  return _read(reader, path)


def read_data_arrays(path: pathlib.Path) -> tuple[Arrays, str]:
  """Reads a file of data: named arrays, or one array without a name."""
  reader = _DATA_READERS.get(path.suffix.lower())
  if reader is None:
    raise ValueError(f"{path} must end in one of {', '.join(DATA_SUFFIXES)}.")
  return _read(reader, path)


def _read(
  reader: Callable[[pathlib.Path], Arrays], path: pathlib.Path
) -> tuple[Arrays, str]:
  with _readable(path):
    check_file(path)
    # Read first: a file that is none of the form is refused before all of it
    # is looked at.
    arrays = _checked(reader(path), path)
    return arrays, file_sha256(path)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
  """Says in one line which file cannot be read."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or error
    raise ValueError(
      f"{error.filename or path} must be a readable file, got: {reason}."
    ) from error


def _checked(arrays: Arrays, path: pathlib.Path) -> Arrays:
  """Refuses names that would garble a message, and arrays out of nothing."""
  for name in arrays:
    if not name.isprintable() or len(name) > LONGEST_NAME:
      raise ValueError(
        f"{path} must have printable names of at most {LONGEST_NAME} letters,"
        f" got {shown(name)}."
      )
  size = path.stat().st_size
  taken = sum(value.nbytes for value in arrays.values())
  if taken > _UNPACKED + _SHARED * size:
    raise ValueError(
      f"{path} must hold its arrays, got {taken} bytes of them in {size} of the"
      " file, which they share."
    )
  return arrays


def _read_shards(index: pathlib.Path) -> tuple[Arrays, str]:
  arrays: Arrays = {}
  digests = []
  for shard, names in sorted(read_index(index).items()):
    path = index.parent / shard
    reader = _READERS.get(path.suffix)
    if reader is None:
      raise ValueError(
        f"{index} must name files that end in one of {', '.join(SUFFIXES)}, "
        f"got {shown(shard)}."
      )
    tensors, digest = _read(reader, path)
    digests.append(digest)
    if odd := sorted(names ^ tensors.keys()):
      raise ValueError(
        f"{path} must hold the tensors that {index.name} says, got a "
        f"difference in {len(odd)}, the first {shown(odd[0])}."
      )
    arrays |= tensors
  return arrays, texts_sha256(digests, separator="")
