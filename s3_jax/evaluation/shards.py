"""Embeddings of a data set in the cache, in shards written as they are made.

A shard holds the images at successive places of the data set, whatever the
batch size. A run that is killed leaves its finished shards; the next one reads
them and embeds the rest. Images that gave no embedding keep their place: they
are marked, with the reason, and are not tried again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from s3_jax.evaluation import cache

__all__ = [
  "SHARD_ROWS",
  "Layout",
  "Rows",
  "Shard",
  "count_missing",
  "fill_shards",
  "join_shards",
  "read_shards",
  "stored_shards",
]

SHARD_ROWS = 256
"""Images of a shard where each has one embedding; the last one has fewer.

Processes share out whole shards, so a small data set needs several.
"""


class Layout(NamedTuple):
  """What the shards of a data set look like.

  Attributes:
    key: from `cache.content_key`, of everything the embeddings depend on.
    name: of the data set, for a person who opens a shard.
    total: images of the data set, >= 1.
    shape: of what is stored of an image, such as (dim,) or (views, dim).
    rows: images of a shard.
  """

  key: str
  name: str
  total: int
  shape: tuple[int, ...]
  rows: int

  @property
  def shards(self) -> int:
    """How many there are."""
    return -(-self.total // self.rows)

  def span(self, number: int) -> Int[np.ndarray, " images"]:
    """Lists the places of a shard's images."""
    start = number * self.rows
    return np.arange(start, min(start + self.rows, self.total))

  def shard_key(self, number: int) -> str:
    """Names a shard in the cache."""
    return cache.content_key(
      {"of": self.key, "shard": number, "rows": self.rows}
    )


class Rows(NamedTuple):
  """Some images of a data set, embedded.

  Attributes:
    places: in the data set, ascending.
    labels: their class indices.
    embeddings: one entry an image; anything where `good` is False.
    good: False for an image without a usable embedding.
  """

  places: Int[np.ndarray, " rows"]
  labels: Int[np.ndarray, " rows"]
  embeddings: Float32[np.ndarray, "rows ..."]
  good: Bool[np.ndarray, " rows"]


class Shard(NamedTuple):
  """Successive images of a data set, embedded.

  Attributes:
    places: in the data set.
    labels: class indices.
    embeddings: zero where `good` is False.
    good: False for images without an embedding.
    reasons: place -> why there is none.
  """

  places: Int[np.ndarray, " images"]
  labels: Int32[np.ndarray, " images"]
  embeddings: Float32[np.ndarray, "images ..."]
  good: Bool[np.ndarray, " images"]
  reasons: dict[int, str]


def read_shards(
  folder: Path,
  layout: Layout,
  embed: Callable[[Int[np.ndarray, " images"]], Iterable[Rows]],
  reasons: Mapping[int, str],
  *,
  batch_size: int,
  numbers: Sequence[int] | None = None,
) -> Iterator[Shard]:
  """Reads the shards that are there; makes and stores the others; in order.

  Images are embedded in the batches of the whole data set, numbered from its
  start, also when only some shards are missing: a run that goes on computes
  what an undisturbed one does, to the last bit. One shard is in memory at a
  time, and the rest of a batch that reaches into the next.

  Args:
    folder: of the cache.
    layout: of the shards.
    embed: places of images, ascending -> those images embedded, each once and
      in order, in pieces of any size; called only if a shard is missing.
    reasons: why images are bad, filled by `embed` before their rows come.
    batch_size: images of a batch.
    numbers: of the shards that are wanted, ascending; None for all.

  Yields:
    Every wanted shard.

  Raises:
    ValueError: if `embed` leaves images out.
  """
  asked = range(layout.shards) if numbers is None else numbers
  stored = {
    number: cache.is_stored(folder, layout.shard_key(number))
    for number in asked
  }
  source: _Source | None = None
  for number in asked:
    shard = _load(folder, layout, number) if stored[number] else None
    if shard is None:
      # One pass over all that is missing; a shard that turns out to be damaged
      # after that needs a pass of its own.
      if source is None or number not in source.shards:
        if source is not None:
          source.close()
        wanted = [number]
        wanted += [n for n in asked if n > number and not stored[n]]
        source = _Source(layout, wanted, embed, batch_size)
      shard = source.take(number, reasons)
      _store(folder, layout, number, shard)
    yield shard
  if source is not None:
    source.close()


class _Source:
  """Cuts the rows that `embed` gives into shards."""

  def __init__(self, layout, wanted, embed, batch_size):
    self.shards = set(wanted)
    self._layout = layout
    batches = np.arange(layout.total) // batch_size
    touched = np.zeros((batches[-1] + 1,), bool)
    for number in wanted:
      touched[batches[layout.span(number)]] = True
    self._rows = iter(embed(np.flatnonzero(touched[batches])))
    self._left: list[Rows] = []

  def take(self, number: int, reasons: Mapping[int, str]) -> Shard:
    """Collects one of the wanted shards; they are asked for in order."""
    layout = self._layout
    span = layout.span(number)
    shape = (span.size, *layout.shape)
    shard = Shard(
      places=span,
      labels=np.zeros((span.size,), np.int32),
      embeddings=np.zeros(shape, np.float32),
      good=np.zeros((span.size,), bool),
      reasons={},
    )
    seen = 0
    while seen < span.size:
      rows = self._left.pop() if self._left else next(self._rows, None)
      if rows is None:
        raise ValueError(
          f"`embed` must give every image once, got {span.size - seen} too few"
          f" of shard {number}."
        )
      inside = (rows.places >= span[0]) & (rows.places <= span[-1])
      place = rows.places[inside] - span[0]
      good = rows.good[inside]
      shard.embeddings[place[good]] = rows.embeddings[inside][good]
      shard.labels[place] = rows.labels[inside]
      shard.good[place] = good
      for bad in rows.places[inside][~good].tolist():
        shard.reasons[bad] = reasons[bad]
      seen += place.size
      later = rows.places > span[-1]
      if later.any():
        self._left.append(Rows(*(part[later] for part in rows)))
    return shard

  def close(self) -> None:
    """Stops what reads ahead."""
    close = getattr(self._rows, "close", None)
    if close is not None:
      close()


