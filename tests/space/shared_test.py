"""Shared texts against a double loop, by hand and in tiles."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.space import attach_complex, build_space, exclude_shared, shared

_checked_exclude = inspect.unwrap(exclude_shared)


def _space(classes, synonyms, *, dim=5, seed=0, **options):
  """Clusters that overlap, some texts shared word for word."""
  rng = np.random.default_rng(seed)
  points = rng.normal(size=(classes, 1, dim))
  points = points + 0.7 * rng.normal(size=(classes, synonyms, dim))
  if synonyms > 2:
    points[::3, 2] = points[:, 1][np.roll(np.arange(classes), 1)][::3]
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  mask = rng.random((classes, synonyms)) < rng.random((classes, 1)) * 1.4
  return build_space(points.astype(np.float32), mask, **options)


def _plain_leads(space):
  """Lead of other over own in float64, None where nothing compares."""
  points = np.asarray(space.points, np.float64)
  core = np.asarray(space.mask)
  classes, synonyms = core.shape
  leads = {}
  for c in range(classes):
    for i in range(synonyms):
      own = other = None
      for e in range(classes):
        for j in range(synonyms):
          if not core[c, i] or not core[e, j] or (c, i) == (e, j):
            continue
          similarity = float(points[c, i] @ points[e, j])
          if e == c:
            own = similarity if own is None else max(own, similarity)
          else:
            other = similarity if other is None else max(other, similarity)
      both = own is not None and other is not None
      leads[c, i] = other - own if both else None
  return leads


@pytest.mark.parametrize("margin", [0.0, 0.1, -0.2])
@pytest.mark.parametrize(
  ("classes", "synonyms"), [(1, 4), (2, 1), (2, 2), (9, 5), (12, 4)]
)
def test_dropped_texts_equal_the_double_loop(classes, synonyms, margin):
  space = _space(classes, synonyms, seed=classes, scale=None)
  result = exclude_shared(space, margin=margin)
  core, kept = np.asarray(space.mask), np.asarray(result.mask)
  for (c, i), lead in _plain_leads(space).items():
    if lead is not None and abs(lead - margin) < 2e-6:
      continue
    is_shared = lead is not None and lead > margin and i > 0
    assert kept[c, i] == (core[c, i] and not is_shared), (c, i)
  if classes > 2:
    assert 0 < (core & ~kept).sum() < core.sum()
  for name in ("points", "gram", "max_edge_length", "deaths"):
    assert getattr(result, name) is getattr(space, name)


# 11 classes of 5 texts: one class a tile, two with the last tile overlapping,
# eleven, and more texts than there are.
@pytest.mark.parametrize("tile", [1, 5, 10, 55, 1000])
def test_tiles_change_nothing(tile):
  space = _space(11, 5)
  result = shared._drop_shared(
    space.points, space.gram, space.mask, 0.0, tile=tile
  )
  np.testing.assert_array_equal(result, exclude_shared(space).mask)


def _directions(rows):
  """Classes of unit vectors in the plane from their angles in degrees."""
  angles = np.deg2rad(np.array(rows, np.float64))
  points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  return build_space(
    points.astype(np.float32), np.ones(angles.shape, bool), scale=None
  )


def test_a_shared_word_leaves_both_classes():
  # "crane" the bird at 0 degrees and the machine at 90, both with a text at 45.
  space = _directions([[0, 10, 45], [90, 80, 45]])
  expected = [[True, True, False], [True, True, False]]
  np.testing.assert_array_equal(exclude_shared(space).mask, expected)
  lead = 1.0 - np.cos(np.deg2rad(35))
  kept = exclude_shared(space, margin=lead + 1e-4).mask
  np.testing.assert_array_equal(kept, np.ones((2, 3), bool))
  gone = exclude_shared(space, margin=lead - 1e-4).mask
  np.testing.assert_array_equal(gone, expected)


def test_the_class_name_and_an_only_text_stay():
  # Text 0 of both is the same word; the texts 1 are as near to the one as to
  # the other.
  space = _directions([[0, 40], [0, -40]])
  np.testing.assert_array_equal(exclude_shared(space).mask, True)
  only = space._replace(mask=jnp.array([[False, True], [True, True]]))
  np.testing.assert_array_equal(exclude_shared(only).mask, only.mask)


def test_a_word_twice_in_its_class_is_not_lost_to_rounding():
  rng = np.random.default_rng(0)
  points = rng.normal(size=(40, 6, 96))
  points[:, 2] = points[:, 1]
  points[1:, 3] = points[:1, 1]
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  space = build_space(
    points.astype(np.float32), np.ones((40, 6), bool), scale=None
  )
  kept = np.asarray(exclude_shared(space).mask)
  assert kept[0, 1] and kept[0, 2]
  assert not kept[1:, 3].any()


def test_a_class_without_its_name_can_lose_every_text():
  space = _directions([[0, 50, 70], [90, 51, 69]])
  space = space._replace(mask=jnp.array([[False, True, True], [True] * 3]))
  kept = np.asarray(exclude_shared(space).mask)
  assert not kept[0].any()
  np.testing.assert_array_equal(kept[1], [True, False, False])


def test_no_class_no_text_and_nothing_real():
  for classes, synonyms in ((0, 3), (3, 0), (1, 1)):
    space = _space(classes, synonyms)
    np.testing.assert_array_equal(exclude_shared(space).mask, space.mask)
  space = _space(4, 3)
  nothing = space._replace(mask=jnp.zeros((4, 3), bool))
  assert not exclude_shared(nothing).mask.any()


def test_vertices_outside_the_core_do_not_count():
  space = _directions([[0, 10, 45], [90, 80, 45]])
  core = jnp.array([[True, True, True], [True, True, False]])
  np.testing.assert_array_equal(
    exclude_shared(space._replace(mask=core)).mask,
    [[True, True, True], [True, True, False]],
  )


def test_classes_and_texts_in_another_order():
  space = _space(9, 6, seed=3)
  rng = np.random.default_rng(1)
  classes = rng.permutation(9)
  texts = np.r_[0, 1 + rng.permutation(5)]
  moved = build_space(
    np.asarray(space.points)[classes][:, texts],
    np.asarray(space.mask)[classes][:, texts],
    scale=None,
    keep="all",
  )
  expected = np.asarray(exclude_shared(space).mask)[classes][:, texts]
  np.testing.assert_array_equal(exclude_shared(moved).mask, expected)


def test_jit_equals_the_plain_call_and_vmap_a_loop():
  spaces = [_space(5, 4, seed=seed) for seed in range(3)]
  loop = np.stack([exclude_shared(space, margin=0.05).mask for space in spaces])
  jitted = jax.jit(lambda space, m: exclude_shared(space, margin=m).mask)
  np.testing.assert_array_equal(jitted(spaces[0], 0.05), loop[0])
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *spaces)
  batch = jax.vmap(lambda space: exclude_shared(space, margin=0.05).mask)
  np.testing.assert_array_equal(batch(stacked), loop)


@pytest.mark.parametrize(
  "margin", [float("nan"), float("inf"), np.float32("nan")]
)
def test_margin_must_be_finite(margin):
  with pytest.raises(ValueError, match="`margin` must be finite, got"):
    _checked_exclude(_space(2, 2), margin=margin)


def test_a_complex_comes_afterwards():
  with pytest.raises(ValueError, match="call `exclude_shared` before"):
    _checked_exclude(attach_complex(_space(2, 3)))
