"""The mesh, how classes and parameters lie on it, towers in parts."""

import functools
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from benchmarks.collectives import collectives
from s3_jax.clip import ZOO, embed_images, init_params
from s3_jax.sharding import (
  batch_sharding,
  class_sharding,
  gather_params,
  local_mesh,
  make_mesh,
  param_shardings,
  replicated,
  shard_classes,
  shard_params,
)

MESHES = [1, 2, 4, 8]  # devices of `model`, of eight


@pytest.mark.parametrize("model", MESHES)
def test_devices_are_laid_out_in_rows_of_model(model):
  mesh = make_mesh(jax.devices(), model=model)
  assert dict(mesh.shape) == {"data": 8 // model, "model": model}
  assert mesh.axis_names == ("data", "model")
  assert mesh.devices.reshape(-1).tolist() == jax.devices()
  assert mesh == local_mesh(8, model=model) == local_mesh(model=model)


def test_a_mesh_of_some_devices():
  mesh = local_mesh(6, model=3)
  assert mesh.devices.tolist() == [jax.devices()[:3], jax.devices()[3:6]]
  assert local_mesh(1).size == 1


@pytest.mark.parametrize("model", [0, -1, 3, 16])
def test_model_must_divide_the_devices(model):
  message = (
    f"`model` must be a divisor of the 8 devices of the mesh, got {model}:"
    " 1, 2, 4, 8 would do"
  )
  with pytest.raises(ValueError, match=message):
    make_mesh(jax.devices(), model=model)


def test_a_row_of_several_processes_is_an_error():
  # What `make_mesh` reads of a device before it makes the mesh.
  owners = [SimpleNamespace(process_index=process) for process in (0, 0, 1, 1)]
  with pytest.raises(ValueError, match=r"got 4 .* processes \[0, 1\] in one"):
    make_mesh(owners, model=4)


@pytest.mark.parametrize(
  ("devices", "model", "message"),
  [
    (9, 1, "`mesh` must be at most the 8 devices present, got 9: 0 takes"),
    (6, 4, "`model_axis` must be a divisor of the 6 .* 1, 2, 3, 6 would do"),
    (0, 5, "`model_axis` must be a divisor of the 8 devices of the mesh, got"),
  ],
)
def test_errors_of_a_run_name_its_fields(devices, model, message):
  with pytest.raises(ValueError, match=message):
    local_mesh(devices, model=model)


def test_what_each_device_holds():
  mesh = local_mesh(model=4)
  array = np.arange(16)

  def held(sharding):
    parts = jax.device_put(array, sharding).addressable_shards
    return [part.data.tolist() for part in parts]

  pairs = [[2 * n, 2 * n + 1] for n in range(8)]
  assert held(batch_sharding(mesh)) == pairs
  halves = [list(range(8)), list(range(8, 16))]
  assert held(batch_sharding(mesh, with_classes=True)) == (
    [halves[0]] * 4 + [halves[1]] * 4
  )
  quarters = [list(range(4 * n, 4 * n + 4)) for n in range(4)]
  assert held(class_sharding(mesh)) == 2 * quarters
  assert held(replicated(mesh)) == [array.tolist()] * 8


@pytest.mark.parametrize("classes", [0, 1, 4, 5, 13])
@pytest.mark.parametrize("on_host", [True, False])
def test_classes_are_padded_with_zeros(classes, on_host):
  mesh = local_mesh(model=4)
  rng = np.random.default_rng(classes)
  tree = {
    "points": rng.normal(size=(classes, 3, 2)).astype(np.float32),
    "mask": np.ones((classes, 3), bool),
    "scale": rng.normal(size=(classes,)).astype(np.float32),
  }
  if not on_host:
    tree = jax.tree.map(jnp.asarray, tree)
  shared = shard_classes(tree, mesh)
  padded = -(-classes // 4) * 4
  for name, array in tree.items():
    part = shared[name]
    assert part.shape == (padded, *array.shape[1:])
    assert part.dtype == array.dtype
    np.testing.assert_array_equal(part[:classes], array)
    assert not np.asarray(part[classes:]).any()
    assert part.sharding.is_equivalent_to(class_sharding(mesh), part.ndim)
    for held in part.addressable_shards:
      assert held.data.shape[0] == padded // 4


VIT = ZOO["openai/ViT-L/14"]._replace(
  image_size=28,
  image_width=64,
  image_layers=3,
  image_heads=4,
  image_mlp_dim=256,
  text_width=8,
  text_layers=1,
  text_heads=2,
  text_mlp_dim=8,
  vocab_size=10,
  embed_dim=48,
)
SIGLIP = VIT._replace(
  image_pooling="attention",
  pre_norm=False,
  patch_bias=True,
  image_projection=False,
  embed_dim=64,
)
RESNET = VIT._replace(
  image_tower="resnet",
  image_pooling="attention",
  image_stages=(1, 2, 1, 1),
  image_layers=5,
  image_size=64,
  patch_size=32,
  image_width=8,
  pre_norm=False,
  image_projection=False,
)
LARGE = {
  "L/14": ZOO["openai/ViT-L/14"],
  "H/14": ZOO["laion/CLIP-ViT-H-14-laion2B-s32B-b79K"],
  # The sizes of open_clip's ViT-bigG-14, which is no row of the zoo.
  "bigG/14": ZOO["laion/CLIP-ViT-H-14-laion2B-s32B-b79K"]._replace(
    image_width=1664,
    image_layers=48,
    image_mlp_dim=8192,
    embed_dim=1280,
  ),
}


@functools.cache
def shapes(spec):
  key = jax.random.key(0)
  return jax.eval_shape(lambda key: init_params(key, spec)["image"], key)


def test_the_longest_axis_that_model_divides_is_cut():
  mesh = local_mesh(model=4)
  rows = param_shardings(shapes(LARGE["L/14"]), mesh)
  block = rows["block_7"]
  cut = {
    "square, the last": block["attention"]["query"]["kernel"],  # 1024 x 1024
    "more columns": block["mlp"]["up"]["kernel"],  # 1024 x 4096
    "more rows": block["mlp"]["down"]["kernel"],  # 4096 x 1024
    "patches": rows["patch_embedding"]["kernel"],  # 588 x 1024
    "positions": rows["position_embedding"],  # 257 x 1024, 1.004 MiB
    "small": block["mlp"]["up"]["bias"],
    "norm": block["norm_1"]["scale"],
  }
  assert {name: each.spec for name, each in cut.items()} == {
    "square, the last": PartitionSpec(None, "model"),
    "more columns": PartitionSpec(None, "model"),
    "more rows": PartitionSpec("model"),
    "patches": PartitionSpec(None, "model"),
    "positions": PartitionSpec(None, "model"),
    "small": PartitionSpec(),
    "norm": PartitionSpec(),
  }


@pytest.mark.parametrize(
  ("shape", "dtype", "min_bytes", "expected"),
  [
    ((4, 6), "f4", 96, (None, "model")),
    ((4, 6), "f4", 97, ()),  # one byte too few
    ((4, 6), "f2", 96, ()),  # as it is stored
    ((7, 4), "f4", 1, (None, "model")),  # 7 is longer and not divided
    ((7, 5), "f4", 1, ()),  # nothing is
    ((), "f4", 1, ()),
    ((3, 3, 8, 2), "f4", 1, (None, None, "model")),
    ((0, 3), "f4", 1, ()),
  ],
)
def test_what_is_too_small_or_indivisible_stays_whole(
  shape, dtype, min_bytes, expected
):
  mesh = local_mesh(model=2)
  leaf = jax.ShapeDtypeStruct(shape, dtype)
  sharding = param_shardings([leaf], mesh, min_bytes=min_bytes)[0]
  assert sharding.spec == PartitionSpec(*expected)


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("L/14", {1: 1160, 2: 580, 4: 291, 8: 146}),
    ("H/14", {1: 2411, 2: 1207, 4: 604, 8: 303}),
    ("bigG/14", {1: 7038, 2: 3521, 4: 1763, 8: 883}),
  ],
)
def test_bytes_of_a_device(name, expected):
  tree = shapes(LARGE[name])
  for model, mebibytes in expected.items():
    mesh = local_mesh(model=model)
    rules = jax.tree.leaves(param_shardings(tree, mesh))
    held = sum(
      4 * int(np.prod(rule.shard_shape(leaf.shape)))
      for leaf, rule in zip(jax.tree.leaves(tree), rules, strict=True)
    )
    assert round(held / 2**20) == mebibytes


