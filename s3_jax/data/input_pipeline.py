"""Records to padded batches, read by Grain in threads.

Padding happens at index level: every batch has the same shape, every example
occurs exactly once, and `mask` says which rows are real.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8


class PaddedSource:
  """A random-access source whose length is a multiple of the batch size."""

  def __init__(
    self,
    records: Sequence[Any],
    preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]],
    batch_size: int,
  ):
    self._records = records
    self._preprocess = preprocess
    self._steps = -(-len(records) // batch_size)
    self._batch_size = batch_size

  def __len__(self) -> int:
    return self._steps * self._batch_size

  def __getitem__(self, position: int) -> dict[str, Any]:
    from PIL import Image

    real = position < len(self._records)
    record = self._records[position if real else 0]
    with Image.open(io.BytesIO(record["image"])) as image:
      pixels = self._preprocess(image)
    return {
      "image": pixels,
      "label": np.int32(record["label"]),
      "mask": np.bool_(real),
      "index": np.int32(position if real else -1),
    }


def padded_batches(
  records: Sequence[Any],
  preprocess: Callable[[Any], UInt8[np.ndarray, "rows cols 3"]],
  *,
  batch_size: int,
  threads: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
  """Decodes and preprocesses records into batches of one shape, in order.

  Args:
    records: random-access `{"image": encoded bytes, "label": int}`.
    preprocess: PIL image -> uint8[rows, cols, 3], of one size for all.
    batch_size: rows of a batch; the last is padded.
    threads: that decode ahead.

  Yields:
    `image` u8[batch, rows, cols, 3], `label` i32[batch], `mask` bool[batch]
    (True = real) and `index` i32[batch], the record's place (-1 where padded).
  """
  import grain

  source: Any = PaddedSource(records, preprocess, batch_size)
  dataset = grain.MapDataset.source(source).batch(batch_size)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=8)
  yield from dataset.to_iter_dataset(options)
