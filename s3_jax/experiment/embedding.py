"""Embeddings of images, from the cache where it has them."""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int, Int32
from tqdm import tqdm

from s3_jax import hosts
from s3_jax.clip import Clip, ModelSpec, embed_images
from s3_jax.clip.towers import TOWERS_VERSION
from s3_jax.clip.zoo import identify
from s3_jax.data.datasets import DatasetSpec, open_dataset
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import Contents, OpenedDataset, Records
from s3_jax.experiment.canary import pixels_canary
from s3_jax.experiment.contents import Verified, know_images
from s3_jax.experiment.shared_shards import gather_shards, own_shards
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.results.escaping import valid_unicode
from s3_jax.sharding import (
  gather_params,
  local_mesh,
  replicated,
  shard_params,
  share_batch,
)
from s3_jax.storage import cache
from s3_jax.storage.embedding_shards import SHARD_ROWS, Rows, fill_shards
from s3_jax.storage.shards import Layout, join_shards

SPLIT_BYTES = 1 << 30
"""Float32 bytes from which on an image tower is stored in parts: ViT-L and
larger."""


class Embedder(NamedTuple):
  """A checkpoint, where to run it and where to keep what it gave."""

  clip: Clip
  dtype: str  # of the towers' matrix products
  batch_size: int
  mesh: int  # devices of this process that are used; 0 for all
  cache_dir: pathlib.Path
  max_pixels: int = MAX_PIXELS  # of an image file; larger ones are bad
  model_axis: int = 1  # devices that share the classes and large towers

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


class EmbeddedImages(NamedTuple):
  """A test set as everything after the image tower sees it."""

  spec: DatasetSpec
  embeddings: Float32[np.ndarray, "images dim"]  # of the images that have one
  labels: Int32[np.ndarray, " images"]
  files: tuple[str, ...]  # of these images
  bad: tuple[tuple[str, str], ...]  # the other images: file and reason
  images_decoded: int  # 0 when the cache had them
  tower_batches: int


def identity(embedder: Embedder) -> dict[str, Any]:
  """Lists what an embedding depends on beside its input."""
  spec = json.loads(json.dumps(identify(embedder.clip.spec)))
  return {
    "weights": embedder.clip.sha256,
    "towers": TOWERS_VERSION,
    "spec": spec,
    "dtype": embedder.dtype,
  }


class Chosen:
  """Some records of a data set, under their own numbers."""

  def __init__(self, records: Records, indices: Int[np.ndarray, " images"]):
    self._records = records
    self._places = indices

  def __len__(self) -> int:
    return self._places.size

  def __getitem__(self, index: int):
    return self._records[int(self._places[index])]


def find_test_set(
  cache_dir: pathlib.Path,
  spec: DatasetSpec,
  *,
  data_dir: pathlib.Path | None = None,
  layout: str = "auto",
) -> OpenedDataset:
  """Finds a test set, on disk or in the embedded world."""
  if spec.family == "embedded":
    return open_dataset(spec, cache_dir / "tfds")
  if data_dir is None:
    raise ValueError(
      f"`config.data_dir` must be the folder that holds {spec.title}, and is"
      " not set."
    )
  return open_dataset(spec, data_dir, layout=layout)


def know_contents(
  embedder: Embedder, spec: DatasetSpec, opened: OpenedDataset
) -> OpenedDataset:
  """Finds out what a test set's images are, where that is not known yet."""
  known = know_images(embedder.cache_dir, opened, name=spec.title)
  contents = known_contents(known)
  for index, label in enumerate(contents.labels):
    # Of others with the same bytes, embeddings may be stored already.
    if label < 0 and contents.ids[index]:
      raise ValueError(
        f"{spec.title}: image {index} must have a label >= 0, got {label}: it"
        " has none."
      )
  return known


def images_layout(
  embedder: Embedder, spec: DatasetSpec, opened: OpenedDataset
) -> Layout:
  """Says how a test set's embeddings lie in the cache."""
  key = cache.content_key(
    {
      **identity(embedder),
      "pixels": pixels_canary(embedder.clip.preprocess),
      "max_pixels": embedder.max_pixels,
    }
  )
  contents = known_contents(know_contents(embedder, spec, opened))
  return Layout(
    key=key,
    name=spec.name,
    contents=contents.ids,
    labels=np.asarray(contents.labels, np.int32),
    unread=contents.reasons,
    shape=(embedder.clip.spec.embed_dim,),
    rows=SHARD_ROWS,
  )


