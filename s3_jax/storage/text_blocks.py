"""Embeddings of texts in the cache: each text once, in blocks as they are made.

A text is known by the sha256 of its token ids. A block holds texts that no
block had before it, in any order, so a run finds each text that another run has
embedded, whatever list it stood in there. A run that is killed leaves its
finished blocks; of a damaged one the texts are embedded again.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from s3_jax.storage import cache

__all__ = ["BLOCK_TEXTS", "TextBlocks"]

BLOCK_TEXTS = 1024
"""Texts that a block has at most."""

_MOST_BYTES = 1 << 24
"""Of a block's list of texts, whoever wrote it."""


class TextBlocks:
  """The blocks of one text tower, as they lie in the cache when it is made."""

  def __init__(self, folder: Path, key: str, *, dim: int):
    """Lists the texts of the blocks; `key` is of all but the token ids."""
    self._folder, self._key, self._dim = folder / key[:16], key, dim
    # content -> name of a block and row in it, not checked yet
    self._rows: dict[bytes, tuple[str, int]] = {}
    # In a fixed order: of two copies every run takes the same one.
    for path in sorted(self._folder.glob(f"{'[0-9a-f]' * 64}.npz")):
      contents = _peek_contents(path)
      if contents is None:
        self._load(path.stem)  # which says so
        continue
      for row, content in enumerate(contents):
        self._rows.setdefault(content, (path.stem, row))

  def __contains__(self, content: bytes) -> bool:
    return content in self._rows

  def read(
    self, contents: Sequence[bytes]
  ) -> tuple[Float32[np.ndarray, "texts dim"], Bool[np.ndarray, " texts"]]:
    """Reads texts, and says which were there; a damaged block has none."""
    embeddings = np.zeros((len(contents), self._dim), np.float32)
    found = np.zeros((len(contents),), bool)
    by_block: dict[str, list[tuple[int, int]]] = {}
    for index, content in enumerate(contents):
      if content in self._rows:
        name, row = self._rows[content]
        by_block.setdefault(name, []).append((index, row))
    for name, pairs in by_block.items():
      block = self._load(name)
      if block is not None:
        indices, rows = np.asarray(pairs).T
        embeddings[indices], found[indices] = block[rows], True
    return embeddings, found

  def store(
    self,
    contents: Sequence[bytes],
    embeddings: Float32[np.ndarray, "texts dim"],
  ) -> None:
    """Stores texts as a block of their own."""
    listed = np.frombuffer(b"".join(contents), np.uint8).reshape((-1, 32))
    cache.store(
      self._folder,
      self._name(listed),
      {"embeddings": embeddings, "contents": listed},
      {"kind": "texts", "of": self._key},
    )

  def _load(self, name: str) -> Float32[np.ndarray, "texts dim"] | None:
    expected: cache.Expected = {
      "embeddings": ((None, self._dim), "float32"),
      "contents": ((None, 32), "uint8"),
    }
    arrays = cache.load(self._folder, name, expected=expected)
    if arrays is not None and self._name(arrays["contents"]) == name:
      return arrays["embeddings"]
    # Else every run would find it and embed its texts again, for ever.
    with contextlib.suppress(OSError):
      (self._folder / f"{name}.npz").unlink()
    return None

  def _name(self, contents: np.ndarray) -> str:
    return cache.content_key(
      {"of": self._key, "contents": contents.tobytes().hex()}
    )


def _peek_contents(path: Path) -> list[bytes] | None:
  listed = cache.peek(path, "contents", most=_MOST_BYTES)
  if listed is None or listed.dtype != np.uint8 or listed.shape[1:] != (32,):
    return None
  data = listed.tobytes()
  return [data[start : start + 32] for start in range(0, len(data), 32)]
