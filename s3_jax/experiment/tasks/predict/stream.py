"""Files through the image tower, one batch after the other.

A file is read, decoded and made small once, a few batches ahead of the tower.
Only numbers stay of it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Int64

from s3_jax import hosts
from s3_jax.data.ahead import ahead
from s3_jax.data.decoding import decoding_threads
from s3_jax.data.loading import LoadedImage, load_image
from s3_jax.evaluation.predictions import Ranking, rank_classes
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.image_files import batch_images
from s3_jax.experiment.tasks.predict.settings import Prediction
from s3_jax.experiment.tower_batches import embed_batches
from s3_jax.results.contact_sheet import Card
from s3_jax.results.predictions import ImageRow, read_candidates
from s3_jax.sharding import share_batch
from s3_jax.space import SynonymousSpace


class FilePredictions(NamedTuple):
  """What is known of every file.

  Attributes:
    files: paths.
    facts: of each file its bytes, and its picture's width and height.
    ranking: of the good files; zeros for the others.
    problems: place of a bad file -> why it is one.
    names: of the classes.
    texts: of the classes.
  """

  files: tuple[str, ...]
  facts: Int64[np.ndarray, "files 3"]
  ranking: Ranking
  problems: dict[int, str]
  names: tuple[str, ...]
  texts: tuple[tuple[str, ...], ...]

  def row(self, index: int) -> ImageRow:
    """Returns what is to be said of one file."""
    problem = self.problems.get(index, "")
    candidates = ()
    if not problem:
      candidates = read_candidates(self.ranking, index, self.names, self.texts)
    size, width, height = self.facts[index].tolist()
    return ImageRow(self.files[index], size, width, height, candidates, problem)

  def rows(self) -> Iterator[ImageRow]:
    """Yields the row of every file, in order."""
    return map(self.row, range(len(self.files)))


def look_at(
  files: tuple[str, ...],
  prediction: Prediction,
  embedder: Embedder,
  space: SynonymousSpace,
  score: Partial,
  *,
  use_card: Callable[[Card], None] | None,
) -> FilePredictions:
  """Sends every file through the image tower and ranks its classes."""
  clip, batch_size = embedder.clip, embedder.rows
  load = functools.partial(
    load_image,
    preprocess=clip.preprocess,
    max_pixels=prediction.max_pixels,
    thumbnail=use_card is not None,
    exif_orientation=prediction.exif_orientation,
  )
  waiting: dict[int, LoadedImage] = {}  # at most two batches

  def batches() -> Iterator[dict[str, Any]]:
    images = ahead(load, files, threads=decoding_threads(), most=2 * batch_size)
    for batch, loaded in batch_images(
      images, batch_size=batch_size, size=clip.spec.crop_size
    ):
      for index, image in zip(batch["index"].tolist(), loaded, strict=False):
        waiting[index] = image._replace(pixels=None)
      pixels = share_batch(batch["image"], embedder.devices)
      yield {**batch, "image": pixels}

  top = min(prediction.top, len(prediction.classes.names))
  looked = _nothing_yet(files, prediction, top)
  with hosts.progress_bar(total=len(files), desc="predict") as bar:
    for rows in embed_batches(embedder.tower, batches()):
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
      for index, good in zip(rows.indices.tolist(), rows.good, strict=True):
        image = waiting.pop(index)
        looked.facts[index] = (image.size, image.width, image.height)
        if not good:
          looked.problems[index] = image.problem or "no finite embedding"
        if use_card is not None:
          use_card(Card(looked.row(index), image.thumbnail))
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
  return FilePredictions(
    files, facts, ranking, {}, classes.names, classes.texts
  )
