"""Counted pixels of images from their shards; those that lack are counted.

The methods of a run have a shard each of the same images, and one pass over
these counts them for all methods that lack it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from s3_jax.storage.shards import (
  PIXELS,
  Layout,
  Shard,
  blank_shard,
  load_shard,
  put_shard,
  store_shard,
)

__all__ = ["SHARD_IMAGES", "CountedImage", "count_in_shards"]

SHARD_IMAGES = 32
"""Images of a shard."""


def pixel_layout(
  key: str,
  name: str,
  contents: tuple[str, ...],
  unread: Mapping[int, str],
  *,
  classes: int,
) -> Layout:
  """Says how the counts of one method lie in the cache."""
  labels = np.full((len(contents),), -1, np.int32)
  return Layout(
    key, name, contents, labels, unread, (classes,), SHARD_IMAGES, PIXELS
  )


class CountedImage(NamedTuple):
  """The pixels of one image, counted under some methods.

  Attributes:
    position: index in the data set.
    counts: method -> what PIXELS holds of an image; empty for a bad example.
    reason: why it is a bad example; "" for a good one.
    passing: whether a bad example may be a good one in another run.
  """

  position: int
  counts: Mapping[str, Mapping[str, Int64[np.ndarray, "..."]]]
  reason: str
  passing: bool = False


Count = Callable[[list[int], tuple[str, ...]], Iterable[CountedImage]]


def count_in_shards(
  folder: Path,
  layouts: Mapping[str, Layout],
  count: Count,
  *,
  numbers: Sequence[int],
  pace: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Shard]:
  """Reads or makes shards of every method, and joins those of each."""
  wholes = {
    method: blank_shard(layout, layout.spans(numbers))
    for method, layout in layouts.items()
  }
  for number in pace(numbers):
    shards = {
      method: load_shard(folder, layout, number)
      for method, layout in layouts.items()
    }
    lacking = {
      method: layouts[method] for method in layouts if shards[method] is None
    }
    if lacking:
      shards |= _count_shard(folder, lacking, count, number)
    for method, shard in shards.items():
      assert shard is not None
      put_shard(wholes[method], shard, PIXELS)
  return wholes


def _count_shard(
  folder: Path, layouts: Mapping[str, Layout], count: Count, number: int
) -> dict[str, Shard]:
  span = next(iter(layouts.values())).span(number)
  made = {name: blank_shard(each, span) for name, each in layouts.items()}
  unread = next(iter(made.values())).reasons.keys()
  left = [index for index in span.tolist() if index not in unread]
  passing: set[int] = set()
  for image in count(left, tuple(layouts)) if left else ():
    row = image.position - int(span[0])
    for method, shard in made.items():
      if image.reason:
        shard.reasons[image.position] = image.reason
        continue
      for name, values in image.counts[method].items():
        at = slice(None) if name in PIXELS.sums else row
        shard.arrays[name][at] += values
    if image.passing:
      passing.add(image.position)
  for method, shard in made.items():
    store_shard(folder, layouts[method], shard, passing=passing)
  return made