def small_pictures(spec):
  rng = np.random.default_rng(0)
  shape = (16, spec.image_size, spec.image_size, 3)
  return rng.integers(0, 256, shape, np.uint8)


@functools.cache
def params_of(spec):
  return {"image": init_params(jax.random.key(0), spec)["image"]}


@functools.cache
def embedded_by_whole_towers(spec):
  mesh = local_mesh()
  params = jax.device_put(params_of(spec), replicated(mesh))
  images = jax.device_put(small_pictures(spec), batch_sharding(mesh))
  return np.asarray(embed_images(spec, params, images))


@pytest.mark.parametrize(
  ("spec", "model"),
  [
    *((VIT, model) for model in MESHES),
    *((RESNET, model) for model in MESHES),
    (SIGLIP, 4),
  ],
  ids=lambda value: getattr(value, "image_tower", str(value)),
)
def test_towers_in_parts_are_whole_towers_to_the_last_bit(spec, model):
  mesh = local_mesh(model=model)
  params = shard_params(params_of(spec), mesh, min_bytes=1)
  leaves = jax.tree.leaves(params)
  parts = [not leaf.sharding.is_fully_replicated for leaf in leaves]
  assert sum(parts) > (len(parts) * 0.8 if model > 1 else -1)
  images = jax.device_put(small_pictures(spec), batch_sharding(mesh))
  embeddings = embed_images(spec, params, images, gather=gather_params(mesh))
  # Two images a device on every mesh: the very same arithmetic.
  np.testing.assert_array_equal(embeddings, embedded_by_whole_towers(spec))
  assert embeddings.sharding.is_equivalent_to(batch_sharding(mesh), 2)


