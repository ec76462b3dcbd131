"""What torch writes: TorchScript archives and saved state dicts, without torch.

Both are zip archives of a pickle, `data.pkl`, and one member of raw numbers for
each storage. The pickle is read as data; of all that it could ask for, only
tensors, ordered dictionaries and TorchScript's own modules are understood, and
nothing is called. What lies beside the weights stays what it is, a name.
"""

import io
import itertools
import math
import pathlib
import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np

from s3_jax.clip.documents import shown
from s3_jax.clip.readers.archive import Archive, open_archive, read_member
from s3_jax.clip.readers.mapped import BFLOAT16, as_array, check_shape
from s3_jax.clip.readers.pickles import (
  PERSISTENT,
  Inert,
  not_allowed,
  read_pickle,
)
from s3_jax.clip.readers.trees import LONGEST_NAME, MOST_ENTRIES

_STORAGES = {
  "torch.DoubleStorage": np.dtype("<f8"),
  "torch.FloatStorage": np.dtype("<f4"),
  "torch.HalfStorage": np.dtype("<f2"),
  "torch.BFloat16Storage": BFLOAT16,
  "torch.LongStorage": np.dtype("<i8"),
  "torch.IntStorage": np.dtype("<i4"),
  "torch.ShortStorage": np.dtype("<i2"),
  "torch.CharStorage": np.dtype("i1"),
  "torch.ByteStorage": np.dtype("u1"),
  "torch.BoolStorage": np.dtype("?"),
}
_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER = "torch._utils._rebuild_parameter"
_DICT = "collections.OrderedDict"
# Modules whose functions run programs, open files or reach the network. No
# checkpoint has a use for them, so a file that asks for one is refused as what
# it is, though nothing here would call it.
_PROGRAMS = {
  *("_io", "builtins", "__builtin__", "commands", "ctypes", "importlib", "io"),
  *("imp", "marshal", "nt", "operator", "os", "pickle", "posix", "pty"),
  *("runpy", "shutil", "socket", "subprocess", "sys", "urllib", "webbrowser"),
}
# Values of these modules, which checkpoints do hold.
_VALUES = {
  f"{module}.{word}"
  for module in ("builtins", "__builtin__")
  for word in (
    *("set", "frozenset", "complex", "slice", "range", "object", "bytearray"),
    *("bytes", "int", "float", "str", "bool", "list", "dict", "tuple"),
  )
}
_MODULE = "__torch__."  # in front of every class of a TorchScript archive
# Where training scripts put the weights, beside what else they save.
_NESTED = ("state_dict", "model_state_dict", "model", "module")
_DEEPEST = 64


def read_torch(
  path: pathlib.Path, *, alone: bool = False
) -> dict[str, np.ndarray]:
  """Reads a `.pt` or `.bin` file, as written by torch 1.6 or newer.

  Of a TorchScript archive the tensors of all modules are taken, their names
  joined with dots; other attributes, and the code, are ignored. Of a training
  checkpoint, a dictionary with an entry such as `state_dict` or `model`, that
  entry is taken, and what lies beside the tensors is not read.
  """
  try:
    archive = open_archive(path)
    return _tensors(archive, alone)
  except ValueError as error:
    raise ValueError(
      f"{path} must be an archive of tensors as torch writes since version "
      f"1.6, got: {error}."
    ) from error


def _tensors(archive: Archive, alone: bool) -> dict[str, np.ndarray]:
  roots = [
    posixpath.dirname(name)
    for name in archive.members
    if name.count("/") == 1 and name.endswith("/data.pkl")
  ]
  if len(roots) != 1:
    raise ValueError(f"{len(roots)} members named data.pkl")
  (root,) = roots
  if f"{root}/byteorder" in archive.members:
    order = read_member(archive, f"{root}/byteorder").tobytes()
    if order != b"little":
      raise ValueError(f"the byte order {shown(order)}")
  pickle = read_member(archive, f"{root}/data.pkl").tobytes()
  tree = read_pickle(
    io.BytesIO(pickle),
    len(pickle),
    lambda name: name in _VALUES or name.split(".")[0] not in _PROGRAMS,
  )
  found: dict[str, Inert] = {}
  if isinstance(tree, Inert) and tree.name.startswith(_MODULE):
    _walk_module(tree, "", found, itertools.count(1), 0)
  elif alone and _is_tensor(tree):
    found[""] = tree
  else:
    _walk_state_dict(tree, found)
  storages: dict[str, np.ndarray] = {}
  arrays = {}
  for name, tensor in found.items():
    try:
      arrays[name] = _array(tensor, archive, root, storages)
    except ValueError as error:
      raise ValueError(f"{error} in {shown(name)}") from error
  return arrays


def _is_tensor(value: Any) -> bool:
  called = isinstance(value, Inert) and value.arguments is not None
  return called and value.name in (*_TENSOR, _PARAMETER)


