"""Examples shared out over the files that our TFDS builders write."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

SHARD = 512  # images in a file: TFDS holds that many in memory


def shard_iterators(
  name: str,
  total: int,
  examples: Callable[[range, tqdm], Iterator[tuple[int, dict[str, Any]]]],
) -> list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]:
  """Shares a data set's examples out over shards, under one progress bar."""
  bar = tqdm(
    total=total,
    desc=f"prepare {name}",
    unit="image",
    leave=False,
    disable=None,
  )
  shards = [
    range(start, min(start + SHARD, total)) for start in range(0, total, SHARD)
  ]
  return [functools.partial(examples, shard, bar) for shard in shards]
