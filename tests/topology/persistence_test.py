"""H0 persistence and components against gudhi, ripser and scipy."""

import gudhi
import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.cluster.hierarchy
import scipy.sparse.csgraph
import scipy.spatial.distance

from s3_jax import topology

_SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 16, 33, 64)

# Once for all tests, so that no size is compiled twice.
_DEATHS = jax.jit(jax.vmap(topology.h0_persistence))
_PAIRS = jax.jit(jax.vmap(topology.persistence_pairs))
_LABELS = jax.jit(jax.vmap(topology.connected_components))


def _clouds(vertices, *, whole=False):
  """Distances [clouds, vertices, vertices] and masks [clouds, vertices].

  Every mask up to 6 vertices, 50 random masks above; whole numbers as distances
  make many edges equally long.
  """
  rng = np.random.default_rng(vertices)
  if vertices <= 6:
    codes = np.arange(2**vertices)[:, None] >> np.arange(vertices)[None, :]
    mask = (codes & 1).astype(bool)
  else:
    mask = rng.random((50, vertices)) < rng.random((50, 1))
  shape = (len(mask), vertices, vertices)
  distances = rng.integers(0, 4, shape) if whole else rng.random(shape)
  distances = np.triu(distances, 1).astype(np.float32)
  return distances + np.swapaxes(distances, 1, 2), mask


def _scales(distances, mask):
  """For each cloud 0, one of its edge lengths, a number between, and +inf."""
  rng = np.random.default_rng(1)
  edges = np.zeros(len(mask), np.float32)
  for cloud, real in enumerate(mask):
    if real.any():
      edges[cloud] = rng.choice(distances[cloud][np.ix_(real, real)].ravel())
  middle = np.full(len(mask), 0.3, np.float32)
  return [0 * edges, edges, middle, np.full(len(mask), np.inf, np.float32)]


def _gudhi_deaths(distances):
  rips = gudhi.RipsComplex(distance_matrix=distances)
  tree = rips.create_simplex_tree(max_dimension=1)
  tree.compute_persistence(persistence_dim_max=True, min_persistence=-1)
  intervals = tree.persistence_intervals_in_dimension(0)
  return np.sort(intervals[np.isfinite(intervals[:, 1]), 1])


def _lowest_vertex_labels(distances, real, scale):
  """Labels by scipy, renamed to the lowest vertex of each component."""
  expected = np.full(len(real), -1)
  vertices = np.flatnonzero(real)
  if len(vertices):
    graph = distances[np.ix_(real, real)] <= scale
    _, labels = scipy.sparse.csgraph.connected_components(graph)
    for label in np.unique(labels):
      members = vertices[labels == label]
      expected[members] = members.min()
  return expected


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("vertices", _SIZES)
def test_deaths_equal_gudhi_and_single_linkage(vertices, whole):
  distances, mask = _clouds(vertices, whole=whole)
  deaths = _DEATHS(distances, mask)
  assert deaths.shape == (len(mask), max(vertices - 1, 0))
  for cloud, real, result in zip(
    distances, mask, np.asarray(deaths), strict=True
  ):
    inside = cloud[np.ix_(real, real)].astype(np.float64)
    count = max(real.sum() - 1, 0)
    np.testing.assert_array_equal(result[count:], np.inf)
    if count:
      condensed = scipy.spatial.distance.squareform(inside)
      tree = scipy.cluster.hierarchy.linkage(condensed, "single")
      np.testing.assert_array_equal(result[:count], np.sort(tree[:, 2]))
      np.testing.assert_array_equal(result[:count], _gudhi_deaths(inside))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("vertices", _SIZES)
def test_components_equal_scipy(vertices, whole):
  distances, mask = _clouds(vertices, whole=whole)
  for scale in _scales(distances, mask):
    labels = np.asarray(_LABELS(distances, mask, scale))
    assert labels.shape == mask.shape
    for item in range(len(mask)):
      expected = _lowest_vertex_labels(distances[item], mask[item], scale[item])
      np.testing.assert_array_equal(labels[item], expected)


@pytest.mark.parametrize("vertices", [1, 2, 6, 33])
def test_largest_component_size_counts_the_commonest_label(vertices):
  distances, mask = _clouds(vertices)
  some = mask.any(axis=1)
  distances, mask = distances[some], mask[some]
  orders = jax.jit(jax.vmap(topology.prim_order))(distances, mask)
  for scale in _scales(distances, mask)[:-1]:
    sizes = jax.vmap(topology.largest_component_size)(
      orders, jnp.asarray(scale)
    )
    for item in range(len(mask)):
      labels = _lowest_vertex_labels(distances[item], mask[item], scale[item])
      assert sizes[item] == np.bincount(labels[labels >= 0]).max()


