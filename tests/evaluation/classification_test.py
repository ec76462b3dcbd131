"""Scoring and embedding: padding, order, compilations, and what they refuse."""

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from jax.tree_util import Partial

from s3_jax.evaluation.classification import Scoring, evaluate_scores


def make_problem(images, classes, dim=4, seed=0):
  rng = np.random.default_rng(seed)
  embeddings = rng.normal(size=(images, dim)).astype(np.float32)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  classifier = rng.normal(size=(classes, dim)).astype(np.float32)
  labels = rng.integers(0, classes, images).astype(np.int32)
  return embeddings, classifier, labels


def dot(classifier, embeddings):
  return jnp.matmul(embeddings, classifier.T, precision="highest")


@pytest.mark.parametrize("batch_size", [1, 3, 8, 20])
@pytest.mark.parametrize("classes", [1, 3, 8])
def test_result_is_numpys_whatever_the_batch(batch_size, classes):
  embeddings, classifier, labels = make_problem(8, classes)
  result = evaluate_scores(
    Partial(dot, classifier),
    embeddings,
    labels,
    classes=classes,
    batch_size=batch_size,
    logit_scale=2.0,
  )
  scores = embeddings.astype(np.float64) @ classifier.T.astype(np.float64)
  predictions = scores.argmax(axis=1)
  logits = np.exp(2.0) * scores
  exps = np.exp(logits - logits.max(axis=1, keepdims=True))
  confidence = (exps / exps.sum(axis=1, keepdims=True)).max(axis=1)
  order = np.argsort(-scores, axis=1)[:, :5]
  np.testing.assert_array_equal(result.predictions, predictions)
  np.testing.assert_array_equal(result.correct, predictions == labels)
  np.testing.assert_allclose(result.confidence, confidence, atol=1e-5)
  assert result.n == 8
  assert result.top1 == sklearn.metrics.accuracy_score(labels, predictions)
  assert result.top5 == np.mean(np.any(order == labels[:, None], axis=1))
  assert result.mean_per_class == pytest.approx(
    np.mean([np.mean(predictions[labels == c] == c) for c in set(labels)])
  )
  assert result.classes_with_images == len(set(labels))
  np.testing.assert_array_equal(
    result.per_class_n, np.bincount(labels, minlength=classes)
  )
  assert 0 <= result.ece <= 1


def test_classes_without_images_are_nan_and_left_out():
  labels = np.array([2, 2, 0], np.int32)
  result = evaluate_scores(
    lambda x: jnp.tile(jnp.array([0.0, 0.0, 1.0]), (x.shape[0], 1)),
    np.ones((3, 2), np.float32),
    labels,
    classes=3,
    batch_size=2,
    logit_scale=0.0,
  )
  np.testing.assert_array_equal(result.per_class, [0.0, np.nan, 1.0])
  assert (result.mean_per_class, result.classes_with_images) == (0.5, 2)


def test_ties_go_to_the_lowest_class():
  result = evaluate_scores(
    lambda x: jnp.zeros((x.shape[0], 3)),
    np.ones((3, 2), np.float32),
    np.array([0, 1, 2], np.int32),
    classes=3,
    batch_size=4,
    logit_scale=1.0,
  )
  assert result.predictions.tolist() == [0, 0, 0]
  assert result.top1 == pytest.approx(1 / 3)
  np.testing.assert_allclose(result.confidence, 1 / 3, rtol=1e-6)


def test_one_compilation_for_all_test_sets():
  traces = []

  def score(classifier, embeddings):
    traces.append(embeddings.shape)
    return dot(classifier, embeddings)

  for images, seed in [(5, 0), (8, 1), (9, 2), (1, 3)]:
    embeddings, classifier, labels = make_problem(images, 3, seed=seed)
    # Another array, the same function: an argument, not a constant.
    evaluate_scores(
      Partial(score, classifier),
      embeddings,
      labels,
      classes=3,
      batch_size=4,
      logit_scale=float(seed),
    )
  assert traces == [(4, 4)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_the_image(value):
  def score(embeddings):
    bad = embeddings[:, :1] < 0
    return jnp.where(bad, value, jnp.zeros((embeddings.shape[0], 2)))

  embeddings = np.ones((5, 2), np.float32)
  embeddings[3] = -1
  with pytest.raises(ValueError, match="NaN or inf for image 3"):
    evaluate_scores(
      score,
      embeddings,
      np.zeros(5, np.int32),
      classes=2,
      batch_size=2,
      logit_scale=1.0,
    )


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"embeddings": np.ones((0, 2), np.float32)}, "at least one image, got 0"),
    ({"labels": np.zeros(3, np.int32)}, r"agree on \[images\], got 2 and 3"),
    ({"labels": np.array([0, 2], np.int32)}, "got 2 at index 1"),
    ({"labels": np.array([-1, 0], np.int32)}, "got -1 at index 0"),
    ({"batch_size": 0}, "`batch_size` must be a whole number >= 1, got 0"),
    ({"classes": 0}, "`classes` must be >= 1"),
    ({"classes": 3}, r"\[4, 3\], got \[4, 2\]"),
  ],
)
def test_evaluate_refuses(change, rule):
  arguments = {
    "embeddings": np.ones((2, 2), np.float32),
    "labels": np.zeros(2, np.int32),
    "classes": 2,
    "batch_size": 4,
    "logit_scale": 1.0,
  } | change
  with pytest.raises(ValueError, match=rule):
    evaluate_scores(lambda x: x[:, :2], **arguments)


def test_pieces_and_views_are_scored_as_a_whole():
  rng = np.random.default_rng(0)
  views = rng.normal(size=(11, 3, 4)).astype(np.float32)
  labels = rng.integers(0, 2, 11).astype(np.int32)

  def score(x):
    return jnp.mean(x, axis=1)[:, :2]

  scoring = Scoring(score, classes=2, batch_size=4, logit_scale=1.0)
  for start, stop in ((0, 3), (3, 4), (4, 11)):
    scoring.add(views[start:stop], labels[start:stop])
  got = scoring.result()
  expected = views.mean(1)[:, :2].argmax(1)
  np.testing.assert_array_equal(got.predictions, expected)
  assert got.n == 11 and got.top1 == np.mean(expected == labels)
  whole = evaluate_scores(
    lambda x: x[:, :2],
    views.mean(1),
    labels,
    classes=2,
    batch_size=4,
    logit_scale=1.0,
  )
  np.testing.assert_allclose(got.confidence, whole.confidence, atol=1e-6)
  with pytest.raises(ValueError, match="got 2 at index 12"):
    scoring.add(views[:2], np.array([0, 2], np.int32))
