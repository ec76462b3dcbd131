"""A test set's embeddings in the cache, in shards written as they are made.

A shard holds the images at 1,024 successive places of the data set, whatever
the batch size. A run that is killed leaves its finished shards; the next one
reads them and embeds the rest. Images that gave no embedding keep their place:
they are marked, with the reason, and are not tried again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from s3_jax.evaluation import cache

__all__ = ["Rows", "Shards", "count_missing", "fill_shards"]

SHARD_ROWS = 1024
"""Images of a shard; the last one has fewer."""


class Rows(NamedTuple):
  """Some images of a data set, embedded.

  Attributes:
    places: in the data set.
    labels: their class indices.
    embeddings: one unit row an image; anything where `good` is False.
    good: False for an image without a usable embedding.
  """

  places: Int[np.ndarray, " rows"]
  labels: Int[np.ndarray, " rows"]
  embeddings: Float32[np.ndarray, "rows dim"]
  good: Bool[np.ndarray, " rows"]


class Shards(NamedTuple):
  """A whole data set, embedded, in its order.

  Attributes:
    embeddings: zero where `good` is False.
    labels: class indices.
    good: False for images without an embedding.
    reasons: place -> why there is none.
    computed: images that this call embedded or tried to.
  """

  embeddings: Float32[np.ndarray, "images dim"]
  labels: Int32[np.ndarray, " images"]
  good: Bool[np.ndarray, " images"]
  reasons: dict[int, str]
  computed: int


def fill_shards(
  folder: Path,
  key: str,
  embed: Callable[[Int[np.ndarray, " images"]], Iterable[Rows]],
  reasons: Mapping[int, str],
  *,
  name: str,
  total: int,
  dim: int,
  batch_size: int,
) -> Shards:
  """Reads the shards that are there, makes the others and stores them.

  Images are embedded in the batches of the whole data set, numbered from its
  start, also when only some shards are missing: a run that goes on computes
  what an undisturbed one does, to the last bit.

  Args:
    folder: of the cache.
    key: from `cache.content_key`, of everything the embeddings depend on.
    embed: places of images, ascending -> those images embedded, each once, in
      pieces of any size; called only if a shard is missing, and not at all
      where none is.
    reasons: why images are bad, filled by `embed` before their rows come.
    name: of the data set, for a person who opens a shard.
    total: images of the data set, >= 1.
    dim: of an embedding.
    batch_size: rows of a batch.

  Returns:
    The whole data set.

  Raises:
    ValueError: if `embed` leaves images out.
  """
  whole = Shards(
    embeddings=np.zeros((total, dim), np.float32),
    labels=np.zeros((total,), np.int32),
    good=np.zeros((total,), bool),
    reasons={},
    computed=0,
  )
  missing = [
    number
    for number in range(-(-total // SHARD_ROWS))
    if not _load(folder, key, number, whole)
  ]
  if not missing:
    return whole
  wanted = _batches_of(missing, total, batch_size)
  left = {number: _span(number, total) for number in missing}
  waiting = {number: span.size for number, span in left.items()}
  computed = 0
  for rows in embed(wanted):
    computed += rows.places.size
    fresh = np.isin(rows.places // SHARD_ROWS, missing)
    index = rows.places[fresh]
    good = rows.good[fresh]
    whole.embeddings[index] = np.where(
      good[:, None], rows.embeddings[fresh], np.float32(0)
    )
    whole.labels[index] = rows.labels[fresh]
    whole.good[index] = good
    for place in index[~good].tolist():
      whole.reasons[place] = reasons[place]
    for number, count in _counts(index):
      waiting[number] -= count
      if not waiting[number]:
        _store(folder, key, name, number, whole)
  short = [number for number, count in waiting.items() if count]
  if short:
    raise ValueError(
      f"`embed` must give every image once, got {waiting[short[0]]} too few of"
      f" shard {short[0]}."
    )
  return whole._replace(computed=computed)


def count_missing(folder: Path, key: str, *, total: int) -> int:
  """Counts the images whose shard is not in the cache.

  Args:
    folder: of the cache.
    key: of the data set.
    total: images of the data set.

  Returns:
    How many `fill_shards` will embed, unless a shard turns out to be damaged.
  """
  return sum(
    _span(number, total).size
    for number in range(-(-total // SHARD_ROWS))
    if not cache.is_stored(folder, _shard_key(key, number))
  )


def _span(number: int, total: int) -> Int[np.ndarray, " images"]:
  start = number * SHARD_ROWS
  return np.arange(start, min(start + SHARD_ROWS, total))


def _batches_of(
  missing: list[int], total: int, batch_size: int
) -> Int[np.ndarray, " images"]:
  """Lists the places of all batches that touch a missing shard."""
  batches = np.arange(total) // batch_size
  touched = np.zeros((batches[-1] + 1,), bool)
  for number in missing:
    touched[batches[_span(number, total)]] = True
  return np.flatnonzero(touched[batches])


def _counts(index: Int[np.ndarray, " rows"]) -> Iterator[tuple[int, int]]:
  numbers, counts = np.unique(index // SHARD_ROWS, return_counts=True)
  yield from zip(numbers.tolist(), counts.tolist(), strict=True)


def _shard_key(key: str, number: int) -> str:
  return cache.content_key({"of": key, "shard": number, "rows": SHARD_ROWS})


def _store(
  folder: Path, key: str, name: str, number: int, whole: Shards
) -> None:
  span = _span(number, whole.labels.size)
  bad = [
    [place, whole.reasons[place]]
    for place in span.tolist()
    if not whole.good[place]
  ]
  cache.store(
    folder,
    _shard_key(key, number),
    {
      "embeddings": whole.embeddings[span],
      "labels": whole.labels[span],
      "good": whole.good[span],
    },
    {"dataset": name, "shard": number, "of": key, "bad": json.dumps(bad)},
  )


def _load(folder: Path, key: str, number: int, whole: Shards) -> bool:
  """Reads a shard into its place; False if there is none to be trusted."""
  span = _span(number, whole.labels.size)
  dim = whole.embeddings.shape[1]
  entry = cache.load_entry(
    folder,
    _shard_key(key, number),
    expected={
      "embeddings": ((span.size, dim), "float32"),
      "labels": ((span.size,), "int32"),
      "good": ((span.size,), "bool"),
    },
  )
  if entry is None:
    return False
  whole.embeddings[span] = entry.arrays["embeddings"]
  whole.labels[span] = entry.arrays["labels"]
  whole.good[span] = entry.arrays["good"]
  whole.reasons.update(json.loads(entry.metadata["bad"]))
  return True
