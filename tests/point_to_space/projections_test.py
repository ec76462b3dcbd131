"""Projections on hulls and complexes: nearest points, by other solvers too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import s3_jax
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import build_space
from tests.point_to_space.oracles import (
  core,
  images,
  make_space,
  project_complex,
  project_hull,
  unit,
)


def squared_distances(x, space, nearest):
  """Squared distances f64[images, classes] to a set's nearest points."""
  distances = np.full((len(x), len(space.mask)), np.inf)
  for c in range(len(space.mask)):
    points, simplices = core(space, c)
    for i in range(len(x) if len(points) else 0):
      p = nearest(x[i].astype(np.float64), points, simplices)
      distances[i, c] = np.sum((x[i] - p) ** 2)
  return distances


def by_quadratic_program(x, points, simplices):
  """Nearest point of the convex hull by sequential quadratic programming."""
  del simplices
  start = np.full(len(points), 1 / len(points))
  solution = scipy.optimize.minimize(
    lambda w: np.sum((x - w @ points) ** 2),
    start,
    jac=lambda w: 2 * points @ (w @ points - x),
    bounds=[(0, None)] * len(points),
    constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    method="SLSQP",
    options={"ftol": 1e-14, "maxiter": 500},
  )
  return np.maximum(solution.x, 0) / np.maximum(solution.x, 0).sum() @ points


@pytest.mark.parametrize("dim", [3, 8, 40])
def test_hull_matches_least_squares_and_quadratic_programming(dim):
  space, x = make_space(6, 9, dim=dim), images(5, dim=dim)
  found = s3_jax.project_to_hull(x, space)
  for nearest in (lambda x, z, _: project_hull(x, z), by_quadratic_program):
    expected = squared_distances(x, space, nearest)
    np.testing.assert_allclose(found.squared_distance, expected, atol=1e-5)
  assert np.all(found.residual >= 0)
  # Nine vertices in three dimensions are dependent: some may not join.
  assert np.all(found.residual <= (2e-6 if dim > 8 else 2e-3))


@pytest.mark.parametrize("max_dimension", [0, 1, 2, 3])
def test_complex_matches_the_best_face(max_dimension):
  space = make_space(6, 8, dim=5, max_dimension=max_dimension)
  x = images(5, dim=5)
  found = s3_jax.project_to_complex(x, space)
  expected = squared_distances(x, space, project_complex)
  np.testing.assert_allclose(found.squared_distance, expected, atol=1e-5)
  assert np.all(found.residual >= 0)
  assert np.all(found.residual <= 2e-6)


def test_scores_are_those_of_the_metrics():
  space, x = make_space(6, 7), images(2, 3)
  for name, project in (
    ("complex", s3_jax.project_to_complex),
    ("convex_hull", s3_jax.project_to_hull),
  ):
    found = project(x, space)
    assert {part.shape for part in found} == {(2, 3, 6)}
    np.testing.assert_allclose(
      found.score, POINT_TO_SPACE[name](x, space), atol=1e-6
    )


def test_classes_without_vertices_are_infinitely_far():
  space = make_space(3, 4, mask=np.zeros((3, 4), bool))
  for project in (s3_jax.project_to_complex, s3_jax.project_to_hull):
    found = project(images(2), space)
    np.testing.assert_array_equal(found.squared_distance, np.inf)
    np.testing.assert_array_equal(found.score, -1.0)
    np.testing.assert_array_equal(found.residual, 0.0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
  seed=st.integers(0, 2**32 - 1),
  dim=st.sampled_from([2, 3, 6]),
  repeats=st.booleans(),
)
def test_order_of_distances(seed, dim, repeats):
  """Hull <= complex <= vertex, each reached by no more than its residual."""
  rng = np.random.default_rng(seed)
  points = unit(rng, 4, 6, dim)
  if repeats:
    points[:, 3:] = points[:, :3]
  mask = rng.random((4, 6)) < 0.8
  mask[:, 0] = True
  space = make_space(4, 6, dim=dim, points=points, mask=mask)
  x = unit(rng, 5, dim)
  hull = s3_jax.project_to_hull(x, space)
  complex_ = s3_jax.project_to_complex(x, space)
  nearest = POINT_TO_SPACE["nearest_point"](x, space)
  vertex = np.maximum(2 - 2 * np.asarray(nearest), 0)
  assert np.all(hull.squared_distance <= complex_.squared_distance + 4e-6)
  assert np.all(complex_.squared_distance <= vertex + 4e-6)
  assert np.all(hull.residual <= 2e-3)
  for part in (*hull, *complex_):
    assert np.isfinite(part).all()