def test_each_parameter_is_gathered_once_and_nothing_else_moves():
  mesh = local_mesh(model=4)
  params = shard_params(params_of(VIT), mesh, min_bytes=1024)
  cut = sum(
    not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(params)
  )
  assert cut >= 3 * 7  # the kernels of three blocks, and some biases
  images = jax.device_put(small_pictures(VIT), batch_sharding(mesh))
  program = embed_images.lower(VIT, params, images, gather=gather_params(mesh))
  moved = collectives(program.compile().as_text(), mesh)
  kinds = Counter((each.kind, each.axis) for each in moved)
  assert kinds == {("all-gather", "model"): cut}
  assert sorted(each.size for each in moved) == sorted(
    leaf.nbytes
    for leaf in jax.tree.leaves(params)
    if not leaf.sharding.is_fully_replicated
  )


def test_parameters_of_a_block_wait_for_its_input():
  # The CPU's compiler takes the barriers out before it orders the program, so
  # its memory shows nothing: what every compiler is given is looked at.
  mesh = local_mesh(model=4)
  gather = gather_params(mesh)

  def equations(name, **options):
    embed = functools.partial(embed_images, VIT, **options)
    program = jax.make_jaxpr(embed)(params_of(VIT), small_pictures(VIT))
    (inner,) = program.eqns
    found = inner.params["jaxpr"].eqns
    return [each for each in found if each.primitive.name == name]

  barriers = equations("optimization_barrier", gather=gather)
  assert [each.invars[0].aval.shape for each in barriers] == [
    (16, 4, 588),  # of the patch embedding
    (16, 5, 64),  # of the positions
    *[(16, 5, 64)] * 3,  # of each block
    (16, 64),  # of the projection
  ]
  inputs = {each.invars[0] for each in barriers}
  assert len(inputs) == len(barriers), "each waits for an input of its own"
  behind = {var for each in barriers for var in each.outvars[1:]}
  gathered = equations("sharding_constraint", gather=gather)
  assert {each.invars[0] for each in gathered} == behind
  # All but the class embedding and two layer norms, which are small.
  assert len(gathered) == len(jax.tree.leaves(params_of(VIT))) - 5
  for name in ("optimization_barrier", "sharding_constraint"):
    assert not equations(name), "the ordinary program has none"


def test_one_gather_for_a_mesh():
  assert gather_params(local_mesh(model=2)) is gather_params(
    local_mesh(model=2)
  )
  assert gather_params(local_mesh(model=2)) is not gather_params(
    local_mesh(model=4)
  )
