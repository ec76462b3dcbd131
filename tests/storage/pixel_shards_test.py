"""Counted pixels in shards: made by one process, or by several."""

import numpy as np
import pytest

from s3_jax.storage.pixel_shards import (
  SHARD_IMAGES,
  CountedImage,
  CountedImages,
  count_in_shards,
  merge_sets,
  own_rows,
  stored_shards,
)

TOTAL = 2 * SHARD_IMAGES + 5
CLASSES = 3
KEYS = {"one": "aa" * 32, "two": "bb" * 32}
BAD = {SHARD_IMAGES + 1: "no mask", TOTAL - 1: "too small"}
IMAGES = CountedImages(tuple(f"{i:064x}" for i in range(TOTAL)), {})


def pairs_of(index, method):
  draw = np.random.default_rng([index, len(method), ord(method[0])])
  return draw.integers(0, 9, (CLASSES, CLASSES))


def counting(seen):
  def count(indices, lacking):
    for index in indices:
      seen.append(index)
      if index in BAD:
        yield CountedImage(index, {}, BAD[index])
        continue
      pairs = {method: pairs_of(index, method) for method in lacking}
      yield CountedImage(index, pairs, "")

  return count


def count(folder, numbers=None):
  seen = []
  sets, counted = count_in_shards(
    folder,
    KEYS,
    counting(seen),
    name="numbers",
    images=IMAGES,
    classes=CLASSES,
    numbers=numbers,
  )
  assert counted == len(seen)
  return sets, seen


def check(counted, method):
  good = [index for index in range(TOTAL) if index not in BAD]
  pairs = {index: pairs_of(index, method) for index in good}
  np.testing.assert_array_equal(counted.pairs, sum(pairs.values()))
  for index in range(TOTAL):
    expected = pairs.get(index, np.zeros((CLASSES, CLASSES), int))
    found = [getattr(counted.counts, part)[index] for part in COUNTS]
    wanted = [np.diagonal(expected), expected.sum(0), expected.sum(1)]
    np.testing.assert_array_equal(found, wanted)
  assert counted.reasons == BAD
  assert np.flatnonzero(~counted.good).tolist() == sorted(BAD)


COUNTS = ("intersection", "predicted", "labelled")


def test_one_process(tmp_path):
  sets, seen = count(tmp_path)
  assert seen == list(range(TOTAL))
  for method, counted in sets.items():
    check(counted, method)
  again, seen = count(tmp_path)
  assert seen == []
  for method, counted in again.items():
    check(counted, method)


@pytest.mark.parametrize("shares", [[[0, 1, 2], []], [[2], [0], [1]]])
def test_several_processes(tmp_path, shares):
  assert not stored_shards(tmp_path, KEYS, IMAGES).any()
  parts = []
  for numbers in shares:
    sets, seen = count(tmp_path, numbers)
    spans = [range(n * SHARD_IMAGES, (n + 1) * SHARD_IMAGES) for n in numbers]
    assert seen == [p for span in spans for p in span if p < TOTAL]
    parts.append((sets, numbers))
  assert stored_shards(tmp_path, KEYS, IMAGES).all()
  for method in KEYS:
    merged = merge_sets(
      [own_rows(sets[method], numbers) for sets, numbers in parts],
      {
        index: reason
        for sets, _ in parts
        for index, reason in sets[method].reasons.items()
      },
      total=TOTAL,
    )
    check(merged, method)


def test_an_image_that_nobody_counted(tmp_path):
  sets, _ = count(tmp_path, [0, 2])
  part = own_rows(sets["one"], [0, 2])
  with pytest.raises(ValueError, match=f"each of the {TOTAL} images once, got"):
    merge_sets([part], {}, total=TOTAL)
  with pytest.raises(ValueError, match=f"got {TOTAL + 5}, {TOTAL} of them"):
    sets, _ = count(tmp_path)
    merge_sets(
      [own_rows(sets["one"], [0, 1, 2]), own_rows(sets["one"], [2])],
      {},
      total=TOTAL,
    )


def count_these(folder, images, count):
  sets, _ = count_in_shards(
    folder, KEYS, count, name="numbers", images=images, classes=CLASSES
  )
  return sets["one"]


def test_what_could_not_be_read_is_tried_again(tmp_path):
  index = SHARD_IMAGES + 3
  contents = list(IMAGES.contents)
  contents[index] = ""
  unread = CountedImages(tuple(contents), {index: "Permission denied"})
  seen = []
  counted = count_these(tmp_path, unread, counting(seen))
  assert index not in seen
  assert counted.reasons == {**BAD, index: "Permission denied"}
  assert not counted.good[index]
  # Still so: nothing is counted, and the reason is that of this run.
  later = unread._replace(unread={index: "Input/output error"})
  seen = []
  again = count_these(tmp_path, later, counting(seen))
  assert not seen and again.reasons[index] == "Input/output error"
  np.testing.assert_array_equal(again.pairs, counted.pairs)
  # Repaired: its shard is counted.
  seen = []
  check(count_these(tmp_path, IMAGES, counting(seen)), "one")
  assert seen == list(range(SHARD_IMAGES, 2 * SHARD_IMAGES))


def test_a_failure_that_may_pass_leaves_no_shard(tmp_path):
  def failing(indices, lacking):
    for image in counting([])(indices, lacking):
      yield image._replace(final=False) if image.reason else image

  count_these(tmp_path, IMAGES, failing)
  assert stored_shards(tmp_path, KEYS, IMAGES).tolist() == [True, False, False]
  seen = []
  check(count_these(tmp_path, IMAGES, counting(seen)), "one")
  assert seen == list(range(SHARD_IMAGES, TOTAL))


def test_another_picture_under_the_same_place_is_counted(tmp_path):
  count_these(tmp_path, IMAGES, counting([]))
  contents = (*IMAGES.contents[:-1], "f" * 64)
  seen = []
  count_these(tmp_path, IMAGES._replace(contents=contents), counting(seen))
  assert seen == list(range(2 * SHARD_IMAGES, TOTAL))
