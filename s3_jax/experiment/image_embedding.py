"""Embeddings of a data set's images that the cache lacks, batch by batch."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Int

from s3_jax import hosts
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.records import OpenedDataset, Records
from s3_jax.data.views import view_batches
from s3_jax.experiment.contents import Verified, known_contents
from s3_jax.experiment.run_log import time_some
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.sharding import share_batch
from s3_jax.storage.embedding_shards import Rows
from s3_jax.storage.shards import Layout

UNUSABLE = "its embedding is zero or not finite"
"""Why an image is bad that could be decoded."""


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


class Imaging(NamedTuple):
  """How images become embeddings.

  Attributes:
    tower: makes the image tower when it is first needed.
    preprocess: of a picture.
    rows: images, or views, that the tower takes at once.
    max_pixels: of an image file; larger ones are bad.
    devices: which share a batch.
    shortest: with which plain JPEGs are decoded smaller; 0 for their own size.
  """

  tower: Callable[[], Partial]
  preprocess: Callable[..., Any]
  rows: int
  max_pixels: int
  devices: jax.sharding.Mesh
  shortest: int = 0


class _Subset:
  """Some records of a data set, under their own numbers."""

  def __init__(self, records: Records, indices: Int[np.ndarray, " images"]):
    self._records = records
    self._indices = indices

  def __len__(self) -> int:
    return self._indices.size

  def __getitem__(self, index: int):
    return self._records[int(self._indices[index])]


class Lacking:
  """Embeds what the cache lacks of a data set: one view an image, or several.

  Attributes:
    layout: how the images lie in the cache.
    batch: images that go through the tower at once.
    reasons: index -> why that image is bad, noted as it is found.
    counts: "images_decoded" and "tower_batches" so far.
  """

  def __init__(
    self,
    imaging: Imaging,
    opened: OpenedDataset,
    layout: Layout,
    options: ViewOptions | None,
    numbers: Sequence[int],
  ):
    self.layout = layout
    self.reasons: dict[int, str] = {}
    self.counts = {"images_decoded": 0, "tower_batches": 0}
    self._imaging, self._options = imaging, options
    self._records = Verified(opened.records, known_contents(opened))
    self._own = layout.spans(numbers)
    # Made to time the tower, in the order in which they will be asked for.
    self._made: list[tuple[Int[np.ndarray, " images"], list[Rows]]] = []
    self._views = 1 if options is None else options.views
    # Whole images, whose views the devices can share equally.
    devices = imaging.devices.size
    step = devices // math.gcd(self._views, devices)
    self.batch = max(1, imaging.rows // self._views // step) * step

  def count_in(self, counts: dict[str, int]) -> None:
    """Counts into these counts from now on, and what has been done as well."""
    for name, number in self.counts.items():
      counts[name] = counts.get(name, 0) + number
    self.counts = counts

  def time(
    self, known: Bool[np.ndarray, " images"], clock: Callable[[], float]
  ) -> float | None:
    """Embeds a first batch or two, which are kept.

    Returns the seconds of an image or view; None where no more than a batch is
    lacking, which is done as soon as it is timed.
    """
    left = self._own[~known[self._own]]
    batches = np.unique(left // self.batch).tolist()
    if len(batches) < 2:
      return None

    units = self.batch * self._views

    def make(number: int) -> None:
      start = number * self.batch
      stop = min(start + self.batch, self.layout.total)
      asked = np.arange(start, stop)
      self._made.append((asked, list(self._embed(asked))))

    return time_some(
      ((functools.partial(make, number), units) for number in batches[:2]),
      clock,
    )

  def embed(self, indices: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    """Embeds images by their indices in the data set, batch by batch."""
    made, self._made = self._made, []
    with hosts.progress_bar(
      total=self._own.size,
      initial=max(self._own.size - indices.size, 0),
      desc=f"embed {self.layout.name}",
    ) as bar:
      for asked, pieces in made:
        if np.array_equal(indices[: asked.size], asked):
          yield from pieces
          bar.update(asked.size)
          indices = indices[asked.size :]
      for piece in self._embed(indices):
        bar.update(piece.indices.size)
        yield piece

  def _embed(self, indices: Int[np.ndarray, " images"]) -> Iterator[Rows]:
    found: dict[int, str] = {}
    passing: set[int] = set()
    flat = (
      {
        **batch,
        "image": share_batch(
          batch["image"].reshape((-1, *batch["image"].shape[-3:])),
          self._imaging.devices,
        ),
      }
      for batch in self._batches(indices, found, passing)
    )
    for piece in embed_batches(self._imaging.tower(), flat):
      for inner in piece.indices[~piece.good].tolist():
        self.reasons[int(indices[inner])] = found.get(inner, UNUSABLE)
      self.counts["images_decoded"] += piece.indices.size
      self.counts["tower_batches"] += 1
      yield piece._replace(
        indices=indices[piece.indices],
        embeddings=piece.embeddings.reshape((-1, *self.layout.shape)),
        final=~np.isin(piece.indices, sorted(passing)),
      )

  def _batches(
    self,
    indices: Int[np.ndarray, " images"],
    found: dict[int, str],
    passing: set[int],
  ) -> Iterator[dict[str, np.ndarray]]:
    records = _Subset(self._records, indices)
    common: Any = {
      "batch_size": self.batch,
      "max_pixels": self._imaging.max_pixels,
      "bad": found,
      "passing": passing,
    }
    if self._options is None:
      return padded_batches(
        records,
        self._imaging.preprocess,
        shortest=self._imaging.shortest,
        **common,
      )
    return view_batches(
      records,
      self._imaging.preprocess,
      count=self._options.views,
      augmix=self._options.augmix,
      seed=self._options.seed,
      numbers=indices,
      **common,
    )
