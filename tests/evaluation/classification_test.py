"""Scoring: padding, order, devices, compilations, and what it refuses."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from jax.tree_util import Partial

from s3_jax.evaluation import accumulators, classification
from s3_jax.evaluation.classification import (
  Scoring,
  evaluate_scores,
  summarise,
)
from s3_jax.evaluation.score_layout import ScoreLayout
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.sharding import (
  batch_sharding,
  class_sharding,
  local_mesh,
  replicated,
)
from s3_jax.space import SynonymousSpace, attach_complex, build_space


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


MESHES = [(1, 1), (8, 1), (8, 2), (8, 4)]
"""Devices, and over how many of them classes are shared out."""


def draw_space(classes, texts=5, dim=8):
  rng = np.random.default_rng(classes)
  points = rng.normal(size=(classes, texts, dim)).astype(np.float32)
  points /= np.linalg.norm(points, axis=2, keepdims=True)
  mask = rng.random((classes, texts)) < 0.8
  mask[:, 0] = True
  mask[classes // 2] = False  # a class without a text
  return build_space(points, mask, scale="gap")


def assert_same(result, expected):
  for name, got in result._asdict().items():
    wanted = getattr(expected, name)
    if name in ("confidence", "ece"):
      np.testing.assert_allclose(got, wanted, atol=1e-5)
    else:
      np.testing.assert_array_equal(got, wanted, err_msg=name)


def local_center(space, embeddings):
  return POINT_TO_SPACE["local_center"](embeddings, space, neighbors=2)


@pytest.mark.parametrize(
  ("classes", "meshes"),
  [(3, MESHES[3:]), (7, MESHES), (13, MESHES[2:3]), (90, MESHES[3:])],
)
def test_meshes_count_and_predict_the_same(classes, meshes):
  embeddings, _, labels = make_problem(23, classes, dim=8)
  evaluate = functools.partial(
    evaluate_scores,
    Partial(local_center, draw_space(classes)),
    embeddings,
    labels,
    classes=classes,
    batch_size=10,  # no multiple of the devices
    logit_scale=3.0,
  )
  expected = evaluate()
  for devices, model in meshes:
    mesh = local_mesh(devices, model=model)
    assert_same(evaluate(mesh=mesh, per_class=True), expected)


@functools.cache
def metric_score(name):
  def score(space, embeddings):
    return POINT_TO_SPACE[name](embeddings, space)

  return score


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_every_metric_is_the_same_on_a_mesh(name):
  embeddings, _, labels = make_problem(9, 5, dim=8)
  space = attach_complex(draw_space(5, texts=3))
  result = evaluate_scores(
    Partial(metric_score(name), space),
    embeddings,
    labels,
    classes=5,
    batch_size=9,
    logit_scale=3.0,
    mesh=local_mesh(4, model=2),
    per_class=True,
  )
  scores = np.asarray(POINT_TO_SPACE[name](embeddings, space))
  order = np.argsort(-scores, axis=1, kind="stable")
  np.testing.assert_array_equal(result.predictions, order[:, 0])
  assert result.top1 == np.mean(order[:, 0] == labels)
  assert result.top5 == 1


def test_functions_of_users_run_on_every_device():
  def slow_mean(shared, views):
    # A loop that starts from a constant, and an array without classes.
    def add(total, view):
      return total + view, None

    start = jnp.zeros((views.shape[0], 3))
    total, _ = jax.lax.scan(add, start, jnp.swapaxes(views, 0, 1))
    return total * shared

  views = np.random.default_rng(0).normal(size=(11, 4, 3)).astype(np.float32)
  labels = np.arange(11, dtype=np.int32) % 3
  results = []
  for mesh in (None, local_mesh(8), local_mesh(8, model=2)):
    scoring = Scoring(
      Partial(slow_mean, 2.0),
      classes=3,
      batch_size=4,
      logit_scale=0.0,
      mesh=mesh,
    )
    scoring.add(views[:5], labels[:5])
    scoring.add(views[5:], labels[5:])
    results.append(scoring.result())
  assert_same(results[1], results[0])
  assert_same(results[2], results[0])


@pytest.mark.parametrize("model", [2, 4, 8])
def test_ties_across_devices_go_to_the_lowest_class(model):
  # Twelve equal classes: the first five are the best whatever holds them.
  labels = np.arange(12, dtype=np.int32)
  counted = evaluate_scores(
    Partial(dot, np.ones((12, 2), np.float32)),
    np.ones((12, 2), np.float32),
    labels,
    classes=12,
    batch_size=12,
    logit_scale=0.0,
    mesh=local_mesh(8, model=model),
    per_class=True,
  )
  assert counted.predictions.tolist() == [0] * 12
  assert (counted.top1, counted.top5) == (1 / 12, 5 / 12)
  np.testing.assert_allclose(counted.confidence, 1 / 12, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_scores_that_are_not_finite_are_found_on_every_device(value):
  def score(value, embeddings):
    is_bad = embeddings[:, :1] < 0
    return jnp.where(is_bad, value[None, :], jnp.zeros(()))

  values = np.zeros(7, np.float32)
  values[6] = value  # the last class, beside one of padding
  scoring = Scoring(
    Partial(score, values),
    classes=7,
    batch_size=3,
    logit_scale=0.0,
    mesh=local_mesh(8, model=4),
    per_class=True,
  )
  embeddings = np.ones((6, 2), np.float32)
  embeddings[4:] = -1
  scoring.add(embeddings, np.zeros(6, np.int32))
  assert scoring.counted().finite.tolist() == [True] * 4 + [False] * 2
  with pytest.raises(ValueError, match="NaN or inf for image 4"):
    scoring.result()


def test_one_compilation_on_a_mesh():
  traces = []

  def score(classifier, embeddings):
    traces.append((classifier.shape, embeddings.shape))
    return dot(classifier, embeddings)

  mesh = local_mesh(8, model=2)
  before = classification._score_batch._cache_size()
  for images, seed in [(5, 0), (8, 1), (23, 2)]:
    embeddings, classifier, labels = make_problem(images, 3, seed=seed)
    evaluate_scores(
      Partial(score, classifier),
      embeddings,
      labels,
      classes=3,
      batch_size=6,
      logit_scale=1.0,
      mesh=mesh,
      per_class=True,
    )
  # Two classes and two images a device.
  assert traces == [((2, 4), (2, 4))]
  assert classification._score_batch._cache_size() == before + 1


def test_nothing_added_is_nothing_counted():
  scoring = Scoring(
    Partial(dot, np.ones((3, 2), np.float32)),
    classes=3,
    batch_size=2,
    logit_scale=1.0,
    mesh=local_mesh(8, model=2),
    per_class=True,
  )
  counted = scoring.counted()
  assert int(counted.counts.n) == 0
  assert counted.counts.per_class_n.tolist() == [0, 0, 0]
  for part in counted[1:]:
    assert part.shape == (0,)
  with pytest.raises(ValueError, match="at least one image, got 0"):
    scoring.result()
  scoring.add(np.zeros((0, 2), np.float32), np.zeros(0, np.int32))
  scoring.add(np.ones((3, 2), np.float32), np.zeros(3, np.int32))
  assert summarise(scoring.counted()).n == 3


def test_arrays_without_a_class_axis_are_refused():
  for arrays in [(np.ones((4, 2)), np.ones(())), (np.ones((5, 2)),), ()]:
    with pytest.raises(ValueError, match="must bind arrays of 4 classes each"):
      Scoring(
        Partial(dot, *arrays),
        classes=4,
        batch_size=2,
        logit_scale=1.0,
        per_class=True,
      )


@pytest.mark.parametrize(
  ("model", "mebibytes"), [(1, 100), (2, 100), (8, 50)], ids=["one", "2", "8"]
)
def test_memory_of_a_large_vocabulary_is_bounded(model, mebibytes):
  classes, texts, dim, batch = 21_000, 32, 512, 1024
  layout = ScoreLayout(
    None if model == 1 else local_mesh(8, model=model), per_class=True
  )
  by_class = by_image = whole = None
  if layout.mesh is not None:
    by_class = class_sharding(layout.mesh)
    by_image = batch_sharding(layout.mesh, with_classes=True)
    whole = replicated(layout.mesh)

  def of_classes(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((classes, *shape), dtype, sharding=by_class)

  def of_images(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((batch, *shape), dtype, sharding=by_image)

  space = SynonymousSpace(
    points=of_classes(texts, dim),
    mask=of_classes(texts, dtype=jnp.bool_),
    gram=of_classes(texts, texts),
    simplices=None,
    max_edge_length=of_classes(),
    deaths=of_classes(texts - 1),
  )
  counts = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
    accumulators.init_counts(classes),
  )
  program = classification._score_batch.lower(
    Partial(local_center, space),
    counts,
    of_images(dim),
    of_images(dtype=jnp.int32),
    of_images(dtype=jnp.bool_),
    np.float32(1),
    layout,
  ).compile()
  temporary = program.memory_analysis().temp_size_in_bytes
  assert temporary < mebibytes * 2**20
  held = classes // model
  shapes = {
    tuple(map(int, shape.split(",")))
    for shape in re.findall(r"\[(\d+(?:,\d+)+)\]", program.as_text())
  }
  assert (held, texts, dim) in shapes
  # Nothing else is as large as the scores of one device's images and classes
  # would be, or all scores.
  rows = batch // (1 if model == 1 else 8 // model)
  assert (classes, rows) not in shapes and (rows, classes) not in shapes
  if held > 4000:
    assert (held, rows) not in shapes and (rows, held) not in shapes
    biggest = max(np.prod(s) for s in shapes if s[-2:] != (texts, dim))
    assert biggest <= max(held * texts * texts, rows * 2000)
