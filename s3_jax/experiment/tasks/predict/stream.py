"""Files through the image tower, one batch after the other.

A file is read, decoded and made small once, a few batches ahead of the tower.
Only numbers stay of it, and its thumbnail where pages are wanted.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Float32, Int32, Int64

from s3_jax import hosts
from s3_jax.data.ahead import ahead
from s3_jax.data.decoding import decoding_threads
from s3_jax.data.loading import LoadedImage, load_image
from s3_jax.evaluation.predictions import Ranking, rank_classes
from s3_jax.evaluation.rejection import count_names_above
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.image_files import batch_images
from s3_jax.experiment.run_log import time_some
from s3_jax.experiment.tasks.predict.settings import Prediction
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.results.predictions import ImageRow, read_candidates
from s3_jax.sharding import share_batch
from s3_jax.space import SynonymousSpace
from s3_jax.storage.embedding_shards import Rows


class FilePredictions(NamedTuple):
  """What is known of every file.

  Attributes:
    files: paths.
    facts: of each file its bytes, and its picture's width and height.
    ranking: of the good files; zeros for the others.
    problems: place of a bad file -> why it is one.
    names: of the classes.
    texts: of the classes.
    above: unrelated names that are as near as the text that decided; zeros
      where none were given.
    answered: False for "none of these" and for bad files; None where no image
      is refused.
  """

  files: tuple[str, ...]
  facts: Int64[np.ndarray, "files 3"]
  ranking: Ranking
  problems: dict[int, str]
  names: tuple[str, ...]
  texts: tuple[tuple[str, ...], ...]
  above: Int32[np.ndarray, " files"]
  answered: Bool[np.ndarray, " files"] | None = None

  @property
  def good(self) -> Bool[np.ndarray, " files"]:
    """Which files could be used."""
    return ~np.isin(np.arange(len(self.files)), list(self.problems))

  def row(self, index: int) -> ImageRow:
    """Returns what is to be said of one file."""
    problem = self.problems.get(index, "")
    candidates = ()
    if not problem:
      candidates = read_candidates(self.ranking, index, self.names, self.texts)
    size, width, height = self.facts[index].tolist()
    row = ImageRow(self.files[index], size, width, height, candidates, problem)
    if self.answered is None or problem:
      return row
    return row._replace(
      answered=bool(self.answered[index]), names_above=int(self.above[index])
    )

  def rows(self) -> Iterator[ImageRow]:
    """Yields the row of every file, in order."""
    return map(self.row, range(len(self.files)))


class FileStream:
  """Files through the image tower, batch after batch, each once."""

  def __init__(
    self,
    files: tuple[str, ...],
    prediction: Prediction,
    embedder: Embedder,
    *,
    thumbnails: bool,
  ):
    self.files = files
    self._embedder = embedder
    self._load = functools.partial(
      load_image,
      preprocess=embedder.clip.preprocess,
      max_pixels=prediction.max_pixels,
      thumbnail=thumbnails,
      exif_orientation=prediction.exif_orientation,
    )
    self._waiting: dict[int, LoadedImage] = {}  # at most two batches
    self._made: list[Rows] = []  # to time the tower
    self._rows = embed_batches(embedder.tower, self._batches())

  def time(self, clock: Callable[[], float]) -> float | None:
    """Embeds a first batch or two, which are kept; estimates all files.

    None where one batch holds them all.
    """
    batch = self._embedder.rows
    if len(self.files) <= batch:
      return None

    def make() -> None:
      self._made.append(next(self._rows))

    return len(self.files) * time_some([(make, batch)] * 2, clock)

  def __iter__(self) -> Iterator[tuple[Rows, list[LoadedImage]]]:
    """Yields embedded batches, and what is known of their files."""
    for rows in itertools.chain(self._made, self._rows):
      yield rows, [self._waiting.pop(each) for each in rows.indices.tolist()]

  def _batches(self) -> Iterator[dict[str, Any]]:
    clip, batch_size = self._embedder.clip, self._embedder.rows
    images = ahead(
      self._load, self.files, threads=decoding_threads(), most=2 * batch_size
    )
    for batch, loaded in batch_images(
      images, batch_size=batch_size, size=clip.spec.crop_size
    ):
      for index, image in zip(batch["index"].tolist(), loaded, strict=False):
        self._waiting[index] = image._replace(pixels=None)
      pixels = share_batch(batch["image"], self._embedder.devices)
      yield {**batch, "image": pixels}


def look_at(
  stream: FileStream,
  prediction: Prediction,
  embedder: Embedder,
  space: SynonymousSpace,
  score: Partial,
  *,
  names: Float32[np.ndarray, "names dim"] | None,
  keep_thumbnail: Callable[[bytes], None] | None,
) -> FilePredictions:
  """Sends every file through the image tower and ranks its classes.

  Counts what comes near of the embeddings of unrelated `names`. Thumbnails are
  given away in the order of the files, empty ones for bad files.
  """
  files, batch_size = stream.files, embedder.rows
  top = min(prediction.top, len(prediction.classes.names))
  looked = _nothing_yet(files, prediction, top)
  # Once, and not with every batch.
  others = None if names is None else jnp.asarray(names)
  with hosts.progress_bar(total=len(files), desc="predict") as bar:
    for rows, images in stream:
      padded = np.zeros((batch_size, rows.embeddings.shape[1]), np.float32)
      padded[: len(rows.embeddings)] = rows.embeddings
      ranking = rank_classes(
        score,
        space,
        padded,
        logit_scale=embedder.logit_scale,
        top=top,
      )
      for kept, new in zip(looked.ranking, ranking, strict=True):
        kept[rows.indices] = np.asarray(new)[: len(rows.indices)]
      if others is not None:
        above = count_names_above(padded, ranking.cosines[:, 0], others)
        looked.above[rows.indices] = np.asarray(above)[: len(rows.indices)]
      for index, good, image in zip(
        rows.indices.tolist(), rows.good, images, strict=True
      ):
        looked.facts[index] = (image.size, image.width, image.height)
        if not good:
          looked.problems[index] = image.problem or "no finite embedding"
        if keep_thumbnail is not None:
          keep_thumbnail(image.thumbnail)
      bar.update(len(rows.indices))
  return looked


def _nothing_yet(
  files: tuple[str, ...], prediction: Prediction, top: int
) -> FilePredictions:
  shape = (len(files), top)
  ranking = Ranking(
    labels=np.zeros(shape, np.int32),
    scores=np.zeros(shape, np.float32),
    probabilities=np.zeros(shape, np.float32),
    texts=np.zeros(shape, np.int32),
    cosines=np.zeros(shape, np.float32),
  )
  classes = prediction.classes
  facts = np.zeros((len(files), 3), np.int64)
  above = np.zeros(len(files), np.int32)
  return FilePredictions(
    files, facts, ranking, {}, classes.names, classes.concepts, above
  )
