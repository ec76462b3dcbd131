"""Rows that say what became of the texts, by hand and against a loop."""

import inspect

import numpy as np
import pytest

from s3_jax.space import (
  KeptRow,
  SharedRow,
  build_space,
  exclude_shared,
  kept_report,
  shared_report,
)

_checked_kept = inspect.unwrap(kept_report)


def _circle(rows, width):
  """Classes of unit vectors from angles in degrees, padded to a width."""
  points = np.zeros((len(rows), width, 2), np.float32)
  mask = np.zeros((len(rows), width), bool)
  for index, row in enumerate(rows):
    angles = np.deg2rad(row)
    points[index, : len(row), 0] = np.cos(angles)
    points[index, : len(row), 1] = np.sin(angles)
    mask[index, : len(row)] = True
  return points, mask


def test_kept_rows_by_hand():
  points, mask = _circle([[0, 5, 10, 15, 90], [0, 20], [], [30]], 5)
  texts = [
    ["sofa", "couch", "settee", "divan", "dog"],
    ["cat", "puss"],
    [],
    "x",
  ]
  texts[3] = ["owl"]
  space = build_space(points, mask, scale="gap")
  rows = kept_report(space, mask, texts)
  scales = np.asarray(space.max_edge_length).tolist()
  assert rows == (
    KeptRow(0, "sofa", 5, 4, ("dog",), scales[0], True),
    KeptRow(1, "cat", 2, 2, (), scales[1], False),
    KeptRow(2, "", 0, 0, (), 0.0, False),
    KeptRow(3, "owl", 1, 1, (), 0.0, False),
  )
  every = kept_report(
    build_space(points, mask, keep="all", scale="gap"), mask, texts
  )
  assert every[0][3:5] == (5, ())
  assert every[0].is_cut
  whole = kept_report(build_space(points, mask, scale=None), mask, texts)
  assert not any(row.is_cut or row.removed for row in whole)


def test_kept_rows_add_up(clouds):
  points, mask = clouds(30, 8)
  texts = [[f"{c}-{i}" for i in range(8)] for c in range(30)]
  space = exclude_shared(build_space(points, mask, scale="gap"))
  core = np.asarray(space.mask)
  for row in kept_report(space, mask, texts):
    assert row.texts == row.kept + len(row.removed) == mask[row.label].sum()
    for text in row.removed:
      label, index = map(int, text.split("-"))
      assert label == row.label
      assert mask[label, index] and not core[label, index]


def test_shared_rows_by_hand():
  points, mask = _circle([[0, 10, 45], [90, 80, 45], [200]], 3)
  texts = [["crane", "heron", "lifter"], ["hoist", "derrick", "lift"], ["cup"]]
  before = build_space(points, mask, scale=None)
  rows = shared_report(before, exclude_shared(before), texts)
  own = np.cos(np.deg2rad(35))
  expected = (
    SharedRow(0, "crane", "lifter", own, 1.0, 1, "lift"),
    SharedRow(1, "hoist", "lift", own, 1.0, 0, "lifter"),
  )
  assert len(rows) == 2
  for row, wanted in zip(rows, expected, strict=True):
    assert row[:3] == wanted[:3]
    assert row[3:5] == pytest.approx(wanted[3:5], abs=1e-6)
    assert row[5:] == wanted[5:]


# More classes than one block of the look-up holds.
@pytest.mark.parametrize("classes", [5, 130])
def test_shared_rows_equal_a_loop(clouds, classes):
  points, mask = clouds(classes, 4, dim=6)
  texts = [[f"{c}-{i}" for i in range(4)] for c in range(classes)]
  before = build_space(points, mask, scale=None)
  after = exclude_shared(before)
  core, kept = np.asarray(before.mask), np.asarray(after.mask)
  rows = shared_report(before, after, texts)
  assert len(rows) == (core & ~kept).sum() > 0
  flat, label = points.reshape(-1, 6), np.arange(classes * 4) // 4
  for row in rows:
    c, i = map(int, row.text.split("-"))
    assert c == row.label
    assert core[c, i] and not kept[c, i]
    similarities = flat.astype(np.float64) @ points[c, i]
    others = np.where(core.ravel() & (label != c), similarities, -2.0)
    assert row.other == pytest.approx(others.max(), abs=1e-6)
    e, j = map(int, row.other_text.split("-"))
    assert e == row.other_label != c
    assert others[e * 4 + j] == pytest.approx(others.max(), abs=1e-6)
    beside = core.ravel() & (label == c) & (np.arange(classes * 4) != c * 4 + i)
    assert row.own == pytest.approx(similarities[beside].max(), abs=1e-6)
    assert row.other > row.own


def test_nothing_shared_and_nothing_at_all(clouds):
  points, mask = _circle([[0, 10], [180, 190]], 2)
  space = build_space(points, mask, scale="gap")
  assert shared_report(space, exclude_shared(space), [["a", "b"]] * 2) == ()
  empty = build_space(*clouds(0, 3), scale="gap")
  assert shared_report(empty, empty, []) == ()
  assert kept_report(empty, np.zeros((0, 3), bool), []) == ()
  blank = build_space(*clouds(2, 0), scale="gap")
  rows = kept_report(blank, np.zeros((2, 0), bool), [[], []])
  assert rows == (
    KeptRow(0, "", 0, 0, (), 0.0, False),
    KeptRow(1, "", 0, 0, (), 0.0, False),
  )


@pytest.mark.parametrize(
  ("mask", "texts", "message"),
  [
    (np.ones((2, 2), bool), [["a", "b"]], "texts of all 2 classes, got 1"),
    (np.ones((2, 2), bool), [["a", "b"], ["c"]], "the 2 texts of class 1"),
    (np.ones((2, 2), bool), [["a", "b"], "cd"], "the 2 texts of class 1"),
    (np.ones((2, 3), bool), [["a", "b"]] * 2, "`space` and `mask` must agree"),
    (np.ones((2, 2)), [["a", "b"]] * 2, "`mask` must be bool"),
  ],
)
def test_wrong_arguments_are_named(mask, texts, message):
  points, real = _circle([[0, 10], [180, 190]], 2)
  with pytest.raises(ValueError, match=message):
    _checked_kept(build_space(points, real, scale="gap"), mask, texts)
