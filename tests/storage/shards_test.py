"""Shards: resumed at any point, right or recomputed, bad images kept apart."""

import hashlib
import json

import numpy as np
import pytest

from s3_jax.storage import cache
from s3_jax.storage.embedding_shards import Rows, fill_shards, read_shards
from s3_jax.storage.known_images import known_images
from s3_jax.storage.shards import Layout, join_shards, stored_shards

KEY = "ab" * 32
DIM = 3


def content(number):
  return hashlib.sha256(str(number).encode()).hexdigest()


def layout(total, key=KEY, *, contents=None, unread=None):
  """Of images that are known by their numbers."""
  contents = range(total) if contents is None else contents
  unread = unread or {}
  return Layout(
    key,
    "numbers",
    tuple(
      "" if index in unread else content(number)
      for index, number in enumerate(contents)
    ),
    (np.arange(total) % 7).astype(np.int32),
    unread,
    (DIM,),
    rows=4,
  )


def file_of(folder, shards, number):
  return shards.folder(folder) / f"{shards.shard_key(number)}.npz"


def read_header(path):
  with np.load(path) as archive:
    return json.loads(str(archive["header"]))


def count_missing(folder, shards):
  return int((~known_images(folder, shards)).sum())


class Tower:
  """Embeds images as their numbers, some badly; may die after some batches."""

  def __init__(self, batch_size, *, bad=(), dies_after=None):
    self.batch_size = batch_size
    self.bad = set(bad)
    self.reasons = {}
    self.dies_after = dies_after
    self.seen = []
    self.batches = []

  def __call__(self, indices):
    for number, start in enumerate(range(0, indices.size, self.batch_size)):
      if number == self.dies_after:
        raise KeyboardInterrupt
      index = indices[start : start + self.batch_size]
      self.batches.append(tuple(index.tolist()))
      self.seen += index.tolist()
      good = np.array([position not in self.bad for position in index.tolist()])
      for position in index[~good].tolist():
        self.reasons[position] = f"bad {position}"
      rows = np.where(good[:, None], index[:, None] + np.arange(DIM), np.nan)
      yield Rows(index, rows.astype(np.float32), good)


def fill(folder, tower, total):
  return fill_shards(
    folder,
    layout(total),
    tower,
    tower.reasons,
    batch_size=tower.batch_size,
  )


def check(whole, total, bad=()):
  indices = np.arange(total)
  good = ~np.isin(indices, list(bad))
  np.testing.assert_array_equal(whole.good, good)
  expected = np.where(good[:, None], indices[:, None] + np.arange(DIM), 0)
  np.testing.assert_array_equal(whole.embeddings, expected)
  np.testing.assert_array_equal(whole.labels, indices % 7)
  assert whole.reasons == {index: f"bad {index}" for index in bad}


@pytest.mark.parametrize("total", [1, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 6, 20])
def test_everything_is_embedded_once_and_then_never(
  tmp_path, total, batch_size
):
  bad = [index for index in (2, 4) if index < total - 1]
  tower = Tower(batch_size, bad=bad)
  assert count_missing(tmp_path, layout(total)) == total
  whole = fill(tmp_path, tower, total)
  check(whole, total, bad)
  assert tower.seen == list(range(total))
  assert count_missing(tmp_path, layout(total)) == 0
  again = Tower(batch_size)
  stored = fill(tmp_path, again, total)
  check(stored, total, bad)
  assert not again.seen


@pytest.mark.parametrize("batch_size", [2, 3, 4, 5])
@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_a_killed_run_goes_on_in_the_same_batches(
  tmp_path, batch_size, dies_after
):
  total, bad = 14, [5]
  undisturbed = Tower(batch_size, bad=bad)
  fill(tmp_path / "other", undisturbed, total)
  first = Tower(batch_size, bad=bad, dies_after=dies_after)
  with pytest.raises(KeyboardInterrupt):
    fill(tmp_path, first, total)
  finished = sum(index < 12 for index in first.seen) // 4 * 4
  assert count_missing(tmp_path, layout(total)) == total - finished
  second = Tower(batch_size, bad=bad)
  check(fill(tmp_path, second, total), total, bad)
  assert set(second.batches) <= set(undisturbed.batches)
  assert min(second.seen) > finished - batch_size, "finished shards stay"


