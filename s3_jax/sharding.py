"""One mesh, and how a batch is laid out on it."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: int = 0) -> Mesh:
  """Builds the mesh over which images are shared out.

  Args:
    devices: how many of JAX's devices to use, in their order; 0 for all.

  Returns:
    A mesh with the one axis `data`.

  Raises:
    ValueError: if there are fewer devices.
  """
  present = jax.devices()
  if devices > len(present):
    raise ValueError(
      f"`mesh` must be at most the {len(present)} devices present, got"
      f" {devices}: 0 takes them all."
    )
  chosen = np.asarray(present[: devices or len(present)])
  return Mesh(chosen, ("data",))


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array whose first axis is the batch."""
  return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())
