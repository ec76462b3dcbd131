"""Records to padded batches, read by Grain in threads.

Padding happens at index level: every batch has the same shape, every example
occurs exactly once, and `mask` says which rows are real. An image that cannot
be used keeps its row and its label, is masked out, and is listed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from s3_jax.data.decoding import (
  MAX_PIXELS,
  BadImage,
  UnreadImage,
  decoded_image,
  decoding_threads,
)
from s3_jax.data.records import Records
from s3_jax.extras import require

_UNKNOWN = -1  # the label of padding, and of a record that cannot be read


class PaddedSource:
  """A random-access source whose length is a multiple of the batch size."""

  def __init__(
    self,
    records: Records,
    preprocess: Callable[..., UInt8[np.ndarray, "*views rows cols 3"]],
    batch_size: int,
    *,
    with_position: bool = False,
    max_pixels: int = MAX_PIXELS,
    shortest: int = 0,
  ):
    self._shortest = shortest
    self._records = records
    self._preprocess = preprocess
    self._with_position = with_position
    self._max_pixels = max_pixels
    self._length = -(-len(records) // batch_size) * batch_size

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index: int) -> dict[str, Any]:
    """Returns a row; without an image, `reason` says why, or it is padding."""
    if index >= len(self._records):
      return _row(None, _UNKNOWN, -1, "")
    label = _UNKNOWN
    try:
      record = self._records[index]
      label = int(record["label"])
    except (BadImage, OSError, MemoryError) as error:
      return _row(None, label, index, *why_bad(error))
    if label < 0:
      raise ValueError(
        f"image {index} must have a label >= 0, got {label}: it has none."
      )
    try:
      with decoded_image(
        record["image"],
        max_pixels=self._max_pixels,
        to_resize=True,
        shortest=self._shortest,
      ) as image:
        return _row(self.pixels(image, index), label, index, "")
    # BadImage, or what `preprocess` cannot take
    except (ValueError, MemoryError) as error:
      return _row(None, label, index, *why_bad(error))

  def pixels(
    self, image: Any, position: int
  ) -> UInt8[np.ndarray, "*views rows cols 3"]:
    """Preprocesses a picture."""
    if self._with_position:
      return self._preprocess(image, position)
    return self._preprocess(image)


def why_bad(error: Exception) -> tuple[str, bool]:
  """Says why an image cannot be used."""
  if isinstance(error, MemoryError):
    return "needs more memory than there is", True
  if isinstance(error, OSError):
    return f"cannot be read: {error.strerror or error}", True
  return str(error), isinstance(error, UnreadImage)


def _row(
  image: np.ndarray | None,
  label: int,
  index: int,
  reason: str,
  passing: bool = False,
) -> dict[str, Any]:
  return {
    "image": image,
    "label": np.int32(label),
    "mask": np.bool_(image is not None),
    "index": np.int32(index),
    "reason": reason,
    "passing": passing,
  }


def padded_batches(
  records: Records,
  preprocess: Callable[..., UInt8[np.ndarray, "*views rows cols 3"]],
  *,
  batch_size: int,
  with_position: bool = False,
  threads: int | None = None,
  max_pixels: int = MAX_PIXELS,
  shortest: int = 0,
  bad: dict[int, str] | None = None,
  passing: set[int] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Decodes and preprocesses records into batches of one shape, in order.

  A record that cannot be read, decoded or preprocessed has a black image, its
  own `index`, its label where that is known, and a false `mask`; its reason is
  in `bad` before its batch is yielded. No other record takes its place. With
  `shortest`, large JPEGs are decoded smaller: see `decoded_image`.
  """
  require("data", "grain", by="Reading the images of a data set")
  import grain

  threads = decoding_threads() if threads is None else threads
  if batch_size < 1:
    raise ValueError(f"`batch_size` must be >= 1, got {batch_size}.")
  if max_pixels < 1:
    raise ValueError(f"`max_pixels` must be >= 1, got {max_pixels}.")
  source: Any = PaddedSource(
    records,
    preprocess,
    batch_size,
    with_position=with_position,
    max_pixels=max_pixels,
    shortest=shortest,
  )
  # Threads work on single images, not on batches: closing waits for one image,
  # and a data set of one batch keeps every thread busy.
  options = grain.ReadOptions(
    num_threads=threads, prefetch_buffer_size=2 * batch_size + threads
  )
  rows = iter(grain.MapDataset.source(source).to_iter_dataset(options))
  black = None
  try:
    for _ in range(len(source) // batch_size):
      batch = [next(rows) for _ in range(batch_size)]
      _list_bad(batch, bad, passing)
      if black is None:
        black = np.zeros_like(_any_image(batch, source))
      for row in batch:
        row["image"] = black if row["image"] is None else row["image"]
      keys = ("image", "label", "mask", "index")
      yield {key: np.stack([row[key] for row in batch]) for key in keys}
  finally:
    rows.close()


def _list_bad(
  batch: list[dict[str, Any]],
  bad: dict[int, str] | None,
  passing: set[int] | None,
) -> None:
  for row in batch:
    if row["reason"] and bad is None:
      raise ValueError(
        f"image {row['index']} must be one that can be used: {row['reason']}."
      )
    if row["reason"] and bad is not None:
      bad[int(row["index"])] = row["reason"]
    if row["passing"] and passing is not None:
      passing.add(int(row["index"]))


def _any_image(batch: list[dict[str, Any]], source: PaddedSource) -> np.ndarray:
  """Returns an image of the size that all have."""
  for row in batch:
    if row["image"] is not None:
      return row["image"]
  return source.pixels(Image.new("RGB", (32, 32)), 0)
