"""What can be said of a run's speed on paper: bytes, operations, shares."""

import math
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from benchmarks.scaling_programs import image_params
from s3_jax.clip import ModelSpec
from s3_jax.sharding import param_shardings


class Hardware(NamedTuple):
  """Published peaks of one accelerator; nothing of it was measured here.

  Attributes:
    flops: operations a second.
    link: bytes a second that it receives from its neighbours.
  """

  flops: float
  link: float


HARDWARE = {
  "H100 SXM, bfloat16": Hardware(989e12, 450e9),
  "H100 SXM, float32": Hardware(67e12, 450e9),
  "H100 PCIe, bfloat16": Hardware(756e12, 64e9),
  "TPU v5e, bfloat16": Hardware(197e12, 200e9),
}


def tower_flops(spec: ModelSpec) -> float:
  """Counts the operations of a ViT for one image, two a multiplication."""
  width, hidden = spec.image_width, spec.image_mlp_dim
  patches = (spec.image_size // spec.patch_size) ** 2
  tokens = patches + (spec.image_pooling == "class_token")
  maps = tokens * (4 * width**2 + 2 * width * hidden)
  mixing = 2 * tokens**2 * width
  embedding = patches * 3 * spec.patch_size**2 * width
  return 2.0 * (spec.image_layers * (maps + mixing) + embedding)


def held_bytes(spec: ModelSpec, mesh: Mesh) -> int:
  """Counts the bytes of an image tower that a device stores, float32."""
  params = image_params(spec)
  rules = jax.tree.leaves(param_shardings(params, mesh))
  return sum(
    4 * math.prod(rule.shard_shape(leaf.shape))
    for leaf, rule in zip(jax.tree.leaves(params), rules, strict=True)
  )


def least_images(spec: ModelSpec, mesh: Mesh, hardware: Hardware) -> float:
  """Says at how many images a device gathering is as long as computing."""
  parts = mesh.shape["model"]
  moved = held_bytes(spec, mesh) * (parts - 1)
  return moved / hardware.link / (tower_flops(spec) / hardware.flops)


def efficiency(images: int, processes: int, *, rows: int) -> float:
  """Says which share of the processes' time is work, with equal shards."""
  shards = -(-images // rows)
  return shards / (processes * -(-shards // processes))
