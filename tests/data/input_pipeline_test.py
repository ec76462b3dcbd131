"""Batches of one shape in which every record occurs exactly once."""

import collections.abc

import numpy as np
import pytest

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

  def __getitem__(self, place):
    self.reads.append(place)
    return {"image": self._pictures[place], "label": np.int64(10 + place)}


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
  places = np.arange(count)
  np.testing.assert_array_equal(joined["index"][:count], places)
  np.testing.assert_array_equal(joined["index"][count:], -1)
  np.testing.assert_array_equal(joined["label"][:count], 10 + places)
  np.testing.assert_array_equal(joined["image"][:count, 0, 0, 0], places)
  assert sorted(place for place in set(records.reads)) == list(places)


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
  assert [bool(source[place]["mask"]) for place in (0, 4, 5, 7)] == [
    True,
    True,
    False,
    False,
  ]


def test_what_cannot_be_decoded_is_an_error(png):
  records = [{"image": png(np.zeros((2, 2, 3), np.uint8)), "label": 0}] * 2
  records.append({"image": b"not a picture", "label": 0})
  with pytest.raises(Exception, match="cannot identify image file"):
    list(padded_batches(records, pixels, batch_size=2))


def test_preprocess_sees_the_decoded_picture(png):
  seen = []

  def preprocess(image):
    seen.append((image.mode, image.size))
    return np.zeros((1, 1, 3), np.uint8)

  list(padded_batches(Records(2, png), preprocess, batch_size=2))
  assert seen == [("RGB", (3, 2))] * 2
