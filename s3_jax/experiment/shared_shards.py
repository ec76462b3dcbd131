"""How processes share out a data set's shards, and put them together again."""

import pathlib

import numpy as np
from jaxtyping import Bool

from s3_jax import hosts
from s3_jax.storage.known_images import known_images
from s3_jax.storage.shards import Layout, Shard, stored_shards


def own_shards(folder: pathlib.Path, layout: Layout) -> list[int]:
  """Lists the shards that this process reads or makes."""
  stored = hosts.gather_flags(stored_shards(folder, layout))
  return np.flatnonzero(hosts.own_items(stored)).tolist()


def known_anywhere(
  folder: pathlib.Path, layout: Layout
) -> Bool[np.ndarray, " images"]:
  """Says which images need no tower, as some process has them in its cache."""
  known = hosts.gather_flags(known_images(folder, layout))
  return np.any(known, axis=0)


def gather_shards(part: Shard) -> list[Shard]:
  """Sends what this process has of a data set to all others."""
  sent = {"indices": part.indices, "labels": part.labels, **part.arrays}
  arrays = hosts.gather_arrays(sent)
  reasons = hosts.gather_json(sorted(part.reasons.items()))
  return [
    Shard(each.pop("indices"), each.pop("labels"), each, dict(why))
    for each, why in zip(arrays, reasons, strict=True)
  ]
