"""What a compiled program sends between devices, read from its text.

XLA writes the groups of devices that exchange something in three ways: one by
one, `{{0,1},{2,3}}`; as a reshaped and transposed count, `[2,2]<=[4]`; or as
axes of a mesh, `mesh['a'=2,'b'=2] {'b'}`.
"""

import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

KINDS = (
  "all-gather",
  "all-reduce",
  "all-to-all",
  "collective-permute",
  "reduce-scatter",
  "collective-broadcast",
  "ragged-all-to-all",
)
_BITS = {"pred": 8, "bf16": 16, "f8": 8}
_CALL = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\((.*)$")
_SHAPE = re.compile(r"\b(pred|bf16|f8\w*|[fsuc]\d+)\[([\d,]*)\]")


class Collective(NamedTuple):
  """One exchange between devices.

  Attributes:
    kind: as XLA calls it.
    axis: of the mesh along which devices exchange: "data", "model" or "both".
    size: bytes of the result on one device.
  """

  kind: str
  axis: str
  size: int


def collectives(text: str, mesh: Mesh) -> list[Collective]:
  """Lists every exchange of a compiled program.

  Args:
    text: of a program, as `compiled.as_text()` gives it.
    mesh: over which it was compiled, all devices of one process.

  Returns:
    The exchanges, in the order of the text.
  """
  found = []
  for line in text.splitlines():
    match = _CALL.search(line)
    if match is None:
      continue
    shapes, kind, start, rest = match.groups()
    sizes = [_bytes(*shape) for shape in _SHAPE.findall(shapes)]
    # What starts an exchange returns its operand beside the result.
    size = max(sizes) if start else sum(sizes)
    found.append(Collective(kind, _axis(_groups(rest), mesh), size))
  return found


def _bytes(dtype: str, shape: str) -> int:
  bits = _BITS.get(dtype[:2] if dtype[:2] == "f8" else dtype)
  if bits is None:
    bits = int(dtype[1:])
  return math.prod(int(size) for size in shape.split(",") if size) * bits // 8


def _groups(call: str) -> list[list[int]]:
  """Reads which devices exchange, from what stands behind the operands."""
  pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", call)
  if pairs is not None:
    return _listed(pairs.group(1))
  rest = call.partition("replica_groups=")[2]
  if rest.startswith("{{"):
    return _listed(rest[1 : rest.index("}}")])
  if rest.startswith("mesh["):
    sizes, order, axes = re.match(
      r"mesh\[(.*?)\](?:, device_ids=\((.*?)\))? \{(.*?)\}", rest
    ).groups()  # pyright: ignore[reportOptionalMemberAccess]
    names = re.findall(r"'(\w+)'=\d+", sizes)
    shape = [int(size) for size in re.findall(r"=(\d+)", sizes)]
    devices = _count(order or f"[{math.prod(shape)}]").reshape(shape)
    moved = [names.index(name) for name in re.findall(r"'(\w+)'", axes)]
    devices = np.moveaxis(devices, moved, range(-len(moved), 0))
    return devices.reshape((-1, math.prod(shape[i] for i in moved))).tolist()
  match = re.match(r"\[(\d+),(\d+)\]<=(\[[\d,]+\](?:T\([\d,]+\))?)", rest)
  if match is None:
    raise ValueError(f"`call` must name the devices, got {call!r}.")
  groups, size, order = match.groups()
  return _count(order).reshape((int(groups), int(size))).tolist()


def _listed(text: str) -> list[list[int]]:
  parts = re.findall(r"\{([\d,]+)", text)
  return [[int(device) for device in part.split(",")] for part in parts]


def _count(order: str) -> np.ndarray:
  """Reads `[2,4]T(1,0)`: 0, 1, 2, ... reshaped and transposed."""
  shape, _, axes = order.partition("T")
  sizes = [int(size) for size in re.findall(r"\d+", shape)]
  devices = np.arange(math.prod(sizes)).reshape(sizes)
  if axes:
    devices = devices.transpose(
      [int(axis) for axis in re.findall(r"\d+", axes)]
    )
  return devices.reshape(-1)


def _axis(groups: Sequence[Sequence[int]], mesh: Mesh) -> str:
  columns = mesh.devices.shape[1]
  rows, indices = set(), set()
  for group in groups:
    for one, other in itertools.combinations(group, 2):
      rows.add(one // columns == other // columns)
      indices.add(one % columns == other % columns)
  if rows == {True}:
    return "model"
  return "data" if indices == {True} else "both"
