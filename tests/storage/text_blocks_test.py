"""Blocks of embedded texts: found by content, and never by trust."""

import hashlib
import os

import numpy as np
import pytest

from s3_jax.storage import cache
from s3_jax.storage.text_blocks import TextBlocks

KEY = hashlib.sha256(b"tower").hexdigest()
TEXTS = [hashlib.sha256(bytes([i])).digest() for i in range(5)]
ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def blocks(folder, key=KEY, dim=3):
  return TextBlocks(folder, key, dim=dim)


@pytest.fixture
def folder(tmp_path):
  """A cache of two blocks, the second with texts of another order."""
  made = blocks(tmp_path)
  made.store(TEXTS[:3], ROWS[:3])
  made.store(TEXTS[:2:-1], ROWS[:2:-1])
  return tmp_path


def test_texts_of_several_blocks_come_in_the_order_asked(folder):
  found = blocks(folder)
  other = hashlib.sha256(b"other").digest()
  assert all(text in found for text in TEXTS) and other not in found
  rows, is_there = found.read([TEXTS[4], other, TEXTS[0], TEXTS[4]])
  assert is_there.tolist() == [True, False, True, True]
  np.testing.assert_array_equal(rows[is_there], ROWS[[4, 0, 4]])
  assert not rows[1].any()
  nothing, none = found.read([])
  assert nothing.shape == (0, 3) and none.shape == (0,)


def test_of_another_tower_nothing_is_found(folder):
  assert TEXTS[0] not in blocks(folder, hashlib.sha256(b"other").hexdigest())
  # Even where the folders' names, the first digits of the keys, are equal.
  twin = blocks(folder, KEY[:16] + "0" * 48)
  assert not twin.read(TEXTS)[1].any()


def test_two_copies_give_the_same_in_every_run(folder):
  blocks(folder).store(TEXTS[1:2], ROWS[1:2] + 1)
  first, _ = blocks(folder).read(TEXTS)
  again, _ = blocks(folder).read(TEXTS[::-1])
  np.testing.assert_array_equal(first, again[::-1])


@pytest.mark.parametrize("part", ["embeddings", "contents"])
def test_a_damaged_block_is_reported_and_goes(folder, part):
  path = next(
    path
    for path in folder.rglob("*.npz")
    if len(np.load(path)["contents"]) == 3
  )
  with np.load(path) as file:
    arrays = {name: file[name].copy() for name in file.files}
  arrays[part][0] += 1
  np.savez(path, **arrays)
  found = blocks(folder)
  with pytest.warns(UserWarning, match="checksum; computing again"):
    _, is_there = found.read(TEXTS)
  # With wrong contents only the texts are missed that it does not list.
  assert is_there.tolist() == [False, False, False, True, True]
  assert not path.exists()
  again = blocks(folder)
  again.store(TEXTS[:3], ROWS[:3])
  rows, is_there = blocks(folder).read(TEXTS)
  assert is_there.all()
  np.testing.assert_array_equal(rows, ROWS)


def test_a_block_under_another_name_is_none(folder):
  path = next(folder.rglob("*.npz"))
  os.rename(path, path.with_name("0" * 64 + ".npz"))
  with pytest.warns(UserWarning, match="belongs to another key"):
    assert blocks(folder).read(TEXTS)[1].sum() in (2, 3)


@pytest.mark.parametrize(
  "arrays",
  [
    {"contents": np.zeros((2, 31), np.uint8)},
    {"contents": np.zeros((64,), np.uint8)},
    {"contents": np.zeros((2, 32), np.int8)},
    {"contents": np.zeros((2, 32), np.uint8)},
    {"embeddings": np.zeros((2, 3), np.float32)},
  ],
)
def test_other_files_are_no_blocks(folder, arrays):
  place = next(folder.rglob("*.npz")).parent
  cache.store(place, "f" * 64, arrays, {})
  (place / f"{'e' * 64}.npz").write_bytes(b"cut off")
  (place / ".tmp-half.npz").write_bytes(b"")
  with pytest.warns(UserWarning, match="computing again"):
    rows, is_there = blocks(folder).read([*TEXTS, bytes(32)])
  assert is_there.tolist() == [True] * 5 + [False]
  np.testing.assert_array_equal(rows[:5], ROWS)
