"""Adaptation against torch in float64: same views, loss, gradient, logits."""

import functools

import jax
import numpy as np
import pytest

from s3_jax.adaptation import adapt_space, adapted_scores
from s3_jax.adaptation.descent import (
  find_shift,
  scores_after,
  scores_before,
)
from s3_jax.adaptation.options import AdaptationOptions, read_options
from s3_jax.embeddings import scale_logits
from tests.adaptation import oracles
from tests.adaptation.oracles import LOG_SCALE, exact_space

OPTIONS = {"local_center": {"neighbors": oracles.NEIGHBORS}}
METRICS = ("nearest_point", "local_center", "soft_local_center")
CLASSES = 23  # three blocks, of which the last overlaps


@functools.partial(jax.jit, static_argnames="plan")
def _find(views, space, numbers, plan):
  metric = plan.metric._replace(parameters=numbers.parameters)
  scores = scores_before(views, space, metric)
  found = find_shift(views, scores, space, numbers, plan, images=1)
  scores = scores_after(views[:1], space, found.shift, metric, images=1)
  return found, scale_logits(scores[0], numbers.logit_scale)


def found_by_us(name, views, space, **changed):
  """What ours saw and the logits it ended with."""
  options = AdaptationOptions(
    metric=name,
    metric_options=OPTIONS.get(name),
    confident_fraction=0.3,
    **changed,
  )
  return jax.tree.map(
    np.asarray, _find(*read_options(options, views, space, LOG_SCALE))
  )


def logits_of_ours(name, views, space, **changed):
  scores = adapted_scores(
    views,
    space,
    LOG_SCALE,
    metric=name,
    metric_options=OPTIONS.get(name),
    confident_fraction=0.3,
    **changed,
  )
  return np.exp(LOG_SCALE) * np.asarray(scores, np.float64)


@pytest.mark.parametrize(
  ("name", "shift"),
  [*((name, "per_class") for name in METRICS), ("local_center", "shared")],
)
def test_everything_agrees_in_float64(name, shift):
  points, mask = oracles.make_texts(CLASSES, 6)
  (views,) = oracles.make_views(points)
  expected = oracles.adapt(name, views, points, mask, shared=shift == "shared")
  with jax.enable_x64(True):
    space = exact_space(points, mask)
    found, logits = found_by_us(name, views, space, shift=shift)
  assert found.shift.dtype == logits.dtype == np.float64
  assert list(found.kept) == expected.kept
  assert float(found.loss) == pytest.approx(expected.loss, abs=1e-9)
  np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-9)
  np.testing.assert_allclose(found.shift, expected.shift, atol=1e-9)
  np.testing.assert_allclose(logits, expected.logits, atol=1e-9, rtol=1e-9)


def test_public_functions_agree_in_float64():
  points, mask = oracles.make_texts(CLASSES, 6)
  (views,) = oracles.make_views(points)
  expected = oracles.adapt("local_center", views, points, mask)
  with jax.enable_x64(True):
    space = exact_space(points, mask)
    logits = logits_of_ours("local_center", views, space)
    adapted = adapt_space(
      views,
      space,
      LOG_SCALE,
      metric_options=OPTIONS["local_center"],
      confident_fraction=0.3,
    )
    space, adapted = jax.tree.map(np.asarray, (space, adapted))
  np.testing.assert_allclose(logits, expected.logits, atol=1e-9, rtol=1e-9)
  moved = points + expected.shift[:, None]
  moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
  moved = np.where(mask[:, :, None], moved, points)
  np.testing.assert_allclose(adapted.points, moved, atol=1e-9)
  gram = np.einsum("cid,cjd->cij", moved, moved)
  is_pair = mask[:, :, None] & mask[:, None, :]
  np.testing.assert_allclose(adapted.gram[is_pair], gram[is_pair], atol=1e-9)
  np.testing.assert_array_equal(adapted.gram[~is_pair], space.gram[~is_pair])
  for part in ("mask", "max_edge_length", "deaths"):
    assert np.array_equal(getattr(adapted, part), getattr(space, part)), part


def test_several_steps_agree_in_float64():
  name = "soft_local_center"
  points, mask = oracles.make_texts(CLASSES, 6, seed=2)
  (views,) = oracles.make_views(points, seed=3)
  options = {"steps": 4, "learning_rate": 0.02, "weight_decay": 0.3}
  expected = oracles.adapt(name, views, points, mask, **options)
  with jax.enable_x64(True):
    space = exact_space(points, mask)
    found, logits = found_by_us(name, views, space, **options)
  np.testing.assert_allclose(found.shift, expected.shift, atol=1e-8)
  np.testing.assert_allclose(logits, expected.logits, atol=1e-7)


