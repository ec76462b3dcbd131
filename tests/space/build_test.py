"""Spaces against a plain-Python reading of the rules, and by hand."""

import fractions
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.space import SynonymousSpace, build_space, checks
from s3_jax.space.rules import gap_scale
from s3_jax.topology import PrimOrder

_checked_build = inspect.unwrap(build_space)


def _circle(*angles):
  """One class of unit vectors in the plane, padded to 6 texts or more."""
  count = max(len(angles), 6)
  mask = np.arange(count) < len(angles)
  angles = np.resize(np.array(angles, np.float64), count)
  points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  return jnp.asarray(points[None], jnp.float32), jnp.asarray(mask[None])


def _core(space, index=0):
  """The vertices in the core of one class."""
  return np.flatnonzero(space.mask[index]).tolist()


def _chord(angle):
  return 2 * np.sin(angle / 2)


def _plain_components(distances, scale):
  """Components as sorted lists, by searching from each vertex."""
  left, components = set(range(len(distances))), []
  while left:
    front = [min(left)]
    left.discard(front[0])
    members = []
    while front:
      vertex = front.pop()
      members.append(vertex)
      reached = [u for u in sorted(left) if distances[vertex][u] <= scale]
      left.difference_update(reached)
      front.extend(reached)
    components.append(sorted(members))
  return components


def _plain_share(distances, deaths, rule, share):
  """The scale by a share of the deaths or texts, in exact fractions."""
  share = fractions.Fraction(share).limit_denominator(1000)
  if rule == "coverage":
    for scale in [0.0, *deaths]:
      sizes = [len(c) for c in _plain_components(distances, scale)]
      if max(sizes, default=0) >= share * len(distances):
        return scale
  if not deaths:
    return 0.0
  index = share * (len(deaths) - 1)
  below = math.floor(index)
  above = min(below + 1, len(deaths) - 1)
  gap = deaths[above] - deaths[below]
  return deaths[below] + float(index - below) * gap


def _plain_space(points, scale, keep, min_fraction, min_gap):
  """The scale and the core of one class without padding, step by step."""
  points = points.astype(np.float64)
  m = len(points)
  squared = ((points[:, None] - points[None]) ** 2).sum(-1)
  distances = np.where(squared < 1e-6, 0.0, np.sqrt(squared))
  deaths = []
  for edge in sorted({distances[i, j] for i in range(m) for j in range(i)}):
    merged = m - len(_plain_components(distances, edge)) - len(deaths)
    deaths += [edge] * merged
  eps = deaths[-1] if deaths else 0.0
  if isinstance(scale, tuple):
    eps = _plain_share(distances, deaths, *scale)
  elif scale == "gap":
    best, last = None, eps
    for j in range(1, m - 1):
      components = _plain_components(distances, deaths[j - 1])
      if deaths[j - 1] > 0 and max(map(len, components)) >= min_fraction * m:
        gap = deaths[j] - deaths[j - 1]
        if best is None or gap >= best:
          best, eps = gap, (deaths[j - 1] + deaths[j]) / 2
    if best is None or best < min_gap * last:
      eps = last
  elif scale is not None:
    eps = scale
  if keep == "all" or m == 0:
    return eps, list(range(m)), deaths
  if keep == "label":
    return eps, _plain_components(distances, eps)[0], deaths

  def rank(members):
    pairs = [distances[i, j] for i in members for j in members if i < j]
    return -len(members), np.mean(pairs) if pairs else 0.0, members[0]

  return eps, min(_plain_components(distances, eps), key=rank), deaths


