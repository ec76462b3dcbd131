"""A checkpoint's towers over texts, images and views, and the cache of these.

All that is embedded goes through one object: each distinct text once, each
image once, with one view of it or many. What the cache has is read, what it
lacks is made and stored; several processes share it out.
"""

import dataclasses
import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int, Int32

from s3_jax import hosts
from s3_jax.clip import Clip, embed_texts
from s3_jax.clip.towers import TOWERS_VERSION
from s3_jax.clip.zoo import identify
from s3_jax.data.datasets import DatasetSpec
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import OpenedDataset, Records
from s3_jax.data.views import make_views, view_batches
from s3_jax.experiment.canary import pixels_canary
from s3_jax.experiment.contents import Verified, know_images, known_contents
from s3_jax.experiment.run_log import TimeLeft
from s3_jax.experiment.settings import require_writable
from s3_jax.experiment.shared_shards import (
  gather_shards,
  known_anywhere,
  own_shards,
)
from s3_jax.experiment.text_embedding import (
  EmbeddedTexts,
  TextLookup,
  embed_or_read,
  look_up,
)
from s3_jax.experiment.tower_batches import embed_batches, image_tower
from s3_jax.results.escaping import valid_unicode
from s3_jax.sharding import (
  gather_params,
  local_mesh,
  replicated,
  shard_params,
  share_batch,
)
from s3_jax.storage import cache
from s3_jax.storage.embedding_shards import (
  SHARD_ROWS,
  Rows,
  fill_shards,
  read_shards,
)
from s3_jax.storage.shards import Layout, Shard, join_shards
from s3_jax.storage.text_blocks import TextBlocks

SPLIT_BYTES = 1 << 30
"""Float32 bytes from which on an image tower is stored in parts: ViT-L and
larger."""

VIEW_SHARD = 64
"""Images of a shard of views: 8 MB for 64 views of 512 numbers each."""

UNUSABLE = "its embedding is zero or not finite"
"""Why an image is bad that could be decoded."""

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
  # "texts", "images", "views" -> who is told what has been done of them
  time_left: dict[str, TimeLeft] = dataclasses.field(default_factory=dict)

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

  def texts(self, texts: Sequence[str]) -> EmbeddedTexts:
    """Embeds texts, each distinct one once."""
    clip = self.clip
    return embed_or_read(
      self.look_up(texts),
      functools.partial(embed_texts, clip.spec, clip.params, dtype=self.dtype),
      clip.spec,
      # Now, and not after the first block; every task with a cache gets here.
      prepare=lambda: require_writable(self.cache_dir, "config.cache_dir"),
      time_left=self.time_left.get("texts"),
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
    counts = {"images_decoded": 0, "tower_batches": 0}
    lacking = _Lacking(self, opened, layout, None, counts, numbers)
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
      **hosts.add_up(counts),
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
    lacking = _Lacking(self, opened, layout, options, counts, numbers)
    return read_shards(
      self.folder,
      layout,
      lacking.embed,
      lacking.reasons,
      batch_size=lacking.batch,
      numbers=numbers,
    )

  def _know(self, spec: DatasetSpec, opened: OpenedDataset) -> OpenedDataset:
    return know_images(self.cache_dir, opened, name=spec.title, labelled=True)


class _Subset:
  """Some records of a data set, under their own numbers."""

  def __init__(self, records: Records, indices: Int[np.ndarray, " images"]):
    self._records = records
    self._indices = indices

  def __len__(self) -> int:
    return self._indices.size

  def __getitem__(self, index: int):
    return self._records[int(self._indices[index])]


class _Lacking:
  """Embeds what the cache lacks of a data set: one view an image, or several.

  Attributes:
    batch: images that go through the tower at once.
    reasons: index -> why that image is bad, noted as it is found.
  """

  def __init__(
    self,
    embedder: Embedder,
    opened: OpenedDataset,
    layout: Layout,
    options: ViewOptions | None,
    counts: dict[str, int],
    numbers: Sequence[int],
  ):
    self.reasons: dict[int, str] = {}
    self._embedder, self._layout, self._options = embedder, layout, options
    self._records = Verified(opened.records, known_contents(opened))
    self._counts = counts
    self._total = sum(layout.span(number).size for number in numbers)
    self._views = 1 if options is None else options.views
    # Whole images, whose views the devices can share equally.
    devices = embedder.devices.size
    step = devices // math.gcd(self._views, devices)
    self.batch = max(1, embedder.rows // self._views // step) * step

  def embed(self, indices: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    """Embeds images by their indices in the data set, batch by batch."""
    left = self._embedder.time_left.get(
      "images" if self._options is None else "views"
    )
    if left is not None:
      left.start()
    mesh = self._embedder.devices
    found: dict[int, str] = {}
    passing: set[int] = set()
    flat = (
      {
        **batch,
        "image": share_batch(
          batch["image"].reshape((-1, *batch["image"].shape[-3:])), mesh
        ),
      }
      for batch in self._batches(indices, found, passing)
    )
    with hosts.progress_bar(
      total=self._total,
      initial=max(self._total - indices.size, 0),
      desc=f"embed {self._layout.name}",
    ) as bar:
      for piece in embed_batches(self._embedder.tower, flat):
        for inner in piece.indices[~piece.good].tolist():
          self.reasons[int(indices[inner])] = found.get(inner, UNUSABLE)
        done = piece.indices.size
        self._counts["images_decoded"] += done
        self._counts["tower_batches"] += 1
        bar.update(done)
        if left is not None:
          left.done(done * self._views)
        yield piece._replace(
          indices=indices[piece.indices],
          embeddings=piece.embeddings.reshape((-1, *self._layout.shape)),
          final=~np.isin(piece.indices, sorted(passing)),
        )

  def _batches(
    self,
    indices: Int[np.ndarray, " images"],
    found: dict[int, str],
    passing: set[int],
  ) -> Iterator[dict[str, np.ndarray]]:
    records = _Subset(self._records, indices)
    preprocess = self._embedder.clip.preprocess
    common: Any = {
      "batch_size": self.batch,
      "max_pixels": self._embedder.max_pixels,
      "bad": found,
      "passing": passing,
    }
    if self._options is None:
      return padded_batches(records, preprocess, **common)
    return view_batches(
      records,
      preprocess,
      count=self._options.views,
      augmix=self._options.augmix,
      seed=self._options.seed,
      numbers=indices,
      **common,
    )
