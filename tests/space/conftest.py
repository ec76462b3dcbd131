"""Clouds and comparisons that the tests of spaces share."""

import jax
import numpy as np
import pytest


def _clouds(classes, synonyms, *, seed=0, dim=16):
  """Clusters with outliers and repeated texts, 0 to `synonyms` a class."""
  rng = np.random.default_rng(seed)
  centers = rng.normal(size=(classes, 2, dim))
  which = (rng.random((classes, synonyms)) < 0.25).astype(int)
  spread = rng.uniform(0.1, 0.8, (classes, 1, 1))
  points = np.take_along_axis(centers, which[:, :, None], axis=1)
  points = points + spread * rng.normal(size=points.shape)
  if synonyms > 3:
    points[: classes // 4, 3] = points[: classes // 4, 1]
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  mask = rng.random((classes, synonyms)) < rng.random((classes, 1)) * 1.2
  return points.astype(np.float32), mask


@pytest.fixture(scope="session")
def clouds():
  """`clouds(classes, synonyms, *, seed=0, dim=16)` -> points and mask."""
  return _clouds


def _equal(result, expected):
  leaves = jax.tree.leaves(expected)
  assert jax.tree.structure(result) == jax.tree.structure(expected)
  for leaf, wanted in zip(jax.tree.leaves(result), leaves, strict=True):
    assert leaf.dtype == wanted.dtype
    np.testing.assert_array_equal(leaf, wanted)


@pytest.fixture(scope="session")
def assert_equal():
  """Asserts that two spaces are the same to the bit."""
  return _equal
