"""ZERO against loops in float64: votes, ties, and the order of the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation import majority_vote


def f32(x):
  return np.array(x, np.float32)


def entropy_of(row):
  p = np.exp(row - row.max())
  p /= p.sum()
  return -(p * np.log(np.maximum(p, 1e-300))).sum()


def softmax(row):
  p = np.exp(row - row.max())
  return p / p.sum()


def expected_shares(logits, fraction):
  """The shares of the classes, by loops, and whether there was a tie."""
  rows = [np.float64(row) for row in logits]
  kept = max(1, int(fraction * len(rows) + 1e-6))
  order = sorted(range(len(rows)), key=lambda i: (entropy_of(rows[i]), i))
  votes = [0.0] * len(rows[0])
  for i in order[:kept]:
    votes[int(np.argmax(rows[i]))] += 1
  mean = sum(softmax(rows[i]) for i in order[:kept]) / kept
  tied = [c for c, v in enumerate(votes) if v == max(votes)]
  if len(tied) > 1:
    later = [int(np.argmax(rows[i])) for i in order[kept:]]
    in_tie = [c for c in later if c in tied]
    votes[in_tie[0] if in_tie else max(tied, key=lambda c: mean[c])] += 0.5
  counts = np.array(votes) + mean / 2
  return counts / counts.sum(), len(tied) > 1


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("spread", [0.3, 4.0])
def test_shares_are_those_of_the_loops(fraction, spread):
  rng = np.random.default_rng(0)
  ties = 0
  for _ in range(30):
    logits = spread * rng.normal(size=(20, 6))
    expected, was_tied = expected_shares(logits, fraction)
    ties += was_tied
    with jax.enable_x64(True):
      found = np.asarray(majority_vote(logits, confident_fraction=fraction))
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-12)
    narrow = majority_vote(f32(logits), confident_fraction=fraction)
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(np.exp(narrow), expected, atol=1e-6)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(expected))
  assert 0 < ties < 30


# One row a view, the surest first; 3 of 6 vote.
SURE = np.array(
  [[9, 0, 0, 0], [0, 8, 0, 0], [0, 0, 7, 0], [0, 0, 0, 3], [0, 2, 0, 0]]
)


def test_the_next_surest_view_of_a_tied_class_breaks_a_tie():
  # Classes 0, 1, 2 have a vote each. The next view is for 3, which is not tied;
  # the one after it is for 1, though 0 has the larger probability.
  logits = f32(SURE)
  vote = majority_vote(logits, confident_fraction=0.6)
  assert list(np.argsort(-vote)) == [1, 0, 2, 3]
  for other in (0, 2):
    moved = logits.copy()
    moved[4] = 0
    moved[4, other] = 2
    vote = majority_vote(moved, confident_fraction=0.6)
    assert int(np.argmax(vote)) == other


def test_a_tie_that_no_view_breaks_goes_to_the_larger_mean():
  vote = majority_vote(f32(SURE[:4]), confident_fraction=0.75)
  assert int(np.argmax(vote)) == 0
  every = majority_vote(f32(SURE[:3]), confident_fraction=1.0)
  assert list(np.argsort(-every)[:2]) == [0, 1]


def test_votes_outweigh_any_probability():
  # Two unsure views for class 1 against one that is certain of class 0.
  logits = f32([[50, 0, 0], [0, 0.1, 0], [0, 0.1, 0]])
  vote = np.asarray(majority_vote(logits, confident_fraction=1.0))
  assert list(np.argsort(-vote)) == [1, 0, 2]
  mean = np.mean([softmax(row) for row in np.float64(logits)], axis=0)
  assert np.argmax(mean) == 0


def test_unlikely_classes_keep_their_order():
  logits = np.zeros((4, 5), np.float32) - f32([0, 40, 80, 90, 85])
  vote = np.asarray(majority_vote(logits, confident_fraction=0.5))
  assert np.isfinite(vote).all()
  assert list(np.argsort(-vote)) == [0, 1, 2, 4, 3]


@pytest.mark.parametrize("fraction", [0.01, 1.0])
def test_one_view_has_the_order_of_its_logits(fraction):
  logits = f32([[1.0, -2.0, 3.0, 0.5]])
  vote = majority_vote(logits, confident_fraction=fraction)
  np.testing.assert_array_equal(np.argsort(vote), np.argsort(logits[0]))
  expected = (np.eye(4)[2] + softmax(logits[0]) / 2) / 1.5
  np.testing.assert_allclose(np.exp(vote), expected, atol=1e-6)


def test_what_votes_do_not_depend_on():
  rng = np.random.default_rng(1)
  logits = f32(3 * rng.normal(size=(24, 7)))
  expected = np.asarray(majority_vote(logits, confident_fraction=0.3))
  views, classes = rng.permutation(24), rng.permutation(7)
  for moved, back in (
    (logits[views], slice(None)),
    (logits + f32(rng.normal(size=(24, 1))), slice(None)),
    (logits[:, classes], np.argsort(classes)),
  ):
    found = np.asarray(majority_vote(moved, confident_fraction=0.3))
    np.testing.assert_allclose(found[back], expected, atol=1e-5)
  # Once a view votes, how sure it is of the class changes no vote.
  surer = logits * f32(5)
  votes = [
    np.argmax(majority_vote(x, confident_fraction=1.0)) for x in (logits, surer)
  ]
  assert votes[0] == votes[1]


def test_jit_and_vmap_give_what_one_image_gives():
  rng = np.random.default_rng(2)
  logits = f32(rng.normal(size=(9, 12, 5)))
  expected = np.stack(
    [majority_vote(x, confident_fraction=0.4) for x in logits]
  )
  vote = jax.jit(lambda x: majority_vote(x, confident_fraction=0.4))
  np.testing.assert_allclose(jax.vmap(vote)(logits), expected, atol=1e-6)
  np.testing.assert_allclose(vote(logits[3]), expected[3], atol=1e-6)


def test_edges():
  assert majority_vote(np.zeros((3, 0), np.float32)).shape == (0,)
  np.testing.assert_allclose(
    majority_vote(np.ones((3, 1), np.float32)), [0.0], atol=1e-6
  )
  half = jnp.asarray([[1.0, 2.0]], jnp.bfloat16)
  assert majority_vote(half).dtype == jnp.float32
  # A view of NaN is the last to vote, and is seen where it does.
  logits = f32([[np.nan, 0], [0, 1], [0, 2]])
  assert int(np.argmax(majority_vote(logits, confident_fraction=0.6))) == 1
  assert np.isnan(majority_vote(logits, confident_fraction=1.0)).all()


def test_what_is_refused():
  with pytest.raises(ValueError, match="at least the original view, got 0"):
    majority_vote(np.zeros((0, 3), np.float32))
  for fraction in (0.0, 1.5):
    with pytest.raises(ValueError, match=r"`confident_fraction` must be in"):
      majority_vote(np.zeros((2, 3)), confident_fraction=fraction)
