"""Memory of the work over all classes, and classes on several devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s3_jax.space import build, build_space, exclude_shared, shared
from s3_jax.space.blocks import block_size, map_classes

_MEBIBYTE = 2**20


@pytest.mark.parametrize("block", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("classes", [0, 1, 3, 7])
def test_blocks_equal_vmap(classes, block):
  x = jnp.arange(classes * 2.0).reshape(classes, 2)
  flags = jnp.arange(classes) % 2 == 0

  def function(row, flag):
    return {"sum": row.sum(), "pair": (row * 2, ~flag, jnp.int32(3))}

  expected = jax.vmap(function)(x, flags)
  result = jax.jit(lambda *a: map_classes(function, a, block=block))(x, flags)
  assert jax.tree.structure(result) == jax.tree.structure(expected)
  for leaf, wanted in zip(
    jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
  ):
    assert leaf.dtype == wanted.dtype
    np.testing.assert_array_equal(leaf, wanted)


@pytest.mark.parametrize(
  ("entries", "classes"), [(0, 50), (1024, 50), (2**16, 16), (2**30, 1)]
)
def test_block_size_bounds_the_entries(entries, classes):
  assert block_size(entries) == classes


def _arrays(classes, synonyms, dim):
  shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
  points = shape((classes, synonyms, dim))
  gram = shape((classes, synonyms, synonyms))
  mask = jax.ShapeDtypeStruct((classes, synonyms), jnp.dtype(bool))
  return points, gram, mask


@pytest.mark.parametrize(
  ("classes", "synonyms", "rule", "max_simplices"),
  [
    (21_000, 64, "coverage", None),
    (100, 1000, "gap", None),
    (1003, 64, "gap", 6144),
  ],
)
def test_building_takes_the_stated_memory(
  classes, synonyms, rule, max_simplices
):
  points, _, mask = _arrays(classes, synonyms, 64)
  scale = jax.ShapeDtypeStruct((classes,), jnp.float32)
  compiled = build._build.lower(
    points,
    mask,
    scale,
    0.5,
    0.15,
    rule=rule,
    keep="largest",
    max_dimension=2,
    max_simplices=max_simplices,
  ).compile()
  memory = compiled.memory_analysis()
  assert memory.output_size_in_bytes > classes * synonyms * 64 * 4
  assert memory.temp_size_in_bytes <= 32 * _MEBIBYTE


def test_excluding_takes_the_stated_memory():
  points, gram, mask = _arrays(21_000, 64, 64)
  compiled = shared._drop_shared.lower(
    points, gram, mask, 0.0, tile=shared._TILE
  ).compile()
  memory = compiled.memory_analysis()
  assert memory.argument_size_in_bytes > 2 * 21_000 * 64 * 64 * 4
  assert memory.temp_size_in_bytes <= 32 * _MEBIBYTE


@pytest.fixture(scope="module")
def mesh():
  return Mesh(np.array(jax.devices()), ("data",))


def test_eight_devices_equal_one(clouds, assert_equal, mesh):
  points, mask = map(jnp.asarray, clouds(24, 6))
  build = functools.partial(build_space, scale=("quantile", 0.5))
  expected = build(points, mask)
  by_class = NamedSharding(mesh, PartitionSpec("data"))
  sharded = build(
    jax.device_put(points, by_class), jax.device_put(mask, by_class)
  )
  assert len(sharded.gram.sharding.device_set) == 8
  assert_equal(sharded, expected)
  mapped = jax.jit(
    jax.shard_map(
      build,
      mesh=mesh,
      in_specs=PartitionSpec("data"),
      out_specs=PartitionSpec("data"),
    )
  )(points, mask)
  assert mapped.gram.sharding.shard_shape(mapped.gram.shape) == (3, 6, 6)
  assert_equal(mapped, expected)


def test_eight_devices_exclude_the_same_texts(clouds, assert_equal, mesh):
  space = build_space(*clouds(24, 6, dim=4), scale=None)
  by_class = NamedSharding(mesh, PartitionSpec("data"))
  expected = exclude_shared(space)
  assert 0 < expected.mask.sum() < space.mask.sum()
  sharded = exclude_shared(jax.device_put(space, by_class))
  assert_equal(sharded, expected)