def fill_shards(
  folder: Path,
  layout: Layout,
  embed: Callable[[Int[np.ndarray, " images"]], Iterable[Rows]],
  reasons: Mapping[int, str],
  *,
  batch_size: int,
  numbers: Sequence[int] | None = None,
  pace: Callable[[Iterable[Shard]], Iterable[Shard]] = iter,
) -> Shard:
  """Reads or makes shards, as `read_shards` does, and joins them.

  Args:
    folder: of the cache.
    layout: of the shards.
    embed: as for `read_shards`.
    reasons: as for `read_shards`.
    batch_size: images of a batch.
    numbers: as for `read_shards`.
    pace: passes the shards on as they come.

  Returns:
    The data set, or those of its images that are in the wanted shards.

  Raises:
    ValueError: if `embed` leaves images out.
  """
  asked = range(layout.shards) if numbers is None else numbers
  places = [layout.span(number) for number in asked]
  count = sum(span.size for span in places)
  whole = Shard(
    places=np.concatenate([np.arange(0), *places]),
    labels=np.zeros((count,), np.int32),
    embeddings=np.zeros((count, *layout.shape), np.float32),
    good=np.zeros((count,), bool),
    reasons={},
  )
  start = 0
  shards = read_shards(
    folder, layout, embed, reasons, batch_size=batch_size, numbers=asked
  )
  for shard in pace(shards):
    rows = slice(start, start + shard.places.size)
    whole.labels[rows] = shard.labels
    whole.embeddings[rows] = shard.embeddings
    whole.good[rows] = shard.good
    whole.reasons.update(shard.reasons)
    start = rows.stop
  return whole


def join_shards(layout: Layout, parts: Sequence[Shard]) -> Shard:
  """Puts a data set together from what several processes have of it.

  Args:
    layout: of the shards.
    parts: in any order.

  Returns:
    The whole data set.

  Raises:
    ValueError: if an image is missing, or there twice.
  """
  places = np.concatenate([part.places for part in parts])
  order = np.argsort(places, kind="stable")
  if not np.array_equal(places[order], np.arange(layout.total)):
    raise ValueError(
      f"`parts` must hold each of the {layout.total} images once, got"
      f" {places.size}, {np.unique(places).size} of them different."
    )

  def join(name):
    return np.concatenate([getattr(part, name) for part in parts])[order]

  reasons = {
    place: why for part in parts for place, why in part.reasons.items()
  }
  return Shard(
    np.arange(layout.total),
    join("labels"),
    join("embeddings"),
    join("good"),
    reasons,
  )


def stored_shards(folder: Path, layout: Layout) -> Bool[np.ndarray, " shards"]:
  """Says which shards are in the cache; a damaged one counts until it is read.

  Args:
    folder: of the cache.
    layout: of the shards.

  Returns:
    One entry a shard.
  """
  return np.asarray(
    [
      cache.is_stored(folder, layout.shard_key(number))
      for number in range(layout.shards)
    ],
    bool,
  )


def count_missing(folder: Path, layout: Layout) -> int:
  """Counts the images whose shard is not in the cache.

  Args:
    folder: of the cache.
    layout: of the shards.

  Returns:
    How many will be embedded, unless a shard turns out to be damaged.
  """
  missing = np.flatnonzero(~stored_shards(folder, layout)).tolist()
  return sum(layout.span(number).size for number in missing)


def _store(folder: Path, layout: Layout, number: int, shard: Shard) -> None:
  bad = sorted(shard.reasons.items())
  cache.store(
    folder,
    layout.shard_key(number),
    {
      "embeddings": shard.embeddings,
      "labels": shard.labels,
      "good": shard.good,
    },
    {
      "dataset": layout.name,
      "shard": number,
      "of": layout.key,
      "bad": json.dumps(bad),
    },
  )


def _load(folder: Path, layout: Layout, number: int) -> Shard | None:
  """Reads a shard; None if there is none to be trusted."""
  span = layout.span(number)
  entry = cache.load_entry(
    folder,
    layout.shard_key(number),
    expected={
      "embeddings": ((span.size, *layout.shape), "float32"),
      "labels": ((span.size,), "int32"),
      "good": ((span.size,), "bool"),
    },
  )
  if entry is None:
    return None
  return Shard(
    places=span,
    labels=entry.arrays["labels"],
    embeddings=entry.arrays["embeddings"],
    good=entry.arrays["good"],
    reasons=dict(json.loads(entry.metadata["bad"])),
  )
