"""Many classes: spaces built in shares, and the best classes of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from s3_jax.evaluation.vocabulary import (
  build_sharded_space,
  sharded_two_witnesses,
  top_classes,
)
from s3_jax.point_to_space import point_to_local_center
from s3_jax.sharding import local_mesh
from s3_jax.space import build_space, two_witnesses


def draw_texts(classes, texts, dim=8, seed=0):
  rng = np.random.default_rng(seed)
  points = rng.normal(size=(classes, texts, dim)).astype(np.float32)
  points /= np.linalg.norm(points, axis=2, keepdims=True)
  mask = rng.random((classes, texts)) < 0.8
  mask[:, 0] = True
  mask[classes // 2] = False  # a class without a text
  return points, mask


def local_center(space, embeddings):
  return point_to_local_center(embeddings, space, neighbors=2)


def dot(classifier, embeddings):
  return jnp.matmul(embeddings, classifier.T, precision="highest")


@pytest.mark.parametrize(
  ("classes", "model", "options"),
  [
    (13, 4, {}),
    (3, 8, {"scale": ("quantile", 0.5)}),  # fewer classes than devices
    (
      13,
      2,
      {
        "scale": np.linspace(0.8, 1.2, 13),
        "max_simplices": 32,
        "max_dimension": 1,
      },
    ),
    (7, 1, {"scale": None, "keep": "all"}),
  ],
)
def test_shares_of_a_space_are_the_space(classes, model, options):
  points, mask = draw_texts(classes, 5)
  mesh = local_mesh(8, model=model)
  expected = build_space(points, mask, **options)
  space = build_sharded_space(points, mask, mesh=mesh, **options)
  padded = -(-classes // model) * model
  for got, wanted in zip(
    jax.tree.leaves(space), jax.tree.leaves(expected), strict=True
  ):
    assert got.shape == (padded, *wanted.shape[1:])
    assert got.sharding.shard_shape(got.shape)[0] == padded // model
    np.testing.assert_array_equal(np.asarray(got)[:classes], wanted)
  assert not np.asarray(space.mask)[classes:].any()


def test_padding_that_is_not_finite_becomes_zero():
  points, mask = draw_texts(7, 4)
  points[~mask] = np.nan
  expected = build_space(points, mask, scale="gap")
  space = build_sharded_space(
    points, mask, mesh=local_mesh(2, model=2), scale="gap"
  )
  np.testing.assert_array_equal(np.asarray(space.points)[:7], expected.points)
  np.testing.assert_array_equal(np.asarray(space.mask)[:7], expected.mask)


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"keep": "most"}, '`keep` must be one of "largest"'),
    ({"scale": "gaps"}, '`scale` must be "gap"'),
    ({"min_gap": -1.0}, "`min_gap` must be finite and >= 0, got -1.0"),
    ({"mask": np.ones((3, 2), bool)}, r"agree on \[classes, synonyms\]"),
    ({"embeddings": np.ones((3, 4, 2), "f4")}, "unit norm, got norm 1.41421"),
    (
      {"scale": 2.0, "keep": "all", "max_simplices": 5},
      "got 5, too few for 3 classes, the first of them class 0",
    ),
  ],
)
def test_what_build_space_refuses_is_refused(change, rule):
  arguments = {
    "embeddings": np.tile(np.eye(2, dtype=np.float32), (3, 2, 1)),
    "mask": np.ones((3, 4), bool),
    "mesh": local_mesh(2, model=2),
  } | change
  with pytest.raises(ValueError, match=rule):
    build_sharded_space(**arguments)


def best_by_sorting(scores, count):
  order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
  return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("count", [1, 5, 13])
@pytest.mark.parametrize(
  "shape", [None, (8, 1), (8, 2), (8, 8)], ids=["one", "8x1", "4x2", "1x8"]
)
def test_best_classes_are_those_of_sorting(shape, count):
  rng = np.random.default_rng(count)
  # Whole numbers are exact, and there are many ties.
  embeddings = rng.integers(-1, 2, (21, 4)).astype(np.float32)
  classifier = rng.integers(-1, 2, (13, 4)).astype(np.float32)
  mesh = shape and local_mesh(shape[0], model=shape[1])
  found = top_classes(
    embeddings,
    Partial(dot, classifier),
    classes=13,
    count=count,
    batch_size=9,
    mesh=mesh,
  )
  scores, order = best_by_sorting(embeddings @ classifier.T, count)
  np.testing.assert_array_equal(found.classes, order)
  np.testing.assert_array_equal(found.scores, scores)


def test_a_sharded_space_is_scored_where_it_lies():
  points, mask = draw_texts(13, 5)
  mesh = local_mesh(8, model=4)
  embeddings = draw_texts(30, 1, seed=1)[0][:, 0]
  space = build_sharded_space(points, mask, mesh=mesh, scale="gap")
  found = top_classes(
    embeddings, Partial(local_center, space), classes=13, mesh=mesh
  )
  one = build_space(points, mask, scale="gap")
  scores = np.asarray(local_center(one, embeddings))
  expected, order = best_by_sorting(scores, 5)
  np.testing.assert_array_equal(found.classes, order)
  np.testing.assert_allclose(found.scores, expected, atol=1e-6)
  assert not np.any(found.classes == 13 // 2)  # the class without a text


def test_no_images_have_no_best_classes():
  found = top_classes(
    np.zeros((0, 4), np.float32),
    Partial(dot, np.ones((7, 4), np.float32)),
    classes=7,
    count=2,
  )
  assert found.scores.shape == found.classes.shape == (0, 2)


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"count": 0}, r"`count` must be in 1\.\.3, got 0"),
    ({"count": 4}, r"`count` must be in 1\.\.3, got 4"),
    ({"batch_size": 0}, "`batch_size` must be a whole number >= 1, got 0"),
    ({"classes": 9}, r"arrays of 9 classes each, got shapes \[\[3, 2\]\]"),
    ({"score_fn": lambda x: x}, r"arrays of 3 classes each, got shapes \[\]"),
    (
      {"embeddings": np.array([[1, 0], [np.nan, 0]], np.float32)},
      "finite scores, got NaN or inf for image 1",
    ),
  ],
)
def test_top_classes_refuses(change, rule):
  arguments = {
    "embeddings": np.ones((2, 2), np.float32),
    "score_fn": Partial(dot, np.ones((3, 2), np.float32)),
    "classes": 3,
    "count": 2,
  } | change
  with pytest.raises(ValueError, match=rule):
    top_classes(**arguments)


@pytest.mark.parametrize(("devices", "model"), [(8, 8), (8, 4), (2, 2), (1, 1)])
@pytest.mark.parametrize("keep", ["largest", "label"])
def test_shares_of_the_two_witnesses_say_the_same(devices, model, keep):
  rng = np.random.default_rng(3)
  points = rng.normal(size=(29, 5, 12))
  points[:, 1:3] = points[:, :1] + 0.3 * rng.normal(size=(29, 2, 12))
  points /= np.linalg.norm(points, axis=2, keepdims=True)
  points = points.astype(np.float32)
  mask = rng.random((29, 5)) < 0.9
  mask[:, 0] = True
  mask[11] = False
  forms = np.tile([0, 0, 3, 3, 0], (29, 1))
  points[~mask] = np.nan
  options = {"forms": forms, "keep": keep, "min_gap": 0.1}
  expected = np.asarray(two_witnesses(points, mask, **options))
  assert 0 < expected.sum() < mask.sum()
  kept = sharded_two_witnesses(
    points, mask, mesh=local_mesh(devices, model=model), **options
  )
  np.testing.assert_array_equal(kept, expected)
