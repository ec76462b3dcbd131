"""Where images of missing shards lie in other shards of the same key.

Another data set may hold the same pictures, or this one may have got a picture
more, so that all shards behind it have other names.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from s3_jax.storage import cache
from s3_jax.storage.shards import (
  Layout,
  Shard,
  expected_arrays,
  set_key,
  stored_shards,
)

__all__ = ["KnownImages", "known_images"]

_MOST_ROWS = 1 << 16
"""Of a file that is looked into; none has been written with more."""


class KnownImages:
  """Finds images of missing shards, whose form must list its images."""

  def __init__(self, folder: Path, layout: Layout, missing: Sequence[int]):
    self._folder = layout.folder(folder)
    self._layout = layout
    self._loaded: tuple[str, cache.Entry | None] = ("", None)
    self._found: dict[int, tuple[str, int]] = {}  # name of a shard, row in it
    wanted: dict[bytes, list[int]] = {}
    for index in layout.spans(missing).tolist():
      if layout.contents[index]:
        content = bytes.fromhex(layout.contents[index])
        wanted.setdefault(content, []).append(index)
    if wanted and self._folder.is_dir():
      for path in sorted(self._folder.glob("*.npz")):
        self._look(path, wanted)

  def _look(self, path: Path, wanted: Mapping[bytes, Sequence[int]]) -> None:
    listed = _peek_contents(path)
    if listed is None or listed.dtype != np.uint8 or listed.ndim != 2:
      return
    rows = [
      (row, content)
      for row, content in enumerate(map(bytes, listed))
      if content in wanted
    ]
    about = _peek_metadata(path) if rows else {}
    if about.get("of") != self._layout.key:
      return
    is_own = about.get("set") == set_key(self._layout.contents)
    for row, content in rows:
      for index in wanted[content]:
        # Of this very data set only the same place: which of two equal images
        # is embedded first may differ from run to run.
        if not is_own or about.get("first") == index - row:
          self._found.setdefault(index, (path.stem, row))

  def left(self, number: int) -> Int[np.ndarray, " left"]:
    """Lists the images of a shard that are not known."""
    indices = self._layout.span(number).tolist()
    contents = self._layout.contents
    return np.asarray(
      [each for each in indices if contents[each] and each not in self._found],
      np.int64,
    )

  def fill(self, shard: Shard) -> None:
    """Puts what is known into a shard, and forgets what is damaged."""
    for row, index in enumerate(shard.indices.tolist()):
      if index not in self._found:
        continue
      key, other = self._found[index]
      entry = self._entry(key)
      if entry is None or other >= len(entry.arrays["good"]):
        del self._found[index]
        continue
      for name, values in shard.arrays.items():
        values[row] = entry.arrays[name][other]
      if not entry.arrays["good"][other]:
        bad = dict(json.loads(entry.metadata["bad"]))
        first = int(entry.metadata["first"])
        shard.reasons[index] = bad.get(first + other, "unknown")

  def _entry(self, key: str) -> cache.Entry | None:
    if self._loaded[0] != key:
      listed = _peek_contents(self._folder / f"{key}.npz")
      rows = 0 if listed is None else len(listed)
      expected = expected_arrays(self._layout, rows)
      entry = cache.load_entry(self._folder, key, expected=expected)
      self._loaded = (key, entry)
    return self._loaded[1]


def known_images(folder: Path, layout: Layout) -> Bool[np.ndarray, " images"]:
  """Says which images need no tower: embedded, or not readable."""
  missing = np.flatnonzero(~stored_shards(folder, layout)).tolist()
  others = KnownImages(folder, layout, missing)
  known = np.ones((layout.total,), bool)
  for number in missing:
    known[others.left(number)] = False
  return known


def _peek_contents(path: Path) -> np.ndarray | None:
  return cache.peek(path, "contents", most=_MOST_ROWS * 32)


def _peek_metadata(path: Path) -> Mapping[str, Any]:
  header = cache.peek(path, "header", most=1 << 24)
  try:
    metadata = json.loads(str(header))["metadata"]
  except (ValueError, TypeError, KeyError):
    return {}
  return metadata if isinstance(metadata, dict) else {}
