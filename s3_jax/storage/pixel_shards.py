"""Counted pixels of a data set in the cache, in shards, stored as made.

A shard holds the counts of one method on 32 successive images, and is known by
what these are. A run that is killed leaves its finished shards; the next one
reads them and counts the rest. Bad examples keep their place: they count
nothing, and the reason is listed. What could not be read is tried again.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from s3_jax.segmentation import PixelCounts
from s3_jax.storage import cache

__all__ = [
  "SHARD_IMAGES",
  "CountedImage",
  "CountedImages",
  "CountedSet",
  "count_images",
  "count_in_shards",
  "merge_sets",
  "own_rows",
  "stored_shards",
]

SHARD_IMAGES = 32
"""Images of a shard; the last one has fewer."""

_PARTS = PixelCounts._fields


class CountedImage(NamedTuple):
  """The pixels of one image by label and prediction, under some methods.

  Attributes:
    position: where it stands in the data set.
    pairs: method -> i64[classes, classes], rows by label; empty for a bad
      example.
    reason: why it is a bad example; "" for a good one.
    final: False for a bad example that may be a good one in another run.
  """

  position: int
  pairs: Mapping[str, Int64[np.ndarray, "classes classes"]]
  reason: str
  final: bool = True


class CountedImages(NamedTuple):
  """The images that are to be counted.

  Attributes:
    contents: what each image and its mask are, 64 hexadecimal digits; "" for
      one that could not be read.
    unread: index -> why not.
  """

  contents: tuple[str, ...]
  unread: Mapping[int, str]

  @property
  def total(self) -> int:
    """How many there are."""
    return len(self.contents)


class CountedSet(NamedTuple):
  """A whole data set, counted under one method.

  Attributes:
    counts: of each image; zeros for bad examples.
    pairs: pixels of all images by label (rows) and prediction (columns).
    good: False for bad examples.
    reasons: index -> why it is a bad example.
  """

  counts: PixelCounts
  pairs: Int64[np.ndarray, "classes classes"]
  good: Bool[np.ndarray, " images"]
  reasons: dict[int, str]


def count_in_shards(
  folder: Path,
  keys: Mapping[str, str],
  count: Callable[[list[int], tuple[str, ...]], Iterable[CountedImage]],
  *,
  name: str,
  images: CountedImages,
  classes: int,
  numbers: Sequence[int] | None = None,
  pace: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[dict[str, CountedSet], int]:
  """Reads the shards that are there, makes the others and stores them."""
  total = images.total
  sets = {
    method: CountedSet(
      PixelCounts(*(np.zeros((total, classes), np.int64) for _ in _PARTS)),
      np.zeros((classes, classes), np.int64),
      np.ones((total,), bool),
      {},
    )
    for method in keys
  }
  counted = 0
  asked = range(-(-total // SHARD_IMAGES)) if numbers is None else numbers
  for number in pace(asked):
    span = _span(number, total)
    lacking = tuple(
      method
      for method, key in keys.items()
      if not _load(folder, _shard_key(key, images, number), span, sets[method])
    )
    # Why an image cannot be read is never stored.
    for index in span:
      if not images.contents[index]:
        for each in sets.values():
          each.good[index] = False
          each.reasons[index] = images.unread[index]
    if not lacking:
      continue
    fresh = {method: np.zeros((classes, classes), np.int64) for method in keys}
    final = True
    readable = [index for index in span if images.contents[index]]
    for image in count(readable, lacking) if readable else ():
      counted += 1
      final &= image.final
      for method in lacking:
        if image.reason:
          sets[method].good[image.position] = False
          sets[method].reasons[image.position] = image.reason
          continue
        pairs = image.pairs[method]
        fresh[method] += pairs
        parts = (np.diagonal(pairs), pairs.sum(0), pairs.sum(1))
        for whole, part in zip(sets[method].counts, parts, strict=True):
          whole[image.position] = part
    for method in lacking:
      sets[method].pairs[:] += fresh[method]
      if final:
        key = _shard_key(keys[method], images, number)
        _store(folder, key, name, span, sets[method], fresh[method], images)
  return sets, counted


def count_images(shards: Bool[np.ndarray, " shards"], *, total: int) -> int:
  """Counts the images of some shards."""
  numbers = np.flatnonzero(shards).tolist()
  return sum(len(_span(number, total)) for number in numbers)


def stored_shards(
  folder: Path, keys: Mapping[str, str], images: CountedImages
) -> Bool[np.ndarray, " shards"]:
  """Says which shards the cache has under every method."""
  return np.asarray(
    [
      all(
        cache.is_stored(folder, _shard_key(key, images, number))
        for key in keys.values()
      )
      for number in range(-(-images.total // SHARD_IMAGES))
    ],
    bool,
  )


def own_rows(
  counted: CountedSet, numbers: Sequence[int]
) -> dict[str, np.ndarray]:
  """Takes out what one process has counted, to be sent to the others."""
  total = len(counted.good)
  indices = np.concatenate(
    [np.arange(0), *(np.asarray(_span(n, total), np.int64) for n in numbers)]
  )
  rows = {part: getattr(counted.counts, part)[indices] for part in _PARTS}
  good = counted.good[indices]
  return {"places": indices, "good": good, "pairs": counted.pairs, **rows}


def merge_sets(
  parts: Sequence[Mapping[str, np.ndarray]],
  reasons: Mapping[int, str],
  *,
  total: int,
) -> CountedSet:
  """Adds up what several processes have counted of one data set."""
  indices = np.concatenate([part["places"] for part in parts])
  order = np.argsort(indices, kind="stable")
  if not np.array_equal(indices[order], np.arange(total)):
    raise ValueError(
      f"`parts` must hold each of the {total} images once, got {indices.size},"
      f" {np.unique(indices).size} of them different."
    )

  def join(name):
    return np.concatenate([part[name] for part in parts])[order]

  pairs = np.sum([part["pairs"] for part in parts], axis=0)
  counts = PixelCounts(*(join(part) for part in _PARTS))
  return CountedSet(counts, pairs, join("good"), dict(reasons))


def _span(number: int, total: int) -> range:
  start = number * SHARD_IMAGES
  return range(start, min(start + SHARD_IMAGES, total))


def _shard_key(key: str, images: CountedImages, number: int) -> str:
  span = _span(number, images.total)
  contents = list(images.contents[span.start : span.stop])
  return cache.content_key({"pixels of": key, "images": contents})


def _store(
  folder: Path,
  key: str,
  name: str,
  span: range,
  whole: CountedSet,
  pairs: Int64[np.ndarray, "classes classes"],
  images: CountedImages,
) -> None:
  bad = [
    [index - span.start, whole.reasons[index]]
    for index in span
    if index in whole.reasons and images.contents[index]
  ]
  arrays = {
    part: getattr(whole.counts, part)[span.start : span.stop] for part in _PARTS
  }
  cache.store(
    folder,
    key,
    {**arrays, "pairs": pairs},
    {"dataset": name, "bad": json.dumps(bad)},
  )


def _load(folder: Path, key: str, span: range, whole: CountedSet) -> bool:
  """Reads a shard into its place; False if there is none to be trusted."""
  classes = len(whole.pairs)
  shape = ((len(span), classes), "int64")
  entry = cache.load_entry(
    folder,
    key,
    expected={
      **dict.fromkeys(_PARTS, shape),
      "pairs": ((classes, classes), "int64"),
    },
  )
  if entry is None:
    return False
  for part in _PARTS:
    getattr(whole.counts, part)[span.start : span.stop] = entry.arrays[part]
  whole.pairs[:] += entry.arrays["pairs"]
  for row, reason in json.loads(entry.metadata["bad"]):
    whole.good[span.start + row] = False
    whole.reasons[span.start + row] = reason
  return True
