"""Counted pixels in shards: made by one process, or by several."""

import json

import numpy as np
import pytest

from s3_jax.storage.pixel_shards import (
  SHARD_IMAGES,
  CountedImage,
  count_in_shards,
  pixel_layout,
)
from s3_jax.storage.shards import join_shards, stored_shards

TOTAL = 2 * SHARD_IMAGES + 5
CLASSES = 3
KEYS = {"one": "aa" * 32, "two": "bb" * 32}
BAD = {SHARD_IMAGES + 1: "no mask", TOTAL - 1: "too small"}
CONTENTS = tuple(f"{i:064x}" for i in range(TOTAL))


def layouts(contents=CONTENTS, unread=None):
  return {
    method: pixel_layout(
      key, "numbers", contents, unread or {}, classes=CLASSES
    )
    for method, key in KEYS.items()
  }


def pairs_of(index, method):
  draw = np.random.default_rng([index, len(method), ord(method[0])])
  return draw.integers(0, 9, (CLASSES, CLASSES))


def counts_of(index, method):
  pairs = pairs_of(index, method)
  return {
    "intersection": np.diagonal(pairs),
    "predicted": pairs.sum(0),
    "labelled": pairs.sum(1),
    "pairs": pairs,
  }


def counting(seen):
  def count(indices, lacking):
    for index in indices:
      seen.append(index)
      if index in BAD:
        yield CountedImage(index, {}, BAD[index])
        continue
      counts = {method: counts_of(index, method) for method in lacking}
      yield CountedImage(index, counts, "")

  return count


def count(folder, numbers=(0, 1, 2)):
  seen = []
  made = count_in_shards(folder, layouts(), counting(seen), numbers=numbers)
  return made, seen


def check(counted, method):
  good = [index for index in range(TOTAL) if index not in BAD]
  pairs = {index: pairs_of(index, method) for index in good}
  np.testing.assert_array_equal(counted.arrays["pairs"], sum(pairs.values()))
  for index in range(TOTAL):
    expected = pairs.get(index, np.zeros((CLASSES, CLASSES), int))
    found = [counted.arrays[part][index] for part in COUNTS]
    wanted = [np.diagonal(expected), expected.sum(0), expected.sum(1)]
    np.testing.assert_array_equal(found, wanted)
  assert counted.reasons == BAD
  assert np.flatnonzero(~counted.good).tolist() == sorted(BAD)


COUNTS = ("intersection", "predicted", "labelled")


def stored(folder):
  return [stored_shards(folder, each).tolist() for each in layouts().values()]


def test_one_process(tmp_path):
  sets, seen = count(tmp_path)
  assert seen == list(range(TOTAL))
  for method, counted in sets.items():
    check(counted, method)
  again, seen = count(tmp_path)
  assert seen == []
  for method, counted in again.items():
    check(counted, method)


def test_a_method_alone_is_counted_where_it_lacks(tmp_path):
  count(tmp_path, [1])
  asked = []

  def watched(indices, lacking):
    asked.append((indices[0], lacking))
    return counting([])(indices, lacking)

  more = layouts() | {"more": layouts()["one"]._replace(key="cc" * 32)}
  sets = count_in_shards(tmp_path, more, watched, numbers=[0, 1, 2])
  everything = ("one", "two", "more")
  assert asked == [
    (0, everything),
    (SHARD_IMAGES, ("more",)),
    (2 * SHARD_IMAGES, everything),
  ]
  for method, counted in sets.items():
    check(counted, method)


@pytest.mark.parametrize("shares", [[[0, 1, 2], []], [[2], [0], [1]]])
def test_several_processes(tmp_path, shares):
  assert stored(tmp_path) == [[False] * 3] * 2
  parts = []
  for numbers in shares:
    sets, seen = count(tmp_path, numbers)
    spans = [range(n * SHARD_IMAGES, (n + 1) * SHARD_IMAGES) for n in numbers]
    assert seen == [p for span in spans for p in span if p < TOTAL]
    parts.append(sets)
  assert stored(tmp_path) == [[True] * 3] * 2
  for method, layout in layouts().items():
    check(join_shards(layout, [sets[method] for sets in parts]), method)


