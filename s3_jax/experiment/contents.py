"""What the images of a data set are, byte by byte, without reading them twice.

An image is known by the sha256 of its bytes. They are hashed when the image is
first read; afterwards the file system's own facts about its file (path, size,
times, inode) lead to the hash, and any doubt reads it again.

References:
  The index of git: the same facts, and the same care with files that are no
  older than what was noted of them.
"""

import hashlib
import pathlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from s3_jax import hosts
from s3_jax.data.decoding import BadImage, UnreadImage, decoding_threads
from s3_jax.data.input_pipeline import why_bad
from s3_jax.data.records import (
  Contents,
  OpenedDataset,
  Stamps,
  content_id,
  is_racy,
)
from s3_jax.storage import cache

_CHUNK = 256
"""Images that are hashed before the processes may meet."""

_SAVE_SECONDS = 30.0
"""Between two savings of what has been hashed: a stopped run goes on there."""

_FORGET = 4
"""So many times the images of a data set, an index forgets what it lacks."""


class Known(NamedTuple):
  """What is known of a data set's images; arrays are written in place.

  Attributes:
    is_read: whether an image's content is known.
    contents: sha256 of those; zeros for the others.
    labels: of those; -1 for the others, and where a record has none.
    reasons: index -> why an image could not be read.
  """

  is_read: Bool[np.ndarray, " images"]
  contents: UInt8[np.ndarray, "images 32"]
  labels: Int32[np.ndarray, " images"]
  reasons: dict[int, str]


class Verified:
  """Records that are what they were when they were hashed, or bad ones."""

  def __init__(self, records: Any, contents: Contents):
    self._records = records
    self._contents = contents

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Any:
    content = self._contents.ids[index]
    if not content:
      raise UnreadImage(self._contents.reasons[index])
    record = self._records[index]
    if content_id(record) != content:
      raise UnreadImage("its bytes changed while the run was going on")
    return record


def know_images(
  cache_dir: pathlib.Path,
  opened: OpenedDataset,
  *,
  name: str,
  labelled: bool = False,
) -> OpenedDataset:
  """Finds out what every image of a data set is; each may have to have a label.

  Several processes must see the same bytes. Where all of them see the same
  files (as the stamps say), they share the reading out; else each reads its own
  copy. What one of them cannot read, another may.
  """
  if opened.contents is None:
    opened = opened._replace(contents=_find_out(cache_dir, opened, name))
  contents = known_contents(opened)
  for index, label in enumerate(contents.labels if labelled else ()):
    # Of others with the same bytes, embeddings may be stored already.
    if label < 0 and contents.ids[index]:
      raise ValueError(
        f"{name}: image {index} must have a label >= 0, got {label}: it has"
        " none."
      )
  return opened


def known_contents(opened: OpenedDataset) -> Contents:
  """Returns the contents of a data set that has passed `know_images`."""
  assert opened.contents is not None
  return opened.contents


def _find_out(
  cache_dir: pathlib.Path, opened: OpenedDataset, name: str
) -> Contents:
  stamps, known = _look_up(cache_dir, opened)
  if stamps is not None and not known.is_read.all():
    # Pictures that are drawn when they are first asked for have files then.
    _read(opened.records, int(known.is_read.argmin()))
    stamps, known = _look_up(cache_dir, opened)
  files = hosts.gather_json(_digest(stamps))
  shared = bool(files[0]) and len(set(files)) == 1
  if shared:
    known = _merge(known, opened, name)
  own = np.flatnonzero(~known.is_read).tolist()
  if shared:
    share = hosts.own_share(len(own))
    own = own[share.start : share.stop]
  started, saved = time.time_ns(), time.monotonic()

  def read() -> None:
    nonlocal saved
    for found in hosts.with_barriers(_hash(opened.records, own, name)):
      for index, content, label, reason in found:
        known.is_read[index] = bool(content)
        known.contents[index] = np.frombuffer(content or bytes(32), np.uint8)
        known.labels[index] = label
        if reason:
          known.reasons[index] = reason
      if time.monotonic() - saved > _SAVE_SECONDS:
        _save(cache_dir, stamps, known, started)
        saved = time.monotonic()

  hosts.raise_on_all(read)
  known = _merge(known, opened, name)
  if own:
    _save(cache_dir, stamps, known, started)
  labels = getattr(opened.records, "labels", None) or known.labels.tolist()
  digits = known.contents.tobytes().hex()
  return Contents(
    ids=tuple(
      digits[64 * index : 64 * index + 64] if is_read else ""
      for index, is_read in enumerate(known.is_read.tolist())
    ),
    labels=tuple(labels),
    reasons={
      index: reason
      for index, reason in sorted(known.reasons.items())
      if not known.is_read[index]
    },
  )


_Found = tuple[int, bytes, int, str]
"""Place, content, label, and why there is no content."""


def _hash(
  records: Any, indices: Sequence[int], name: str
) -> Iterator[list[_Found]]:
  """Reads images in threads, chunk by chunk."""
  if not indices:
    return
  with (
    ThreadPoolExecutor(decoding_threads()) as pool,
    hosts.progress_bar(total=len(indices), desc=f"read {name}") as bar,
  ):
    for start in range(0, len(indices), _CHUNK):
      chunk = indices[start : start + _CHUNK]
      yield list(pool.map(lambda index: _read(records, index), chunk))
      bar.update(len(chunk))


