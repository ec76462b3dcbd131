"""Shards: resumed at any point, right or recomputed, bad images kept apart."""

import numpy as np
import pytest

from s3_jax.evaluation import cache
from s3_jax.evaluation.shards import (
  Layout,
  Rows,
  count_missing,
  fill_shards,
  join_shards,
  read_shards,
  stored_shards,
)

KEY = "ab" * 32
DIM = 3


def layout(total, key=KEY):
  return Layout(key, "numbers", total, (DIM,), rows=4)


class Tower:
  """Embeds images as their numbers, some badly; may die after some batches."""

  def __init__(self, batch_size, *, bad=(), dies_after=None):
    self.batch_size = batch_size
    self.bad = set(bad)
    self.reasons = {}
    self.dies_after = dies_after
    self.seen = []
    self.batches = []

  def __call__(self, places):
    for number, start in enumerate(range(0, places.size, self.batch_size)):
      if number == self.dies_after:
        raise KeyboardInterrupt
      index = places[start : start + self.batch_size]
      self.batches.append(tuple(index.tolist()))
      self.seen += index.tolist()
      good = np.array([place not in self.bad for place in index.tolist()])
      for place in index[~good].tolist():
        self.reasons[place] = f"bad {place}"
      rows = np.where(good[:, None], index[:, None] + np.arange(DIM), np.nan)
      yield Rows(index, index % 7, rows.astype(np.float32), good)


def fill(folder, tower, total):
  return fill_shards(
    folder,
    layout(total),
    tower,
    tower.reasons,
    batch_size=tower.batch_size,
  )


def check(whole, total, bad=()):
  places = np.arange(total)
  good = ~np.isin(places, list(bad))
  np.testing.assert_array_equal(whole.good, good)
  expected = np.where(good[:, None], places[:, None] + np.arange(DIM), 0)
  np.testing.assert_array_equal(whole.embeddings, expected)
  np.testing.assert_array_equal(whole.labels, places % 7)
  assert whole.reasons == {place: f"bad {place}" for place in bad}


@pytest.mark.parametrize("total", [1, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 6, 20])
def test_everything_is_embedded_once_and_then_never(
  tmp_path, total, batch_size
):
  bad = [place for place in (2, 4) if place < total - 1]
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
  finished = sum(place < 12 for place in first.seen) // 4 * 4
  assert count_missing(tmp_path, layout(total)) == total - finished
  second = Tower(batch_size, bad=bad)
  check(fill(tmp_path, second, total), total, bad)
  assert set(second.batches) <= set(undisturbed.batches)
  assert min(second.seen) > finished - batch_size, "finished shards stay"


def test_a_missing_shard_costs_only_its_batches(tmp_path):
  fill(tmp_path, Tower(3), 12)
  path = tmp_path / f"{layout(12).shard_key(1)}.npz"  # images 4 to 7
  path.unlink()
  tower = Tower(3)
  whole = fill(tmp_path, tower, 12)
  check(whole, 12)
  assert tower.batches == [(3, 4, 5), (6, 7, 8)]


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_shard_is_made_again(tmp_path, damage):
  fill(tmp_path, Tower(4), 12)
  path = tmp_path / f"{layout(12).shard_key(2)}.npz"
  content = bytearray(path.read_bytes())
  if damage == "cut":
    path.write_bytes(content[: len(content) // 2])
  elif damage == "flip":
    content[content.index(b"embeddings.npy") + 200] ^= 4
    path.write_bytes(content)
  else:
    other = tmp_path / f"{layout(12).shard_key(0)}.npz"
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
  def embed(places):
    yield from list(Tower(4)(places))[:-1]

  with pytest.raises(ValueError, match="got 1 too few of shard 1"):
    fill_shards(tmp_path, layout(5), embed, {}, batch_size=4)


def test_shards_come_one_by_one_and_hold_any_shape(tmp_path):
  views = Layout(KEY, "views", 7, (2, DIM), rows=3)
  asked = []

  def embed(places):
    asked.append(places.tolist())
    for start in range(0, places.size, 2):
      index = places[start : start + 2]
      rows = np.broadcast_to(index[:, None, None], (index.size, 2, DIM))
      yield Rows(index, index, rows.astype(np.float32), index >= 0)

  stream = read_shards(tmp_path, views, embed, {}, batch_size=2)
  first = next(stream)
  assert first.places.tolist() == [0, 1, 2]
  assert first.embeddings.shape == (3, 2, DIM)
  assert count_missing(tmp_path, views) == 4, "stored before it is handed out"
  rest = list(stream)
  assert [shard.places.tolist() for shard in rest] == [[3, 4, 5], [6]]
  assert asked == [list(range(7))]
  again = list(read_shards(tmp_path, views, embed, {}, batch_size=2))
  assert len(asked) == 1
  for old, new in zip([first, *rest], again, strict=True):
    np.testing.assert_array_equal(old.embeddings, new.embeddings)


def test_a_shard_found_damaged_on_the_way_is_made_alone(tmp_path):
  fill(tmp_path, Tower(4), 12)
  for number in (0, 2):
    (tmp_path / f"{layout(12).shard_key(number)}.npz").write_bytes(b"cut off")
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
    assert made[-1].places.tolist() == tower.seen
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
