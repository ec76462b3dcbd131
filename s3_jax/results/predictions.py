"""Predictions on single images: the best classes, and the texts that decided.

A prediction has a score, which is the metric's cosine; a probability, which is
the softmax of exp(logit_scale) · score over the classes that were given; and
the text of the class's core that is nearest to the image. Checkpoints that were
trained with a sigmoid, as SigLIP was, get the same softmax: their bias is equal
for all classes and does not change it.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from s3_jax.embeddings import scale_logits
from s3_jax.messages import visible as show_name
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.renderers import csv_lines
from s3_jax.space import SynonymousSpace

_CSV_HEAD = (
  "file",
  "width",
  "height",
  "rank",
  "label",
  "class",
  "score",
  "probability",
  "nearest_text",
  "nearest_cosine",
  "problem",
)


class Ranking(NamedTuple):
  """The best classes of images, the best first.

  Attributes:
    labels: class indices; equal scores go to the lower index.
    scores: of the metric, larger = closer.
    probabilities: over all classes, also those that are not among the best.
    texts: which text of the class is nearest to the image, of those in its
      core; equal cosines go to the lower index.
    cosines: of that text and the image.
  """

  labels: Int[Array | np.ndarray, "images top"]
  scores: Float[Array | np.ndarray, "images top"]
  probabilities: Float[Array | np.ndarray, "images top"]
  texts: Int[Array | np.ndarray, "images top"]
  cosines: Float[Array | np.ndarray, "images top"]


class Candidate(NamedTuple):
  """One class for one image, as people read it.

  Attributes:
    label: class index.
    class_name: its name.
    score: of the metric.
    probability: over all classes.
    text: the text of the class that is nearest to the image.
    cosine: of that text and the image.
  """

  label: int
  class_name: str
  score: float
  probability: float
  text: str
  cosine: float


class ImageRow(NamedTuple):
  """What is said of one file.

  Attributes:
    file: its path.
    size: bytes; -1 where it could not be read.
    width: pixels as stored; 0 where unknown.
    height: likewise.
    candidates: the best classes, the best first; empty for a bad file.
    problem: why a bad file could not be used; empty for a good one.
  """

  file: str
  size: int
  width: int
  height: int
  candidates: tuple[Candidate, ...]
  problem: str


def rank_classes(
  score_fn: Callable[
    [Float[Array, "images dim"]], Float[Array, "images classes"]
  ],
  space: SynonymousSpace,
  embeddings: Float[Array | np.ndarray, "images dim"],
  *,
  logit_scale: float | int,
  top: int,
) -> Ranking:
  """Ranks the classes of every image, and finds the texts that decided.

  References:
    The softmax over classes is CLIP's (arXiv 2103.00020, section 3.1.2). For
    checkpoints trained with a sigmoid (arXiv 2303.15343) it is ours.
  """
  classes = space.mask.shape[0]
  if not 1 <= top <= classes:
    raise ValueError(f"`top` must be in 1..{classes}, got {top}.")
  score = score_fn if isinstance(score_fn, Partial) else Partial(score_fn)
  embeddings = jnp.asarray(embeddings, jnp.float32)
  scale = np.float32(logit_scale)
  return _rank(score, space.points, space.mask, embeddings, scale, top=top)


@functools.partial(jax.jit, static_argnames="top")
def _rank(score, points, mask, embeddings, logit_scale, *, top):
  scores = score(embeddings)
  probabilities = jax.nn.softmax(scale_logits(scores, logit_scale))
  best, labels = jax.lax.top_k(scores, top)

  def nearest(image):
    # One image at a time: the texts of `top` classes, never of a whole batch.
    embedding, chosen = image
    cosines = jnp.einsum(
      "csd,d->cs",
      points[chosen],
      embedding,
      precision=jax.lax.Precision.HIGHEST,
    )
    cosines = jnp.where(mask[chosen], cosines, -jnp.inf)
    return jnp.argmax(cosines, axis=1), jnp.max(cosines, axis=1)

  texts, cosines = jax.lax.map(nearest, (embeddings, labels))
  return Ranking(
    labels=labels,
    scores=best,
    probabilities=jnp.take_along_axis(probabilities, labels, axis=1),
    texts=texts.astype(jnp.int32),
    cosines=jnp.clip(cosines, -1.0, 1.0),
  )


def read_candidates(
  ranking: Ranking,
  row: int,
  names: Sequence[str],
  texts: Sequence[Sequence[str]],
) -> tuple[Candidate, ...]:
  """Puts words to the numbers of one image."""
  found = []
  for index in range(ranking.labels.shape[1]):
    label = int(ranking.labels[row, index])
    found.append(
      Candidate(
        label=label,
        class_name=names[label],
        score=float(ranking.scores[row, index]),
        probability=float(ranking.probabilities[row, index]),
        text=texts[label][int(ranking.texts[row, index])],
        cosine=float(ranking.cosines[row, index]),
      )
    )
  return tuple(found)


def write_json(
  path: Path,
  facts: Mapping[str, Any],
  classes: Iterable[Mapping[str, Any]],
  images: Iterable[ImageRow],
) -> None:
  """Writes a JSON file, one class or image a line, without holding them all."""
  head = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
  with open(path, "w", encoding="utf-8", newline="\n") as file:
    file.write(valid_unicode(head.removesuffix("\n}")))
    for key, records in (
      ("classes", classes),
      ("images", map(_record, images)),
    ):
      file.write(f',\n "{key}": [')
      for number, record in enumerate(records):
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        file.write(f"{',' if number else ''}\n  {line}")
      file.write("\n ]")
    file.write("\n}\n")


def write_csv(path: Path, rows: Iterable[ImageRow]) -> None:
  """Writes a CSV with one line for each of an image's best classes.

  A bad file has one line, without a class and with its problem.
  """
  with open(path, "w", encoding="utf-8", newline="\n") as file:
    file.write(csv_lines([_CSV_HEAD]))
    for row in rows:
      file.write(csv_lines(_csv_lines(row)))


def _csv_lines(row: ImageRow) -> list[list[Any]]:
  start = [show_name(row.file), row.width or "", row.height or ""]
  lines = [
    [
      *start,
      rank,
      candidate.label,
      show_name(candidate.class_name),
      _rounded(candidate.score),
      _rounded(candidate.probability),
      show_name(candidate.text),
      _rounded(candidate.cosine),
      "",
    ]
    for rank, candidate in enumerate(row.candidates, 1)
  ]
  return lines or [[*start, *[""] * 7, show_name(row.problem)]]


def _record(row: ImageRow) -> dict[str, Any]:
  record: dict[str, Any] = {
    "file": valid_unicode(row.file),
    "bytes": row.size,
    "width": row.width,
    "height": row.height,
  }
  record["predictions"] = [
    {
      "rank": rank,
      "label": candidate.label,
      "class": candidate.class_name,
      "score": _rounded(candidate.score),
      "probability": _rounded(candidate.probability),
      "nearest_text": candidate.text,
      "nearest_cosine": _rounded(candidate.cosine),
    }
    for rank, candidate in enumerate(row.candidates, 1)
  ]
  return record


def _rounded(value: float) -> float:
  """Keeps the digits that float32 has."""
  return float(f"{value:.6g}")