def known_contents(opened: OpenedDataset) -> Contents:
  """Returns the contents of a data set that has passed `know_contents`."""
  assert opened.contents is not None
  return opened.contents


def embed_test_set(
  embedder: Embedder, spec: DatasetSpec, opened: OpenedDataset
) -> EmbeddedImages:
  """Embeds a test set's images, or reads their embeddings from the cache.

  Several processes share out the shards, and in the end all have all of them.
  """
  opened = know_contents(embedder, spec, opened)
  layout = images_layout(embedder, spec, opened)
  records = Verified(opened.records, known_contents(opened))
  numbers = own_shards(embedder.folder, layout)
  own = sum(layout.span(number).size for number in numbers)
  reasons: dict[int, str] = {}
  counts = {"images": 0, "batches": 0}

  def embed(indices: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    found: dict[int, str] = {}
    passing: set[int] = set()
    stream = padded_batches(
      Chosen(records, indices),
      embedder.clip.preprocess,
      batch_size=embedder.rows,
      max_pixels=embedder.max_pixels,
      bad=found,
      passing=passing,
    )
    pieces = embed_batches(
      bound_tower(embedder), on_devices(stream, embedder.devices)
    )
    with progress_bar(f"embed {spec.name}", own, indices.size) as bar:
      for piece in pieces:
        moved = piece._replace(
          indices=indices[piece.indices],
          final=~np.isin(piece.indices, sorted(passing)),
        )
        for inner in piece.indices[~piece.good].tolist():
          reasons[int(indices[inner])] = found.get(inner, UNUSABLE)
        counts["images"] += moved.indices.size
        counts["batches"] += 1
        bar.update(moved.indices.size)
        yield moved

  part = hosts.raise_on_all(
    lambda: fill_shards(
      embedder.folder,
      layout,
      embed,
      reasons,
      batch_size=embedder.rows,
      numbers=numbers,
      pace=hosts.with_barriers,
    )
  )
  whole = join_shards(layout, gather_shards(part))
  counts = hosts.add_up(counts)
  bad = bad_files(opened, whole.reasons)
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
    counts["images"],
    counts["batches"],
  )


UNUSABLE = "its embedding is zero or not finite"
"""Why an image is bad that could be decoded."""


def bad_files(
  opened: OpenedDataset, reasons: dict[int, str]
) -> tuple[tuple[str, str], ...]:
  """Lists bad images as results do."""
  return tuple(
    (valid_unicode(opened.files[index]), reason)
    for index, reason in sorted(reasons.items())
  )


def on_devices(
  batches: Iterator[dict[str, Any]], mesh: jax.sharding.Mesh
) -> Iterator[dict[str, Any]]:
  """Shares the images of batches out over the devices."""
  for batch in batches:
    yield {**batch, "image": share_batch(batch["image"], mesh)}


def progress_bar(text: str, total: int, left: int) -> tqdm:
  """Makes a bar that counts images; none where the output is no terminal.

  Of several processes only the first has one.
  """
  return tqdm(
    total=total,
    initial=max(total - left, 0),
    desc=text,
    unit="image",
    leave=False,
    disable=None if hosts.is_first() else True,
  )


def bound_tower(embedder: Embedder) -> Partial:
  """Binds the image tower to its weights, on all devices of the mesh.

  Each device holds all weights, but where `model_axis` has several devices and
  the tower `SPLIT_BYTES` or more: these devices then hold parts, and each block
  is gathered as it is used. Images are over all devices either way, and the
  embeddings are the same to the last bit.
  """
  mesh, params = embedder.devices, {"image": embedder.clip.params["image"]}
  size = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
  gather = None
  if embedder.model_axis > 1 and size >= SPLIT_BYTES:
    params, gather = shard_params(params, mesh), gather_params(mesh)
  else:
    params = jax.device_put(params, replicated(mesh))
  spec, dtype = embedder.clip.spec, embedder.dtype
  return Partial(_image_tower(spec, dtype, gather), params)


@functools.cache
def _image_tower(
  spec: ModelSpec, dtype: str, gather: Callable[..., Any] | None
) -> Callable[..., Any]:
  """One function object a network, so that it compiles once."""

  def tower(params, images):
    return embed_images(spec, params, images, dtype=dtype, gather=gather)

  return tower
