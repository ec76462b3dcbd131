"""Metrics against a float64 double loop, and the identities between them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import point_to_space
from s3_jax.point_to_space import POINT_TO_SPACE, point_to_local_center
from s3_jax.space import SynonymousSpace, build_space

_METRICS = list(POINT_TO_SPACE.values())


def _unit(rng, *shape):
  x = rng.normal(size=shape)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  return x.astype(np.float32)


def _space(classes, synonyms, *, dim=8, seed=0, mask=None):
  rng = np.random.default_rng(seed)
  points = _unit(rng, classes, synonyms, dim)
  if mask is None:
    mask = rng.random((classes, synonyms)) < rng.random((classes, 1)) * 1.3
  return build_space(points, np.asarray(mask), keep="all")


def _images(*shape, dim=8, seed=9):
  return jnp.asarray(_unit(np.random.default_rng(seed), *shape, dim))


def _plain_scores(name, image, points, neighbors):
  """All scores of one image and one class that rounding may give."""
  if not len(points):
    return [-1.0]
  image, points = image.astype(np.float64), points.astype(np.float64)
  s = points @ image
  if name == "nearest_point":
    return [s.max()]
  if name == "mean_similarity":
    return [s.mean()]
  order = sorted(range(len(s)), key=lambda i: (-s[i], i))
  k = len(s) if name == "center" else min(neighbors, len(s))
  choices = [order[:k]]
  if k < len(s) and s[order[k - 1]] - s[order[k]] < 1e-6:
    choices.append([*order[: k - 1], order[k]])
  scores = []
  for chosen in choices:
    mean = points[chosen].mean(axis=0)
    norm = np.linalg.norm(mean)
    scores.append(mean @ image / norm if norm > 1e-3 else -1.0)
  return scores


# 20 classes are one block: 41 are three, of which the last overlaps.
@pytest.mark.parametrize("classes", [1, 41])
@pytest.mark.parametrize("neighbors", [1, 3, 50])
def test_metrics_match_float64(classes, neighbors):
  space = _space(classes, 7)
  images = _images(6)
  for name, metric in POINT_TO_SPACE.items():
    if name == "local_center":
      scores = metric(images, space, neighbors=neighbors)
    elif neighbors == 1:
      scores = metric(images, space)
    else:
      continue
    assert scores.shape == (6, classes)
    assert scores.dtype == jnp.float32
    for i in range(6):
      for c in range(classes):
        points = np.asarray(space.points[c])[np.asarray(space.mask[c])]
        expected = _plain_scores(name, np.asarray(images[i]), points, neighbors)
        error = min(abs(score - float(scores[i, c])) for score in expected)
        assert error <= 1e-5, (name, i, c)


def test_table_holds_each_metric_under_its_own_name():
  for name, metric in POINT_TO_SPACE.items():
    assert metric is getattr(point_to_space, f"point_to_{name}")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
def test_any_batch_shape(shape):
  space = _space(3, 4)
  images = _images(*shape)
  for metric in _METRICS:
    scores = metric(images, space)
    assert scores.shape == (*shape, 3)
    flat = metric(images.reshape(-1, 8), space)
    np.testing.assert_array_equal(scores, flat.reshape(*shape, 3))


@pytest.mark.parametrize(("classes", "synonyms"), [(0, 3), (2, 0), (0, 0)])
def test_no_class_or_no_text(classes, synonyms):
  space = _space(classes, synonyms)
  for metric in _METRICS:
    scores = metric(_images(4), space)
    np.testing.assert_array_equal(scores, np.full((4, classes), -1.0))


def test_one_vertex_makes_every_metric_its_similarity():
  mask = np.zeros((5, 4), bool)
  mask[np.arange(5), [0, 3, 1, 2, 0]] = True
  space = _space(5, 4, mask=mask)
  images = _images(6)
  expected = np.asarray(images) @ np.asarray(space.points)[mask].T
  for metric in _METRICS:
    np.testing.assert_allclose(metric(images, space), expected, atol=1e-6)


def test_all_neighbors_are_the_center_and_one_the_nearest_point():
  space, images = _space(21, 6), _images(6)
  center = POINT_TO_SPACE["center"](images, space)
  for neighbors in (6, 1000):
    local = point_to_local_center(images, space, neighbors=neighbors)
    np.testing.assert_allclose(local, center, atol=1e-6)
  few = _space(4, 9, mask=np.arange(9) < np.array([[1], [2], [3], [5]]))
  np.testing.assert_allclose(
    point_to_local_center(images, few, neighbors=5),
    POINT_TO_SPACE["center"](images, few),
    atol=1e-6,
  )
  np.testing.assert_allclose(
    point_to_local_center(images, space, neighbors=1),
    POINT_TO_SPACE["nearest_point"](images, space),
    atol=1e-6,
  )


def test_padding_and_vertex_order_change_nothing():
  rng = np.random.default_rng(4)
  points, mask = _unit(rng, 5, 6, 8), rng.random((5, 6)) < 0.7
  images, order = _images(6), rng.permutation(10)
  junk = np.full((5, 4, 8), np.inf, np.float32)
  longer = np.concatenate([points, junk], axis=1)[:, order]
  longer_mask = np.pad(mask, ((0, 0), (0, 4)))[:, order]
  space = build_space(points, mask, keep="all")
  other = build_space(longer, longer_mask, keep="all")
  for metric in _METRICS:
    np.testing.assert_allclose(
      metric(images, other), metric(images, space), atol=1e-6
    )


def test_vertices_outside_the_core_do_not_count():
  space = _space(3, 6, mask=np.ones((3, 6), bool))
  core = np.arange(6) < np.array([[2], [4], [6]])
  pruned = space._replace(mask=jnp.asarray(core))
  alone = _space(3, 6, mask=core)
  for metric in _METRICS:
    np.testing.assert_allclose(
      metric(_images(4), pruned), metric(_images(4), alone), atol=1e-6
    )


def test_exact_ties_go_to_the_lower_index():
  directions = np.eye(4)[[0, 0, 1, 2, 1]]
  points = np.concatenate([0.8 * directions, np.full((5, 1), 0.6)], axis=1)
  points[4] = [0.0, 0.6, 0.0, 0.0, 0.8]
  image = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0])
  masks = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [1, 0, 1, 1, 0]], bool)
  space = build_space(
    np.tile(points.astype(np.float32), (3, 1, 1)), masks, keep="all"
  )
  # The last vertex is nearest where it is real, the others tie.
  for neighbors, chosen in [
    (1, [[4], [4], [0]]),
    (2, [[4, 0], [4, 1], [0, 2]]),
    (3, [[4, 0, 1], [4, 1, 2], [0, 2, 3]]),
    (4, [[4, 0, 1, 2], [4, 1, 2, 3], [0, 2, 3]]),
  ]:
    scores = point_to_local_center(image, space, neighbors=neighbors)
    for score, vertices in zip(scores, chosen, strict=True):
      mean = points[vertices].mean(axis=0)
      expected = mean[4] / np.linalg.norm(mean)
      assert float(score) == pytest.approx(expected, abs=1e-6)


def test_degenerate_means_and_empty_classes_score_minus_one():
  east, north = [1.0, 0.0], [0.0, 1.0]
  points = np.array([[east, [-1.0, 0.0]], [east, north]], np.float32)
  points = np.concatenate([points, points[1:]])
  mask = np.array([[True, True], [True, True], [False, False]])
  space = build_space(points, mask, keep="all")
  images = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 0.0]])
  center = POINT_TO_SPACE["center"](images, space)
  np.testing.assert_array_equal(center[:, 0], -1.0)
  np.testing.assert_allclose(
    center[:, 1], [np.sqrt(0.5), 1.4 * np.sqrt(0.5), 0.0], atol=1e-6
  )
  local = point_to_local_center(images, space, neighbors=1)
  np.testing.assert_allclose(local[:2, 0], [1.0, 0.6], atol=1e-6)
  for metric in _METRICS:
    scores = np.asarray(metric(images, space))
    np.testing.assert_array_equal(scores[:, 2], -1.0)
    assert np.isfinite(scores).all()


def test_scores_are_clipped():
  space = _space(3, 4, mask=np.ones((3, 4), bool))
  images = 1.5 * space.points[:, 0]
  for metric in _METRICS:
    scores = np.asarray(metric(jnp.concatenate([images, -images]), space))
    assert scores.max() <= 1.0
    assert scores.min() >= -1.0
  assert POINT_TO_SPACE["nearest_point"](images, space)[0, 0] == 1.0


def test_jit_equals_the_plain_call_and_vmap_a_loop():
  spaces = [_space(5, 4, seed=seed) for seed in range(2)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *spaces)
  images = _images(2, 4)
  for metric in _METRICS:
    loop = np.stack(
      [
        metric(image, space)
        for image, space in zip(images, spaces, strict=True)
      ]
    )
    np.testing.assert_allclose(
      jax.jit(metric)(images[0], spaces[0]), loop[0], atol=1e-6
    )
    np.testing.assert_allclose(
      jax.vmap(metric)(images, stacked), loop, atol=1e-6
    )


def test_ties_are_resolved_under_vmap_as_well():
  points = np.tile(np.eye(3, dtype=np.float32), (2, 2, 1))
  mask = np.ones((2, 6), bool)
  space = build_space(points, mask, keep="all")
  images = jnp.array([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]])
  one = jax.vmap(lambda x: point_to_local_center(x, space, neighbors=3))
  np.testing.assert_allclose(
    one(images), point_to_local_center(images, space, neighbors=3), atol=1e-6
  )
  # The nearest axis twice, then the lower of two copies of the second nearest.
  expected = (2 * 0.8 + 0.6) / np.sqrt(5)
  np.testing.assert_allclose(one(images)[0], expected, atol=1e-6)


@pytest.mark.parametrize("metric", _METRICS)
def test_gradients_match_differences_and_stay_finite(metric):
  space = _space(4, 5, mask=np.arange(5) < np.array([[0], [1], [3], [5]]))
  image = _images()

  def total(image):
    return metric(image, space).sum()

  gradient = np.asarray(jax.grad(total)(image))
  step = 1e-2 * np.eye(8, dtype=np.float32)
  slopes = [(total(image + h) - total(image - h)) / 2e-2 for h in step]
  np.testing.assert_allclose(gradient, slopes, atol=2e-3)


@pytest.mark.parametrize("neighbors", [0, -3, 2.5, 4.0, "4", True, None])
def test_neighbors_must_be_a_whole_number(neighbors):
  local_center = inspect.unwrap(point_to_local_center)
  message = r"`neighbors` must be a whole number >= 1, got "
  with pytest.raises(ValueError, match=message):
    local_center(_images(2), _space(3, 4), neighbors=neighbors)


def test_dim_must_agree():
  for metric in _METRICS:
    with pytest.raises(ValueError, match=r"agree on dim, got 6 and 8"):
      metric(_images(2, dim=6), _space(3, 4))


def test_space_is_a_pytree_that_passes_through_jit():
  space = _space(3, 4)
  again = jax.jit(lambda space: space)(space)
  assert isinstance(again, SynonymousSpace)


@pytest.mark.parametrize("synonyms", [9, 16])
def test_large_batches_match_float64(synonyms):
  # Batches large enough for the fused kernels of XLA on CPU, which small ones
  # never reach, and memory that others have used before.
  space = _space(20, synonyms, dim=32)
  images = _images(900, dim=32)
  points = np.asarray(space.points, np.float64)
  mask = np.asarray(space.mask)
  similarities = np.einsum("bd,cmd->bcm", np.asarray(images), points)
  for name, neighbors in (("center", synonyms), ("local_center", 3)):
    ranks = np.where(mask, -similarities, np.inf).argsort(-1, kind="stable")
    ranks = ranks.argsort(-1, kind="stable")
    weights = (mask & (ranks < neighbors)).astype(np.float64)
    means = np.einsum("bcm,cmd->bcd", weights, points)
    norms = np.maximum(np.linalg.norm(means, axis=-1), 1e-9)
    expected = (weights * similarities).sum(-1) / norms
    expected = np.where(mask.any(-1), expected, -1.0)
    for _ in range(5):
      used = np.full(1 << 20, np.nan, np.float32)
      del used
      options = {} if name == "center" else {"neighbors": neighbors}
      scores = POINT_TO_SPACE[name](images, space, **options)
      np.testing.assert_allclose(np.asarray(scores), expected, atol=2e-5)
