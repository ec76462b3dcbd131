"""What docs/SCALING.md says of exchanges, read from compiled programs."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.collectives import Collective, collectives
from benchmarks.scaling_arithmetic import (
  Hardware,
  efficiency,
  held_bytes,
  least_images,
  tower_flops,
)
from benchmarks.scaling_programs import (
  Classes,
  adaptation_program,
  scoring_program,
  space_program,
  tower_program,
)
from s3_jax.clip import ZOO
from s3_jax.sharding import local_mesh

TOWER = ZOO["openai/ViT-L/14"]._replace(
  image_size=28,
  image_width=64,
  image_layers=2,
  image_heads=4,
  image_mlp_dim=256,
  text_width=8,
  text_layers=1,
  text_heads=2,
  text_mlp_dim=8,
  vocab_size=10,
  embed_dim=48,
)
CLASSES = Classes(11, 6, 8)
IMAGES = 64
COUNTS = 4 * (2 * CLASSES.classes + 3)  # two numbers a class, three in all


@pytest.fixture(params=[1, 2, 4], ids=["8x1", "4x2", "2x4"])
def mesh(request):
  return local_mesh(8, model=request.param)


def moved(program, mesh):
  return collectives(program.as_text(), mesh)


def test_towers_and_spaces_exchange_nothing(mesh):
  tower = tower_program(TOWER, mesh, 16, in_parts=False)
  assert moved(tower, mesh) == []
  assert moved(space_program(CLASSES, mesh), mesh) == []


def test_a_tower_in_parts_gathers_weights_alone():
  mesh = local_mesh(8, model=4)
  tower = tower_program(TOWER, mesh, 16, in_parts=True, min_bytes=4096)
  found = moved(tower, mesh)
  block = [4 * 64 * 64] * 4 + [4 * 64 * 256] * 2
  others = [4 * 588 * 64, 4 * 64 * 48]  # the patch embedding, the projection
  assert sorted(each.size for each in found) == sorted(2 * block + others)
  assert {each[:2] for each in found} == {("all-gather", "model")}


def test_scoring_merges_rankings_and_adds_up_counts(mesh):
  model = mesh.shape["model"]
  found = moved(scoring_program(CLASSES, mesh, IMAGES), mesh)
  sizes = Counter()
  for kind, axis, size in found:
    sizes[kind, axis] += size
  # Five places of a score and a class, what the softmax needs, a flag: 49
  # bytes an image, of each part of the classes.
  rankings = 49 * model * IMAGES // mesh.shape["data"]
  expected = {("all-reduce", "data"): COUNTS}
  if model > 1:
    expected["all-gather", "model"] = rankings
  assert sizes == expected


def test_adaptation_adds_up_counts_and_no_more(mesh):
  found = moved(adaptation_program(CLASSES, mesh, 16, 4), mesh)
  axis = "data" if mesh.shape["model"] == 1 else "both"
  assert found == [Collective("all-reduce", axis, COUNTS)]


@pytest.mark.parametrize(
  ("groups", "axis"),
  [
    ("replica_groups={{0,1,2,3},{4,5,6,7}}", "model"),
    ("replica_groups=[2,4]<=[8]", "model"),
    ("replica_groups={{0,4},{1,5},{2,6},{3,7}}", "data"),
    ("replica_groups=[4,2]<=[2,4]T(1,0)", "data"),
    ("replica_groups=mesh['a'=2,'b'=4] {'b'}", "model"),
    ("replica_groups=mesh['a'=2,'b'=4] {'a'}", "data"),
    ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", "both"),
    (
      "replica_groups=mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'a'}",
      "model",
    ),
    ("replica_groups=[1,8]<=[8]", "both"),
    ("source_target_pairs={{0,1},{1,2},{2,3},{3,0}}", "model"),
    ("source_target_pairs={{0,4},{4,0}}", "data"),
    ("source_target_pairs={{3,4}}", "both"),
  ],
)
def test_all_spellings_of_groups(groups, axis):
  text = f"""
  %add = f32[8]{{0}} add(f32[8]{{0}} %a, f32[8]{{0}} %b)
  ROOT %x = (f32[2,5]{{1,0}}, bf16[3]{{0}}, pred[]) all-gather(%a, %b, %c), \
channel_id=1, {groups}, dimensions={{0}}, use_global_device_ids=true
"""
  expected = [Collective("all-gather", axis, 40 + 6 + 1)]
  assert collectives(text, local_mesh(8, model=4)) == expected


def test_what_starts_an_exchange_counts_its_result():
  text = """
  %s = (f32[2,5]{1,0}, f32[8,5]{1,0}) all-gather-start(f32[2,5]{1,0} %a), \
channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}
  %d = f32[8,5]{1,0} all-gather-done(%s)
"""
  found = collectives(text, local_mesh(8, model=4))
  assert found == [Collective("all-gather", "model", 160)]


def test_an_unknown_spelling_is_an_error():
  text = "%x = f32[2] all-reduce(%a), replica_groups=?, to_apply=%add"
  with pytest.raises(ValueError, match="must name the devices"):
    collectives(text, local_mesh(8))


def test_operations_are_those_that_the_compiler_counts():
  mesh = local_mesh(8)
  cost = tower_program(TOWER, mesh, 16, in_parts=False).cost_analysis()
  assert cost is not None
  # Two images a device. Softmax, norms and activations weigh something in so
  # narrow a tower; in ViT-B/16 and L/14 they are half a percent.
  ratio = cost["flops"] / (2 * tower_flops(TOWER))
  assert 1 < ratio < 1.2
  # By hand: 5 tokens of 64 channels.
  maps = 5 * (4 * 64 * 64 + 2 * 64 * 256)
  by_hand = 2 * (2 * (maps + 2 * 5 * 5 * 64) + 4 * 588 * 64)
  assert tower_flops(TOWER) == by_hand


def test_arithmetic_of_the_page():
  mesh = local_mesh(8, model=4)
  held = held_bytes(TOWER, mesh)
  assert held == held_bytes(TOWER, local_mesh(1)), "too small to be cut"
  # Twice the link, half the images; twice the operations, twice the images.
  slow = least_images(TOWER, mesh, Hardware(1e12, 1e9))
  assert slow == 2 * least_images(TOWER, mesh, Hardware(1e12, 2e9))
  assert 2 * slow == least_images(TOWER, mesh, Hardware(2e12, 1e9))
  np.testing.assert_allclose(slow, 3 * held / 1e9 / (tower_flops(TOWER) / 1e12))
  assert efficiency(1692, 7, rows=256) == 1
  assert efficiency(1692, 16, rows=256) == 7 / 16
  assert efficiency(50_000, 8, rows=256) == 196 / 200
  assert efficiency(1, 1, rows=256) == 1
