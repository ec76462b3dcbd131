"""TPS's prototypes, and spaces of one vertex, against loops."""

import numpy as np
import pytest

from s3_jax.adaptation import center_space, template_descriptor_classifier
from s3_jax.point_to_space import POINT_TO_SPACE
from tests.adaptation import oracles


@pytest.mark.parametrize("weighting", ["micro", "macro"])
def test_prototypes_are_those_of_the_formula(weighting):
  rng = np.random.default_rng(0)
  templates = oracles.unit(rng, 4, 5, 8)
  descriptors = oracles.unit(rng, 4, 3, 8)
  mask = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]], bool)
  descriptors[~mask] = np.nan
  vectors = template_descriptor_classifier(
    templates, descriptors, mask, weighting=weighting
  )
  for c in range(4):
    t, real = templates[c].mean(axis=0), descriptors[c][mask[c]]
    if not len(real):
      mixed = t
    elif weighting == "micro":
      mixed = (t + real.mean(axis=0)) / 2
    else:
      mixed = (5 * t + len(real) * real.mean(axis=0)) / (5 + len(real))
    expected = mixed / np.linalg.norm(mixed)
    np.testing.assert_allclose(vectors[c], expected, atol=1e-6)


def test_a_space_of_centers_scores_as_the_center():
  points, mask = oracles.make_texts(6, 4)
  mask[1] = False
  points[2, :2] = [points[2, 0], -points[2, 0]]
  mask[2] = [True, True, False, False]
  space = oracles.exact_space(points, mask, np.float32)
  centers = center_space(space)
  assert np.asarray(centers.mask)[:, 0].tolist() == [
    *(True, False, False, True, True, True)
  ]
  x = np.float32(oracles.make_views(points)[0])
  expected = POINT_TO_SPACE["center"](x, space)
  for metric in ("nearest_point", "local_center", "convex_hull"):
    scores = POINT_TO_SPACE[metric](x, centers)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
