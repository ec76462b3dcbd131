"""Rankings and the texts that decided, against a float64 loop."""

import numpy as np
import pytest
from jax.tree_util import Partial

from s3_jax.evaluation.predictions import rank_classes
from s3_jax.point_to_space import point_to_center, point_to_nearest_point
from s3_jax.space import build_space


def unit(generator, *shape):
  rows = generator.normal(size=(*shape, 6)).astype("f4")
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def space():
  generator = np.random.default_rng(0)
  mask = np.array(
    [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool
  )
  return build_space(unit(generator, 4, 4), mask, scale=None)


@pytest.mark.parametrize("metric", [point_to_center, point_to_nearest_point])
@pytest.mark.parametrize("top", [1, 3, 4])
def test_a_ranking_is_that_of_a_double_loop(space, metric, top):
  x = unit(np.random.default_rng(1), 5)
  ranking = rank_classes(
    lambda images: metric(images, space), space, x, logit_scale=2.0, top=top
  )
  scores = np.asarray(metric(x, space), np.float64)
  points, mask = np.asarray(space.points, np.float64), np.asarray(space.mask)
  for image in range(5):
    order = sorted(range(4), key=lambda label: -scores[image, label])[:top]
    assert ranking.labels[image].tolist() == order
    exponents = np.exp(np.exp(2.0) * scores[image])
    for index, label in enumerate(order):
      cosines = [
        float(points[label, text] @ x[image])
        for text in range(4)
        if mask[label, text]
      ]
      assert ranking.texts[image, index] == int(np.argmax(cosines))
      for found, expected in (
        (ranking.scores, scores[image, label]),
        (ranking.probabilities, exponents[label] / exponents.sum()),
        (ranking.cosines, max(cosines)),
      ):
        assert float(found[image, index]) == pytest.approx(expected, abs=1e-6)


def test_texts_outside_the_core_decide_nothing():
  x = np.eye(6, dtype="f4")[:1]
  points = np.eye(6, dtype="f4")[None, [1, 0, 2]]
  space = build_space(points, np.ones((1, 3), bool), scale=0.0, keep="label")
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    x,
    logit_scale=0.0,
    top=1,
  )
  assert (int(ranking.texts[0, 0]), float(ranking.cosines[0, 0])) == (0, 0.0)


def test_equal_scores_and_texts_go_to_the_lower_index():
  points = np.tile(np.eye(6, dtype="f4")[0], (40, 3, 1))
  space = build_space(points, np.ones((40, 3), bool), scale=None)
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    points[:2, 0],
    logit_scale=4.6,
    top=40,
  )
  assert ranking.labels.tolist() == [list(range(40))] * 2
  assert not np.any(ranking.texts)
  np.testing.assert_allclose(ranking.probabilities, 1 / 40, rtol=1e-6)
  assert float(np.max(ranking.cosines)) <= 1


@pytest.mark.parametrize("top", [0, 5])
def test_top_is_at_most_the_classes(space, top):
  with pytest.raises(ValueError, match=rf"`top` must be in 1..4, got {top}"):
    rank_classes(lambda x: x, space, np.eye(6), logit_scale=0.0, top=top)


def test_no_image_is_no_ranking(space):
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    np.zeros((0, 6), "f4"),
    logit_scale=0.0,
    top=2,
  )
  assert [column.shape for column in ranking] == [(0, 2)] * 5


def test_a_ranking_compiles_once(space):
  traced = []

  def score(space, embeddings):
    traced.append(embeddings.shape)
    return point_to_center(embeddings, space)

  for seed in range(3):
    x = unit(np.random.default_rng(seed), 3)
    rank_classes(Partial(score, space), space, x, logit_scale=seed, top=2)
  assert traced == [(3, 6)]
