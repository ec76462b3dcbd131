"""Embeddings of images in the cache, in shards written as they are made.

A shard holds the images at successive places of a data set, whatever the batch
size. It is known by what its images are, not by what they are called: another
data set that holds the same pictures finds them. A run that is killed leaves
its finished shards; the next one reads them and embeds the rest. Images whose
bytes gave no embedding keep their place: they are marked, with the reason, and
are not tried again. One that could not be read is, by the next run.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from s3_jax.storage import cache

__all__ = [
  "SHARD_ROWS",
  "Layout",
  "Rows",
  "Shard",
  "fill_shards",
  "join_shards",
  "known_images",
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
    key: from `cache.content_key`, of everything beside the images that the
      embeddings depend on.
    name: of the data set, for a person who opens a shard.
    contents: what each image is, 64 hexadecimal digits; "" for one that could
      not be read.
    labels: class indices of the images.
    unread: index -> why that image could not be read.
    shape: of what is stored of an image, such as (dim,) or (views, dim).
    rows: images of a shard.
  """

  key: str
  name: str
  contents: tuple[str, ...]
  labels: Int32[np.ndarray, " images"]
  unread: Mapping[int, str]
  shape: tuple[int, ...]
  rows: int

  @property
  def total(self) -> int:
    """Images of the data set, >= 1."""
    return len(self.contents)

  @property
  def shards(self) -> int:
    """How many there are."""
    return -(-self.total // self.rows)

  def span(self, number: int) -> Int[np.ndarray, " images"]:
    """Lists the places of a shard's images."""
    start = number * self.rows
    return np.arange(start, min(start + self.rows, self.total))

  def contents_of(self, number: int) -> tuple[str, ...]:
    """Lists what a shard's images are."""
    return self.contents[number * self.rows : (number + 1) * self.rows]

  def shard_key(self, number: int) -> str:
    """Names a shard in the cache."""
    return _shard_key(self, self.contents_of(number))

  def folder(self, cache_folder: Path) -> Path:
    """Returns where the shards of this key lie."""
    return cache_folder / self.key[:16]


def _shard_key(layout: Layout, contents: Sequence[str]) -> str:
  # One text is faster than many, and as good where all have one length.
  listed = " ".join(contents)
  return cache.content_key({"of": layout.key, "contents": listed})


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


class Shard(NamedTuple):
  """Successive images of a data set, embedded.

  Attributes:
    indices: in the data set.
    labels: class indices.
    embeddings: zero where `good` is False.
    good: False for images without an embedding.
    reasons: index -> why there is none.
  """

  indices: Int[np.ndarray, " images"]
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

  Of a shard that is not there, those images are embedded that no other shard
  has. They go through the tower in the batches of the whole data set, numbered
  from its start, also when only some are missing: a run that goes on computes
  what an undisturbed one does, to the last bit. One shard is in memory at a
  time, and the rest of a batch that reaches into the next.
  """
  asked = list(range(layout.shards)) if numbers is None else list(numbers)
  keys = {number: layout.shard_key(number) for number in asked}
  stored = {
    number: cache.is_stored(layout.folder(folder), key)
    for number, key in keys.items()
  }
  missing = [number for number in asked if not stored[number]]
  library = _Library(folder, layout, missing)
  whole = ""
  source: _Source | None = None
  try:
    for number in asked:
      shard = None
      if stored[number]:
        shard = _load(folder, layout, number, keys[number])
      if shard is None:
        shard = _empty(layout, number)
        whole = whole or _set_key(layout)
        library.fill(shard)
        left = _indices_left(layout, library, number)
        final = np.ones(shard.good.shape, bool)
        if left.size:
          # One pass over all that is missing; what turns out to be damaged
          # after that needs a pass of its own.
          if source is None or not source.has(left):
            if source is not None:
              source.close()
            wanted = [_indices_left(layout, library, n) for n in missing]
            wanted = [left, *(p for p in wanted if p.size and p[0] > left[-1])]
            source = _Source(layout, np.concatenate(wanted), embed, batch_size)
          source.take(shard, left, final, reasons)
        _store(folder, layout, number, shard, final, whole)
      yield shard
  finally:
    if source is not None:
      source.close()


def _empty(layout: Layout, number: int) -> Shard:
  """Makes a shard of which only is known what cannot be read."""
  span = layout.span(number)
  return Shard(
    indices=span,
    labels=layout.labels[span],
    embeddings=np.zeros((span.size, *layout.shape), np.float32),
    good=np.zeros((span.size,), bool),
    reasons={
      index: layout.unread[index]
      for index in span.tolist()
      if not layout.contents[index]
    },
  )


def _indices_left(
  layout: Layout, library: "_Library", number: int
) -> Int[np.ndarray, " left"]:
  """Lists the images of a shard that have to be embedded."""
  indices = layout.span(number).tolist()
  return np.asarray(
    [
      index
      for index in indices
      if layout.contents[index] and index not in library.found
    ],
    np.int64,
  )


class _Library:
  """Where the images of missing shards lie in other shards of the same key.

  Attributes:
    found: index -> name of a shard, row in it.
  """

  def __init__(self, folder: Path, layout: Layout, missing: Sequence[int]):
    self._folder = layout.folder(folder)
    self._layout = layout
    self._loaded: tuple[str, cache.Entry | None] = ("", None)
    self.found: dict[int, tuple[str, int]] = {}
    wanted: dict[bytes, list[int]] = {}
    for number in missing:
      for index in layout.span(number).tolist():
        if layout.contents[index]:
          content = bytes.fromhex(layout.contents[index])
          wanted.setdefault(content, []).append(index)
    if wanted and self._folder.is_dir():
      whole = _set_key(layout)
      for path in sorted(self._folder.glob("*.npz")):
        self._look(path, wanted, whole)

  def _look(
    self, path: Path, wanted: Mapping[bytes, Sequence[int]], whole: str
  ) -> None:
    listed = cache.peek(path, "contents", most=_MOST_ROWS * 32)
    if listed is None or listed.dtype != np.uint8 or listed.ndim != 2:
      return
    rows = [
      (row, content)
      for row, content in enumerate(map(bytes, listed))
      if content in wanted
    ]
    if not rows:
      return
    about = _peek_metadata(path)
    if about.get("of") != self._layout.key:
      return
    for row, content in rows:
      for index in wanted[content]:
        # Of this very data set only the same place: which of two equal images
        # is embedded first may differ from run to run.
        if about.get("set") == whole and about.get("first") != index - row:
          continue
        self.found.setdefault(index, (path.stem, row))

  def fill(self, shard: Shard) -> None:
    """Puts what is known into a shard, and forgets what is damaged."""
    for index, position in enumerate(shard.indices.tolist()):
      if position not in self.found:
        continue
      key, row = self.found[position]
      entry = self._entry(key)
      if entry is None or row >= len(entry.arrays["good"]):
        del self.found[position]
        continue
      shard.embeddings[index] = entry.arrays["embeddings"][row]
      shard.good[index] = entry.arrays["good"][row]
      if not shard.good[index]:
        first = int(entry.metadata["first"])
        shard.reasons[position] = dict(json.loads(entry.metadata["bad"])).get(
          first + row, "unknown"
        )

  def _entry(self, key: str) -> cache.Entry | None:
    if self._loaded[0] != key:
      path = self._folder / f"{key}.npz"
      listed = cache.peek(path, "contents", most=_MOST_ROWS * 32)
      rows = 0 if listed is None else len(listed)
      entry = cache.load_entry(
        self._folder, key, expected=_expected(self._layout, rows)
      )
      self._loaded = (key, entry)
    return self._loaded[1]


_MOST_ROWS = 1 << 16


def _set_key(layout: Layout) -> str:
  """Names a whole data set."""
  return cache.content_key({"set": " ".join(layout.contents)})


def _peek_metadata(path: Path) -> Mapping[str, Any]:
  header = cache.peek(path, "header", most=1 << 24)
  try:
    metadata = json.loads(str(header))["metadata"]
  except (ValueError, TypeError, KeyError):
    return {}
  return metadata if isinstance(metadata, dict) else {}


class _Source:
  """Cuts the rows that `embed` gives into shards."""

  def __init__(
    self,
    layout: Layout,
    left: Int[np.ndarray, " left"],
    embed: Callable[[Int[np.ndarray, " images"]], Iterable[Rows]],
    batch_size: int,
  ):
    self._left = set(left.tolist())
    batches = np.arange(layout.total) // batch_size
    touched = np.zeros((batches[-1] + 1,), bool)
    touched[batches[left]] = True
    self._given = touched[batches]
    self._rows = iter(embed(np.flatnonzero(self._given)))
    self._kept: list[Rows] = []
    self._end = -1  # up to here images have been taken

  def has(self, left: Int[np.ndarray, " left"]) -> bool:
    """Says whether these images will still come."""
    return bool(left[0] > self._end) and self._left.issuperset(left.tolist())

  def take(
    self,
    shard: Shard,
    left: Int[np.ndarray, " left"],
    final: Bool[np.ndarray, " images"],
    reasons: Mapping[int, str],
  ) -> None:
    """Collects the missing images of a shard; shards come in order."""
    first, last = int(shard.indices[0]), int(shard.indices[-1])
    expected = int(self._given[first : last + 1].sum())
    seen = 0
    while seen < expected:
      rows = self._kept.pop() if self._kept else next(self._rows, None)
      if rows is None:
        raise ValueError(
          f"`embed` must give every image once, got {expected - seen} too few"
          f" of the shard of images {first} to {last}."
        )
      inside = (rows.indices >= first) & (rows.indices <= last)
      seen += int(inside.sum())
      for row in np.flatnonzero(inside & np.isin(rows.indices, left)).tolist():
        position = int(rows.indices[row])
        index = position - first
        shard.good[index] = rows.good[row]
        if rows.good[row]:
          shard.embeddings[index] = rows.embeddings[row]
        else:
          shard.reasons[position] = reasons[position]
          final[index] = rows.final is None or rows.final[row]
      later = rows.indices > last
      if later.any():
        final_later = None if rows.final is None else rows.final[later]
        self._kept.append(
          Rows(
            rows.indices[later],
            rows.embeddings[later],
            rows.good[later],
            final_later,
          )
        )
    self._end = last

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
  """Reads or makes shards, as `read_shards` does, and joins them."""
  asked = range(layout.shards) if numbers is None else numbers
  indices = [layout.span(number) for number in asked]
  count = sum(span.size for span in indices)
  whole = Shard(
    indices=np.concatenate([np.arange(0), *indices]),
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
    rows = slice(start, start + shard.indices.size)
    whole.labels[rows] = shard.labels
    whole.embeddings[rows] = shard.embeddings
    whole.good[rows] = shard.good
    whole.reasons.update(shard.reasons)
    start = rows.stop
  return whole


def join_shards(layout: Layout, parts: Sequence[Shard]) -> Shard:
  """Puts a data set together from what several processes have of it."""
  indices = np.concatenate([part.indices for part in parts])
  order = np.argsort(indices, kind="stable")
  if not np.array_equal(indices[order], np.arange(layout.total)):
    raise ValueError(
      f"`parts` must hold each of the {layout.total} images once, got"
      f" {indices.size}, {np.unique(indices).size} of them different."
    )

  def join(name):
    return np.concatenate([getattr(part, name) for part in parts])[order]

  reasons = {
    index: why for part in parts for index, why in part.reasons.items()
  }
  return Shard(
    np.arange(layout.total),
    join("labels"),
    join("embeddings"),
    join("good"),
    reasons,
  )


def stored_shards(folder: Path, layout: Layout) -> Bool[np.ndarray, " shards"]:
  """Says which shards are in the cache; a damaged one counts until read."""
  return np.asarray(
    [
      cache.is_stored(layout.folder(folder), layout.shard_key(number))
      for number in range(layout.shards)
    ],
    bool,
  )


def known_images(folder: Path, layout: Layout) -> Bool[np.ndarray, " images"]:
  """Says which images need no tower: embedded, or not readable."""
  missing = np.flatnonzero(~stored_shards(folder, layout)).tolist()
  library = _Library(folder, layout, missing)
  known = np.ones((layout.total,), bool)
  for number in missing:
    known[_indices_left(layout, library, number)] = False
  return known


def _expected(layout: Layout, rows: int) -> cache.Expected:
  return {
    "embeddings": ((rows, *layout.shape), "float32"),
    "good": ((rows,), "bool"),
    "contents": ((rows, 32), "uint8"),
  }


def _store(
  folder: Path,
  layout: Layout,
  number: int,
  shard: Shard,
  final: Bool[np.ndarray, " images"],
  whole: str,
) -> None:
  """Stores a shard; images that are to be tried again have no content in it."""
  contents = [
    content if last else ""
    for content, last in zip(layout.contents_of(number), final, strict=True)
  ]
  known = b"".join(bytes.fromhex(each or "00" * 32) for each in contents)
  first = int(shard.indices[0])
  bad = sorted(
    (index, why)
    for index, why in shard.reasons.items()
    if contents[index - first]
  )
  cache.store(
    layout.folder(folder),
    _shard_key(layout, contents),
    {
      "embeddings": shard.embeddings,
      "good": shard.good,
      "contents": np.frombuffer(known, np.uint8).reshape((-1, 32)),
    },
    {
      "dataset": layout.name,
      "of": layout.key,
      "set": whole,
      "first": first,
      "bad": json.dumps(bad),
    },
  )


def _load(folder: Path, layout: Layout, number: int, key: str) -> Shard | None:
  """Reads a shard; None if there is none to be trusted."""
  shard = _empty(layout, number)
  entry = cache.load_entry(
    layout.folder(folder),
    key,
    expected=_expected(layout, shard.indices.size),
  )
  if entry is None:
    return None
  # Another data set may have it at another place.
  moved = int(shard.indices[0]) - int(entry.metadata["first"])
  bad = json.loads(entry.metadata["bad"])
  return shard._replace(
    embeddings=entry.arrays["embeddings"],
    good=entry.arrays["good"],
    reasons={**shard.reasons, **{index + moved: why for index, why in bad}},
  )
