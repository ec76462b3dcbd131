"""Entropies, selection and the loss, against float64 and hand-worked cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation.confidence import (
  entropies,
  marginal_entropy,
  most_confident,
)
from s3_jax.adaptation.options import confident_count


def log_softmax(logits):
  """In float64, and to all digits where a probability is near 1."""
  logits = np.asarray(logits, np.float64)
  logs = np.empty_like(logits)
  for row, out in zip(logits, logs, strict=True):
    top = row.argmax()
    below = row - row[top]
    out[:] = below - np.log1p(np.exp(np.delete(below, top)).sum())
  return logs


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 200.0])
@pytest.mark.parametrize("classes", [1, 2, 50])
def test_entropies_in_float32(classes, scale):
  rng = np.random.default_rng(0)
  logits = np.float32(scale * rng.normal(size=(7, classes)))
  logs = log_softmax(logits)
  expected = -(np.exp(logs) * logs).sum(axis=1)
  values = jax.jit(entropies)(jnp.asarray(logits))
  np.testing.assert_allclose(values, expected, rtol=3e-5, atol=1e-30)


def test_of_equal_entropies_the_lower_view_is_taken():
  logits = jnp.array([[0.0, 1.0], [5.0, 0.0], [0.0, 5.0], [9.0, 0.0]])
  assert most_confident(logits, 3).tolist() == [3, 1, 2]
  assert most_confident(jnp.zeros((4, 3)), 2).tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1.0, 10.0, 40.0])
def test_loss_and_gradient_in_float32(scale):
  rng = np.random.default_rng(1)
  logits = np.asarray(scale * rng.normal(size=(5, 30)), np.float32)
  logits[:, 3] += 3 * scale
  p = np.exp(log_softmax(logits))
  mean = p.mean(axis=0)
  logs = np.log(mean)
  logs[3] = np.log1p(-np.delete(mean, 3).sum())
  relative = logs - logs[3]  # class 3 is every view's first
  slopes = -p / 5 * (relative - (p * relative).sum(axis=1, keepdims=True))
  loss, gradient = jax.jit(marginal_entropy)(jnp.asarray(logits))
  assert float(loss) == pytest.approx(-(mean * logs).sum(), rel=2e-5)
  normal = np.abs(slopes) > 1e-30
  np.testing.assert_allclose(gradient[normal], slopes[normal], rtol=1e-4)


def test_gradient_is_that_of_autodiff():
  logits = jnp.asarray(np.random.default_rng(2).normal(size=(4, 6)))

  def loss_of(logits):
    mean = jnp.mean(jax.nn.softmax(logits, axis=1), axis=0)
    return -jnp.sum(mean * jnp.log(mean))

  loss, gradient = marginal_entropy(logits)
  expected, slopes = jax.value_and_grad(loss_of)(logits)
  np.testing.assert_allclose(loss, expected, rtol=1e-6)
  np.testing.assert_allclose(gradient, slopes, atol=1e-7)


def test_entropy_of_two_opposite_views_by_hand():
  # Two sure views that disagree: the mean is (1/2, 1/2), of entropy log 2.
  loss, gradient = marginal_entropy(jnp.array([[60.0, 0.0], [0.0, 60.0]]))
  assert float(loss) == pytest.approx(np.log(2))
  np.testing.assert_allclose(gradient, np.zeros((2, 2)), atol=1e-9)


@pytest.mark.parametrize(
  ("views", "fraction", "count"),
  [
    (64, 0.1, 6),
    (1, 0.1, 1),
    (9, 0.1, 1),
    (100, 0.29, 29),  # 28.999... as a float
    (10, 1.0, 10),
    (5, 1e-9, 1),
  ],
)
def test_count_of_confident_views(views, fraction, count):
  assert confident_count(views, fraction) == count
