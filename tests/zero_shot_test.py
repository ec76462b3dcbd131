"""One-vector-per-class classifiers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import zero_shot


def _unit(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  return x.astype(np.float32)


def test_name_classifier_is_the_unit_embedding():
  names = _unit(4, 6)
  np.testing.assert_allclose(
    zero_shot.name_classifier(3 * names), names, atol=1e-6
  )


@pytest.mark.parametrize("templates", [1, 3])
def test_template_classifier_is_the_renormalised_mean(templates):
  x = _unit(4, templates, 6)
  mean = x.astype(np.float64).mean(axis=1)
  mean /= np.linalg.norm(mean, axis=1, keepdims=True)
  np.testing.assert_allclose(zero_shot.template_classifier(x), mean, atol=1e-6)


def test_template_classifier_needs_a_template():
  with pytest.raises(ValueError, match="at least one template"):
    inspect.unwrap(zero_shot.template_classifier)(jnp.zeros((2, 0, 3)))


def test_random_synonym_is_drawn_evenly_among_real_texts():
  points = _unit(4, 5, 6)
  mask = np.array(
    [[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], bool
  )
  keys = jax.random.split(jax.random.key(0), 3000)
  draw = jax.jit(jax.vmap(zero_shot.random_synonym_classifier, (0, None, None)))
  rows = np.asarray(draw(keys, points, mask))
  np.testing.assert_array_equal(rows[:, 3], 0.0)
  for index in range(3):
    is_text = np.abs(rows[:, index, None] - points[index]).max(axis=-1) < 1e-6
    np.testing.assert_array_equal(is_text.sum(axis=1), 1)
    share = mask[index] / mask[index].sum()
    np.testing.assert_allclose(is_text.mean(axis=0), share, atol=0.05)


def test_random_synonyms_of_classes_are_independent_and_repeatable():
  points = np.tile(_unit(1, 8, 6), (64, 1, 1))
  mask = np.ones((64, 8), bool)
  key = jax.random.key(3)
  rows = zero_shot.random_synonym_classifier(key, points, mask)
  assert len(np.unique(np.asarray(rows), axis=0)) > 4
  again = zero_shot.random_synonym_classifier(key, points, mask)
  np.testing.assert_array_equal(rows, again)


@pytest.mark.parametrize(("classes", "synonyms"), [(0, 2), (2, 0)])
def test_random_synonym_of_nothing(classes, synonyms):
  rows = zero_shot.random_synonym_classifier(
    jax.random.key(0),
    np.zeros((classes, synonyms, 3), np.float32),
    np.zeros((classes, synonyms), bool),
  )
  np.testing.assert_array_equal(rows, np.zeros((classes, 3)))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3)])
def test_scores_are_cosines(shape):
  images, classifier = _unit(*shape, 6), _unit(4, 6, seed=1)
  scores = zero_shot.zero_shot_scores(images, jnp.asarray(classifier))
  expected = images.astype(np.float64) @ classifier.T.astype(np.float64)
  np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_scores_of_a_class_without_text_and_of_rounding():
  classifier = jnp.array([[1.0 + 1e-6, 0.0], [0.0, 0.0]])
  scores = zero_shot.zero_shot_scores(jnp.eye(2), classifier)
  np.testing.assert_array_equal(scores, [[1.0, -1.0], [0.0, -1.0]])
