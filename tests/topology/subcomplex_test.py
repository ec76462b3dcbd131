"""Maximal simplices and closed stars against sets of sets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import topology


@functools.cache
def _complexes():
  """Complexes of 40 clouds of up to 9 vertices, some of them cut."""
  rng = np.random.default_rng(5)
  distances = np.triu(rng.integers(0, 5, (40, 9, 9)), 1).astype(np.float32)
  distances += np.swapaxes(distances, 1, 2)
  mask = rng.random((40, 9)) < np.linspace(0, 1.2, 40)[:, None]
  scales = rng.integers(0, 4, 40).astype(np.float32)
  rips = topology.enumerate_rips(
    distances, mask, scales, max_dimension=3, max_simplices=60
  )
  assert 0 < rips.overflow.sum() < 40
  return rips


def _rows(rips):
  """Every row of every complex as a set; padding is empty."""
  for cloud in np.asarray(rips.simplices).tolist():
    yield [{vertex for vertex in row if vertex >= 0} for row in cloud]


def test_maximal_simplices_are_faces_of_no_other():
  rips = _complexes()
  result = np.asarray(jax.vmap(topology.maximal_simplices)(rips))
  for marks, rows in zip(result, _rows(rips), strict=True):
    expected = [
      bool(row) and not any(row < other for other in rows) for row in rows
    ]
    assert marks.tolist() == expected


def test_closed_star_holds_simplices_with_the_vertex_and_their_faces():
  rips = _complexes()
  stars = jax.vmap(topology.closed_star, in_axes=(0, None))
  for vertex in range(9):
    result = np.asarray(stars(rips, vertex))
    for marks, rows in zip(result, _rows(rips), strict=True):
      holders = [row for row in rows if vertex in row]
      expected = [
        bool(row) and any(row <= holder for holder in holders) for row in rows
      ]
      assert marks.tolist() == expected
      # The same in other words.
      assert expected == [
        bool(row) and (row | {vertex}) in rows for row in rows
      ]


def test_one_complex_equals_its_row_of_the_batch():
  rips = _complexes()
  maximal = jax.vmap(topology.maximal_simplices)(rips)
  star = jax.vmap(topology.closed_star, in_axes=(0, None))(rips, 4)
  for item in (0, 20, 39):
    one = jax.tree.map(lambda x, item=item: x[item], rips)
    np.testing.assert_array_equal(
      topology.maximal_simplices(one), maximal[item]
    )
    np.testing.assert_array_equal(topology.closed_star(one, 4), star[item])


@pytest.mark.parametrize("vertices", [0, 1, 2])
def test_small_clouds_have_one_maximal_simplex(vertices):
  distances, mask = jnp.zeros((vertices, vertices)), jnp.ones(vertices, bool)
  rips = topology.rips_complex(
    distances, mask, 0.0, max_dimension=2, max_simplices=5
  )
  maximal = np.asarray(topology.maximal_simplices(rips))
  assert np.flatnonzero(maximal).tolist() == [[], [0], [2]][vertices]
  star = np.asarray(topology.closed_star(rips, 0))
  assert star.sum() == 2**vertices - 1


def test_a_vertex_outside_has_no_star_and_padding_is_no_vertex():
  rips = topology.enumerate_rips(
    np.zeros((3, 3), np.float32), np.array([True, False, True]), 0.0,
    max_dimension=1, max_simplices=6,
  )  # fmt: skip
  for vertex in (1, 3, 99):
    assert not topology.closed_star(rips, vertex).any()
  assert not jax.jit(topology.closed_star)(rips, -1).any()
  with pytest.raises(ValueError, match=r"`vertex` must be >= 0, got -1"):
    topology.closed_star(rips, -1)