def _read(records: Any, index: int) -> _Found:
  try:
    record = records[index]
    content = bytes.fromhex(content_id(record))
    return index, content, int(record.get("label", -1)), ""
  except (BadImage, OSError, MemoryError) as error:
    reason, _ = why_bad(error)
    return index, b"", -1, reason


_INDEX: cache.Expected = {
  "stamps": ((None, 16), "uint8"),
  "contents": ((None, 32), "uint8"),
  "labels": ((None,), "int32"),
}


def _load(
  cache_dir: pathlib.Path, location: str
) -> tuple[dict[bytes, int], np.ndarray, np.ndarray]:
  """Reads the index of a place: stamp -> row, contents and labels by row."""
  stored = cache.load(cache_dir / "contents", _key(location), expected=_INDEX)
  if stored is None or len({len(each) for each in stored.values()}) > 1:
    return {}, np.zeros((0, 32), np.uint8), np.zeros((0,), np.int32)
  stamps = stored["stamps"].tobytes()
  rows = {
    stamps[16 * row : 16 * row + 16]: row for row in range(len(stamps) // 16)
  }
  return rows, stored["contents"], stored["labels"]


def _key(location: str) -> str:
  return cache.content_key({"contents of": ascii(location)})


def _look_up(
  cache_dir: pathlib.Path, opened: OpenedDataset
) -> tuple[Stamps | None, Known]:
  """Returns the stamps of a data set, and what the index says of its images."""
  total = len(opened.records)
  known = Known(
    np.zeros((total,), bool),
    np.zeros((total, 32), np.uint8),
    np.full((total,), -1, np.int32),
    {},
  )
  if opened.stamps is None:
    return None, known
  stamps = opened.stamps()
  rows, contents, labels = _load(cache_dir, stamps.location)
  found = np.asarray([rows.get(digest, -1) for digest in stamps.digests])
  known.is_read[:] = found >= 0
  known.contents[known.is_read] = contents[found[known.is_read]]
  known.labels[known.is_read] = labels[found[known.is_read]]
  return stamps, known


def _digest(stamps: Stamps | None) -> str:
  """Names the files that this process sees; "" where there are none."""
  if stamps is None or hosts.count() == 1:
    return ""
  return hashlib.sha256(b"\n".join(stamps.digests)).hexdigest()


def _save(
  cache_dir: pathlib.Path, stamps: Stamps | None, known: Known, started: int
) -> None:
  """Stores what is known, but of files that may change under their stamp."""
  if stamps is None:
    return
  rows, contents, labels = _load(cache_dir, stamps.location)
  if len(rows) > _FORGET * len(known.is_read):
    rows = {}
  kept = {
    stamp: (contents[row].tobytes(), int(labels[row]))
    for stamp, row in rows.items()
  }
  for index in np.flatnonzero(known.is_read).tolist():
    digest = stamps.digests[index]
    if digest and not is_racy(stamps.newest[index], started):
      content = known.contents[index].tobytes()
      kept[digest] = (content, int(known.labels[index]))
  if not kept:
    return
  stamp_bytes = b"".join(kept)
  content_bytes = b"".join(content for content, _ in kept.values())
  cache.store(
    cache_dir / "contents",
    _key(stamps.location),
    {
      "stamps": np.frombuffer(stamp_bytes, np.uint8).reshape((-1, 16)),
      "contents": np.frombuffer(content_bytes, np.uint8).reshape((-1, 32)),
      "labels": np.asarray([label for _, label in kept.values()], np.int32),
    },
    {"place": ascii(stamps.location)},
  )


def _merge(known: Known, opened: OpenedDataset, name: str) -> Known:
  """Joins what the processes know of each image, and compares it."""
  if hosts.count() == 1:
    return known
  parts = hosts.gather_arrays(
    {
      "is_read": known.is_read,
      "contents": known.contents,
      "labels": known.labels,
    }
  )
  reasons = hosts.gather_json(sorted(known.reasons.items()))
  return join_known(
    [
      Known(**part, reasons=dict(why))
      for part, why in zip(parts, reasons, strict=True)
    ],
    opened.files,
    name,
  )


def join_known(
  parts: Sequence[Known], files: Sequence[str], name: str
) -> Known:
  """Joins what several processes know."""
  is_read = np.stack([part.is_read for part in parts])
  contents = np.stack([part.contents for part in parts])
  labels = np.stack([part.labels for part in parts])
  owner = is_read.argmax(axis=0)
  index = np.arange(owner.size)
  first = contents[owner, index]
  wrong = is_read & np.any(contents != first, axis=-1)
  if wrong.any():
    number, image = (int(each[0]) for each in np.nonzero(wrong))
    here, there = first[image].tobytes(), contents[number, image].tobytes()
    raise ValueError(
      f"{name}: {ascii(files[image])[1:-1]:.80} must be the same in every"
      f" process, got sha256 {here.hex()[:12]}... in process {owner[image]} and"
      f" {there.hex()[:12]}... in process {number}: start them on the same"
      " files."
    )
  reasons: dict[int, str] = {}
  for part in reversed(parts):
    reasons.update(part.reasons)
  read = np.asarray(is_read.any(axis=0))
  return Known(
    read,
    first,
    labels[owner, index],
    {image: why for image, why in reasons.items() if not read[image]},
  )
