"""How long the towers will take for what the cache lacks."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from s3_jax import hosts
from s3_jax.clip import embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.experiment.embedding import Embedder, bound_tower
from s3_jax.experiment.shared_shards import known_anywhere
from s3_jax.experiment.text_embedding import TEXT_ROWS, missing_chunks
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.sharding import share_batch
from s3_jax.storage.shards import Layout


class Estimate(NamedTuple):
  """What is left to embed, and how long that will take.

  Attributes:
    texts: how many.
    images: how many.
    seconds: of both towers; decoding comes on top where it is slower.
  """

  texts: int
  images: int
  seconds: float


def estimate(
  embedder: Embedder,
  prompts: Sequence[Sequence[str]],
  layouts: Sequence[Layout],
) -> Estimate:
  """Counts what the cache lacks, and times both towers on some of it."""
  texts, sample = 0, None
  for of_method in prompts:
    for token_ids in missing_chunks(embedder, of_method):
      texts += len(token_ids)
      sample = token_ids
  images = 0
  for layout in layouts:
    views = layout.shape[0] if len(layout.shape) > 1 else 1
    known = known_anywhere(embedder.folder, layout)
    images += views * int(known.size - known.sum())
  seconds = 0.0
  if sample is not None:
    rows = min(TEXT_ROWS, _FEW_TEXTS) if _is_slow() else TEXT_ROWS
    seconds += _text_seconds(embedder, sample, rows) * texts / rows
  if images:
    devices = embedder.devices.size
    rows = min(embedder.rows, _FEW_IMAGES * devices)
    rows = rows if _is_slow() else embedder.rows
    seconds += _image_seconds(embedder, rows) * images / rows
  # Processes share out both.
  return Estimate(texts, images, seconds / hosts.count())


# A processor takes seconds for a batch, and as long for each image of a small
# one; an accelerator takes milliseconds, but less for each image of a full one.
_FEW_IMAGES = 2
_FEW_TEXTS = 32


def _is_slow() -> bool:
  return jax.default_backend() == "cpu"


def _text_seconds(embedder: Embedder, sample: np.ndarray, rows: int) -> float:
  """Times texts as long as the sample's."""
  clip = embedder.clip
  token_ids = np.resize(sample, (rows, sample.shape[1]))
  tower = functools.partial(
    embed_texts, clip.spec, clip.params, dtype=embedder.dtype
  )
  return _second_run(
    lambda: embed_in_buckets(tower, clip.spec, token_ids, rows=rows)
  )


def _image_seconds(embedder: Embedder, rows: int) -> float:
  """Times black images."""
  size = embedder.clip.spec.image_size
  black = np.zeros((rows, size, size, 3), np.uint8)
  batch = {
    "image": share_batch(black, embedder.devices),
    "label": np.zeros((rows,), np.int32),
    "mask": np.ones((rows,), bool),
    "index": np.arange(rows),
  }
  tower = bound_tower(embedder)
  return _second_run(lambda: list(embed_batches(tower, [batch])))


def _second_run(run: Callable[[], Any]) -> float:
  """Times a function's second run; the first one compiles."""
  run()
  start = time.perf_counter()
  run()
  return time.perf_counter() - start
