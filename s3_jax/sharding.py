"""One mesh, and how arrays are laid out on it.

The mesh has two axes. Images are shared out over `data`; the classes of a
large vocabulary, with their texts and scores, over `model`. While no classes
are shared out, images are over both axes, so that every device has work.
Parameters of a large network are stored in parts over `model`, and gathered
block by block where they are used: each device computes what it would compute
with all of them.

A process of a run on several hosts makes its mesh of its own devices: no
program then waits for another host, and what the hosts found is put together
afterwards, as integers (`s3_jax.hosts`). Every function here takes any mesh,
one over the devices of all processes too.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

__all__ = [
  "DATA",
  "MODEL",
  "batch_sharding",
  "class_sharding",
  "gather_params",
  "local_mesh",
  "make_mesh",
  "param_shardings",
  "replicated",
  "shard_classes",
  "shard_params",
  "share_batch",
]

DATA = "data"
"""Axis over which images are shared out."""

MODEL = "model"
"""Axis over which classes, and large parameters, are shared out."""

_Tree = TypeVar("_Tree")


def make_mesh(devices: Sequence[Any], *, model: int = 1) -> Mesh:
  """Lays devices out in rows of `model`.

  Args:
    devices: such as `jax.devices()`, in the order of the mesh. Those of one
      process must follow each other, as they do there.
    model: devices that share the classes, >= 1; a divisor of their number.

  Returns:
    A mesh with the axes `data` and `model`.

  Raises:
    ValueError: if `model` does not divide the number of devices, or a row
      would hold devices of several processes, between which links are slow.
  """
  count = len(devices)
  if model < 1 or count % model:
    raise ValueError(
      f"`model` must be a divisor of the {count} devices of the mesh, got"
      f" {model}: {_divisors(count)} would do."
    )
  grid = np.asarray(devices).reshape((-1, model))
  for row in grid:
    owners = {device.process_index for device in row}
    if len(owners) > 1:
      raise ValueError(
        "`model` must keep each row of the mesh on one process, got"
        f" {model} with the devices of processes {sorted(owners)} in one row."
      )
  return Mesh(grid, (DATA, MODEL))


def local_mesh(devices: int = 0, *, model: int = 1) -> Mesh:
  """Makes the mesh of a run: some of this process's own devices.

  Args:
    devices: how many to use, in JAX's order; 0 for all.
    model: as for `make_mesh`.

  Returns:
    A mesh with the axes `data` and `model`.

  Raises:
    ValueError: if there are fewer devices, or `model` does not divide them.
  """
  present = jax.local_devices()
  if devices > len(present):
    raise ValueError(
      f"`mesh` must be at most the {len(present)} devices present, got"
      f" {devices}: 0 takes them all."
    )
  chosen = present[: devices or len(present)]
  if len(chosen) % model:
    raise ValueError(
      f"`model_axis` must be a divisor of the {len(chosen)} devices of the"
      f" mesh, got {model}: {_divisors(len(chosen))} would do."
    )
  return make_mesh(chosen, model=model)


def _divisors(count: int) -> str:
  return ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)


def batch_sharding(mesh: Mesh, *, with_classes: bool = False) -> NamedSharding:
  """Returns the sharding of an array whose first axis is the batch.

  Args:
    mesh: with the axes `data` and `model`.
    with_classes: whether the axis `model` is taken by classes; if not, images
      are shared out over it too.

  Returns:
    The sharding.
  """
  axes = DATA if with_classes else (DATA, MODEL)
  return NamedSharding(mesh, PartitionSpec(axes))


def share_batch(batch: np.ndarray, mesh: Mesh | None) -> Array | np.ndarray:
  """Shares a batch out over all devices of a mesh.

  Args:
    batch: its first axis is one that they divide.
    mesh: None leaves the batch on the host.

  Returns:
    The batch.
  """
  if mesh is None:
    return batch
  return jax.device_put(batch, batch_sharding(mesh))


def class_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array whose first axis is the classes.

  Args:
    mesh: with an axis `model`.

  Returns:
    The sharding.
  """
  return NamedSharding(mesh, PartitionSpec(MODEL))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that every device holds whole.

  Args:
    mesh: any.

  Returns:
    The sharding.
  """
  return NamedSharding(mesh, PartitionSpec())


def shard_classes(tree: _Tree, mesh: Mesh) -> _Tree:
  """Shares out the classes of a space or a classifier over `model`.

  The class axis is padded with zeros up to a multiple of the axis: classes
  without a vertex, or with a zero vector. Who reads scores of the result must
  leave them out.

  Args:
    tree: arrays with a leading class axis, all of one length; such as a
      `SynonymousSpace`, or the f32[classes, dim] of a classifier. Those of
      numpy go to each device in part, so that none ever holds all classes.
    mesh: with an axis `model`.

  Returns:
    The arrays on the devices, each holding its part of the classes.
  """
  parts, sharding = mesh.shape[MODEL], class_sharding(mesh)

  def place(array: Array | np.ndarray) -> Array:
    rest = -array.shape[0] % parts
    if isinstance(array, np.ndarray):
      return _place_parts(array, rest, sharding)
    if not rest:
      return jax.device_put(array, sharding)
    widths = [(0, rest)] + [(0, 0)] * (array.ndim - 1)
    return jax.device_put(jnp.pad(array, widths), sharding)

  return jax.tree.map(place, tree)


def _place_parts(
  array: np.ndarray, rest: int, sharding: NamedSharding
) -> Array:
  """Places an array with `rest` further classes of zeros, part by part."""
  shape = (array.shape[0] + rest, *array.shape[1:])

  def read(index: Any) -> np.ndarray:
    start, stop, _ = index[0].indices(shape[0])
    part = array[start:stop]
    missing = stop - start - part.shape[0]
    if not missing:
      return part
    return np.pad(part, [(0, missing)] + [(0, 0)] * (array.ndim - 1))

  return jax.make_array_from_callback(shape, sharding, read)


def param_shardings(
  params: Any, mesh: Mesh, *, min_bytes: int = 1 << 20
) -> Any:
  """Says how parameters are stored, by one rule for all networks.

  A parameter of at least `min_bytes` is cut along its longest axis that the
  devices of `model` divide, the last of equally long ones. All others, and
  those with no such axis, are whole on every device: they are many and small.
  Along `data` all rows of the mesh hold the same.

  Args:
    params: arrays, or their shapes and types as `jax.eval_shape` gives them.
    mesh: with an axis `model`.
    min_bytes: of a parameter as it is stored, from which on it is cut.

  Returns:
    A `NamedSharding` for each of them.

  References:
    Ours. Rajbhandari et al. 2020 (arXiv 1910.02054), section 5.3, store the
    parameters of training in parts and gather them when they are used.
  """
  parts = mesh.shape[MODEL]

  def sharding(leaf: Any) -> NamedSharding:
    axes = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
    if parts == 1 or not axes or leaf.size * leaf.dtype.itemsize < min_bytes:
      return replicated(mesh)
    longest = max(axes, key=lambda axis: (leaf.shape[axis], axis))
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, MODEL))

  return jax.tree.map(sharding, params)


def shard_params(
  params: _Tree, mesh: Mesh, *, min_bytes: int = 1 << 20
) -> _Tree:
  """Stores parameters as `param_shardings` says.

  Args:
    params: arrays.
    mesh: with an axis `model`.
    min_bytes: as for `param_shardings`.

  Returns:
    The arrays on the devices. What computes with them needs `gather_params`:
    left to itself, the compiler shares out the products instead.
  """
  return jax.device_put(
    params, param_shardings(params, mesh, min_bytes=min_bytes)
  )


@functools.cache
def gather_params(mesh: Mesh) -> Callable[[Any, Array], Any]:
  """Makes what puts parameters together that are stored in parts.

  Args:
    mesh: of `shard_params`.

  Returns:
    (parameters, input) -> the parameters, whole on every device; for use under
    `jit`, such as the `gather` of `embed_images`. One object for each mesh.
  """

  def gather(params: Any, x: Array) -> Any:
    # Nothing else would keep the compiler from gathering the parameters of all
    # blocks first, and holding them. Behind the barrier they are there only
    # once the input is.
    _, params = jax.lax.optimization_barrier((x, params))
    return jax.lax.with_sharding_constraint(params, replicated(mesh))

  return gather
