"""Shifted spaces in Gram form against shifted points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation.formulas import read_metric
from s3_jax.adaptation.shifted import (
  shift_gradient,
  shifted_scores,
  shifted_space,
  unshifted_scores,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import attach_complex
from tests.adaptation import oracles


def make_space(classes=11, synonyms=4, dim=8):
  points, mask = oracles.make_texts(classes, synonyms, dim, seed=1)
  mask[2] = False
  space = oracles.exact_space(points.astype(np.float32), mask, np.float32)
  space = space._replace(max_edge_length=jnp.full(classes, 1.05))
  return attach_complex(space, max_dimension=2)


@pytest.mark.parametrize(
  ("name", "shared"),
  [*((name, False) for name in POINT_TO_SPACE), ("soft_local_center", True)],
)
def test_scores_and_gradient_are_those_of_shifted_points(name, shared):
  """Scores against the metric, slopes against differences in float64."""
  space = make_space()
  rng = np.random.default_rng(2)
  images = oracles.unit(rng, 5, 8)
  shift = 0.1 * rng.normal(size=(1 if shared else 11, 8))
  along, weights = rng.normal(size=shift.shape), rng.normal(size=(5, 11))
  with jax.enable_x64(True):
    metric = read_metric(name, None, space)
    exact = jax.tree.map(
      lambda v: v.astype(jnp.float64) if v.dtype == jnp.float32 else v, space
    )
    x, slopes = jnp.asarray(images), jnp.asarray(weights)

    @jax.jit
    def score(d):
      arguments = (x, exact, d, metric)
      return (
        shifted_scores(*arguments, images=1),
        shift_gradient(slopes, *arguments, images=1, is_zero=False),
      )

    (scores, gradient), (ahead, _), (behind, _) = (
      jax.tree.map(np.asarray, score(jnp.asarray(shift + h * along)))
      for h in (0.0, 1e-5, -1e-5)
    )
  moved = shifted_space(space, jnp.asarray(shift, jnp.float32))
  expected = POINT_TO_SPACE[name](np.asarray(images, np.float32), moved)
  np.testing.assert_allclose(scores, expected, atol=2e-5)
  difference = np.sum(weights * (ahead - behind) / 2e-5)
  assert np.sum(gradient * along) == pytest.approx(difference, rel=1e-5)
  assert shared or not gradient[2].any()  # a class without vertices


@pytest.mark.parametrize("name", ["local_center", "complex"])
def test_scores_before_the_shift_are_the_metric(name):
  space = make_space(23)
  x = jnp.asarray(oracles.unit(np.random.default_rng(3), 7, 8), jnp.float32)
  metric = read_metric(name, None, space)
  scores = jax.jit(lambda x, space: unshifted_scores(x, space, metric))(
    x, space
  )
  expected = POINT_TO_SPACE[name](x, space)
  np.testing.assert_allclose(scores, expected, atol=1e-6)
