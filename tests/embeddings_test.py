"""Unit vectors against float64, and their degenerate cases."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import embeddings


def _unit(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  return x.astype(np.float32)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 1), (0, 4), (2, 0)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_l2_normalize_matches_float64(shape, dtype):
  x = jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)
  exact = np.asarray(x, np.float64)
  exact /= np.linalg.norm(exact, axis=-1, keepdims=True)
  result = embeddings.l2_normalize(x)
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(result, exact, atol=3e-7)


def test_l2_normalize_does_not_underflow_in_half_precision():
  x = jnp.full((4,), 6e-5, jnp.float16)
  np.testing.assert_allclose(embeddings.l2_normalize(x), 0.5, atol=1e-6)


def test_zero_rows_stay_zero_with_a_finite_gradient():
  x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
  np.testing.assert_allclose(
    embeddings.l2_normalize(x), [[0.0, 0.0], [0.6, 0.8]], atol=1e-7
  )
  gradient = jax.grad(lambda x: embeddings.l2_normalize(x)[:, 0].sum())(x)
  assert np.isfinite(gradient).all()


def test_eps_is_the_floor_of_the_length():
  x = jnp.array([0.0, 0.25])
  np.testing.assert_allclose(
    embeddings.l2_normalize(x, eps=0.5), [0.0, 0.5], atol=1e-7
  )


def test_template_mean_is_the_renormalised_mean():
  x = _unit(3, 4, 7, 6)
  mean = x.astype(np.float64).mean(axis=2)
  mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
  result = embeddings.template_mean(jnp.asarray(x))
  np.testing.assert_allclose(result, mean, atol=1e-6)


def test_template_mean_of_one_template_is_its_embedding():
  x = _unit(5, 1, 6)
  np.testing.assert_allclose(
    embeddings.template_mean(jnp.asarray(x)), x[:, 0], atol=1e-6
  )


def test_template_mean_without_direction_is_zero():
  x = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
  np.testing.assert_array_equal(embeddings.template_mean(x), [0.0, 0.0])
  x = jnp.array([[1.0, 1e-4], [-1.0, 1e-4]])
  np.testing.assert_array_equal(embeddings.template_mean(x), [0.0, 0.0])


def test_template_mean_needs_a_template():
  mean = inspect.unwrap(embeddings.template_mean)
  with pytest.raises(ValueError, match=r"`embeddings` must .* got 0"):
    mean(jnp.zeros((2, 0, 3)))


@pytest.mark.parametrize("vertices", [0, 1, 2, 9])
def test_gram_and_distances_match_float64(vertices):
  points = _unit(2, vertices, 8)
  exact = points.astype(np.float64)
  gram = embeddings.gram_matrix(jnp.asarray(points))
  np.testing.assert_allclose(
    gram, np.einsum("cid,cjd->cij", exact, exact), atol=1e-6
  )
  distances = np.asarray(embeddings.chordal_distances(gram))
  difference = exact[:, :, None] - exact[:, None]
  np.testing.assert_allclose(
    distances, np.linalg.norm(difference, axis=-1), atol=1e-6
  )
  np.testing.assert_array_equal(distances, np.swapaxes(distances, 1, 2))
  for cloud in distances:
    np.testing.assert_array_equal(np.diag(cloud), 0.0)


def test_equal_texts_are_at_distance_zero():
  points = np.repeat(_unit(1, 512), 6, axis=0)
  distances = embeddings.chordal_distances(
    embeddings.gram_matrix(jnp.asarray(points))
  )
  np.testing.assert_array_equal(distances, np.zeros((6, 6)))


def test_squared_distances_below_the_threshold_count_as_zero():
  near, far = 1.0 - 0.4e-6, 1.0 - 0.8e-6
  gram = np.array([[1.0, near, far], [near, 1.0, 1.0], [far, 1.0, 1.0]])
  distances = embeddings.chordal_distances(jnp.asarray(gram, jnp.float32))
  assert distances[0, 1] == 0.0
  assert distances[0, 2] == pytest.approx(np.sqrt(1.6e-6), rel=0.1)


def test_gram_is_exactly_symmetric():
  gram = embeddings.gram_matrix(jnp.asarray(_unit(33, 511)))
  np.testing.assert_array_equal(gram, gram.T)
