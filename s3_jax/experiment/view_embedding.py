"""Embeddings of many views an image, from the cache where it has them."""

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from s3_jax.data.datasets import DatasetSpec
from s3_jax.data.records import OpenedDataset
from s3_jax.data.views import make_views, view_batches
from s3_jax.experiment.canary import pixels_canary
from s3_jax.experiment.contents import Verified
from s3_jax.experiment.embedding import (
  UNUSABLE,
  Chosen,
  Embedder,
  bound_tower,
  identity,
  know_contents,
  known_contents,
  on_devices,
  progress_bar,
)
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.storage import cache
from s3_jax.storage.embedding_shards import Rows, read_shards
from s3_jax.storage.shards import Layout, Shard

VIEW_SHARD = 64
"""Images of a shard: 8 MB for 64 views of 512 numbers each."""

_DRAWING = 1
"""Raise it when `make_views` draws other views for the same seed."""


class ViewOptions(NamedTuple):
  """How the views of an image are made.

  Attributes:
    views: how many, the image itself the first.
    augmix: whether the others are mixed with altered copies of themselves.
    seed: of what is drawn.
  """

  views: int
  augmix: bool
  seed: int


def views_layout(
  embedder: Embedder,
  spec: DatasetSpec,
  opened: OpenedDataset,
  options: ViewOptions,
) -> Layout:
  """Says how the views of a data set lie in the cache."""
  key = cache.content_key(
    {
      **identity(embedder),
      "pixels": pixels_canary(
        functools.partial(
          make_views,
          preprocess=embedder.clip.preprocess,
          count=3,
          augmix=options.augmix,
          seed=options.seed,
          index=1,
        )
      ),
      "max_pixels": embedder.max_pixels,
      "views": {**options._asdict(), "drawing": _DRAWING},
    }
  )
  contents = known_contents(know_contents(embedder, spec, opened))
  return Layout(
    key=key,
    name=f"{spec.name}, views",
    # What is drawn depends on an image's number as well.
    contents=tuple(
      content and hashlib.sha256(f"{content} {number}".encode()).hexdigest()
      for number, content in enumerate(contents.ids)
    ),
    labels=np.asarray(contents.labels, np.int32),
    unread=contents.reasons,
    shape=(options.views, embedder.clip.spec.embed_dim),
    rows=VIEW_SHARD,
  )


def read_views(
  embedder: Embedder,
  spec: DatasetSpec,
  opened: OpenedDataset,
  options: ViewOptions,
  counters: dict[str, int],
  numbers: Sequence[int] | None = None,
) -> Iterator[Shard]:
  """Embeds the views of every image, or reads them from the cache.

  One shard is in memory at a time: fifty thousand images of 64 views would be
  6.5 GB.
  """
  opened = know_contents(embedder, spec, opened)
  layout = views_layout(embedder, spec, opened, options)
  records = Verified(opened.records, known_contents(opened))
  asked = range(layout.shards) if numbers is None else numbers
  own = sum(layout.span(number).size for number in asked)
  mesh = embedder.devices
  # Whole images, whose views the devices can share equally.
  step = mesh.size // math.gcd(options.views, mesh.size)
  images = max(1, embedder.rows // options.views // step) * step
  reasons: dict[int, str] = {}

  def embed(indices: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    found: dict[int, str] = {}
    passing: set[int] = set()
    stream = view_batches(
      Chosen(records, indices),
      embedder.clip.preprocess,
      count=options.views,
      augmix=options.augmix,
      seed=options.seed,
      batch_size=images,
      numbers=indices,
      max_pixels=embedder.max_pixels,
      bad=found,
      passing=passing,
    )
    flat = (_flatten(batch, options.views) for batch in stream)
    pieces = embed_batches(bound_tower(embedder), on_devices(flat, mesh))
    with progress_bar(f"views of {spec.name}", own, indices.size) as bar:
      for piece in pieces:
        whole = _gather(piece, options.views)
        for inner in whole.indices[~whole.good].tolist():
          reasons[int(indices[inner])] = found.get(inner, UNUSABLE)
        counters["images_decoded"] += whole.indices.size
        counters["tower_batches"] += 1
        bar.update(whole.indices.size)
        yield whole._replace(
          indices=indices[whole.indices],
          final=~np.isin(whole.indices, sorted(passing)),
        )

  yield from read_shards(
    embedder.folder,
    layout,
    embed,
    reasons,
    batch_size=images,
    numbers=asked,
  )


def _flatten(batch: dict[str, Any], count: int) -> dict[str, Any]:
  """Lays the views of a batch of images out as a batch of pictures."""
  shape = batch["image"].shape
  image = batch["image"].reshape((shape[0] * shape[1], *shape[2:]))
  rest = {
    key: np.repeat(batch[key], count) for key in ("label", "mask", "index")
  }
  return {"image": image, **rest}


def _gather(piece: Rows, count: int) -> Rows:
  """Puts the views of each image together again; one bad view spoils it."""
  dim = piece.embeddings.shape[-1]
  return Rows(
    indices=piece.indices[::count],
    embeddings=piece.embeddings.reshape((-1, count, dim)),
    good=np.all(piece.good.reshape((-1, count)), axis=-1),
  )
