"""MTA against loops in float64, and the plain average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation import average_views, robust_mean_shift
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
