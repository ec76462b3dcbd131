"""Batches of one shape in which every record occurs exactly once."""

import collections.abc
import threading
import time

import numpy as np
import pytest

from s3_jax.data.decoding import BadImage
from s3_jax.data.input_pipeline import PaddedSource, padded_batches


class Records(collections.abc.Sequence):
  """Records whose picture tells their place; counts how often each is read."""

  def __init__(self, count, png):
    pixels = np.arange(count)[:, None, None, None]
    self._pictures = [
      png(np.broadcast_to(p, (2, 3, 3)).astype(np.uint8)) for p in pixels
    ]
    self.reads = []

  def __len__(self):
    return len(self._pictures)

  def __getitem__(self, index):
    self.reads.append(index)
    return {"image": self._pictures[index], "label": np.int64(10 + index)}


def pixels(image):
  return np.asarray(image)


@pytest.mark.parametrize(
  ("count", "batch_size"),
  [(1, 1), (1, 4), (3, 4), (4, 4), (5, 4), (7, 3), (12, 5), (20, 1)],
)
def test_every_record_occurs_once_in_order(png, count, batch_size):
  records = Records(count, png)
  batches = list(padded_batches(records, pixels, batch_size=batch_size))
  assert len(batches) == -(-count // batch_size)
  for batch in batches:
    assert set(batch) == {"image", "label", "mask", "index"}
    assert batch["image"].shape == (batch_size, 2, 3, 3)
    assert batch["image"].dtype == np.uint8
    for key, dtype in (("label", "i4"), ("mask", "?"), ("index", "i4")):
      assert batch[key].shape == (batch_size,)
      assert batch[key].dtype == np.dtype(dtype)
  joined = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
  mask = joined["mask"]
  assert mask[:count].all() and not mask[count:].any()
  indices = np.arange(count)
  np.testing.assert_array_equal(joined["index"][:count], indices)
  np.testing.assert_array_equal(joined["index"][count:], -1)
  np.testing.assert_array_equal(joined["label"][:count], 10 + indices)
  np.testing.assert_array_equal(joined["image"][:count, 0, 0, 0], indices)
  assert sorted(index for index in set(records.reads)) == list(indices)


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_threads_change_nothing(png, threads):
  batches = padded_batches(
    Records(11, png), pixels, batch_size=4, threads=threads
  )
  index = np.concatenate([batch["index"] for batch in batches])
  np.testing.assert_array_equal(index, [*range(11), -1])


def test_no_records_make_no_batches(png):
  assert list(padded_batches(Records(0, png), pixels, batch_size=4)) == []


def test_the_source_is_as_long_as_its_batches(png):
  source = PaddedSource(Records(5, png), pixels, 4)
  assert len(source) == 8
  assert [bool(source[index]["mask"]) for index in (0, 4, 5, 7)] == [
    True,
    True,
    False,
    False,
  ]


def mixed_records(png):
  """Ten records, of which 0, 3, 4, 5 and 9 cannot be used."""
  good = png(np.full((2, 3, 3), 200, np.uint8))
  records = [{"image": good, "label": 10 + index} for index in range(10)]
  records[0]["image"] = b""
  records[3]["image"] = b"not a picture"
  records[4]["image"] = good[:-30]
  records[5]["image"] = png(np.zeros((30, 30, 3), np.uint8))  # too large below
  records[9]["image"] = png(np.zeros((9, 9), np.uint8))  # grey: see `rgb_only`
  return records


REASONS = {
  0: "empty file",
  3: "not an image of a known format",
  4: "cut off",
  5: "30 x 30 pixels, more than 800 in all",
  9: "`image` must be RGB, got L",
}


def rgb_only(image):
  if image.mode != "RGB":
    raise ValueError(f"`image` must be RGB, got {image.mode}")
  return np.asarray(image.resize((3, 2)))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
@pytest.mark.parametrize("threads", [0, 1, 4])
def test_bad_images_keep_their_rows_and_are_listed(png, batch_size, threads):
  bad = {}
  seen = 0
  for batch in padded_batches(
    mixed_records(png),
    rgb_only,
    batch_size=batch_size,
    threads=threads,
    max_pixels=800,
    bad=bad,
  ):
    seen += batch_size
    # Listed with its own batch, whatever was read ahead.
    assert bad == {i: why for i, why in REASONS.items() if i < seen}
    assert batch["image"].dtype == np.uint8
    for row, index in enumerate(batch["index"].tolist()):
      usable = index >= 0 and index not in REASONS
      assert batch["mask"][row] == usable
      assert batch["label"][row] == (10 + index if index >= 0 else -1)
      assert (batch["image"][row] == (200 if usable else 0)).all()
  assert seen >= 10


def test_without_a_list_a_bad_image_is_an_error(png):
  rule = "image 3 must be one that can be used: not an image of a known format"
  records = mixed_records(png)[1:]
  records.insert(1, records[0])
  with pytest.raises(ValueError, match=rule):
    list(padded_batches(records, rgb_only, batch_size=2))


def test_when_no_image_is_usable_the_size_is_still_known():
  records = [{"image": b"", "label": 7}] * 3
  bad = {}
  (batch,) = padded_batches(records, rgb_only, batch_size=4, bad=bad)
  assert batch["image"].shape == (4, 2, 3, 3) and not batch["image"].any()
  assert batch["index"].tolist() == [0, 1, 2, -1]
  assert batch["label"].tolist() == [7, 7, 7, -1]
  assert not batch["mask"].any()
  assert bad == dict.fromkeys(range(3), "empty file")


class Unreadable(Records):
  """Records of which two cannot be read."""

  def __getitem__(self, index):
    if index == 1:
      raise FileNotFoundError(2, "No such file or directory", "/a/path")
    if index == 2:
      raise OSError("the tar is cut off")
    if index == 3:
      raise BadImage("no such member")
    return super().__getitem__(index)


def test_records_that_cannot_be_read(png):
  bad = {}
  (batch,) = padded_batches(Unreadable(5, png), pixels, batch_size=5, bad=bad)
  assert bad == {
    1: "cannot be read: No such file or directory",
    2: "cannot be read: the tar is cut off",
    3: "no such member",
  }
  assert batch["label"].tolist() == [10, -1, -1, -1, 14]
  assert batch["mask"].tolist() == [True, False, False, False, True]
  assert batch["index"].tolist() == list(range(5))


def grain_threads():
  return [t for t in threading.enumerate() if "grain" in t.name]


def wait_for_no_threads():
  for _ in range(200):
    if not grain_threads():
      return
    time.sleep(0.02)
  raise AssertionError("a thread goes on")


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError])
def test_what_is_no_matter_of_the_image_is_raised(png, error):
  class Broken(Records):
    def __getitem__(self, index):
      if index == 3:
        raise error("a bug")
      return super().__getitem__(index)

  with pytest.raises(error, match="a bug"):
    list(padded_batches(Broken(40, png), pixels, batch_size=2, bad={}))
  wait_for_no_threads()


