"""A checkpoint's towers over texts, images and views, and the cache of these.

All that is embedded goes through one object: each distinct text once, each
image once, with one view of it or many. What the cache has is read, what it
lacks is made and stored; several processes share it out.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int32

from s3_jax import hosts
from s3_jax.clip import Clip, embed_texts
from s3_jax.clip.towers import TOWERS_VERSION
from s3_jax.clip.zoo import identify
from s3_jax.data.datasets import DatasetSpec
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.records import OpenedDataset
from s3_jax.data.views import make_views
from s3_jax.experiment.canary import pixels_canary
from s3_jax.experiment.contents import know_images, known_contents
from s3_jax.experiment.image_embedding import (
  Imaging,
  Lacking,
  ViewOptions,
)
from s3_jax.experiment.settings import require_writable
from s3_jax.experiment.shared_shards import (
  gather_shards,
  known_anywhere,
  own_shards,
)
from s3_jax.experiment.text_embedding import (
  TEXT_ROWS,
  EmbeddedTexts,
  TextLookup,
  embed_or_read,
  look_up,
  time_texts,
)
from s3_jax.experiment.tower_batches import image_tower
from s3_jax.results.escaping import valid_unicode
from s3_jax.sharding import (
  gather_params,
  local_mesh,
  replicated,
  shard_params,
)
from s3_jax.storage import cache
from s3_jax.storage.embedding_shards import (
  SHARD_ROWS,
  fill_shards,
  read_shards,
)
from s3_jax.storage.known_images import known_images
from s3_jax.storage.shards import Layout, Shard, join_shards
from s3_jax.storage.text_blocks import TextBlocks

SPLIT_BYTES = 1 << 30
"""Float32 bytes from which on an image tower is stored in parts: ViT-L and
larger."""

VIEW_SHARD = 64
"""Images of a shard of views: 8 MB for 64 views of 512 numbers each."""

_OVERSAMPLING = 2
"""Pixels of a JPEG that is decoded smaller, for each that the resize makes."""

_DRAWING = 1
"""Raise it when `make_views` draws other views for the same seed."""


class EmbeddedImages(NamedTuple):
  """A test set as everything after the image tower sees it."""

  spec: DatasetSpec
  embeddings: Float32[np.ndarray, "images dim"]  # of the images that have one
  labels: Int32[np.ndarray, " images"]
  files: tuple[str, ...]  # of these images
  bad: tuple[tuple[str, str], ...]  # the other images: file and reason
  images_decoded: int  # 0 when the cache had them
  tower_batches: int


@dataclasses.dataclass(frozen=True, eq=False)
class Embedder:
  """A checkpoint, where to run it and where to keep what it gave."""

  clip: Clip
  dtype: str  # of the towers' matrix products
  batch_size: int
  mesh: int  # devices of this process that are used; 0 for all
  cache_dir: pathlib.Path
  max_pixels: int = MAX_PIXELS  # of an image file; larger ones are bad
  model_axis: int = 1  # devices that share the classes and large towers
  text_rows: int = TEXT_ROWS  # texts that the text tower takes at once
  decoding: str = "exact"  # "fast": whole images from smaller JPEGs
  # What was made to time the towers, until it is asked for.
  _texts: dict[bytes, jax.Array] = dataclasses.field(
    default_factory=dict, init=False
  )
  _images: dict[tuple[str, tuple[str, ...]], Lacking] = dataclasses.field(
    default_factory=dict, init=False
  )

  @property
  def folder(self) -> pathlib.Path:
    """Where embeddings are kept."""
    return self.cache_dir / "embeddings"

  @property
  def devices(self) -> jax.sharding.Mesh:
    """The mesh of this process."""
    return local_mesh(self.mesh, model=self.model_axis)

  @property
  def logit_scale(self) -> float:
    """As the checkpoint stores it: the natural logarithm of the factor."""
    return float(self.clip.params["logit_scale"])

  @property
  def rows(self) -> int:
    """Images of a batch: `batch_size`, rounded up to what devices can share."""
    devices = self.devices.size
    return -(-self.batch_size // devices) * devices

  @property
  def _is_fast(self) -> bool:
    return self.decoding == "fast"

  @property
  def identity(self) -> dict[str, Any]:
    """What an embedding depends on beside its input."""
    return {
      "weights": self.clip.sha256,
      "towers": TOWERS_VERSION,
      "spec": json.loads(json.dumps(identify(self.clip.spec))),
      "dtype": self.dtype,
    }

  @functools.cached_property
  def tower(self) -> Partial:
    """The image tower with its weights, on all devices of the mesh.

    Each device holds all weights, but where `model_axis` has several devices
    and the tower `SPLIT_BYTES` or more: these devices then hold parts, and each
    block is gathered as it is used. Images are over all devices either way, and
    the embeddings are the same to the last bit.
    """
    mesh, params = self.devices, {"image": self.clip.params["image"]}
    size = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
    gather = None
    if self.model_axis > 1 and size >= SPLIT_BYTES:
      params, gather = shard_params(params, mesh), gather_params(mesh)
    else:
      params = jax.device_put(params, replicated(mesh))
    return Partial(image_tower(self.clip.spec, self.dtype, gather), params)

  def look_up(self, texts: Sequence[str]) -> TextLookup:
    """Finds out which texts the cache has."""
    key = cache.content_key({**self.identity, "kind": "texts"})
    blocks = TextBlocks(self.folder, key, dim=self.clip.spec.embed_dim)
    return look_up(self.clip.tokenize, blocks, texts)

  def time_texts(
    self, found: TextLookup, clock: Callable[[], float]
  ) -> float | None:
    """Embeds a first batch or more, which `texts` takes; estimates the whole.

    Returns what this process will need for its share, in seconds of the clock;
    None where no more than a batch is lacking.
    """
    return hosts.raise_on_all(
      lambda: time_texts(
        found,
        self._text_tower,
        self.clip.spec,
        clock,
        self._texts,
        rows=self.text_rows,
      )
    )

  def _text_tower(
    self, token_ids: Int32[np.ndarray, "rows length"]
  ) -> jax.Array:
    clip, made = self.clip, self._texts.pop(token_ids.tobytes(), None)
    if made is not None:
      return made
    return embed_texts(clip.spec, clip.params, token_ids, dtype=self.dtype)

  def texts(self, texts: Sequence[str]) -> EmbeddedTexts:
    """Embeds texts, each distinct one once."""
    return embed_or_read(
      self.look_up(texts),
      self._text_tower,
      self.clip.spec,
      # Now, and not after the first block; every task with a cache gets here.
      prepare=lambda: require_writable(self.cache_dir, "config.cache_dir"),
      rows=self.text_rows,
    )

  def layout(
    self,
    spec: DatasetSpec,
    opened: OpenedDataset,
    options: ViewOptions | None = None,
  ) -> Layout:
    """Says how a test set's images, or their views, lie in the cache."""
    preprocess = self.clip.preprocess
    contents = known_contents(self._know(spec, opened))
    parts, ids = {}, contents.ids
    if options is not None:
      preprocess = functools.partial(
        make_views,
        preprocess=preprocess,
        count=3,
        augmix=options.augmix,
        seed=options.seed,
        index=1,
      )
      parts = {"views": {**options._asdict(), "drawing": _DRAWING}}
      # What is drawn depends on an image's number as well.
      ids = tuple(
        content and hashlib.sha256(f"{content} {number}".encode()).hexdigest()
        for number, content in enumerate(ids)
      )
    elif self._is_fast:
      # The canary cannot see it, and exact pixels keep the keys that they had.
      version = importlib.metadata.version("simplejpeg")
      parts = {"decoding": f"fast {_OVERSAMPLING}, simplejpeg {version}"}
    dim = self.clip.spec.embed_dim
    return Layout(
      key=cache.content_key(
        {
          **self.identity,
          "pixels": pixels_canary(preprocess),
          "max_pixels": self.max_pixels,
          **parts,
        }
      ),
      name=spec.name if options is None else f"{spec.name}, views",
      contents=ids,
      labels=np.asarray(contents.labels, np.int32),
      unread=contents.reasons,
      shape=(dim,) if options is None else (options.views, dim),
      rows=SHARD_ROWS if options is None else VIEW_SHARD,
    )

  def count_missing(self, layout: Layout) -> int:
    """Counts the images, or their views, that no process has in its cache."""
    known = known_anywhere(self.folder, layout)
    return math.prod(layout.shape[:-1]) * int(known.size - known.sum())

  def images(self, spec: DatasetSpec, opened: OpenedDataset) -> EmbeddedImages:
    """Embeds a test set's images; in the end all processes have all of them."""
    opened = self._know(spec, opened)
    layout = self.layout(spec, opened)
    numbers = own_shards(self.folder, layout)
    lacking = self._lacking(opened, layout, None, numbers)
    part = hosts.raise_on_all(
      lambda: fill_shards(
        self.folder,
        layout,
        lacking.embed,
        lacking.reasons,
        batch_size=lacking.batch,
        numbers=numbers,
        pace=hosts.with_barriers,
      )
    )
    whole = join_shards(layout, gather_shards(part))
    bad = tuple(
      (valid_unicode(opened.files[index]), reason)
      for index, reason in sorted(whole.reasons.items())
    )
    if not whole.good.any():
      raise ValueError(
        f"{spec.title} must hold an image that can be embedded, got {len(bad)}"
        f" bad ones; the first is {bad[0][0]}: {bad[0][1]}."
      )
    return EmbeddedImages(
      spec,
      whole.embeddings[whole.good],
      whole.labels[whole.good],
      tuple(
        valid_unicode(opened.files[index])
        for index in np.flatnonzero(whole.good).tolist()
      ),
      bad,
      **hosts.add_up(lacking.counts),
    )

  def views(
    self,
    spec: DatasetSpec,
    opened: OpenedDataset,
    options: ViewOptions,
    counts: dict[str, int],
  ) -> Iterator[Shard]:
    """Embeds the views of this process's share of the images.

    One shard is in memory at a time: fifty thousand images of 64 views would be
    6.5 GB.
    """
    opened = self._know(spec, opened)
    layout = self.layout(spec, opened, options)
    # Here, and not with the first shard: all processes meet for it.
    numbers = own_shards(self.folder, layout)
    lacking = self._lacking(opened, layout, options, numbers)
    lacking.count_in(counts)
    return read_shards(
      self.folder,
      layout,
      lacking.embed,
      lacking.reasons,
      batch_size=lacking.batch,
      numbers=numbers,
    )

  def time_images(
    self,
    spec: DatasetSpec,
    opened: OpenedDataset,
    options: ViewOptions | None,
    clock: Callable[[], float],
  ) -> float | None:
    """Embeds a first batch or two, which `images` or `views` will take.

    Returns the seconds of an image or view; None where this process lacks no
    more than a batch.
    """
    opened = self._know(spec, opened)
    layout = self.layout(spec, opened, options)
    numbers = own_shards(self.folder, layout)
    lacking = self._lacking(opened, layout, options, numbers)
    self._images[layout.key, layout.contents] = lacking
    known = known_images(self.folder, layout)
    return hosts.raise_on_all(lambda: lacking.time(known, clock))

  def _lacking(
    self,
    opened: OpenedDataset,
    layout: Layout,
    options: ViewOptions | None,
    numbers: Sequence[int],
  ) -> Lacking:
    made = self._images.pop((layout.key, layout.contents), None)
    if made is not None:
      return made
    imaging = Imaging(
      lambda: self.tower,
      self.clip.preprocess,
      self.rows,
      self.max_pixels,
      self.devices,
      _OVERSAMPLING * self.clip.spec.resize_size if self._is_fast else 0,
    )
    return Lacking(imaging, opened, layout, options, numbers)

  def _know(self, spec: DatasetSpec, opened: OpenedDataset) -> OpenedDataset:
    return know_images(self.cache_dir, opened, name=spec.title, labelled=True)
