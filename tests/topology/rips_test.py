"""Vietoris-Rips complexes of both paths against gudhi and each other."""

import functools

import gudhi
import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import embeddings, topology

_CLOUDS = 200
_VERTICES = 64
_QUICK = hypothesis.settings(max_examples=40, deadline=None, derandomize=True)


def _distances(rng, count, vertices, *, whole=False):
  """Symmetric distances; many are equal if they are whole numbers."""
  shape = (count, vertices, vertices)
  distances = rng.integers(0, 4, shape) if whole else rng.random(shape)
  distances = np.triu(distances, 1).astype(np.float32)
  return distances + np.swapaxes(distances, 1, 2)


@functools.cache
def _clouds(count=_CLOUDS, vertices=_VERTICES):
  """Distances, masks of 0 to `vertices` real vertices, and a scale for each.

  Even clouds have whole numbers as distances. The scales are 0, the length of
  an edge, a number, and +inf for clouds of few vertices.
  """
  rng = np.random.default_rng(vertices)
  distances = _distances(rng, count, vertices)
  distances[::2] = _distances(rng, len(distances[::2]), vertices, whole=True)
  mask = np.zeros((count, vertices), bool)
  scales = np.zeros(count, np.float32)
  for cloud in range(count):
    real = rng.permutation(vertices)[: (cloud * 7) % (vertices + 1)]
    mask[cloud, real] = True
    edges = np.sort(distances[cloud][np.ix_(real, real)].ravel())
    if edges.size:
      short = edges[int(rng.integers(max(edges.size // 5, 1)))]
      few = len(real) <= 8
      number, most = 0.25 * rng.random(), np.inf if few else short
      scales[cloud] = (0.0, short, number, most)[rng.integers(4)]
  return distances, mask, scales


def _gudhi_complex(distances, real, scale, max_dimension):
  """All simplices of one cloud and their diameters, in order, by gudhi."""
  vertices = np.flatnonzero(real)
  inside = distances[np.ix_(real, real)].astype(np.float64)
  rips = gudhi.RipsComplex(distance_matrix=inside, max_edge_length=scale)
  tree = rips.create_simplex_tree(max_dimension=max_dimension)
  found = [
    (len(simplex), vertices[simplex].tolist(), diameter)
    for simplex, diameter in tree.get_simplices()
    if len(simplex) <= max_dimension + 1  # gudhi adds edges to vertices
  ]
  found.sort()
  return [simplex for _, simplex, _ in found], [x for *_, x in found]


def _padded(simplices, diameters, max_dimension, max_simplices):
  """What a `RipsComplex` has to hold, given all simplices in order."""
  rows = np.full((max_simplices, max_dimension + 1), -1, np.int32)
  for row, simplex in zip(rows, simplices, strict=False):
    row[: len(simplex)] = simplex
  lengths = np.full(max_simplices, np.inf, np.float32)
  count = min(len(simplices), max_simplices)
  lengths[:count] = diameters[:count]
  return rows, lengths, count, len(simplices) > max_simplices


def _assert_equal(result, expected):
  for field, x, y in zip(result._fields, result, expected, strict=True):
    np.testing.assert_array_equal(x, y, err_msg=field)


def _assert_same(result, expected):
  """Equal in shape, type and every bit."""
  for field, x, y in zip(result._fields, result, expected, strict=True):
    assert (x.shape, x.dtype) == (y.shape, y.dtype), field
    assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), field


def _row(rips, index):
  return topology.RipsComplex(*(np.asarray(x)[index] for x in rips))


def _stored(rips):
  """Simplices of one complex as tuples, with their diameters, in order."""
  rows = np.asarray(rips.simplices)[: int(rips.count)].tolist()
  lengths = np.asarray(rips.diameters)[: int(rips.count)].tolist()
  simplices = (tuple(v for v in row if v >= 0) for row in rows)
  return dict(zip(simplices, lengths, strict=True))


def _batched(max_dimension, max_simplices):
  one = functools.partial(
    topology.rips_complex,
    max_dimension=max_dimension,
    max_simplices=max_simplices,
  )
  return jax.jit(jax.vmap(one))


@pytest.mark.parametrize("max_dimension", [0, 1, 2, 3])
def test_both_paths_equal_gudhi(max_dimension):
  distances, mask, scales = _clouds()
  options = {"max_dimension": max_dimension}
  complete = topology.enumerate_rips(distances, mask, scales, **options)
  limit = 300
  cut = topology.enumerate_rips(
    distances, mask, scales, **options, max_simplices=limit
  )
  capacity = complete.simplices.shape[1]
  assert not complete.overflow.any()
  assert cut.overflow.any() == (max_dimension > 0)
  complete, cut = jax.device_get((complete, cut))
  for item in range(_CLOUDS):
    cloud = distances[item], mask[item], scales[item], max_dimension
    expected = _gudhi_complex(*cloud)
    _assert_equal(
      _row(complete, item), _padded(*expected, max_dimension, capacity)
    )
    _assert_equal(_row(cut, item), _padded(*expected, max_dimension, limit))
  _assert_same(_batched(max_dimension, limit)(distances, mask, scales), cut)


@pytest.mark.parametrize(
  ("vertices", "max_dimension", "max_simplices"),
  [(0, 1, 4), (1, 2, 4), (2, 3, 4), (5, 5, 40), (7, 3, 1), (70, 2, 90)],
)
def test_paths_agree_at_other_sizes(vertices, max_dimension, max_simplices):
  cloud = _clouds(25, vertices)
  options = dict(max_dimension=max_dimension, max_simplices=max_simplices)
  host = topology.enumerate_rips(*cloud, **options)
  _assert_same(_batched(**options)(*cloud), host)


def test_one_cloud_equals_its_row_of_the_batch():
  cloud = _clouds(25, 7)
  options = dict(max_dimension=2, max_simplices=40)
  host = topology.enumerate_rips(*cloud, **options)
  one = functools.partial(topology.rips_complex, **options)
  jitted = jax.jit(one)
  for item in range(0, 25, 4):
    single = [x[item] for x in cloud]
    _assert_same(one(*single), _row(host, item))
    _assert_same(jitted(*single), _row(host, item))
    _assert_same(topology.enumerate_rips(*single, **options), _row(host, item))


def test_batches_of_any_shape_equal_a_loop():
  distances, mask, scales = _clouds(12, 7)
  options = dict(max_dimension=2, max_simplices=20)
  whole = topology.enumerate_rips(
    distances.reshape((3, 4, 7, 7)),
    jnp.asarray(mask.reshape((3, 4, 7))),
    scales.reshape((3, 4)),
    **options,
  )
  assert whole.simplices.shape == (3, 4, 20, 3)
  for item in range(12):
    _assert_same(
      topology.enumerate_rips(
        distances[item], mask[item], scales[item], **options
      ),
      _row(whole, divmod(item, 4)),
    )
  empty = topology.enumerate_rips(distances[:0], mask[:0], 0.5, max_dimension=2)
  assert empty.simplices.shape == (0, 8, 3)


def test_blocks_change_nothing(monkeypatch):
  distances, mask, scales = _clouds(25, 33)
  options = dict(max_dimension=3, max_simplices=500)
  whole = topology.enumerate_rips(distances, mask, scales, **options)
  monkeypatch.setattr(topology.enumeration, "_BLOCK", 3 * 33**2)
  blocks = topology.enumerate_rips(distances, mask, scales, **options)
  _assert_same(blocks, whole)


def test_degenerate_clouds_are_as_defined():
  rips = functools.partial(
    topology.rips_complex, max_dimension=2, max_simplices=9
  )
  three = jnp.zeros((3, 3))
  nothing = _stored(rips(three, jnp.zeros(3, bool), 1.0))
  assert nothing == {}
  one = _stored(rips(three, jnp.array([False, True, False]), 1.0))
  assert one == {(1,): 0.0}
  pair = jnp.array([[0.0, 0.5], [0.5, 0.0]])
  for scale, expected in (
    (0.49, {(0,): 0, (1,): 0}),
    (0.5, {(0,): 0, (1,): 0, (0, 1): 0.5}),
  ):
    assert _stored(rips(pair, jnp.ones(2, bool), scale)) == expected
  equal = _stored(rips(three, jnp.ones(3, bool), 0))
  assert list(equal) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
  assert set(equal.values()) == {0.0}
  none = rips(jnp.zeros((0, 0)), jnp.zeros(0, bool), 1.0)
  assert none.simplices.shape == (9, 3) and int(none.count) == 0


def test_padding_may_hold_anything():
  distances, mask, scales = _clouds(25, 7)
  options = dict(max_dimension=2, max_simplices=40)
  clean = topology.enumerate_rips(distances, mask, scales, **options)
  pairs = mask[:, :, None] & mask[:, None, :]
  traced = _batched(**options)
  for value in (np.nan, -1.0, 0.0):
    dirty = np.where(pairs, distances, np.float32(value))
    host = topology.enumerate_rips(dirty, mask, scales, **options)
    _assert_same(host, clean)
    _assert_same(traced(dirty, mask, scales), clean)


def test_numbers_below_normal_float32_are_zero_on_both_paths():
  tiny = np.float32(1e-40)
  distances = np.array([[0, tiny, 1], [tiny, 0, 1], [1, 1, 0]], np.float32)
  cloud = distances, np.ones(3, bool)
  options = dict(max_dimension=1, max_simplices=6)
  for scale in (0.0, 1e-41):
    host = topology.enumerate_rips(*cloud, scale, **options)
    assert _stored(host) == {(0,): 0, (1,): 0, (2,): 0, (0, 1): 0}
    _assert_same(topology.rips_complex(*cloud, scale, **options), host)
  minus = np.where(distances < 1, np.float32(-0.0), distances)
  host = topology.enumerate_rips(minus, cloud[1], 0.0, **options)
  assert not np.signbit(host.diameters).any()
  _assert_same(topology.rips_complex(minus, cloud[1], 0.0, **options), host)


def test_capacity_is_round_and_leaves_nothing_out():
  distances, mask, scales = _clouds()
  cloud = distances, mask, scales
  for max_dimension in (0, 1, 2):
    capacity = topology.simplex_capacity(*cloud, max_dimension=max_dimension)
    full = topology.enumerate_rips(*cloud, max_dimension=max_dimension)
    most = int(full.count.max())
    assert most <= capacity <= max(8, 1.25 * most)
    assert capacity & (capacity - 1) == 0 or bin(capacity).count("1") <= 3
    assert full.simplices.shape[1] == capacity
    cut = topology.enumerate_rips(
      *cloud, max_dimension=max_dimension, max_simplices=most - 1
    )
    assert cut.overflow.sum() == (full.count == most).sum()
  nothing = topology.simplex_capacity(*cloud[:2], 0.0, max_dimension=0)
  assert nothing == 64
  alone = np.zeros((1, 1), np.float32), np.ones(1, bool)
  assert topology.simplex_capacity(*alone, 0.0, max_dimension=3) == 8


@st.composite
def _drawn_cloud(draw):
  """Up to 9 vertices, distances of few values, a mask and a scale."""
  vertices = draw(st.integers(0, 9))
  values = hypothesis.extra.numpy.arrays(
    np.float32,
    (vertices, vertices),
    elements=st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0, 1.5]),
  )
  distances = np.triu(draw(values), 1)
  mask = draw(hypothesis.extra.numpy.arrays(bool, vertices))
  scale = draw(st.sampled_from([0.0, 0.25, 0.4, 0.5, 1.0, np.inf]))
  return distances + distances.T, mask, scale


def _simplices(distances, mask, scale):
  return _stored(
    topology.enumerate_rips(distances, mask, scale, max_dimension=3)
  )


@_QUICK
@hypothesis.given(_drawn_cloud(), st.randoms(use_true_random=False))
def test_vertex_order_only_renames_vertices(cloud, random):
  distances, mask, scale = cloud
  order = list(range(len(mask)))
  random.shuffle(order)
  moved = distances[np.ix_(order, order)], mask[order]
  renamed = {
    tuple(sorted(order[vertex] for vertex in simplex)): diameter
    for simplex, diameter in _simplices(*moved, scale).items()
  }
  assert renamed == _simplices(distances, mask, scale)


@_QUICK
@hypothesis.given(_drawn_cloud(), st.sampled_from([0.0, 0.1, 0.5, np.inf]))
def test_complexes_grow_with_the_scale(cloud, more):
  distances, mask, scale = cloud
  small = _simplices(distances, mask, scale)
  large = _simplices(distances, mask, scale + more)
  assert small == {s: d for s, d in large.items() if d <= scale}


@_QUICK
@hypothesis.given(_drawn_cloud())
def test_a_masked_vertex_changes_nothing(cloud):
  distances, mask, scale = cloud
  padded = np.pad(distances, (0, 2), constant_values=np.nan)
  result = _simplices(padded, np.pad(mask, (0, 2)), scale)
  assert result == _simplices(distances, mask, scale)


@_QUICK
@hypothesis.given(_drawn_cloud())
def test_a_repeated_vertex_stands_for_the_first(cloud):
  distances, mask, scale = cloud
  hypothesis.assume(mask.any())
  first, copy = int(np.argmax(mask)), len(mask)
  index = [*range(copy), first]
  before = _simplices(distances, mask, scale)
  after = _simplices(distances[np.ix_(index, index)], mask[index], scale)
  assert before == {s: d for s, d in after.items() if copy not in s}
  renamed = {
    tuple(sorted({first if v == copy else v for v in simplex})): diameter
    for simplex, diameter in after.items()
  }
  assert renamed == before


@_QUICK
@hypothesis.given(_drawn_cloud(), st.integers(1, 40))
def test_cut_complexes_are_prefixes_closed_under_faces(cloud, limit):
  distances, mask, scale = cloud
  full = list(_simplices(distances, mask, scale).items())
  cut = topology.enumerate_rips(
    distances, mask, scale, max_dimension=3, max_simplices=limit
  )
  kept = _stored(cut)
  assert list(kept.items()) == full[:limit]
  assert bool(cut.overflow) == (len(full) > limit)
  for simplex in kept:
    for vertex in simplex[1:] and simplex:
      assert tuple(v for v in simplex if v != vertex) in kept


def test_clouds_of_real_names_equal_gudhi(reference):
  stored = np.load(reference / "clip_vitb32_text_lvis.npy")
  names = stored.astype(np.float32)
  names /= np.linalg.norm(names, axis=1, keepdims=True)
  centers = np.arange(0, len(names), 25)
  near = np.argsort(-(names[centers] @ names.T), axis=1, kind="stable")[:, :32]
  points = jnp.asarray(names[near])
  distances = np.asarray(
    embeddings.chordal_distances(embeddings.gram_matrix(points))
  )
  mask = np.ones(near.shape, bool)
  deaths = jax.vmap(topology.h0_persistence)(distances, mask)
  connected = np.asarray(deaths)[:, -1]
  for scales in (0.9 * connected, connected):
    result = topology.enumerate_rips(distances, mask, scales, max_dimension=2)
    capacity = result.simplices.shape[1]
    for item in range(len(centers)):
      cloud = distances[item], mask[item], scales[item], 2
      _assert_equal(
        _row(result, item), _padded(*_gudhi_complex(*cloud), 2, capacity)
      )
  cut = topology.enumerate_rips(
    distances, mask, connected, max_dimension=2, max_simplices=600
  )
  _assert_same(_batched(2, 600)(distances, mask, connected), cut)