@pytest.mark.parametrize(
  ("option", "rule"),
  [
    ({"batch_size": 0}, "`batch_size` must be >= 1, got 0"),
    ({"max_pixels": 0}, "`max_pixels` must be >= 1, got 0"),
  ],
)
def test_options_have_rules(png, option, rule):
  with pytest.raises(ValueError, match=rule):
    list(padded_batches(Records(4, png), pixels, **{"batch_size": 2} | option))


def test_every_record_is_read_once(png):
  records = Records(23, png)
  list(padded_batches(records, pixels, batch_size=4))
  assert sorted(records.reads) == list(range(23))


def test_closing_stops_the_threads(png):
  records = Records(500, png)
  batches = padded_batches(records, pixels, batch_size=2, threads=3)
  next(batches)
  assert grain_threads()
  batches.close()
  wait_for_no_threads()
  # Read ahead, but not without end.
  assert len(records.reads) < 20


def test_an_interruption_stops_the_threads(png):
  batches = padded_batches(Records(500, png), pixels, batch_size=2, threads=3)
  next(batches)
  with pytest.raises(KeyboardInterrupt):
    batches.throw(KeyboardInterrupt)
  wait_for_no_threads()


def test_preprocess_sees_the_decoded_picture(png):
  seen = []

  def preprocess(image):
    seen.append((image.mode, image.size))
    return np.zeros((1, 1, 3), np.uint8)

  list(padded_batches(Records(2, png), preprocess, batch_size=2))
  assert seen == [("RGB", (3, 2))] * 2


def test_preprocess_may_take_the_position(png):
  def preprocess(image, position):
    return np.full((4, 2, 3, 3), position, np.uint8)

  batches = padded_batches(
    Records(5, png), preprocess, batch_size=2, with_position=True
  )
  for batch in batches:
    assert batch["image"].shape == (2, 4, 2, 3, 3)
    indices = np.where(batch["mask"], batch["index"], 0)
    assert (batch["image"] == indices[:, None, None, None, None]).all()
