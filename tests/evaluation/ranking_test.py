"""Rankings of blocks of classes, against sorting, and how they merge."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from s3_jax.evaluation import accumulators
from s3_jax.evaluation.ranking import (
  NO_CLASS,
  confidences,
  merge_rankings,
  rank_nothing,
  rank_scores,
)
from s3_jax.evaluation.score_layout import (
  ScoreLayout,
  place_score,
  rank_batch,
)

SCALE = np.float32(1.5)


def rank_by_hand(scores, count):
  """Sorts each row's classes by score, then by index; NaN as -inf."""
  rows = np.where(np.isnan(scores), -np.inf, scores).tolist()
  ranked = []
  for row in rows:
    order = sorted(range(len(row)), key=lambda c: (-row[c], c))
    order = [(row[c], c) for c in order]
    ranked.append((order + [(-np.inf, NO_CLASS)] * count)[:count])
  both = np.array(ranked)
  return both[..., 0], both[..., 1]


def draw_scores(batch, classes, seed=0):
  # Few distinct scores, so that ties are everywhere.
  rng = np.random.default_rng(seed)
  return rng.integers(-2, 3, (batch, classes)).astype(np.float32)


def assert_ranks(ranking, scores, count):
  best, classes = rank_by_hand(scores, count)
  np.testing.assert_array_equal(ranking.scores, best)
  np.testing.assert_array_equal(ranking.classes, classes)
  np.testing.assert_array_equal(ranking.finite, np.isfinite(scores).all(axis=1))


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("classes", [1, 5, 13])
def test_a_block_is_ranked_as_sorting_does(classes, count):
  scores = draw_scores(6, classes)
  ranking = rank_scores(jnp.asarray(scores), count=count, logit_scale=SCALE)
  assert_ranks(ranking, scores, count)
  assert ranking.classes.dtype == jnp.int32
  logits = np.exp(1.5) * scores.astype(np.float64)
  softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  np.testing.assert_allclose(
    confidences(ranking), softmax.max(axis=1), rtol=1e-5
  )


def test_the_two_zeros_are_equal():
  scores = jnp.array([[-1.0, -0.0, 0.0, -0.0]])
  ranking = rank_scores(scores, count=4, logit_scale=SCALE)
  assert ranking.classes.tolist() == [[1, 2, 3, 0]]


@pytest.mark.parametrize(
  ("cuts", "count"), [((0,), 5), ((1, 1), 2), ((3, 9), 5), ((1, 2, 4, 12), 3)]
)
def test_any_cut_in_any_order_is_the_whole(cuts, count):
  scores = draw_scores(8, 13, seed=1)
  scores[0, 4], scores[1] = np.nan, np.nan
  scores[2, ::2], scores[3, 5] = -np.inf, np.inf
  starts, stops = (0, *cuts), (*cuts, 13)
  parts = [
    rank_scores(
      jnp.asarray(scores[:, start:stop]),
      count=count,
      logit_scale=SCALE,
      first_class=start,
    )
    if start < stop
    else rank_nothing(8, count=count)
    for start, stop in zip(starts, stops, strict=True)
  ]
  whole = rank_scores(jnp.asarray(scores), count=count, logit_scale=SCALE)
  left = functools.reduce(merge_rankings, parts)
  right = functools.reduce(lambda a, b: merge_rankings(b, a), reversed(parts))
  mixed = functools.reduce(merge_rankings, parts[::-1])
  for ranking in (left, right, mixed):
    assert_ranks(ranking, scores, count)
    ordinary = slice(4, None)
    np.testing.assert_allclose(
      confidences(ranking)[ordinary], confidences(whole)[ordinary], rtol=1e-6
    )


@pytest.mark.parametrize("counted", [0, 2, 4])
def test_padding_behind_the_classes_does_not_count(counted):
  scores = draw_scores(5, 4)
  scores[:, counted:] = np.nan
  scores[1, :counted] = -np.inf
  padded = rank_scores(
    jnp.asarray(scores),
    count=3,
    logit_scale=SCALE,
    counted=jnp.int32(counted),
  )
  assert_ranks(padded, scores[:, :counted], 3)
  ordinary = [0, 2, 3, 4]
  total = np.exp(np.exp(1.5) * scores[ordinary, :counted].astype(np.float64))
  largest = np.asarray(padded.largest, np.float64)[ordinary]
  if counted:
    np.testing.assert_allclose(
      padded.total[np.array(ordinary)],
      total.sum(axis=1) / np.exp(largest),
      rtol=1e-5,
    )


@pytest.mark.parametrize("classes", [1, 4, 6, 33])
def test_counts_from_a_ranking_are_those_of_all_scores(classes):
  scores = draw_scores(40, classes, seed=2)
  rng = np.random.default_rng(3)
  scores[rng.random(scores.shape) < 0.2] = np.nan
  scores[rng.random(scores.shape) < 0.2] = -np.inf
  labels = rng.integers(0, classes, 40).astype(np.int32)
  mask = rng.random(40) < 0.8
  labels[~mask] = -7
  start = accumulators.init_counts(classes)
  scores, labels, mask = map(jnp.asarray, (scores, labels, mask))
  expected = accumulators.update(start, scores, labels, mask)
  ranking = rank_scores(scores, count=min(5, classes), logit_scale=SCALE)
  counts = accumulators.update_ranked(
    start, ranking.scores, ranking.classes, labels, mask
  )
  for got, wanted in zip(counts, expected, strict=True):
    np.testing.assert_array_equal(got, wanted)
    assert got.dtype == jnp.int32


def dot(classifier, embeddings):
  return jnp.matmul(embeddings, classifier.T, precision="highest")


@pytest.mark.parametrize("classes", [9, 10])
def test_blocks_of_classes_are_all_of_them(classes):
  traces = []

  def score(classifier, embeddings):
    traces.append(classifier.shape)
    return dot(classifier, embeddings)

  rng = np.random.default_rng(classes)
  embeddings = rng.integers(-1, 2, (6, 3)).astype(np.float32)
  classifier = rng.integers(-1, 2, (classes, 3)).astype(np.float32)
  layout = ScoreLayout(per_class=True, block=2)
  placed = place_score(
    Partial(score, classifier), classes=classes, layout=layout
  )
  ranking = jax.jit(
    functools.partial(rank_batch, classes=classes, count=5, layout=layout)
  )(placed, embeddings, SCALE)
  assert_ranks(ranking, embeddings @ classifier.T, 5)
  assert traces == [(2, 3)]
