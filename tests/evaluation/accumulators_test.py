"""Counts against a loop over images, in every degenerate size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.evaluation import accumulators
from s3_jax.evaluation.accumulators import ClassificationCounts

update = jax.jit(accumulators.update)


def count_by_hand(scores, labels, mask):
  """Sorts each row's classes by score, then by index, and looks."""
  classes = scores.shape[1]
  top1 = top5 = n = 0
  correct, seen = [0] * classes, [0] * classes
  for row, label, real in zip(scores.tolist(), labels, mask, strict=True):
    if not real:
      continue
    order = sorted(range(classes), key=lambda c: (-row[c], c))
    index = order.index(label)
    n += 1
    seen[label] += 1
    correct[label] += index == 0
    top1 += index == 0
    top5 += index < 5
  return n, top1, top5, correct, seen


def as_lists(counts):
  return tuple(np.asarray(part).tolist() for part in counts)


@pytest.mark.parametrize("batch", [0, 1, 7])
@pytest.mark.parametrize("classes", [1, 4, 6, 33])
def test_update_counts_as_a_loop_does(batch, classes):
  rng = np.random.default_rng(classes)
  # Few distinct scores, so that ties are everywhere.
  scores = rng.integers(0, 4, (batch, classes)).astype(np.float32)
  labels = rng.integers(0, classes, batch).astype(np.int32)
  mask = rng.random(batch) < 0.7
  start = accumulators.init_counts(classes)
  expected = count_by_hand(scores, labels, mask)
  counts = update(start, scores, labels, mask)
  assert as_lists(counts) == expected
  assert all(part.dtype == jnp.int32 for part in counts)


def test_without_jit_the_counts_are_the_same():
  arrays = (jnp.array([[0.1, 0.2], [0.3, 0.3]]), jnp.array([1, 1]))
  start = accumulators.init_counts(2)
  mask = jnp.ones((2,), bool)
  eager = accumulators.update(start, *arrays, mask)
  assert as_lists(eager) == (2, 1, 2, [0, 1], [0, 2])
  assert as_lists(eager) == as_lists(update(start, *arrays, mask))


@pytest.mark.parametrize("label", [-1, 3, 10_000])
def test_masked_rows_never_count_whatever_they_hold(label):
  start = accumulators.init_counts(3)
  counts = update(
    start,
    jnp.full((2, 3), jnp.nan),
    jnp.full((2,), label, jnp.int32),
    jnp.zeros((2,), bool),
  )
  assert as_lists(counts) == as_lists(start)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_label_without_a_score_is_never_right(value):
  scores = jnp.array([[value, value], [value, 0.5], [0.5, value]])
  counts = update(
    accumulators.init_counts(2),
    scores,
    jnp.array([0, 0, 1]),
    jnp.ones((3,), bool),
  )
  assert as_lists(counts) == (3, 0, 0, [0, 0], [2, 1])


def test_nan_elsewhere_does_not_beat_the_label():
  counts = update(
    accumulators.init_counts(2),
    jnp.array([[np.nan, 0.5]]),
    jnp.array([1]),
    jnp.ones((1,), bool),
  )
  assert int(counts.top1) == 1


def test_any_split_into_batches_adds_up():
  rng = np.random.default_rng(0)
  scores = rng.random((12, 7)).astype(np.float32)
  labels = rng.integers(0, 7, 12).astype(np.int32)
  mask = rng.random(12) < 0.8
  start = accumulators.init_counts(7)
  whole = update(start, scores, labels, mask)
  parts = [
    update(start, scores[part], labels[part], mask[part])
    for part in (slice(0, 4), slice(4, 8), slice(8, 12))
  ]
  merged = accumulators.merge(parts[0], accumulators.merge(*parts[1:]))
  assert as_lists(merged) == as_lists(whole)
  assert isinstance(merged, ClassificationCounts)


def test_counts_are_equal_on_one_and_on_all_devices():
  devices = jax.devices()
  rng = np.random.default_rng(1)
  scores = rng.random((16, 6)).astype(np.float32)
  labels = rng.integers(0, 6, 16).astype(np.int32)
  mask = rng.random(16) < 0.8
  mesh = jax.sharding.Mesh(np.array(devices), ("data",))
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  start = accumulators.init_counts(6)
  spread = update(
    start, *(jax.device_put(array, rows) for array in (scores, labels, mask))
  )
  assert as_lists(spread) == count_by_hand(scores, labels, mask)
  assert len(devices) > 1


def test_zero_classes_are_refused():
  with pytest.raises(ValueError, match="`classes` must be >= 1, got 0"):
    accumulators.init_counts(0)
