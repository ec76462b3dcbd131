"""What adaptation must equal, and what must change nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from s3_jax.adaptation import adapt_in_chunks, adapt_space, adapted_scores
from s3_jax.point_to_space.local_centers import point_to_soft_local_center
from s3_jax.sharding import local_mesh
from s3_jax.space import build_space
from tests.adaptation import oracles

LOG_SCALE = oracles.LOG_SCALE
SOFT: dict[str, Any] = {
  "metric": "soft_local_center",
  "confident_fraction": 0.3,
}


def make_space(classes=12, synonyms=5, *, seed=0, points=None, mask=None):
  texts = oracles.make_texts(classes, synonyms, seed=seed)
  points = texts[0] if points is None else points
  mask = texts[1] if mask is None else mask
  return build_space(
    np.asarray(points, np.float32), mask, scale=1.05, keep="all"
  )


def make_views(space, images, views=10, *, seed=3):
  points = np.asarray(space.points, np.float64)
  x = oracles.make_views(points, images, views, seed=seed)
  return jnp.asarray(x, jnp.float32)


def test_scores_are_the_metric_on_the_adapted_space():
  space = make_space()
  (views,) = make_views(space, 1)
  adapted = adapt_space(views, space, LOG_SCALE, **SOFT)
  moved = np.abs(np.asarray(adapted.points - space.points)).max(axis=(1, 2))
  assert np.all(moved > 1e-3)
  scores = adapted_scores(views, space, LOG_SCALE, **SOFT)
  metric = point_to_soft_local_center
  np.testing.assert_allclose(scores, metric(views[0], adapted), atol=1e-5)
  assert np.abs(np.asarray(scores - metric(views[0], space))).max() > 1e-3


def test_a_metric_of_the_user_is_as_one_of_ours():
  space = make_space()
  views = make_views(space, 3)
  options: dict[str, Any] = {"confident_fraction": 0.3, "steps": 2}
  options["metric_options"] = {"temperature": 0.1}
  ours, users = (
    adapt_in_chunks(views, space, LOG_SCALE, metric=metric, **options)
    for metric in ("soft_local_center", point_to_soft_local_center)
  )
  np.testing.assert_allclose(ours, users, atol=2e-5)


def test_a_learning_rate_of_zero_is_zero_shot():
  space = make_space()
  (views,) = make_views(space, 1)
  scores = adapted_scores(views, space, LOG_SCALE, **SOFT, learning_rate=0.0)
  expected = point_to_soft_local_center(views[0], space)
  np.testing.assert_allclose(scores, expected, atol=1e-6)
  adapted = adapt_space(views, space, LOG_SCALE, **SOFT, learning_rate=0.0)
  np.testing.assert_allclose(adapted.points, space.points, atol=1e-6)
  np.testing.assert_allclose(adapted.gram, space.gram, atol=1e-6)


def test_one_view_leaves_nothing_to_select():
  space = make_space()
  (views,) = make_views(space, 1)
  few, all_ = (
    adapted_scores(views[:1], space, LOG_SCALE, confident_fraction=fraction)
    for fraction in (0.01, 1.0)
  )
  np.testing.assert_array_equal(few, all_)


def test_equal_views_are_one_view():
  space = make_space()
  (views,) = make_views(space, 1)
  same = jnp.broadcast_to(views[:1], views.shape)
  with_few, alone = (
    adapted_scores(x, space, LOG_SCALE, **SOFT) for x in (same, views[:1])
  )
  np.testing.assert_allclose(with_few, alone, atol=1e-5)


def test_a_step_lowers_the_entropy_of_the_mean():
  space = make_space()
  for views in make_views(space, 4):
    losses = []
    for rate in (0.0, 1e-3):
      adapted = adapt_space(views, space, LOG_SCALE, learning_rate=rate, **SOFT)
      scores = point_to_soft_local_center(views, adapted)
      logs = jax.nn.log_softmax(jnp.exp(LOG_SCALE) * scores)
      kept = jnp.argsort(-jnp.sum(jnp.exp(logs) * logs, axis=1))[:3]
      mean = jnp.exp(logs[kept]).mean(axis=0)
      losses.append(float(-jnp.sum(mean * jnp.log(mean))))
    assert losses[1] < losses[0]


def test_padding_and_vertex_order_change_nothing():
  points, mask = oracles.make_texts(12, 5)
  rng = np.random.default_rng(5)
  order = rng.permutation(8)
  padding = 0.2 * oracles.unit(rng, 12, 3, 16)
  moved = np.concatenate([points, padding], axis=1)[:, order]
  no_text = np.zeros((12, 3), bool)
  moved_mask = np.concatenate([mask, no_text], axis=1)[:, order]
  space = make_space(points=points, mask=mask)
  other = make_space(points=moved, mask=moved_mask)
  (views,) = make_views(space, 1)
  expected, scores = (
    adapted_scores(views, each, LOG_SCALE, **SOFT) for each in (space, other)
  )
  np.testing.assert_allclose(scores, expected, atol=1e-5)
  adapted = adapt_space(views, other, LOG_SCALE, **SOFT)
  assert np.isfinite(adapted.gram).all()
  np.testing.assert_array_equal(
    np.asarray(adapted.points)[~moved_mask],
    np.asarray(other.points)[~moved_mask],
  )


def test_classes_in_another_order_give_scores_in_that_order():
  space = make_space()
  (views,) = make_views(space, 1)
  order = np.random.default_rng(6).permutation(12)
  moved = jax.tree.map(lambda x: x[order], space)
  expected = adapted_scores(views, space, LOG_SCALE, **SOFT)
  scores = adapted_scores(views, moved, LOG_SCALE, **SOFT)
  np.testing.assert_allclose(scores, expected[order], atol=1e-5)


def test_jit_vmap_and_chunks_give_what_one_image_gives():
  space = make_space()
  views = make_views(space, 5)

  def score(views):
    return adapted_scores(views, space, LOG_SCALE, **SOFT)

  expected = np.stack([score(x) for x in views])
  np.testing.assert_allclose(jax.jit(score)(views[0]), expected[0], atol=1e-6)
  np.testing.assert_allclose(jax.vmap(score)(views), expected, atol=1e-6)
  for chunk in (2, 100):
    scores = adapt_in_chunks(views, space, LOG_SCALE, chunk=chunk, **SOFT)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_eight_devices_give_what_one_gives():
  space = make_space()
  views = make_views(space, 16)
  expected = adapt_in_chunks(views, space, LOG_SCALE, chunk=8, **SOFT)
  mesh = local_mesh()
  assert mesh.size == 8
  shared_out = jax.device_put(
    views, NamedSharding(mesh, PartitionSpec(mesh.axis_names))
  )
  scores = adapt_in_chunks(shared_out, space, LOG_SCALE, chunk=8, **SOFT)
  np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_numbers_and_options_of_the_metric_may_be_traced():
  space = make_space()
  (views,) = make_views(space, 1)

  @jax.jit
  def score(rate, temperature):
    options = {"temperature": temperature}
    return adapted_scores(
      views,
      space,
      LOG_SCALE,
      metric="soft_local_center",
      learning_rate=rate,
      metric_options=options,
      confident_fraction=0.3,
    )

  expected = adapted_scores(views, space, LOG_SCALE, **SOFT)
  np.testing.assert_allclose(score(5e-3, 0.05), expected, atol=1e-6)


def test_an_optimizer_of_the_user_takes_the_place_of_adamw():
  space = make_space()
  (views,) = make_views(space, 1)
  optimizer = optax.adamw(0.01, weight_decay=0.1)
  numbers: dict[str, Any] = {"learning_rate": 0.01, "weight_decay": 0.1}
  expected = adapted_scores(views, space, LOG_SCALE, **SOFT, **numbers)
  scores = adapted_scores(views, space, LOG_SCALE, **SOFT, optimizer=optimizer)
  np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_class_without_vertices_scores_worst_and_moves_nothing():
  points, mask = oracles.make_texts(12, 5)
  mask[4] = False
  space = make_space(points=points, mask=mask)
  (views,) = make_views(space, 1)
  for method in ("ts3", "tps"):
    scores = adapted_scores(views, space, LOG_SCALE, **SOFT, method=method)
    assert scores[4] == -1.0
    assert np.isfinite(scores).all()
  rest = jax.tree.map(lambda x: jnp.delete(x, 4, axis=0), space)
  expected = adapted_scores(views, rest, LOG_SCALE, **SOFT)
  scores = adapted_scores(views, space, LOG_SCALE, **SOFT)
  np.testing.assert_allclose(jnp.delete(scores, 4), expected, atol=1e-5)


def test_no_image_no_class_or_no_text():
  space = make_space(3, 4)
  views = make_views(space, 2)
  assert adapt_in_chunks(views[:0], space, LOG_SCALE).shape == (0, 3)
  no_class = jax.tree.map(lambda x: x[:0], space)
  assert adapted_scores(views[0], no_class, LOG_SCALE).shape == (0,)
  assert adapt_space(views[0], no_class, LOG_SCALE).points.shape[0] == 0
  no_text = space._replace(
    points=space.points[:, :0],
    mask=space.mask[:, :0],
    gram=space.gram[:, :0, :0],
  )
  scores = adapted_scores(views[0], no_text, LOG_SCALE)
  np.testing.assert_array_equal(scores, [-1.0, -1.0, -1.0])


def test_half_precision_is_computed_in_float32():
  space = make_space()
  (views,) = make_views(space, 1)
  half = views.astype(jnp.bfloat16)
  scores = adapted_scores(half, space, LOG_SCALE, **SOFT)
  assert scores.dtype == jnp.float32
  expected = adapted_scores(half.astype(jnp.float32), space, LOG_SCALE, **SOFT)
  np.testing.assert_array_equal(scores, expected)