@pytest.mark.parametrize(
  ("scale", "keep", "min_fraction", "min_gap"),
  [
    ("gap", "largest", 0.5, 0.15),
    ("gap", "largest", 0.75, 0.05),
    ("gap", "largest", 0.2, 0.0),
    ("gap", "all", 0.5, 0.15),
    (None, "largest", 0.5, 0.15),
    (0.7, "largest", 0.5, 0.15),
    (0, "largest", 0.5, 0.15),
    ("gap", "label", 0.5, 0.15),
    (0.7, "label", 0.5, 0.15),
    (("quantile", 0.0), "largest", 0.5, 0.15),
    (("quantile", 0.3), "largest", 0.5, 0.15),
    (("quantile", 0.9), "label", 0.5, 0.15),
    (("quantile", 1), "all", 0.5, 0.15),
    (("coverage", 0.1), "label", 0.5, 0.15),
    (("coverage", 0.6), "largest", 0.5, 0.15),
    (("coverage", 1.0), "largest", 0.5, 0.15),
  ],
)
def test_space_equals_its_definition(
  clouds, scale, keep, min_fraction, min_gap
):
  points, mask = clouds(30, 12)
  if keep == "label":
    mask[:, 0] = mask.any(axis=1)
  space = build_space(
    points,
    mask,
    scale=scale,
    keep=keep,
    min_fraction=min_fraction,
    min_gap=min_gap,
  )
  space = jax.tree.map(np.asarray, space)
  assert (mask.sum(axis=1) <= 2).any(), "no degenerate class among the clouds"
  for index, real in enumerate(mask):
    eps, core, deaths = _plain_space(
      points[index][real], scale, keep, min_fraction, min_gap
    )
    expected = np.zeros(12, bool)
    expected[np.flatnonzero(real)[core]] = True
    np.testing.assert_array_equal(space.mask[index], expected)
    np.testing.assert_allclose(space.max_edge_length[index], eps, atol=2e-5)
    np.testing.assert_allclose(
      space.deaths[index], deaths + [np.inf] * (11 - len(deaths)), atol=2e-5
    )


@pytest.mark.parametrize("synonyms", [0, 1, 2])
@pytest.mark.parametrize(
  ("scale", "keep"),
  [
    ("gap", "largest"),
    (0.5, "all"),
    (("quantile", 0.5), "label"),
    (("coverage", 0.5), "largest"),
  ],
)
def test_small_spaces_are_defined(clouds, synonyms, scale, keep):
  points, mask = clouds(5, synonyms, seed=3)
  mask[0], mask[1] = False, True
  mask[:, :1] = mask.any(axis=1, keepdims=True)
  space = build_space(points, mask, scale=scale, keep=keep)
  assert space.points.shape == points.shape
  assert space.gram.shape == (5, synonyms, synonyms)
  assert space.deaths.shape == (5, max(synonyms - 1, 0))
  assert space.simplices is None
  np.testing.assert_array_equal(space.mask.any(axis=1), mask.any(axis=1))
  assert not (np.asarray(space.mask) & ~mask).any()
  assert np.isfinite(space.max_edge_length).all()
  assert np.isfinite(space.gram).all()


@pytest.mark.parametrize("classes", [1, 50])
def test_blocks_of_classes_change_nothing(clouds, classes):
  points, mask = clouds(51, 5)
  whole = build_space(points, mask, scale="gap")
  part = build_space(points[:classes], mask[:classes], scale="gap")
  for expected, result in zip(
    jax.tree.leaves(whole), jax.tree.leaves(part), strict=True
  ):
    np.testing.assert_allclose(result, expected[:classes], atol=1e-6)


def test_gap_removes_an_outlier():
  space = build_space(*_circle(0.0, 0.1, 0.2, 0.3, 2.0), scale="gap")
  assert _core(space) == [0, 1, 2, 3]
  short, long = _chord(0.1), _chord(1.7)
  np.testing.assert_allclose(
    space.deaths, [[short, short, short, long, np.inf]], atol=1e-5
  )
  np.testing.assert_allclose(
    space.max_edge_length, [(short + long) / 2], atol=1e-5
  )


def test_gap_needs_its_share_of_the_last_death():
  cloud = _circle(0.0, 0.2, 0.4, 0.7)
  share = (_chord(0.3) - _chord(0.2)) / _chord(0.3)
  assert _core(build_space(*cloud, min_gap=share - 0.01, scale="gap")) == [
    0,
    1,
    2,
  ]
  whole = build_space(*cloud, min_gap=share + 0.01, scale="gap")
  assert _core(whole) == [0, 1, 2, 3]
  np.testing.assert_allclose(whole.max_edge_length, [_chord(0.3)], atol=1e-5)


def test_min_fraction_is_inclusive_and_the_tighter_half_stays():
  cloud = _circle(0.0, 0.2, 1.5, 1.6)
  assert _core(build_space(*cloud, min_fraction=0.5, scale="gap")) == [2, 3]
  assert _core(build_space(*cloud, min_fraction=0.51, scale="gap")) == [
    0,
    1,
    2,
    3,
  ]


def test_min_fraction_of_a_whole_number_survives_rounding():
  assert np.float32(0.6) * np.float32(25) > 15
  angles = [*np.linspace(0.0, 0.1, 15), *np.linspace(1.0, 3.0, 10)]
  space = build_space(*_circle(*angles), min_fraction=0.6, scale="gap")
  assert _core(space) == list(range(15))