@pytest.mark.parametrize("vertices", [0, 1, 5])
def test_one_cloud_equals_its_row_of_the_batch(vertices):
  distances, mask = map(jnp.asarray, _clouds(vertices))
  deaths = _DEATHS(distances, mask)
  labels = _LABELS(distances, mask, jnp.full(len(mask), 0.4))
  for item in {0, len(mask) // 2, len(mask) - 1}:
    cloud = distances[item], mask[item]
    one = topology.h0_persistence(*cloud)
    np.testing.assert_array_equal(one, deaths[item])
    np.testing.assert_array_equal(
      jax.jit(topology.h0_persistence)(*cloud), deaths[item]
    )
    one = topology.connected_components(*cloud, 0.4)
    np.testing.assert_array_equal(one, labels[item])


def test_vertex_order_changes_no_death_and_no_component():
  distances, mask = map(jnp.asarray, _clouds(16))
  order = np.random.default_rng(2).permutation(16)
  moved = distances[:, order][:, :, order], mask[:, order]
  np.testing.assert_array_equal(_DEATHS(distances, mask), _DEATHS(*moved))
  scales = jnp.full(len(mask), 0.2)
  before = np.asarray(_LABELS(distances, mask, scales))[:, order]
  after = np.asarray(_LABELS(*moved, scales))
  np.testing.assert_array_equal(
    before[:, :, None] == before[:, None], after[:, :, None] == after[:, None]
  )


def test_the_scale_is_inclusive_and_zero_merges_duplicates():
  distances = jnp.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.5, 0.5, 0.0]])
  mask = jnp.ones(3, bool)
  components = topology.connected_components
  np.testing.assert_array_equal(components(distances, mask, 0.0), [0, 0, 2])
  np.testing.assert_array_equal(components(distances, mask, 0.49), [0, 0, 2])
  np.testing.assert_array_equal(components(distances, mask, 0.5), [0, 0, 0])
  np.testing.assert_array_equal(
    topology.h0_persistence(distances, mask), [0.0, 0.5]
  )


def test_traced_vertices_at_infinite_distance_never_die_nor_hide_others():
  distances = np.full((4, 4), np.inf, np.float32)
  np.fill_diagonal(distances, 0.0)
  distances[2, 3] = distances[3, 2] = 0.25
  mask = jnp.array([True, False, True, True])
  distances = jnp.asarray(distances)
  deaths = jax.jit(topology.h0_persistence)(distances, mask)
  np.testing.assert_array_equal(deaths, [0.25, np.inf, np.inf])
  pairs = jax.jit(topology.persistence_pairs)(distances, mask)
  np.testing.assert_array_equal(pairs.deaths, deaths)
  np.testing.assert_array_equal(pairs.edges, [[2, 3], [-1, -1], [-1, -1]])
  components = jax.jit(topology.connected_components)
  np.testing.assert_array_equal(components(distances, mask, 9.0), [0, -1, 2, 2])
  np.testing.assert_array_equal(
    components(distances, mask, np.inf), [0, -1, 0, 0]
  )


def _kruskal(distances, real):
  """Merges of one cloud, edges in the order (length, lower, upper vertex)."""
  vertices = np.flatnonzero(real)
  component = {vertex: {vertex} for vertex in vertices.tolist()}
  edges = sorted(
    (distances[lower, upper], lower, upper)
    for lower in component
    for upper in component
    if lower < upper
  )
  merges = []
  for length, lower, upper in edges:
    if component[lower] is not component[upper]:
      merges.append((length, lower, upper))
      together = component[lower] | component[upper]
      component |= dict.fromkeys(together, together)
  return merges


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("vertices", [0, 1, 2, 5, 16, 33])
def test_pairs_equal_kruskal_in_merge_order(vertices, whole):
  distances, mask = _clouds(vertices, whole=whole)
  pairs = jax.device_get(_PAIRS(distances, mask))
  deaths = _DEATHS(distances, mask)
  np.testing.assert_array_equal(pairs.deaths, deaths)
  assert pairs.edges.dtype == np.int32
  for cloud, real, edges, lengths in zip(
    distances, mask, pairs.edges, pairs.deaths, strict=True
  ):
    merges = _kruskal(cloud, real)
    count = len(merges)
    expected = [list(edge) for _, *edge in merges]
    assert edges[:count].tolist() == expected
    assert (edges[count:] == -1).all()
    assert lengths[:count].tolist() == [length for length, *_ in merges]


