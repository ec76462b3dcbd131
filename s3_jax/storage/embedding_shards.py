"""Embeddings of images from their shards; those that lack are made.

Images go through the tower in batches that do not depend on shards: what is
made is cut into them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from s3_jax.storage.known_images import KnownImages
from s3_jax.storage.shards import (
  Layout,
  Shard,
  blank_shard,
  is_stored,
  load_shard,
  put_shard,
  store_shard,
)

__all__ = ["SHARD_ROWS", "Rows", "fill_shards", "read_shards"]

SHARD_ROWS = 256
"""Images of a shard where each has one embedding.

Processes share out whole shards, so a small data set needs several.
"""


class Rows(NamedTuple):
  """Some images of a data set, embedded.

  Attributes:
    indices: in the data set, ascending.
    embeddings: one entry an image; anything where `good` is False.
    good: False for an image without a usable embedding.
    final: False for an image that may be good in another run; None if none is.
  """

  indices: Int[np.ndarray, " rows"]
  embeddings: Float32[np.ndarray, "rows ..."]
  good: Bool[np.ndarray, " rows"]
  final: Bool[np.ndarray, " rows"] | None = None


Embed = Callable[[Int[np.ndarray, " images"]], Iterable[Rows]]


def read_shards(
  folder: Path,
  layout: Layout,
  embed: Embed,
  reasons: Mapping[int, str],
  *,
  batch_size: int,
  numbers: Sequence[int] | None = None,
) -> Iterator[Shard]:
  """Reads the shards that are there; makes and stores the others; in order.

  Of a shard that is not there, those images are embedded that no other shard
  has. They go through the tower in the batches of the whole data set, numbered
  from its start, also when only some are missing: a run that goes on computes
  what an undisturbed one does, to the last bit. One shard is in memory at a
  time, and the rest of a batch that reaches into the next.
  """
  asked = range(layout.shards) if numbers is None else numbers
  missing = [each for each in asked if not is_stored(folder, layout, each)]
  others = KnownImages(folder, layout, missing)
  source: _Source | None = None
  try:
    for number in asked:
      shard = load_shard(folder, layout, number)
      if shard is None:
        shard = blank_shard(layout, layout.span(number))
        others.fill(shard)
        passing: set[int] = set()
        left = others.left(number)
        if left.size:
          # One pass over all that is missing; what turns out to be damaged
          # after that needs a pass of its own.
          if source is None or not source.has(left):
            if source is not None:
              source.close()
            later = [others.left(each) for each in missing if each > number]
            wanted = np.concatenate([left, *later])
            source = _Source(layout, wanted, embed, batch_size)
          passing = source.take(shard, left, reasons)
        store_shard(folder, layout, shard, passing=passing)
      yield shard
  finally:
    if source is not None:
      source.close()


def fill_shards(
  folder: Path,
  layout: Layout,
  embed: Embed,
  reasons: Mapping[int, str],
  *,
  batch_size: int,
  numbers: Sequence[int] | None = None,
  pace: Callable[[Iterable[Shard]], Iterable[Shard]] = iter,
) -> Shard:
  """Reads or makes shards, as `read_shards` does, and joins them."""
  asked = range(layout.shards) if numbers is None else numbers
  whole = blank_shard(layout, layout.spans(asked))
  shards = read_shards(
    folder, layout, embed, reasons, batch_size=batch_size, numbers=asked
  )
  for shard in pace(shards):
    put_shard(whole, shard, layout.form)
  return whole


class _Source:
  """Cuts the rows that `embed` gives into shards."""

  def __init__(
    self,
    layout: Layout,
    left: Int[np.ndarray, " left"],
    embed: Embed,
    batch_size: int,
  ):
    self._left = set(left.tolist())
    batches = np.arange(layout.total) // batch_size
    self._given = np.isin(batches, batches[left])
    self._rows = iter(embed(np.flatnonzero(self._given)))
    self._rest: Rows | None = None  # of a batch that reaches into a next shard
    self._end = -1  # up to here images have been taken

  def has(self, left: Int[np.ndarray, " left"]) -> bool:
    """Says whether these images will still come."""
    return bool(left[0] > self._end) and self._left.issuperset(left.tolist())

  def take(
    self,
    shard: Shard,
    left: Int[np.ndarray, " left"],
    reasons: Mapping[int, str],
  ) -> set[int]:
    """Puts missing images into a shard; returns which may be good later.

    Shards come in order.
    """
    first, last = int(shard.indices[0]), int(shard.indices[-1])
    expected = int(self._given[first : last + 1].sum())
    passing: set[int] = set()
    while expected > 0:
      rows, self._rest = self._rest or next(self._rows, None), None
      if rows is None or not np.any(rows.indices <= last):
        raise ValueError(
          f"`embed` must give every image once, got {expected} too few of the"
          f" shard of images {first} to {last}."
        )
      inside = (rows.indices >= first) & (rows.indices <= last)
      expected -= int(inside.sum())
      for row in np.flatnonzero(inside & np.isin(rows.indices, left)).tolist():
        index = int(rows.indices[row])
        if rows.good[row]:
          shard.embeddings[index - first] = rows.embeddings[row]
          continue
        shard.reasons[index] = reasons[index]
        if rows.final is not None and not rows.final[row]:
          passing.add(index)
      later = rows.indices > last
      if later.any():
        cut = (each if each is None else each[later] for each in rows)
        self._rest = Rows(*cut)  # pyright: ignore[reportArgumentType]
    self._end = last
    return passing

  def close(self) -> None:
    """Stops what reads ahead."""
    close = getattr(self._rows, "close", None)
    if close is not None:
      close()