def test_a_missing_shard_costs_only_its_batches(tmp_path):
  fill(tmp_path, Tower(3), 12)
  path = file_of(tmp_path, layout(12), 1)  # images 4 to 7
  path.unlink()
  tower = Tower(3)
  whole = fill(tmp_path, tower, 12)
  check(whole, 12)
  assert tower.batches == [(3, 4, 5), (6, 7, 8)]


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_shard_is_made_again(tmp_path, damage):
  fill(tmp_path, Tower(4), 12)
  path = file_of(tmp_path, layout(12), 2)
  data = bytearray(path.read_bytes())
  if damage == "cut":
    path.write_bytes(data[: len(data) // 2])
  elif damage == "flip":
    data[data.index(b"embeddings.npy") + 200] ^= 4
    path.write_bytes(data)
  else:
    other = file_of(tmp_path, layout(12), 0)
    path.write_bytes(other.read_bytes())
  tower = Tower(4)
  with pytest.warns(UserWarning, match="is not used") as warned:
    check(fill(tmp_path, tower, 12), 12)
  assert len(warned) == 1
  assert tower.seen == [8, 9, 10, 11]


def test_keys_share_nothing(tmp_path):
  fill(tmp_path, Tower(4), 5)
  other = cache.content_key({"another": "model"})
  assert count_missing(tmp_path, layout(5, other)) == 5
  assert count_missing(tmp_path, layout(5)) == 0


def test_a_tower_that_leaves_images_out_is_an_error(tmp_path):
  def embed(indices):
    yield from list(Tower(4)(indices))[:-1]

  with pytest.raises(
    ValueError, match="got 1 too few of the shard of images 4"
  ):
    fill_shards(tmp_path, layout(5), embed, {}, batch_size=4)


def test_a_tower_that_leaves_a_middle_batch_out_is_an_error(tmp_path):
  def embed(indices):
    first, _, *rest = Tower(3)(indices)
    yield from (first, *rest)

  with pytest.raises(ValueError, match="got 1 too few of the shard of .* 0 to"):
    fill_shards(tmp_path, layout(12), embed, {}, batch_size=3)


def test_files_of_earlier_runs_are_found(tmp_path):
  """Names, arrays and notes are those that caches hold."""
  tower = Tower(4, bad=[2, 5])
  fill_with(tmp_path, layout(6, unread={4: "closed"}), tower)
  folder = tmp_path / KEY[:16]
  assert sorted(path.stem[:16] for path in folder.iterdir()) == [
    "20c1485a57028bdb",
    "9534ada35c116632",
  ]
  header = read_header(file_of(tmp_path, layout(6, unread={4: "closed"}), 1))
  assert header["arrays"] == {
    "embeddings": {"dtype": "float32", "shape": [2, 3]},
    "good": {"dtype": "bool", "shape": [2]},
    "contents": {"dtype": "uint8", "shape": [2, 32]},
  }
  assert header["metadata"] == {
    "dataset": "numbers",
    "bad": '[[5, "bad 5"]]',
    "first": 4,
    "of": KEY,
    "set": "3e9f84cbf49d4e3855dbe0b3f5f34d80f956ff57ba38e7ec37e53c85366055ff",
  }


def test_shards_come_one_by_one_and_hold_any_shape(tmp_path):
  views = layout(7)._replace(shape=(2, DIM), rows=3)
  asked = []

  def embed(indices):
    asked.append(indices.tolist())
    for start in range(0, indices.size, 2):
      index = indices[start : start + 2]
      rows = np.broadcast_to(index[:, None, None], (index.size, 2, DIM))
      yield Rows(index, rows.astype(np.float32), index >= 0)

  stream = read_shards(tmp_path, views, embed, {}, batch_size=2)
  first = next(stream)
  assert first.indices.tolist() == [0, 1, 2]
  assert first.embeddings.shape == (3, 2, DIM)
  assert count_missing(tmp_path, views) == 4, "stored before it is handed out"
  rest = list(stream)
  assert [shard.indices.tolist() for shard in rest] == [[3, 4, 5], [6]]
  assert asked == [list(range(7))]
  again = list(read_shards(tmp_path, views, embed, {}, batch_size=2))
  assert len(asked) == 1
  for old, new in zip([first, *rest], again, strict=True):
    np.testing.assert_array_equal(old.embeddings, new.embeddings)


def test_a_shard_found_damaged_on_the_way_is_made_alone(tmp_path):
  fill(tmp_path, Tower(4), 12)
  for number in (0, 2):
    file_of(tmp_path, layout(12), number).write_bytes(b"cut off")
  tower = Tower(4)
  with pytest.warns(UserWarning, match="is not used"):
    check(fill(tmp_path, tower, 12), 12)
  assert tower.seen == [0, 1, 2, 3, 8, 9, 10, 11]


@pytest.mark.parametrize("parts", [[[0, 1, 2, 3]], [[2, 3], [0], [], [1]]])
def test_processes_share_shards_out(tmp_path, parts):
  """Each makes its own, into one folder; together they have everything."""
  shards = layout(14)
  assert stored_shards(tmp_path, shards).tolist() == [False] * 4
  made, seen = [], []
  for numbers in parts:
    tower = Tower(4, bad=(5, 13))
    made.append(
      fill_shards(
        tmp_path,
        shards,
        tower,
        tower.reasons,
        batch_size=4,
        numbers=numbers,
      )
    )
    seen += tower.seen
    assert made[-1].indices.tolist() == tower.seen
  assert sorted(seen) == list(range(14))
  check(join_shards(shards, made), 14, bad=(5, 13))
  assert stored_shards(tmp_path, shards).tolist() == [True] * 4
  assert count_missing(tmp_path, shards) == 0


def test_an_image_that_is_missing_or_there_twice(tmp_path):
  shards = layout(8)
  tower = Tower(4)
  first, second = (
    fill_shards(
      tmp_path, shards, tower, tower.reasons, batch_size=4, numbers=[number]
    )
    for number in (0, 1)
  )
  check(join_shards(shards, [second, first]), 8)
  with pytest.raises(ValueError, match="each of the 8 images once, got 4, 4"):
    join_shards(shards, [first])
  with pytest.raises(ValueError, match="once, got 12, 8 of them different"):
    join_shards(shards, [first, second, first])


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 9, 20])
def test_any_batch_size_and_any_share(tmp_path, batch_size):
  """A batch over a border is made by both, and each keeps its own part."""
  shards = layout(17)
  made = []
  for numbers in ([1, 4], [0, 2, 3]):
    tower = Tower(batch_size)
    made.append(
      fill_shards(
        tmp_path,
        shards,
        tower,
        tower.reasons,
        batch_size=batch_size,
        numbers=numbers,
      )
    )
    starts = {batch[0] for batch in tower.batches}
    assert all(start % batch_size == 0 for start in starts)
  check(join_shards(shards, made), 17)