def test_pairs_equal_those_of_gudhi():
  distances, mask = _clouds(33)
  for cloud, real in list(zip(distances, mask, strict=True))[:10]:
    vertices = np.flatnonzero(real)
    inside = cloud[np.ix_(real, real)].astype(np.float64)
    rips = gudhi.RipsComplex(distance_matrix=inside)
    tree = rips.create_simplex_tree(max_dimension=1)
    tree.compute_persistence(persistence_dim_max=True, min_persistence=-1)
    expected = tree.flag_persistence_generators()[0][:, 1:]
    expected = np.sort(vertices[expected], axis=1)
    edges = np.asarray(topology.persistence_pairs(cloud, real).edges)
    edges = edges[: len(expected)]
    assert sorted(edges.tolist()) == sorted(expected.tolist())
    assert (np.diff(cloud[edges[:, 0], edges[:, 1]]) >= 0).all()


def test_deaths_equal_ripser():
  ripser = pytest.importorskip("ripser")
  for whole in (False, True):
    distances, mask = _clouds(33, whole=whole)
    for cloud, real in zip(distances, mask, strict=True):
      inside = cloud[np.ix_(real, real)]
      if len(inside) < 2:
        continue
      bars = ripser.ripser(inside, distance_matrix=True, maxdim=0)["dgms"][0]
      expected = np.sort(bars[:-1, 1])
      # ripser leaves out bars of length 0.
      deaths = np.asarray(topology.h0_persistence(cloud, real))
      deaths = deaths[: len(inside) - 1]
      np.testing.assert_array_equal(deaths[deaths > 0], expected[expected > 0])


def test_pairs_of_one_cloud_equal_their_row_and_ignore_padding():
  distances, mask = _clouds(16)
  pairs = _PAIRS(distances, mask)
  for item in (0, 25, 49):
    real = mask[item][:, None] & mask[item]
    dirty = np.where(real, distances[item], np.float32(np.nan))
    for cloud in (distances[item], dirty):
      one = topology.persistence_pairs(cloud, mask[item])
      np.testing.assert_array_equal(one.deaths, pairs.deaths[item])
      np.testing.assert_array_equal(one.edges, pairs.edges[item])


@st.composite
def _drawn_cloud(draw):
  """Six vertices whose distances have few values, and which are real."""
  values = hypothesis.extra.numpy.arrays(
    np.float32, (6, 6), elements=st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0])
  )
  distances = np.triu(draw(values), 1)
  mask = draw(hypothesis.extra.numpy.arrays(bool, 6))
  return distances + distances.T, mask


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(_drawn_cloud(), st.permutations(range(6)))
def test_properties_of_persistence(cloud, order):
  distances, mask = cloud
  pairs = jax.device_get(topology.persistence_pairs(distances, mask))
  merges = max(int(mask.sum()) - 1, 0)
  deaths = pairs.deaths[:merges].tolist()
  # The order of vertices changes no death.
  moved = distances[np.ix_(order, order)], mask[order]
  other = topology.persistence_pairs(*moved)
  assert np.asarray(other.deaths)[:merges].tolist() == deaths
  # Cutting the tree at a scale leaves as many components as there are labels,
  # and fewer at larger scales.
  counts = []
  for scale in (0.0, 0.25, 0.4, 1.0):
    labels = np.asarray(topology.connected_components(*cloud, scale))
    counts.append(len(set(labels[mask].tolist())))
    longer = sum(death > scale for death in deaths)
    assert counts[-1] == (longer + 1 if mask.any() else 0)
  assert counts == sorted(counts, reverse=True)
  # A repeated vertex adds one death, at 0.
  if mask.any() and not mask.all():
    first, free = int(np.argmax(mask)), int(np.argmin(mask))
    index = [first if vertex == free else vertex for vertex in range(6)]
    copied = topology.h0_persistence(
      distances[np.ix_(index, index)], mask[index]
    )
    assert np.asarray(copied)[: merges + 1].tolist() == [0.0, *deaths]
