"""Scale and component rules by hand, and what must hold for any cloud."""

import inspect

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.space import build_space

_RULES = ("gap", None, 0.9, ("quantile", 0.7), ("coverage", 0.6))


def _chord(angle):
  return 2 * np.sin(angle / 2)


def _line():
  """Five texts on a circle, 0.1, 0.2, 0.3 and 0.4 apart, and padding."""
  angles = np.array([0.0, 0.1, 0.3, 0.6, 1.0, 2.0])
  points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  return points[None].astype(np.float32), np.arange(6)[None] < 5


@pytest.mark.parametrize(
  ("quantile", "expected", "core"),
  [
    (0.0, _chord(0.1), [0, 1]),
    (0.25, 0.25 * _chord(0.1) + 0.75 * _chord(0.2), [0, 1]),
    (1 / 3, _chord(0.2), [0, 1, 2]),
    (0.5, (_chord(0.2) + _chord(0.3)) / 2, [0, 1, 2]),
    (1, _chord(0.4), [0, 1, 2, 3, 4]),
  ],
)
def test_quantile_interpolates_the_deaths(quantile, expected, core):
  space = build_space(*_line(), scale=("quantile", quantile))
  np.testing.assert_allclose(space.max_edge_length, [expected], atol=1e-5)
  assert np.flatnonzero(space.mask[0]).tolist() == core


@pytest.mark.parametrize("index", range(11))
def test_quantile_of_a_whole_place_is_that_death(index):
  # In float32 0.3 * 10 and the like are not whole; the edge must still count.
  angles = np.cumsum(np.linspace(0.05, 0.15, 12))
  points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  points = points[None].astype(np.float32)
  mask = np.ones((1, 12), bool)
  space = build_space(points, mask, scale=("quantile", index / 10))
  assert space.max_edge_length[0] == space.deaths[0, index]
  assert space.mask[0].sum() == index + 2


@pytest.mark.parametrize(
  ("coverage", "texts"),
  [(0.01, 1), (0.2, 1), (0.21, 2), (0.4, 2), (0.6, 3), (0.79, 4), (1, 5)],
)
def test_coverage_takes_the_smallest_scale_that_holds_enough(coverage, texts):
  space = build_space(*_line(), scale=("coverage", coverage))
  expected = [0.0, 0.1, 0.2, 0.3, 0.4][texts - 1]
  np.testing.assert_allclose(
    space.max_edge_length, [_chord(expected)], atol=1e-5
  )
  assert space.mask[0].sum() == texts


def test_coverage_of_a_whole_number_survives_rounding():
  assert np.float32(0.6) * np.float32(25) > 15
  angles = np.r_[np.linspace(0.0, 0.1, 15), np.linspace(1.0, 3.0, 10)]
  points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  space = build_space(
    points[None].astype(np.float32),
    np.ones((1, 25), bool),
    scale=("coverage", 0.6),
  )
  assert np.flatnonzero(space.mask[0]).tolist() == list(range(15))


def test_equal_texts_cover_at_scale_zero():
  points = np.tile(np.eye(4, dtype=np.float32)[[0, 0, 0, 1]], (1, 1, 1))
  mask = np.ones((1, 4), bool)
  space = build_space(points, mask, scale=("coverage", 0.75))
  assert space.max_edge_length[0] == 0.0
  assert np.flatnonzero(space.mask[0]).tolist() == [0, 1, 2]


def test_label_keeps_the_component_of_the_class_name():
  points, mask = _line()
  moved = points[:, [4, 0, 1, 2, 3, 5]]
  largest = build_space(moved, mask, scale=_chord(0.25))
  label = build_space(moved, mask, scale=_chord(0.25), keep="label")
  assert np.flatnonzero(largest.mask[0]).tolist() == [1, 2, 3]
  assert np.flatnonzero(label.mask[0]).tolist() == [0]
  whole = build_space(moved, mask, scale=_chord(0.45), keep="label")
  assert np.flatnonzero(whole.mask[0]).tolist() == [0, 1, 2, 3, 4]