def test_an_image_that_nobody_counted(tmp_path):
  part, layout = count(tmp_path, [0, 2])[0]["one"], layouts()["one"]
  with pytest.raises(ValueError, match=f"each of the {TOTAL} images once, got"):
    join_shards(layout, [part])
  whole = count(tmp_path)[0]["one"]
  with pytest.raises(
    ValueError, match=f"got {2 * TOTAL - SHARD_IMAGES}, {TOTAL} of them"
  ):
    join_shards(layout, [whole, part])


def count_these(folder, count, contents=CONTENTS, unread=None):
  made = layouts(contents, unread)
  return count_in_shards(folder, made, count, numbers=[0, 1, 2])["one"]


def test_what_could_not_be_read_is_tried_again(tmp_path):
  index = SHARD_IMAGES + 3
  contents = (*CONTENTS[:index], "", *CONTENTS[index + 1 :])
  seen = []
  counted = count_these(
    tmp_path, counting(seen), contents, {index: "Permission denied"}
  )
  assert index not in seen
  assert counted.reasons == {**BAD, index: "Permission denied"}
  assert not counted.good[index]
  # Still so: nothing is counted, and the reason is that of this run.
  seen = []
  again = count_these(
    tmp_path, counting(seen), contents, {index: "Input/output error"}
  )
  assert not seen and again.reasons[index] == "Input/output error"
  np.testing.assert_array_equal(again.arrays["pairs"], counted.arrays["pairs"])
  # Repaired: its shard is counted.
  seen = []
  check(count_these(tmp_path, counting(seen)), "one")
  assert seen == list(range(SHARD_IMAGES, 2 * SHARD_IMAGES))


def test_a_failure_that_may_pass_is_tried_again(tmp_path):
  def failing(indices, lacking):
    for image in counting([])(indices, lacking):
      yield image._replace(passing=bool(image.reason))

  count_these(tmp_path, failing)
  assert stored(tmp_path) == [[True, False, False]] * 2
  seen = []
  check(count_these(tmp_path, counting(seen)), "one")
  assert seen == list(range(SHARD_IMAGES, TOTAL))


def test_another_picture_under_the_same_index_is_counted(tmp_path):
  count_these(tmp_path, counting([]))
  seen = []
  count_these(tmp_path, counting(seen), (*CONTENTS[:-1], "f" * 64))
  assert seen == list(range(2 * SHARD_IMAGES, TOTAL))


def test_a_damaged_shard_is_counted_again(tmp_path):
  count(tmp_path)
  layout = layouts()["two"]
  path = tmp_path / f"{layout.shard_key(1)}.npz"
  data = bytearray(path.read_bytes())
  data[data.index(b"pairs.npy") + 200] ^= 4
  path.write_bytes(data)
  with pytest.warns(UserWarning, match="is not used") as warned:
    sets, seen = count(tmp_path)
  assert len(warned) == 1
  assert seen == list(range(SHARD_IMAGES, 2 * SHARD_IMAGES))
  for method, counted in sets.items():
    check(counted, method)


def test_files_of_earlier_runs_are_found(tmp_path):
  """Names, arrays and notes are those that caches hold."""
  count(tmp_path)
  assert sorted(path.stem[:16] for path in tmp_path.iterdir()) == [
    "08e5c06b885da399",
    "7c3e662631b0788b",
    "bb388b5466338e6b",
    "bed29f9518f791fc",
    "dc0d0fca833926e4",
    "fa740401ce87af69",
  ]
  with np.load(tmp_path / f"{layouts()['two'].shard_key(2)}.npz") as archive:
    header = json.loads(str(archive["header"]))
  assert header["arrays"] == {
    **{part: {"dtype": "int64", "shape": [5, CLASSES]} for part in COUNTS},
    "pairs": {"dtype": "int64", "shape": [CLASSES, CLASSES]},
  }
  assert header["metadata"] == {
    "dataset": "numbers",
    "bad": '[[4, "too small"]]',
  }
