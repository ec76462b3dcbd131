"""What torch writes: TorchScript archives and saved state dicts, without torch.

Both are zip archives of a pickle, `data.pkl`, and one member of raw numbers for
each storage. The pickle is read as data; of all that it could ask for, only
tensors, ordered dictionaries and TorchScript's own modules are understood.
"""

import io
import math
import pathlib
import posixpath
from typing import Any

import numpy as np

from s3_jax.clip.readers.archive import Archive, open_archive, read_member
from s3_jax.clip.readers.mapped import BFLOAT16, as_array
from s3_jax.clip.readers.pickles import PERSISTENT, Inert, read_pickle

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
# Lists of numbers and tagged containers among a module's attributes.
_TORCHSCRIPT = (
  "torch.jit._pickle.build_boollist",
  "torch.jit._pickle.build_doublelist",
  "torch.jit._pickle.build_intlist",
  "torch.jit._pickle.build_tensorlist",
  "torch.jit._pickle.restore_type_tag",
)
_ALLOWED = {*_STORAGES, *_TENSOR, *_TORCHSCRIPT, _PARAMETER, _DICT}
_MODULE = "__torch__."  # in front of every class of a TorchScript archive

_MOST_TENSORS = 100_000  # a few thousand is large; shared modules can multiply
_DEEPEST = 64


def read_torch(
  path: pathlib.Path, *, alone: bool = False
) -> dict[str, np.ndarray]:
  """Reads a `.pt` or `.bin` file, as written by torch 1.6 or newer.

  Of a TorchScript archive the tensors of all modules are taken, their names
  joined with dots; other attributes, and the code, are ignored. Of a training
  checkpoint, a dictionary with the entry `state_dict`, that entry is taken.

  Args:
    path: the file.
    alone: whether the file may also be one tensor without a name; its name
      here is "".

  Returns:
    The tensors, as views of the mapped file where they are contiguous.

  Raises:
    ValueError: no whole archive, a pickle that asks for anything but tensors
      (the message names it), or a tensor that reaches outside its storage.
    OSError: the file cannot be read.
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
      raise ValueError(f"the byte order {order!r:.20}")
  pickle = read_member(archive, f"{root}/data.pkl").tobytes()
  tree = read_pickle(
    io.BytesIO(pickle),
    len(pickle),
    lambda name: name in _ALLOWED or name.startswith(_MODULE),
  )
  found: dict[str, Inert] = {}
  if isinstance(tree, Inert) and tree.name.startswith(_MODULE):
    _walk_module(tree, "", found, 0)
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
      raise ValueError(f"{error} in {name!r}") from error
  return arrays


def _is_tensor(value: Any) -> bool:
  called = isinstance(value, Inert) and value.arguments is not None
  return called and value.name in (*_TENSOR, _PARAMETER)


def _walk_module(
  module: Inert, prefix: str, found: dict[str, Inert], depth: int
) -> None:
  """Collects the tensors of a TorchScript module and of those inside it."""
  if depth > _DEEPEST:
    raise ValueError(f"modules in each other, {depth} deep")
  state = module.state if module.state is not None else {}
  if type(state) is not dict:
    raise ValueError(f"{state!r:.40} as the state of {_word(module)}")
  for name, value in state.items():
    if _is_tensor(value):
      found[f"{prefix}{name}"] = value
      if len(found) > _MOST_TENSORS:
        raise ValueError(f"more than {_MOST_TENSORS} tensors")
    elif isinstance(value, Inert) and value.name.startswith(_MODULE):
      _walk_module(value, f"{prefix}{name}.", found, depth + 1)


def _walk_state_dict(tree: Any, found: dict[str, Inert]) -> None:
  """Collects the tensors of a saved state dict."""
  entries = _entries(tree)
  if entries is not None and "state_dict" in entries:
    entries = _entries(entries["state_dict"])
  if entries is None:
    raise ValueError(f"{_word(tree)} for a dictionary of tensors")
  for name, value in entries.items():
    if not isinstance(name, str) or not _is_tensor(value):
      raise ValueError(f"{_word(value)} for the tensor {name!r}")
    found[name] = value


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
  return repr(name)[1:-1][:120]


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
  numbers = [offset, *_whole(shape), *_whole(strides)]
  if any(type(number) is not int or number < 0 for number in numbers):
    raise ValueError(f"shape {shape!r:.60}, strides {strides!r:.60}")
  storage = _storage(reference, archive, root, storages)
  if len(shape) != len(strides):
    raise ValueError(f"shape {shape!r:.60}, strides {strides!r:.60}")
  if math.prod(shape) == 0:
    return np.zeros(shape, storage.dtype)
  last = offset + sum(
    (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
  )
  # The second condition keeps a stride of 0 from making numbers of nothing.
  if last >= storage.size or math.prod(shape) > storage.size:
    raise ValueError(
      f"{list(shape)} from place {offset} in a storage of {storage.size}"
    )
  return np.lib.stride_tricks.as_strided(
    storage[offset:],
    shape,
    [stride * storage.itemsize for stride in strides],
    writeable=False,
  )


def _whole(value: Any) -> list[Any]:
  if not isinstance(value, tuple | list):
    raise ValueError(f"{value!r:.60} for a shape")
  return list(value)


def _storage(
  reference: Any, archive: Archive, root: str, storages: dict[str, np.ndarray]
) -> np.ndarray:
  """Reads the numbers that a persistent id names."""
  if not isinstance(reference, Inert) or reference.name != PERSISTENT:
    raise ValueError(f"{_word(reference)} for a storage")
  identity = reference.arguments[0] if reference.arguments else None
  if not isinstance(identity, tuple) or len(identity) != 5:
    raise ValueError(f"{identity!r:.60} for a storage")
  word, kind, key, _, count = identity
  dtype = _STORAGES.get(kind.name) if isinstance(kind, Inert) else None
  if word != "storage" or dtype is None or not isinstance(key, str):
    raise ValueError(f"{identity!r:.60} for a storage")
  name = f"{root}/data/{key}"
  if name not in storages:
    storages[name] = as_array(read_member(archive, name), dtype, [count])
  if storages[name].dtype != dtype or storages[name].size != count:
    raise ValueError(f"two descriptions of the storage {key!r}")
  return storages[name]