def test_equal_gaps_cut_at_the_larger_scale():
  deaths = jnp.array([0.25, 0.5, 0.75, 1.0, jnp.inf])
  order = PrimOrder(jnp.arange(6, dtype=jnp.int32), deaths)
  scale = gap_scale(order, deaths, jnp.array(5), 0.1, 0.25)
  assert scale == 0.875
  scale = gap_scale(order, deaths, jnp.array(5), 0.1, 0.26)
  assert scale == 1.0


def test_equal_components_go_to_the_lower_label():
  assert _core(build_space(*_circle(0.0, 0.1, 1.5, 1.6), scale="gap")) == [0, 1]
  assert _core(build_space(*_circle(0.0, 0.5, 1.0), scale=0.1)) == [0]


def test_two_texts_are_never_cut():
  space = build_space(*_circle(0.0, 3.0), scale="gap")
  assert _core(space) == [0, 1]
  np.testing.assert_allclose(space.max_edge_length, [_chord(3.0)], atol=1e-5)


def test_equal_texts_merge_at_zero_and_make_no_cut():
  cloud = _circle(1.0, 1.0, 1.0, 2.5)
  space = build_space(*cloud, scale="gap")
  assert _core(space) == [0, 1, 2, 3]
  np.testing.assert_array_equal(space.deaths[0, :2], [0.0, 0.0])
  assert _core(build_space(*cloud, scale=0)) == [0, 1, 2]
  space = build_space(*_circle(1.0, 1.0, 1.0), scale="gap")
  assert _core(space) == [0, 1, 2]
  np.testing.assert_array_equal(space.max_edge_length, [0.0])


def test_one_scale_for_each_class():
  points, mask = _circle(0.0, 0.5, 1.5)
  points, mask = jnp.tile(points, (3, 1, 1)), jnp.tile(mask, (3, 1))
  scale = jnp.array([0.1, 0.6, 1.1])
  space = build_space(points, mask, scale=scale)
  np.testing.assert_array_equal(space.max_edge_length, scale)
  cores = [_core(space, index) for index in range(3)]
  assert cores == [[0], [0, 1], [0, 1, 2]]


def test_padding_changes_nothing_whatever_it_holds(clouds):
  points, mask = clouds(6, 5)
  junk = np.full((6, 3, 16), np.nan, np.float32)
  padded = build_space(
    np.concatenate([points, junk], axis=1),
    np.pad(mask, ((0, 0), (0, 3))),
    scale="gap",
  )
  space = build_space(points, mask, scale="gap")
  np.testing.assert_array_equal(padded.mask[:, :5], space.mask)
  assert not padded.mask[:, 5:].any()
  np.testing.assert_allclose(padded.gram[:, :5, :5], space.gram, atol=1e-6)
  np.testing.assert_array_equal(padded.gram[:, 5:], 0.0)
  np.testing.assert_allclose(
    padded.max_edge_length, space.max_edge_length, atol=1e-6
  )


@pytest.mark.parametrize("junk", [7.0, np.inf])
def test_finite_padding_is_kept_and_other_padding_is_zero(clouds, junk):
  points, mask = clouds(3, 4)
  points = np.concatenate([points, np.full((3, 1, 16), junk, "f4")], axis=1)
  mask = np.pad(mask, ((0, 0), (0, 1)))
  space = build_space(points, mask, scale="gap")
  np.testing.assert_array_equal(space.points[mask], points[mask])
  np.testing.assert_array_equal(
    space.points[:, 4], junk if np.isfinite(junk) else 0.0
  )


def test_removed_points_are_kept_as_given():
  points, mask = _circle(0.0, 0.1, 0.2, 0.3, 2.0)
  space = build_space(points, mask, scale="gap")
  assert not space.mask[0, 4]
  np.testing.assert_array_equal(space.points[mask], points[mask])


def test_jit_and_vmap_equal_the_plain_call(clouds):
  points, mask = map(jnp.asarray, clouds(6, 5))
  space = build_space(points, mask, min_gap=0.1, scale="gap")
  jitted = jax.jit(
    lambda points, gap: build_space(points, mask, min_gap=gap, scale="gap")
  )
  points_pair = jnp.stack([points, points[::-1]])
  mask_pair = jnp.stack([mask, mask[::-1]])
  batch = jax.vmap(lambda p, m: build_space(p, m, min_gap=0.1, scale="gap"))(
    points_pair, mask_pair
  )
  assert isinstance(batch, SynonymousSpace)
  results = [jitted(points, 0.1), jax.tree.map(lambda x: x[0], batch)]
  results += [jax.tree.map(lambda x: x[1, ::-1], batch)]
  for result in results:
    for expected, leaf in zip(
      jax.tree.leaves(space), jax.tree.leaves(result), strict=True
    ):
      np.testing.assert_allclose(leaf, expected, atol=1e-6)