def test_duplicated_vertices_change_neither_hull_nor_complex():
  rng = np.random.default_rng(2)
  points, x = unit(rng, 5, 4, 8), images(6)
  twice = np.concatenate([points, points], axis=1)
  once = make_space(5, 4, points=points, mask=np.ones((5, 4), bool))
  more = make_space(5, 8, points=twice, mask=np.ones((5, 8), bool))
  # (A mean of repeats is another barycentre, so simplex_center does change.)
  for name in ("convex_hull", "complex", "nearest_point"):
    np.testing.assert_allclose(
      POINT_TO_SPACE[name](x, more), POINT_TO_SPACE[name](x, once), atol=1e-5
    )


def test_what_lies_inside_has_distance_zero():
  space = make_space(4, 5, mask=np.ones((4, 5), bool), scale=2.0)
  weights = np.random.default_rng(0).dirichlet(np.ones(4), size=4)
  inside = np.einsum("cm,cmd->cd", weights, space.points[:, :4])
  for project in (s3_jax.project_to_complex, s3_jax.project_to_hull):
    found = project(inside.astype(np.float32), space)
    np.testing.assert_allclose(
      np.diagonal(found.squared_distance), 0.0, atol=2e-6
    )
    np.testing.assert_allclose(
      np.diagonal(found.score), np.linalg.norm(inside, axis=1), atol=1e-5
    )


def test_the_first_simplex_wins_a_tie():
  # Both edges of a right angle are equally near to what lies between them.
  points = np.eye(3, dtype=np.float32)[None]
  space = build_space(
    points,
    np.ones((1, 3), bool),
    scale=1.5,
    max_dimension=1,
    max_simplices=6,
  )
  x = np.full((1, 3), 3**-0.5, np.float32)
  found = s3_jax.project_to_complex(x, space)
  np.testing.assert_allclose(found.score, (2 / 3) ** 0.5, atol=1e-6)
  gradient = jax.grad(lambda x: s3_jax.project_to_complex(x, space).score[0, 0])
  # Simplices are ordered: the edge of vertices 0 and 1 is the first of three.
  np.testing.assert_allclose(
    gradient(jnp.asarray(x[0])[None])[0], [0.5**0.5, 0.5**0.5, 0.0], atol=1e-6
  )


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 0.1])
def test_nearly_dependent_vertices_stay_accurate(scale):
  """Real classes are tight: differences of vertices are small."""
  rng = np.random.default_rng(4)
  points = unit(rng, 3, 1, 16) + scale * rng.normal(size=(3, 7, 16)) / 4
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  points = points.astype(np.float32)
  mask = np.ones((3, 7), bool)
  space = make_space(3, 7, dim=16, points=points, mask=mask, scale=2.0)
  x = images(5, dim=16)
  hull = s3_jax.project_to_hull(x, space)
  complex_ = s3_jax.project_to_complex(x, space)
  expected = squared_distances(x, space, lambda x, z, _: project_hull(x, z))
  np.testing.assert_allclose(hull.squared_distance, expected, atol=1e-5)
  expected = squared_distances(x, space, project_complex)
  np.testing.assert_allclose(complex_.squared_distance, expected, atol=1e-5)