def test_label_needs_the_class_name():
  points, mask = _line()
  points, mask = np.tile(points, (3, 1, 1)), np.tile(mask, (3, 1))
  mask[1], mask[2, 0] = False, False
  build = inspect.unwrap(build_space)
  with pytest.raises(ValueError, match="got class 2 without it"):
    build(points, mask, keep="label")
  # Under jit nothing is known; the class then keeps nothing.
  core = jax.jit(lambda x, m: build_space(x, m, scale=None, keep="label").mask)(
    points, mask
  )
  np.testing.assert_array_equal(core.sum(axis=1), [5, 0, 0])


def test_shares_may_be_traced():
  points, mask = _line()
  for rule in ("quantile", "coverage"):
    traced = jax.jit(lambda q, r=rule: build_space(points, mask, scale=(r, q)))
    plain = build_space(points, mask, scale=(rule, 0.5))
    np.testing.assert_array_equal(
      traced(jnp.float32(0.5)).max_edge_length, plain.max_edge_length
    )


@st.composite
def _classes(draw):
  """Three classes of six texts, some of them equal, any of them masked out."""
  rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
  points = rng.normal(size=(3, 6, 4)) + draw(st.floats(0, 3))
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  copies = draw(st.lists(st.integers(0, 5), min_size=6, max_size=6))
  points = points[:, copies].astype(np.float32)
  bits = draw(st.lists(st.booleans(), min_size=18, max_size=18))
  return points, np.array(bits).reshape(3, 6)


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
  cloud=_classes(),
  order=st.permutations(range(6)),
  classes=st.permutations(range(3)),
  junk=st.sampled_from([0.0, np.nan, np.inf, 7.0]),
  rule=st.sampled_from(_RULES),
)
def test_order_and_padding_change_nothing(cloud, order, classes, junk, rule):
  points, mask = cloud
  space = build_space(points, mask, scale=rule)
  points = np.where(mask[:, :, None], points, np.float32(junk))
  points = points[classes][:, order]
  moved_mask = mask[classes][:, order]
  moved = build_space(points, moved_mask, scale=rule)
  scales = np.asarray(space.max_edge_length)[np.array(classes)]
  np.testing.assert_allclose(moved.max_edge_length, scales, atol=2e-5)
  np.testing.assert_allclose(
    moved.deaths, np.asarray(space.deaths)[np.array(classes)], atol=2e-5
  )
  core = np.asarray(space.mask)[classes][:, order]
  # Equal texts stay together; which of two equally good components wins may
  # depend on the order, its size may not.
  np.testing.assert_array_equal(
    np.asarray(moved.mask).sum(axis=1), core.sum(axis=1)
  )
  assert not (np.asarray(moved.mask) & ~moved_mask).any()
  assert (np.asarray(moved.mask).any(axis=1) == moved_mask.any(axis=1)).all()


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(
  cloud=_classes(),
  shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=2),
  rule=st.sampled_from(["coverage", "quantile", "number"]),
)
def test_scale_and_core_grow_with_the_share(cloud, shares, rule):
  points, mask = cloud
  mask[:, 0] = True
  small, large = (
    build_space(
      points,
      mask,
      scale=2 * share if rule == "number" else (rule, share),
      keep="label",
    )
    for share in sorted(shares)
  )
  assert (small.max_edge_length <= large.max_edge_length + 1e-6).all()
  if rule != "quantile":
    assert not (small.mask & ~large.mask).any()


def test_coverage_holds_what_it_says(clouds):
  points, mask = clouds(40, 10, seed=8)
  for share in (0.3, 0.75, 1.0):
    space = build_space(points, mask, scale=("coverage", share))
    kept = np.asarray(space.mask).sum(axis=1)
    assert (kept >= share * mask.sum(axis=1) - 1e-6).all()
