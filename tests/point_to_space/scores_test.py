"""Every metric against float64, and the identities between metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from s3_jax import point_to_space
from s3_jax.point_to_space import POINT_TO_SPACE, point_to_local_center
from s3_jax.sharding import local_mesh
from s3_jax.space import SynonymousSpace, build_space
from tests.point_to_space.oracles import (
  NEIGHBORS,
  condition,
  core,
  images,
  make_space,
  plain_scores,
  unit,
)

METRICS = list(POINT_TO_SPACE.values())
OPTIONS = {"local_center": {"neighbors": NEIGHBORS}}


# 10 classes are one block: 21 are three, of which the last overlaps.
@pytest.mark.parametrize("classes", [1, 21])
@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_metric_matches_float64(classes, name):
  space = make_space(classes, 7)
  x = images(6)
  scores = POINT_TO_SPACE[name](x, space, **OPTIONS.get(name, {}))
  assert scores.shape == (6, classes)
  assert scores.dtype == jnp.float32
  for c in range(classes):
    tolerance = 1e-5
    if name in ("subspace", "affine_hull") and space.mask[c].any():
      points, _ = core(space, c)
      tolerance += 1e-7 * condition(points, centred=name == "affine_hull")
    for i in range(6):
      expected = plain_scores(name, x[i], space, c)
      error = min(abs(score - float(scores[i, c])) for score in expected)
      assert error <= tolerance, (i, c)


def test_the_table_holds_the_eleven_metrics_under_their_own_names():
  assert len(POINT_TO_SPACE) == 11
  for name, metric in POINT_TO_SPACE.items():
    assert metric is getattr(point_to_space, f"point_to_{name}")


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_any_batch_shape(shape):
  space = make_space(3, 4)
  x = images(*shape)
  for metric in METRICS:
    scores = metric(x, space)
    assert scores.shape == (*shape, 3)
    flat = metric(x.reshape(-1, 8), space)
    np.testing.assert_array_equal(scores, flat.reshape(*shape, 3))


@pytest.mark.parametrize(("classes", "synonyms"), [(0, 3), (2, 0), (0, 0)])
def test_no_class_or_no_text(classes, synonyms):
  space = make_space(2, 3, mask=np.zeros((2, 3), bool))
  space = jax.tree.map(lambda x: x[:classes], space)
  space = space._replace(
    points=space.points[:, :synonyms],
    mask=space.mask[:, :synonyms],
    gram=space.gram[:, :synonyms, :synonyms],
  )
  for metric in METRICS:
    scores = metric(images(4), space)
    np.testing.assert_array_equal(scores, np.full((4, classes), -1.0))


def test_one_vertex_makes_every_metric_its_similarity():
  mask = np.zeros((5, 4), bool)
  mask[np.arange(5), [0, 3, 1, 2, 0]] = True
  space = make_space(5, 4, mask=mask)
  x = images(6)
  expected = x @ np.asarray(space.points)[mask].T
  for name, metric in POINT_TO_SPACE.items():
    wanted = np.abs(expected) if name == "subspace" else expected
    np.testing.assert_allclose(metric(x, space), wanted, atol=1e-6)


def test_equal_vertices_are_as_one():
  points = np.repeat(unit(np.random.default_rng(3), 4, 1, 8), 4, axis=1)
  space = make_space(4, 4, points=points, mask=np.ones((4, 4), bool))
  x = images(6)
  expected = x @ points[:, 0].T
  for name, metric in POINT_TO_SPACE.items():
    wanted = np.abs(expected) if name == "subspace" else expected
    np.testing.assert_allclose(metric(x, space), wanted, atol=2e-6)


def test_padding_and_vertex_order_change_nothing():
  rng = np.random.default_rng(4)
  points, mask = unit(rng, 5, 6, 8), rng.random((5, 6)) < 0.7
  x, order = images(6), rng.permutation(10)
  junk = np.full((5, 4, 8), np.inf, np.float32)
  longer = np.concatenate([points, junk], axis=1)[:, order]
  longer_mask = np.pad(mask, ((0, 0), (0, 4)))[:, order]
  space = make_space(5, 6, points=points, mask=mask)
  other = make_space(5, 10, points=longer, mask=longer_mask)
  for name, metric in POINT_TO_SPACE.items():
    tolerance = 1e-5 if name in ("subspace", "affine_hull") else 2e-6
    np.testing.assert_allclose(
      metric(x, other), metric(x, space), atol=tolerance
    )


def test_vertices_outside_the_core_do_not_count():
  space = make_space(3, 6, mask=np.ones((3, 6), bool))
  inside = np.arange(6) < np.array([[2], [4], [6]])
  pruned = space._replace(mask=jnp.asarray(inside))
  alone = make_space(3, 6, mask=inside)
  for metric in METRICS:
    np.testing.assert_allclose(
      metric(images(4), pruned), metric(images(4), alone), atol=2e-6
    )


def test_degenerate_means_and_empty_classes_score_minus_one():
  east, north = [1.0, 0.0], [0.0, 1.0]
  points = np.array([[east, [-1.0, 0.0]], [east, north]], np.float32)
  points = np.concatenate([points, points[1:]])
  mask = np.array([[True, True], [True, True], [False, False]])
  space = make_space(3, 2, points=points, mask=mask, scale=2.0)
  x = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], np.float32)
  all_scores = {n: np.asarray(f(x, space)) for n, f in POINT_TO_SPACE.items()}
  for scores in all_scores.values():
    np.testing.assert_array_equal(scores[:, 2], -1.0)
    assert np.isfinite(scores).all()
  for name in ("center", "local_center", "star_center"):
    np.testing.assert_array_equal(all_scores[name][:, 0], -1.0)
    np.testing.assert_allclose(
      all_scores[name][:, 1],
      [np.sqrt(0.5), 1.4 * np.sqrt(0.5), np.sqrt(0.5)],
      atol=1e-6,
    )
  # The middle of opposite vertices is the origin, which has no direction: what
  # lies above it is nearest to it.
  for name in ("affine_hull", "convex_hull", "complex"):
    np.testing.assert_array_equal(all_scores[name][2, 0], -1.0)
    np.testing.assert_allclose(all_scores[name][0, 0], 1.0, atol=1e-6)
  np.testing.assert_allclose(
    all_scores["simplex_center"][:, 0], [1.0, 0.6, 0.0], atol=1e-6
  )
  np.testing.assert_allclose(
    all_scores["subspace"][:, :2], [[1, 1], [0.6, 1], [0, 1]], atol=1e-6
  )


def test_scores_are_clipped():
  space = make_space(3, 4, mask=np.ones((3, 4), bool))
  x = 1.5 * space.points[:, 0]
  for metric in METRICS:
    scores = np.asarray(metric(jnp.concatenate([x, -x]), space))
    assert scores.max() <= 1.0
    assert scores.min() >= -1.0
  assert POINT_TO_SPACE["nearest_point"](x, space)[0, 0] == 1.0


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_jit_equals_the_plain_call_and_vmap_a_loop(name):
  metric = POINT_TO_SPACE[name]
  spaces = [make_space(5, 4, seed=seed) for seed in range(2)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *spaces)
  x = images(2, 4)
  loop = np.stack([metric(x[i], spaces[i]) for i in range(2)])
  jitted = jax.jit(metric)(x[0], spaces[0])
  np.testing.assert_allclose(jitted, loop[0], atol=2e-6)
  np.testing.assert_allclose(jax.vmap(metric)(x, stacked), loop, atol=2e-6)


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_gradients_match_differences_and_stay_finite(name):
  metric = POINT_TO_SPACE[name]
  mask = np.arange(5) < np.array([[0], [1], [3], [5]])
  space = make_space(4, 5, mask=mask)
  x = jnp.asarray(images())

  def total(x):
    return metric(x, space).sum()

  gradient = np.asarray(jax.grad(total)(x))
  step = 1e-2 * np.eye(8, dtype=np.float32)
  slopes = [(total(x + h) - total(x - h)) / 2e-2 for h in step]
  np.testing.assert_allclose(gradient, slopes, atol=2e-3)


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_gradients_in_the_vertices_match_differences(name):
  mask = np.arange(5) < np.array([[0], [3], [5]])
  space = make_space(3, 5, mask=mask)
  x = images(2)
  rng = np.random.default_rng(1)
  direction = jnp.asarray(rng.normal(size=space.points.shape), jnp.float32)

  def total(amount):
    points = space.points + amount * direction * space.mask[:, :, None]
    gram = jnp.einsum("cid,cjd->cij", points, points)
    moved = space._replace(points=points, gram=gram)
    return POINT_TO_SPACE[name](x, moved).sum()

  slope = jax.grad(total)(0.0)
  difference = (total(1e-3) - total(-1e-3)) / 2e-3
  np.testing.assert_allclose(slope, difference, rtol=5e-3, atol=5e-3)


def test_dim_must_agree():
  for metric in METRICS:
    with pytest.raises(ValueError, match=r"agree on dim, got 6 and 8"):
      metric(images(2, dim=6), make_space(3, 4))


def test_space_is_a_pytree_that_passes_through_jit():
  again = jax.jit(lambda space: space)(make_space(3, 4))
  assert isinstance(again, SynonymousSpace)


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_eight_devices_are_as_one(name):
  space, x = make_space(5, 4), images(16)
  shared = jax.device_put(x, NamedSharding(local_mesh(), PartitionSpec("data")))
  scores = POINT_TO_SPACE[name](shared, space)
  assert len(scores.sharding.device_set) == 8
  np.testing.assert_allclose(scores, POINT_TO_SPACE[name](x, space), atol=1e-6)


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_a_callers_shard_map_takes_every_metric(name):
  """Loops carry no constant that varies over devices only later."""
  space, x = make_space(8, 5), images(6)
  by_class = PartitionSpec("model")
  shared = jax.shard_map(
    POINT_TO_SPACE[name],
    mesh=local_mesh(model=4),
    in_specs=(PartitionSpec(), by_class),
    out_specs=PartitionSpec(None, "model"),
  )
  scores = jax.jit(shared)(x, space)
  np.testing.assert_allclose(scores, POINT_TO_SPACE[name](x, space), atol=1e-6)


def test_local_center_of_all_or_one_neighbor():
  space, x = make_space(21, 6), images(6)
  center = POINT_TO_SPACE["center"](x, space)
  for neighbors in (6, 1000):
    local = point_to_local_center(x, space, neighbors=neighbors)
    np.testing.assert_allclose(local, center, atol=1e-6)
  np.testing.assert_allclose(
    point_to_local_center(x, space, neighbors=1),
    POINT_TO_SPACE["nearest_point"](x, space),
    atol=1e-6,
  )
  points = unit(np.random.default_rng(5), 4, 9, 8)
  few = build_space(
    points,
    np.arange(9) < np.array([[1], [2], [3], [5]]),
    keep="all",
    scale="gap",
  )
  np.testing.assert_allclose(
    point_to_local_center(x, few, neighbors=5),
    POINT_TO_SPACE["center"](x, few),
    atol=1e-6,
  )