def _walk_module(
  module: Inert,
  prefix: str,
  found: dict[str, Inert],
  visits: Iterator[int],
  depth: int,
) -> None:
  """Collects the tensors of a TorchScript module and of those inside it."""
  if depth > _DEEPEST:
    raise ValueError(f"modules in each other, {depth} deep")
  state = module.state if module.state is not None else {}
  if type(state) is not dict:
    raise ValueError(f"{shown(state)} as the state of {_word(module)}")
  for name, value in state.items():
    # A module that several others hold counts each time.
    if next(visits) > MOST_ENTRIES:
      raise ValueError(f"more than {MOST_ENTRIES} attributes")
    inner = isinstance(value, Inert) and value.name.startswith(_MODULE)
    if not inner and not _is_tensor(value):
      continue
    if not isinstance(name, str) or len(prefix) + len(name) > LONGEST_NAME:
      raise ValueError(
        f"a name other than one of {LONGEST_NAME} letters at most"
      )
    if inner:
      _walk_module(value, f"{prefix}{name}.", found, visits, depth + 1)
    else:
      found[f"{prefix}{name}"] = value


def _walk_state_dict(tree: Any, found: dict[str, Inert]) -> None:
  """Collects the tensors of a saved state dict."""
  entries = _entries(tree)
  for _ in range(_DEEPEST):
    if entries is None:
      raise ValueError(f"{_word(tree)} for a dictionary of tensors")
    inner = {name: _entries(entries.get(name)) for name in _NESTED}
    present = [name for name in _NESTED if _may_hold_tensors(inner[name])]
    if not present:
      break
    if len(present) > 1:
      raise ValueError(f"both {present[0]} and {present[1]}; save one of them")
    entries = inner[present[0]]
  for name, value in (entries or {}).items():
    if _is_tensor(value) and isinstance(name, str):
      found[name] = value
    elif _is_tensor(value) or _rebuilds(value):
      raise ValueError(f"{_word(value)} for the tensor {shown(name)}")
  if not found and entries:
    name, value = next(iter(entries.items()))
    if isinstance(value, Inert):
      raise ValueError(not_allowed(value.name))
    raise ValueError(f"{_word(value)} for the tensor {shown(name)}")


def _may_hold_tensors(entries: dict[Any, Any] | None) -> bool:
  if entries is None:
    return False
  nested = any(_entries(entries.get(name)) is not None for name in _NESTED)
  return nested or any(map(_is_tensor, entries.values()))


def _rebuilds(value: Any) -> bool:
  """Whether a value is a tensor of a kind that is not read here."""
  return isinstance(value, Inert) and value.name.startswith(
    ("torch._utils._rebuild", "torch._tensor._rebuild")
  )


def _entries(value: Any) -> dict[Any, Any] | None:
  if type(value) is dict:
    return value
  made = isinstance(value, Inert) and value.arguments == ()
  if made and value.name == _DICT:
    return value.items
  return None


def _word(value: Any) -> str:
  """Says what a value is; names come from the file and may hold anything."""
  name = value.name if isinstance(value, Inert) else type(value).__name__
  return shown(name)[1:-1]


def _array(
  tensor: Inert, archive: Archive, root: str, storages: dict[str, np.ndarray]
) -> np.ndarray:
  """Turns what a pickle says of a tensor into a view of its storage."""
  for _ in range(2):  # a parameter is a call around a tensor
    if tensor.name == _PARAMETER and tensor.arguments:
      tensor = tensor.arguments[0]
  if not (
    isinstance(tensor, Inert) and tensor.name in _TENSOR and tensor.arguments
  ):
    raise ValueError(f"{_word(tensor)} for a tensor")
  if len(tensor.arguments) < 4:
    raise ValueError(f"{len(tensor.arguments)} arguments of {_word(tensor)}")
  reference, offset, shape, strides = tensor.arguments[:4]
  for numbers in ([offset], shape, strides):
    if not isinstance(numbers, tuple | list):
      raise ValueError(f"{shown(numbers)} for a shape")
    check_shape(numbers)
  storage = _storage(reference, archive, root, storages)
  if len(shape) != len(strides):
    raise ValueError(f"the shape {shown(shape)}, strides {shown(strides)}")
  if math.prod(shape) == 0:
    return np.zeros(shape, storage.dtype)
  last = offset + sum(
    (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
  )
  # The second condition keeps a stride of 0 from making numbers of nothing.
  if last >= storage.size or math.prod(shape) > storage.size:
    raise ValueError(
      f"{shown(shape)} from place {offset} in a storage of {storage.size}"
    )
  return np.lib.stride_tricks.as_strided(
    storage[offset:],
    shape,
    [stride * storage.itemsize for stride in strides],
    writeable=False,
  )


def _storage(
  reference: Any, archive: Archive, root: str, storages: dict[str, np.ndarray]
) -> np.ndarray:
  """Reads the numbers that a persistent id names."""
  if not isinstance(reference, Inert) or reference.name != PERSISTENT:
    raise ValueError(f"{_word(reference)} for a storage")
  identity = reference.arguments[0] if reference.arguments else None
  if not isinstance(identity, tuple) or len(identity) != 5:
    raise ValueError(f"{shown(identity)} for a storage")
  word, kind, key, _, count = identity
  dtype = _STORAGES.get(kind.name) if isinstance(kind, Inert) else None
  if word != "storage" or dtype is None or not isinstance(key, str):
    raise ValueError(f"{shown(identity)} for a storage")
  name = f"{root}/data/{key}"
  if name not in storages:
    storages[name] = as_array(read_member(archive, name), dtype, [count])
  if storages[name].dtype != dtype or storages[name].size != count:
    raise ValueError(f"two descriptions of the storage {shown(key)}")
  return storages[name]