def fill_with(folder, shards, tower):
  return fill_shards(
    folder, shards, tower, tower.reasons, batch_size=tower.batch_size
  )


def test_pictures_that_another_data_set_has_are_not_embedded_again(tmp_path):
  fill_with(tmp_path, layout(13), Tower(4, bad=[9]))
  # Others in front, between and behind, and one picture twice.
  contents = [50, 3, 2, 9, 51, 12, 11, 10, 3, 52]
  other = layout(10, contents=contents)
  assert count_missing(tmp_path, other) == 3
  tower = Tower(2)
  whole = fill_with(tmp_path, other, tower)
  # Whole batches go through the tower; what was known stays as it was.
  assert tower.batches == [(0, 1), (4, 5), (8, 9)]
  expected = [0, 3, 2, 0, 4, 12, 11, 10, 3, 9]
  np.testing.assert_array_equal(whole.embeddings[:, 0], expected)
  assert whole.good.tolist() == [index != 3 for index in range(10)]
  assert whole.reasons == {3: "bad 9"}, "as it was found before"
  again = Tower(2)
  np.testing.assert_array_equal(
    fill_with(tmp_path, other, again).embeddings, whole.embeddings
  )
  assert not again.seen


def test_an_image_in_front_moves_shards_but_embeds_one(tmp_path):
  fill_with(tmp_path, layout(12), Tower(4))
  tower = Tower(1)
  moved = layout(13, contents=[99, *range(12)])
  whole = fill_with(tmp_path, moved, tower)
  assert tower.seen == [0]
  expected = [0, *range(12)]
  np.testing.assert_array_equal(whole.embeddings[:, 0], expected)