@pytest.mark.parametrize("name", ["local_center", "soft_local_center"])
def test_float32_agrees_but_where_signs_are_rounding(name):
  points, mask = oracles.make_texts(CLASSES, 6, dim=64, seed=4)
  points = points.astype(np.float32)
  all_views = oracles.make_views(points, images=4, views=30, seed=5)
  space = exact_space(points, mask, np.float32)
  for views in all_views.astype(np.float32):
    expected = oracles.adapt(name, views, points, mask)
    found, logits = found_by_us(name, views, space)
    gaps = np.diff(np.sort(expected.entropies))
    if gaps[len(expected.kept) - 1] > 1e-5:
      assert set(map(int, found.kept)) == set(expected.kept)
    assert float(found.loss) == pytest.approx(expected.loss, rel=1e-4)
    error = np.linalg.norm(found.gradient - expected.gradient, axis=1)
    size = np.linalg.norm(expected.gradient, axis=1)
    assert np.all(error <= 1e-4 * size), (error / size).max()
    largest = np.abs(expected.gradient).max(axis=1, keepdims=True)
    is_rounding = np.abs(expected.gradient) < 1e-4 * largest
    # 1 % of the step: near Adam's 1e-8 a shift has few digits of its gradient.
    wrong = np.abs(found.shift - expected.shift) > 5e-5
    assert not np.any(wrong & ~is_rounding), (
      f"{np.sum(wrong & ~is_rounding)} coordinates of the shift differ, beside "
      f"{np.sum(is_rounding)} of {wrong.size} whose gradient is below 1e-4 of "
      "its class's largest"
    )
    first, second = np.sort(expected.logits)[:-3:-1]
    if first - second > 0.1:
      assert np.argmax(logits) == np.argmax(expected.logits)
    np.testing.assert_allclose(logits, expected.logits, atol=2e-3)


def test_a_sure_image_keeps_the_digits_of_its_gradient():
  # One class has all but some 1e-5 of the probability: 1 - p would be rounding.
  points, mask = oracles.make_texts(CLASSES, 6, dim=64, seed=6)
  points = points.astype(np.float32)
  views = points[3, 0] + 0.2 * oracles.unit(np.random.default_rng(7), 30, 64)
  views /= np.linalg.norm(views, axis=1, keepdims=True)
  views = views.astype(np.float32)
  expected = oracles.adapt("local_center", views, points, mask)
  assert expected.loss < 3e-4
  space = exact_space(points, mask, np.float32)
  found, _ = found_by_us("local_center", views, space)
  assert float(found.loss) == pytest.approx(expected.loss, rel=1e-4)
  error = np.linalg.norm(found.gradient - expected.gradient, axis=1)
  size = np.linalg.norm(expected.gradient, axis=1)
  assert np.all(error <= 1e-4 * size)


def test_one_vertex_is_tps_on_its_prototypes():
  """TPS written out: unit prototypes, one shift each, one step of AdamW."""
  import torch

  points, _ = oracles.make_texts(CLASSES, 1, dim=32, seed=8)
  (views,) = oracles.make_views(points, views=64, seed=9)
  text, x = torch.tensor(points[:, 0]), torch.tensor(views)
  shift = torch.zeros_like(text, requires_grad=True)
  optimizer = torch.optim.AdamW([shift], lr=5e-3)

  def logits():
    return np.exp(LOG_SCALE) * x @ torch.nn.functional.normalize(text + shift).T

  output = logits()
  entropy = -(output.softmax(1) * output.log_softmax(1)).sum(1)
  output = output[entropy.argsort()[: int(0.1 * 64)]]
  logs = output.log_softmax(1).logsumexp(0) - np.log(len(output))
  (-(logs * logs.exp()).sum()).backward()
  optimizer.step()
  expected = logits()[0].detach().numpy()
  mask = np.ones((CLASSES, 1), bool)
  with jax.enable_x64(True):
    space = exact_space(points, mask)
    for method in ("ts3", "tps"):
      scores = adapted_scores(views, space, LOG_SCALE, method=method)
      np.testing.assert_allclose(
        np.exp(LOG_SCALE) * np.asarray(scores), expected, atol=1e-9
      )


def test_tps_shifts_the_centers_of_spaces():
  points, mask = oracles.make_texts(CLASSES, 5, seed=10)
  (views,) = oracles.make_views(points, seed=11)
  weights = mask / mask.sum(axis=1, keepdims=True)
  centers = np.einsum("cm,cmd->cd", weights, points)
  centers /= np.linalg.norm(centers, axis=1, keepdims=True)
  only = np.ones((CLASSES, 1), bool)
  expected = oracles.adapt("center", views, centers[:, None], only)
  with jax.enable_x64(True):
    space = exact_space(points, mask)
    logits = logits_of_ours("subspace", views, space, method="tps")
    adapted = adapt_space(
      views, space, LOG_SCALE, method="tps", confident_fraction=0.3
    )
    scale = np.exp(LOG_SCALE)
    np.testing.assert_allclose(logits, expected.logits, atol=1e-9)
    np.testing.assert_allclose(
      scale * np.asarray(adapted.points)[:, 0] @ views[0], expected.logits
    )
  assert adapted.mask.shape == (CLASSES, 1)