def test_vertex_order_changes_only_the_order(clouds):
  points, mask = clouds(20, 6, seed=5)
  order = np.random.default_rng(0).permutation(6)
  space = build_space(points, mask, scale="gap")
  moved = build_space(points[:, order], mask[:, order], scale="gap")
  np.testing.assert_array_equal(moved.mask, space.mask[:, order])
  np.testing.assert_allclose(moved.deaths, space.deaths, atol=1e-5)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"scale": "gaps"}, r'`scale` must be "gap", \("quantile", q\)'),
    ({"scale": True}, r'`scale` must be "gap", \("quantile", q\)'),
    ({"scale": -0.1}, "`scale` must be finite and >= 0, got -0.1"),
    ({"scale": float("nan")}, "`scale` must be finite and >= 0, got nan"),
    ({"scale": np.ones(3)}, "one for each of 2 classes, got shape"),
    ({"keep": "name"}, '`keep` must be one of "largest", "label", "all", got'),
    ({"scale": ("gap", 0.5)}, r'`scale` must be "gap", \("quantile", q\)'),
    ({"scale": ("quantile",)}, r'`scale` must be "gap", \("quantile", q\)'),
    ({"scale": [0.5, 0.6]}, r'`scale` must be "gap", \("quantile", q\)'),
    ({"scale": ("quantile", 1.1)}, r"share in \[0, 1\], got 1.1"),
    ({"scale": ("quantile", "0.1")}, r"share in \[0, 1\], got '0.1'"),
    ({"scale": ("quantile", float("nan"))}, r"share in \[0, 1\], got nan"),
    ({"scale": ("coverage", 0)}, r"share in \(0, 1\], got 0"),
    ({"scale": ("coverage", True)}, r"share in \(0, 1\], got True"),
    ({"max_dimension": -1}, "`max_dimension` must be a whole number >= 0"),
    ({"max_simplices": 0}, "`max_simplices` must be a whole number >= 1"),
    ({"min_fraction": 0.0}, r"`min_fraction` must be in \(0, 1\], got 0.0"),
    ({"min_fraction": 1.01}, r"`min_fraction` must be in \(0, 1\], got 1.01"),
    ({"min_gap": -0.5}, "`min_gap` must be finite and >= 0, got -0.5"),
  ],
)
def test_wrong_options_are_named(clouds, options, message):
  points, mask = clouds(2, 3)
  with pytest.raises(ValueError, match=message) as error:
    _checked_build(points, mask, **options)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ([np.nan, 0.0], "must be finite, got NaN or infinity in class 1, text 2"),
    ([np.inf, 0.0], "must be finite, got NaN or infinity in class 1, text 2"),
    ([0.0, 0.0], "unit norm, got the zero vector in class 1, text 2"),
    ([3.0, 4.0], "unit norm, got norm 5 in class 1, text 2"),
  ],
)
def test_wrong_embeddings_are_named_unless_masked_out(row, message):
  points = np.zeros((2, 3, 2), np.float32)
  points[..., 0] = 1.0
  points[1, 2] = row
  mask = np.ones((2, 3), bool)
  with pytest.raises(ValueError, match=message):
    build_space(points, mask, scale="gap")
  mask[1, 2] = False
  assert np.isfinite(build_space(points, mask, scale="gap").gram).all()


@pytest.mark.parametrize(
  ("shape", "mask", "message"),
  [
    ((2, 3, 4), np.ones((2, 5), bool), r"got \[2, 3\] and \[2, 5\]"),
    ((2, 3, 4), np.ones(2, bool), r"got \[2, 3\] and \[2\]"),
    ((2, 3), np.ones((2, 3), bool), r"shape \[classes, synonyms, dim\]"),
    ((2, 3, 4), np.ones((2, 3), np.int32), "`mask` must be bool"),
  ],
)
def test_wrong_shapes_are_named(shape, mask, message):
  with pytest.raises(ValueError, match=message):
    _checked_build(np.zeros(shape, np.float32), mask)


def test_what_is_no_array_is_told_what_would_do():

  points = np.ones((2, 3, 4), np.float32)
  for arguments, name in (((points, None), "mask"), (([[1.0]], None), "embed")):
    with pytest.raises(ValueError, match=f"`{name}") as error:
      checks.check_shapes(*arguments)
    assert "np.ones" in str(error.value) and len(str(error.value)) <= 300
