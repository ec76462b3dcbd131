"""What topology refuses, and in which words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import topology
from s3_jax.topology import validation

_REAL = np.array([True, True, True, False])


def _good():
  distances = np.ones((4, 4), np.float32)
  np.fill_diagonal(distances, 0)
  return distances


def _with(value, row, column, *, twice=True):
  distances = _good()
  distances[row, column] = value
  if twice:
    distances[column, row] = value
  return distances


_WRONG = (
  (_with(np.nan, 0, 2), r"finite float32 numbers, got nan for vertices 0 and"),
  (_with(np.inf, 1, 2), r"finite float32 numbers, got inf for vertices 1 and"),
  (_with(-0.5, 1, 2), r">= 0, got -0.5 for vertices 1 and 2; use distances"),
  (_with(0.1, 2, 2), r"0 on the diagonal, got 0.1[0-9]* for vertices 2 and 2"),
  (_with(0.5, 0, 1, twice=False), r"exactly symmetric, got 0.5 and 1.0 for"),
  (1e39 * _good().astype(np.float64), r"finite float32 numbers, got 1e\+39"),
)

_FUNCTIONS = {
  "h0_persistence": topology.h0_persistence,
  "persistence_pairs": topology.persistence_pairs,
  "connected_components": lambda d, m: topology.connected_components(d, m, 1.0),
  "rips_complex": lambda d, m: topology.rips_complex(
    d, m, 1.0, max_dimension=1, max_simplices=9
  ),
  "enumerate_rips": lambda d, m: topology.enumerate_rips(
    d, m, 1.0, max_dimension=1
  ),
  "simplex_capacity": lambda d, m: topology.simplex_capacity(
    d, m, 1.0, max_dimension=1
  ),
}


@pytest.mark.parametrize("name", _FUNCTIONS)
@pytest.mark.parametrize(("distances", "rule"), _WRONG)
def test_wrong_distances_are_named(name, distances, rule):
  with pytest.raises(ValueError, match=rf"`distances` must be {rule}"):
    _FUNCTIONS[name](distances, _REAL)


@pytest.mark.parametrize("name", _FUNCTIONS)
def test_padding_and_traced_values_are_not_checked(name):
  distances = _with(np.nan, 0, 3)
  distances[3, 3] = -1
  _FUNCTIONS[name](distances, _REAL)
  if name in ("h0_persistence", "rips_complex"):
    jax.jit(_FUNCTIONS[name])(_with(np.nan, 0, 2), _REAL)


def test_the_cloud_of_a_batch_is_named():
  batch = np.stack([_good(), _with(-1.0, 0, 2), _good()])
  mask = np.stack([_REAL] * 3)
  with pytest.raises(ValueError, match=r"vertices 0 and 2 of cloud 1; use"):
    validation.check_distances(batch, mask)
  with pytest.raises(ValueError, match=r"vertices 0 and 2 of cloud \[0, 1\]"):
    validation.check_distances(batch[None], mask[None])


@pytest.mark.parametrize(
  ("distances", "mask", "rule"),
  [
    (np.zeros((2, 3)), np.ones(2, bool), r"`distances` must be square"),
    (np.zeros(3), np.ones(3, bool), r"`distances` must be square"),
    (np.zeros((2, 2)), np.ones(3, bool), r"must agree on vertices.*\[3\]"),
    (np.zeros((5, 2, 2)), np.ones(2, bool), r"must agree on vertices"),
    (np.zeros((2, 2)), np.ones(2), r"`mask` must be bool.*got float"),
  ],
)
def test_wrong_shapes_are_named(distances, mask, rule):
  # Not by the functions themselves: there the tests' own annotation checker
  # would speak first.
  with pytest.raises(ValueError, match=rule):
    validation.check_distances(distances, mask)
  with pytest.raises(ValueError, match=rule):
    jax.jit(validation.check_distances)(distances, mask)


def _rips(**changes):
  options = dict(max_edge_length=1.0, max_dimension=1, max_simplices=9)
  options |= changes
  scale = options.pop("max_edge_length")
  return lambda path: path(_good(), _REAL, scale, **options)


@pytest.mark.parametrize("path", ["rips_complex", "enumerate_rips"])
@pytest.mark.parametrize(
  ("call", "rule"),
  [
    (_rips(max_edge_length=-0.1), r"`max_edge_length` must be >= 0, got -0.1"),
    (_rips(max_edge_length=np.nan), r"`max_edge_length` must be >= 0, got nan"),
    (
      _rips(max_dimension=-1),
      r"`max_dimension` must be a whole.* >= 0, got -1",
    ),
    (_rips(max_simplices=0), r"`max_simplices` must be a whole.* >= 1, got 0"),
    (_rips(max_simplices=2**40), r"`max_simplices` must be at most 4194304"),
    (_rips(max_dimension=2**31), r"at most 2147483647.*lower one of them"),
  ],
)
def test_wrong_options_are_named(path, call, rule):
  with pytest.raises(ValueError, match=rule):
    call(getattr(topology, path))


@pytest.mark.parametrize("value", [True, 1.5, "2", None])
def test_a_dimension_is_a_whole_number(value):
  with pytest.raises(ValueError, match=r"`max_dimension` must be a whole"):
    validation.check_sizes(4, value)


def test_whole_numbers_of_numpy_will_do():
  validation.check_sizes(4, np.int64(1), np.int32(9))


def test_the_host_path_wants_known_values_and_fitting_scales():
  def build(distances):
    return topology.enumerate_rips(distances, _REAL, 1.0, max_dimension=1)

  with pytest.raises(ValueError, match=r"use `rips_complex` under jit"):
    jax.jit(build)(_good())
  with pytest.raises(
    ValueError, match=r"one for each cloud, \[\], got .*\[2\]"
  ):
    topology.enumerate_rips(
      _good(), _REAL, np.ones(2, np.float32), max_dimension=1
    )


def test_too_many_simplices_are_refused_before_they_are_listed(monkeypatch):
  cloud = np.zeros((2, 30, 30), np.float32), np.ones((2, 30), bool), 0.0
  monkeypatch.setattr(validation, "MAX_SIMPLICES", 5000)
  rips = topology.enumerate_rips(*cloud, max_dimension=2)  # 30 + 435 + 4060
  assert rips.count.tolist() == [4525, 4525]
  for count in (topology.enumerate_rips, topology.simplex_capacity):
    with pytest.raises(ValueError, match=r"5000 .*got 27405 of dimension 3;"):
      count(*cloud, max_dimension=3)
  cut = topology.enumerate_rips(*cloud, max_dimension=9, max_simplices=100)
  assert cut.overflow.all()


def test_too_large_a_result_is_refused_before_it_is_made(monkeypatch):
  cloud = np.zeros((3, 4, 4), np.float32), np.ones((3, 4), bool), 0.0
  monkeypatch.setattr(validation, "MAX_ELEMENTS", 100)
  with pytest.raises(ValueError, match=r"got 20, 3 and 2; pass fewer clouds"):
    topology.enumerate_rips(*cloud, max_dimension=1, max_simplices=20)
  with pytest.raises(ValueError, match=r"got 16, 3 and 4; pass fewer clouds"):
    topology.enumerate_rips(*cloud, max_dimension=3)


@pytest.mark.parametrize("scale", [-0.1, float("nan"), np.float32(-1)])
def test_a_negative_scale_connects_nothing_and_is_refused(scale):
  with pytest.raises(ValueError, match=r"`max_edge_length` must be >= 0, got"):
    topology.connected_components(jnp.zeros((2, 2)), jnp.ones(2, bool), scale)
  rips = jax.jit(
    lambda scale: topology.rips_complex(
      jnp.zeros((2, 2)), jnp.ones(2, bool), scale, max_dimension=1,
      max_simplices=4,
    )
  )(np.float32(scale))  # fmt: skip
  assert int(rips.count) == 2