def test_a_damaged_shard_of_another_data_set_is_no_help(tmp_path):
  fill_with(tmp_path, layout(8), Tower(4))
  path = file_of(tmp_path, layout(8), 0)
  data = bytearray(path.read_bytes())
  data[data.index(b"embeddings.npy") + 200] ^= 4
  path.write_bytes(data)
  other = layout(6, contents=[7, 6, 5, 1, 0, 90])
  tower = Tower(2)
  with pytest.warns(UserWarning, match="is not used"):
    whole = fill_with(tmp_path, other, tower)
  assert whole.embeddings[:, 0].tolist() == [7, 6, 5, 3, 4, 5]
  assert whole.good.all()


def test_what_could_not_be_read_is_tried_again(tmp_path):
  unread = {1: "cannot be read: Permission denied", 6: "too many files"}
  tower = Tower(4)
  first = fill_with(tmp_path, layout(8, unread=unread), tower)
  assert first.reasons == unread
  assert first.good.tolist() == [index not in unread for index in range(8)]
  # Still so: nothing is embedded, and the reason is that of this run.
  later = {1: "cannot be read: Input/output error", 6: "too many files"}
  tower = Tower(4)
  again = fill_with(tmp_path, layout(8, unread=later), tower)
  assert not tower.seen and again.reasons == later
  np.testing.assert_array_equal(again.embeddings, first.embeddings)
  # Repaired: those two, with the rest of their batches.
  tower = Tower(2)
  assert count_missing(tmp_path, layout(8)) == 2
  check(fill_with(tmp_path, layout(8), tower), 8)
  assert tower.batches == [(0, 1), (6, 7)]
  assert count_missing(tmp_path, layout(8)) == 0


def test_a_failure_that_may_pass_is_not_stored(tmp_path):
  class Failing(Tower):
    def __call__(self, indices):
      for rows in super().__call__(indices):
        yield rows._replace(final=rows.indices != 5)

  tower = Failing(4, bad=[2, 5])
  whole = fill_with(tmp_path, layout(8), tower)
  check(whole, 8, bad=(2, 5))
  assert count_missing(tmp_path, layout(8)) == 1, "of its shard, only it"
  tower = Tower(1)
  again = fill_with(tmp_path, layout(8), tower)
  assert tower.seen == [5]
  check(again, 8, bad=(2,))


def test_two_equal_pictures_are_what_an_undisturbed_run_makes_them(tmp_path):
  """The second one lies in a batch of its own, and stays what that gives."""
  shards = layout(8, contents=[0, 1, 2, 3, 4, 0, 6, 7])
  undisturbed = fill_with(tmp_path / "one", shards, Tower(4))
  with pytest.raises(KeyboardInterrupt):
    fill_with(tmp_path / "two", shards, Tower(4, dies_after=1))
  assert count_missing(tmp_path / "two", shards) == 4
  resumed = fill_with(tmp_path / "two", shards, Tower(4))
  np.testing.assert_array_equal(resumed.embeddings, undisturbed.embeddings)
  assert resumed.embeddings[:, 0].tolist() == list(range(8))
