"""What is scored is a direction: lengths never matter, nothing never wins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import average_views, robust_mean_shift, zero_shot_scores
from s3_jax.adaptation import adapted_scores
from s3_jax.embeddings import unit_or_nan
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import attach_complex, build_space


def unit(rows):
  return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype("f4")


@pytest.fixture(scope="module")
def drawn():
  rng = np.random.default_rng(0)
  points = unit(rng.normal(size=(7, 4, 6)) + 2 * rng.normal(size=(7, 1, 6)))
  mask = np.ones((7, 4), bool)
  mask[2, 1:] = mask[5] = False
  space = attach_complex(build_space(points, mask))
  return space, unit(rng.normal(size=(9, 6)))


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_lengths_do_not_matter(drawn, name):
  space, x = drawn
  expected = np.asarray(POINT_TO_SPACE[name](x, space))
  assert np.isfinite(expected).all()
  for length in (3.0, 10.0, 1e-3, 1e-25, 1e25):
    scores = POINT_TO_SPACE[name](np.float32(length) * x, space)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
  half = x.astype(np.float16).astype(np.float32)
  np.testing.assert_allclose(
    POINT_TO_SPACE[name](half, space), expected, atol=5e-3
  )


@pytest.mark.parametrize("name", POINT_TO_SPACE)
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_image_of_which_nothing_is_known_has_no_class(drawn, name, value):
  space, x = drawn
  bad = x.copy()
  bad[4] = value
  with pytest.raises(
    ValueError, match="`embeddings` must hold finite"
  ) as error:
    POINT_TO_SPACE[name](bad, space)
  assert "row 4" in str(error.value) and len(str(error.value)) <= 300
  scores = np.asarray(jax.jit(POINT_TO_SPACE[name])(bad, space))
  assert np.isnan(scores[4]).all()
  good = np.arange(9) != 4
  expected = np.asarray(POINT_TO_SPACE[name](x, space))
  np.testing.assert_allclose(scores[good], expected[good], atol=1e-5)


def test_one_wrong_number_of_a_row_is_enough(drawn):
  space, x = drawn
  bad = x.copy()
  bad[3, 2] = np.nan
  with pytest.raises(ValueError, match="row 3"):
    POINT_TO_SPACE["center"](bad, space)
  deep = np.stack([x, bad])
  with pytest.raises(ValueError, match="row 1, 3"):
    POINT_TO_SPACE["center"](deep, space)
  with pytest.raises(ValueError, match="the only row"):
    POINT_TO_SPACE["center"](bad[3], space)


def test_classifiers_and_views_too(drawn):
  space, x = drawn
  classifier = space.points[:, 0]
  expected = zero_shot_scores(x, classifier)
  np.testing.assert_allclose(
    zero_shot_scores(7 * x, classifier), expected, atol=1e-6
  )
  bad = x.copy()
  bad[0] = 0
  with pytest.raises(ValueError, match="row 0"):
    zero_shot_scores(bad, classifier)
  assert np.isnan(jax.jit(zero_shot_scores)(bad, classifier)[0]).all()
  for function in (
    average_views,
    lambda views: robust_mean_shift(views, classifier, 3.0),
    lambda views: adapted_scores(views, space, 3.0),
  ):
    np.testing.assert_allclose(function(4 * x), function(x), atol=2e-5)
    with pytest.raises(ValueError, match="`views` must hold finite"):
      function(bad)


def test_unit_rows_keep_their_bits():
  x = unit(np.random.default_rng(1).normal(size=(500, 64)))
  np.testing.assert_array_equal(unit_or_nan(jnp.asarray(x)), x)
  assert np.isnan(jax.jit(unit_or_nan)(jnp.zeros((2, 3)))).all()
