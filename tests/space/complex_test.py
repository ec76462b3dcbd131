"""Complexes of cores, against all subsets of their vertices."""

import inspect
import itertools

import jax
import numpy as np
import pytest

from s3_jax.embeddings import chordal_distances
from s3_jax.space import attach_complex, build_space, exclude_shared

_checked_attach = inspect.unwrap(attach_complex)
_checked_build = inspect.unwrap(build_space)


def _plain_complex(distances, core, scale, max_dimension):
  """All subsets of the core with no edge above the scale, in order."""
  vertices = np.flatnonzero(core).tolist()
  found = []
  for size in range(1, max_dimension + 2):
    for simplex in itertools.combinations(vertices, size):
      edges = [distances[pair] for pair in itertools.combinations(simplex, 2)]
      diameter = max(edges, default=np.float32(0.0))
      if diameter <= scale:
        found.append((simplex, diameter))
  return found


@pytest.mark.parametrize(
  ("scale", "max_dimension"),
  [(None, 0), (None, 1), (None, 2), (None, 3), ("gap", 2), (0.8, 3)],
)
def test_complexes_equal_all_subsets(clouds, scale, max_dimension):
  points, mask = clouds(30, 7, seed=2)
  space = build_space(points, mask, scale=scale)
  attached = attach_complex(space, max_dimension=max_dimension)
  space, attached = jax.tree.map(np.asarray, (space, attached))
  rips = attached.simplices
  assert rips is not None
  capacity = rips.simplices.shape[1]
  assert rips.simplices.shape == (30, capacity, max_dimension + 1)
  assert not rips.overflow.any()
  distances = np.asarray(jax.jit(chordal_distances)(space.gram))
  for index in range(30):
    expected = _plain_complex(
      distances[index],
      space.mask[index],
      space.max_edge_length[index],
      max_dimension,
    )
    count = int(rips.count[index])
    stored = [
      tuple(vertex for vertex in row if vertex >= 0)
      for row in rips.simplices[index, :count].tolist()
    ]
    assert stored == [simplex for simplex, _ in expected]
    np.testing.assert_array_equal(
      rips.diameters[index, :count], [diameter for _, diameter in expected]
    )
    assert (rips.simplices[index, count:] == -1).all()
    assert np.isinf(rips.diameters[index, count:]).all()
  np.testing.assert_array_equal(attached.mask, space.mask)


def test_both_paths_give_the_same_complex(clouds, assert_equal):
  # At this scale an edge is exactly as long as the scale.
  points, mask = clouds(40, 9, seed=4)
  attached = attach_complex(build_space(points, mask, scale=None))
  capacity = attached.simplices.simplices.shape[1]
  inside = build_space(points, mask, scale=None, max_simplices=capacity)
  assert_equal(inside, attached)


def test_the_complex_at_the_connecting_scale_is_connected(clouds):
  points, mask = clouds(40, 9, seed=4)
  space = attach_complex(build_space(points, mask, scale=None), max_dimension=1)
  space = jax.tree.map(np.asarray, space)
  for index in range(40):
    reached = {int(v) for v in np.flatnonzero(mask[index])[:1]}
    edges = [
      edge for edge in space.simplices.simplices[index].tolist() if edge[1] >= 0
    ]
    for _ in range(9):
      for edge in edges:
        if reached & set(edge):
          reached |= set(edge)
    assert len(reached) == mask[index].sum()


@pytest.mark.parametrize("synonyms", [0, 1, 2])
@pytest.mark.parametrize("classes", [0, 3])
def test_small_complexes_are_defined(clouds, assert_equal, classes, synonyms):
  points, mask = clouds(classes, synonyms)
  mask[:1], mask[1:] = False, True
  space = attach_complex(build_space(points, mask, scale=None))
  rips = space.simplices
  np.testing.assert_array_equal(
    rips.count, [0, 2**synonyms - 1, 2**synonyms - 1][:classes]
  )
  assert not np.isnan(rips.diameters).any()
  inside = build_space(
    points, mask, scale=None, max_simplices=rips.simplices.shape[1]
  )
  assert_equal(inside, space)


def test_equal_texts_make_one_simplex_at_zero():
  points = np.tile(np.eye(3, dtype=np.float32)[:1], (1, 4, 1))
  space = build_space(points, np.ones((1, 4), bool), scale=0)
  rips = attach_complex(space, max_dimension=3).simplices
  assert int(rips.count[0]) == 15
  np.testing.assert_array_equal(rips.diameters[0, :15], 0.0)


def test_a_second_complex_replaces_the_first(clouds, assert_equal):
  space = build_space(*clouds(5, 6), scale=None)
  again = attach_complex(attach_complex(space, max_dimension=3))
  assert_equal(again, attach_complex(space))


def test_too_small_a_capacity_is_refused_and_names_the_right_one(clouds):
  points, mask = clouds(20, 8)
  space = build_space(points, mask, scale=None)
  counts = np.asarray(attach_complex(space).simplices.count)
  limit = int(np.sort(counts)[-3])
  over = np.flatnonzero(counts > limit)
  message = (
    rf"for {over.size} classes, the first of them class {over[0]}; (\d+)"
  )
  with pytest.raises(ValueError, match=message) as error:
    _checked_attach(space, max_simplices=limit)
  assert "\n" not in str(error.value)
  needed = int(str(error.value).split("; ")[1].split(" ")[0])
  assert counts.max() <= needed <= 1.25 * counts.max()
  rips = attach_complex(space, max_simplices=needed).simplices
  np.testing.assert_array_equal(rips.count, counts)
  with pytest.raises(
    ValueError, match=rf"first of them class {over[0]}; raise"
  ):
    _checked_build(points, mask, scale=None, max_simplices=limit)
  traced = jax.jit(
    lambda x, m: build_space(x, m, scale=None, max_simplices=limit)
  )(points, mask)
  np.testing.assert_array_equal(traced.simplices.overflow, counts > limit)
  np.testing.assert_array_equal(
    traced.simplices.simplices, rips.simplices[:, :limit]
  )


def test_wrong_use_is_named(clouds):
  space = build_space(*clouds(3, 4), scale="gap")
  with pytest.raises(ValueError, match="`max_dimension` must be a whole"):
    _checked_attach(space, max_dimension=-1)
  with pytest.raises(ValueError, match="`max_simplices` must be a whole"):
    _checked_attach(space, max_simplices=0)
  with pytest.raises(ValueError, match="`space` must be known on the host"):
    jax.jit(lambda space: _checked_attach(space).mask)(space)


def test_pruned_then_attached_then_too_late(clouds):
  space = exclude_shared(build_space(*clouds(6, 5, dim=4), scale=None))
  attached = attach_complex(space)
  simplices = np.asarray(attached.simplices.simplices)
  for core, rows in zip(np.asarray(space.mask), simplices, strict=True):
    vertices = rows[rows[:, 1] < 0, 0]
    assert vertices[vertices >= 0].tolist() == np.flatnonzero(core).tolist()
  with pytest.raises(ValueError, match="before `attach_complex`"):
    exclude_shared(attached)
