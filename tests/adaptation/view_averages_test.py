"""MTA against loops in float64, and the plain average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation import (
  anchored_average,
  average_views,
  robust_mean_shift,
)
from tests.adaptation import oracles
from tests.adaptation.oracles import LOG_SCALE

POINTS, _ = oracles.make_texts(9, 1, seed=3)
CLASSIFIER = POINTS[:, 0]
IMAGES = oracles.make_views(POINTS, images=4, views=12, seed=4)
OPTIONS = (
  {},
  {"steps": 1, "inner_steps": 1},
  {"lambda_y": 0.5, "lambda_q": 1.0, "steps": 9, "inner_steps": 20},
  {"neighbor_fraction": 0.01, "tolerance": 0.0},
  {"neighbor_fraction": 1.0, "tolerance": 0.1},
)


def expected_of(views, options):
  renamed = {
    "fraction" if key == "neighbor_fraction" else key: value
    for key, value in options.items()
  }
  return oracles.mean_shift(views, CLASSIFIER, **renamed)


@pytest.mark.parametrize("options", OPTIONS)
def test_mean_shift_is_that_of_the_loops(options):
  for views in IMAGES[:2]:
    expected = expected_of(views, options)
    with jax.enable_x64(True):
      mode = np.asarray(
        robust_mean_shift(views, CLASSIFIER, LOG_SCALE, **options)
      )
    assert mode.dtype == np.float64
    np.testing.assert_allclose(mode, expected, atol=1e-9)
    assert np.abs(mode - views[0]).max() > 0.01


def test_in_float32_under_jit_and_vmap():
  views = jnp.asarray(IMAGES, jnp.float32)
  shift = jax.jit(lambda v: robust_mean_shift(v, CLASSIFIER, LOG_SCALE))
  modes = jax.vmap(shift)(views)
  assert modes.dtype == jnp.float32
  np.testing.assert_allclose(np.linalg.norm(modes, axis=1), 1, atol=1e-6)
  for i in range(len(IMAGES)):
    np.testing.assert_allclose(modes[i], shift(views[i]), atol=1e-6)
    np.testing.assert_allclose(modes[i], expected_of(IMAGES[i], {}), atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_views(count):
  views = jnp.asarray(IMAGES[0, :count], jnp.float32)
  mode = robust_mean_shift(views, CLASSIFIER, LOG_SCALE)
  if count == 1:
    np.testing.assert_array_equal(mode, views[0])
    np.testing.assert_array_equal(average_views(views), views[0])
  else:
    expected = expected_of(IMAGES[0, :count], {})
    np.testing.assert_allclose(mode, expected, atol=1e-4)


def test_equal_views_and_one_far_away():
  # Bandwidths of 1e-12: all kernels but the original view's underflow.
  same = np.repeat(IMAGES[0, :1], 6, axis=0)
  for views in (same, np.concatenate([same, IMAGES[1, :1]])):
    mode = robust_mean_shift(
      np.asarray(views, np.float32), CLASSIFIER, LOG_SCALE
    )
    np.testing.assert_allclose(mode, IMAGES[0, 0], atol=1e-5)


def test_the_average_is_the_renormalised_mean():
  mean = IMAGES[0].mean(axis=0)
  expected = mean / np.linalg.norm(mean)
  np.testing.assert_allclose(
    average_views(np.asarray(IMAGES[0], np.float32)), expected, atol=1e-6
  )
  opposite = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
  np.testing.assert_array_equal(average_views(opposite), [1.0, 0.0])


@pytest.mark.parametrize(
  ("fraction", "anchor", "kept"),
  [(0.5, 1.0, 6), (0.25, 2.0, 3), (1.0, 0.0, 12), (0.01, 1.0, 1)],
)
def test_the_anchored_average_is_a_loop(fraction, anchor, kept):
  for views in IMAGES[:2]:
    logits = np.exp(LOG_SCALE) * views @ CLASSIFIER.T
    entropy = []
    for row in logits:
      p = np.exp(row - row.max())
      p /= p.sum()
      entropy.append(-(p * np.log(np.maximum(p, 1e-300))).sum())
    chosen = np.argsort(entropy, kind="stable")[:kept]
    total = anchor * views[0] + sum(views[i] for i in chosen) / kept
    got = anchored_average(
      views.astype(np.float32),
      logits.astype(np.float32),
      confident_fraction=fraction,
      anchor=anchor,
    )
    np.testing.assert_allclose(got, total / np.linalg.norm(total), atol=2e-6)


def test_the_anchored_average_of_one_view_and_of_opposites():
  view = IMAGES[0][:1].astype(np.float32)
  logits = np.zeros((1, 3), np.float32)
  np.testing.assert_allclose(
    anchored_average(view, logits)[None], view, atol=1e-6
  )
  opposite = np.concatenate([view, -view])
  sure = np.array([[0, 0, 0], [9, 0, 0]], np.float32)
  kept = anchored_average(opposite, sure, confident_fraction=0.5)
  np.testing.assert_allclose(kept[None], view, atol=1e-6)


@pytest.mark.parametrize(
  ("options", "rule"),
  [
    ({"confident_fraction": 0.0}, r"in \(0, 1\], got 0.0"),
    ({"confident_fraction": 1.5}, r"in \(0, 1\], got 1.5"),
    ({"anchor": -1.0}, "`anchor` must be >= 0, got -1.0"),
  ],
)
def test_the_anchored_average_refuses(options, rule):
  views = IMAGES[0].astype(np.float32)
  with pytest.raises(ValueError, match=rule):
    anchored_average(views, np.zeros((12, 3), np.float32), **options)
  with pytest.raises(ValueError, match="must agree on .views., got 12 and 5"):
    anchored_average(views, np.zeros((5, 3), np.float32))
