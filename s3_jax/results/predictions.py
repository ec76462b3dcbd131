"""Predictions on single images as people read them, in JSON and CSV."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s3_jax.evaluation.predictions import Ranking
from s3_jax.messages import visible
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.renderers import csv_lines

__all__ = [
  "Candidate",
  "ImageRow",
  "NONE",
  "read_candidates",
  "write_csv",
  "write_json",
]

_OF_CANDIDATE = (
  "rank",
  "label",
  "class",
  "score",
  "probability",
  "nearest_text",
  "nearest_cosine",
)
_OF_REJECTION = ("answered", "names_above")
_CSV_HEAD = ("file", "width", "height", *_OF_CANDIDATE, "problem")

NONE = "none of these"
"""The answer where an image is near no class."""


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
    answered: False for "none of these"; None where a run refuses no image.
    names_above: unrelated names that are as near as the nearest text of the
      best class; None likewise.
  """

  file: str
  size: int
  width: int
  height: int
  candidates: tuple[Candidate, ...]
  problem: str
  answered: bool | None = None
  names_above: int | None = None


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


def write_csv(
  path: Path, rows: Iterable[ImageRow], *, rejects: bool = False
) -> None:
  """Writes a CSV with one line for each of an image's best classes.

  A bad file has one line, without a class and with its problem. Where a run
  `rejects` images, two more columns say which, and why.
  """
  head = (*_CSV_HEAD, *_OF_REJECTION) if rejects else _CSV_HEAD
  with open(path, "w", encoding="utf-8", newline="\n") as file:
    file.write(csv_lines([head]))
    for row in rows:
      lines = _csv_lines(row)
      if rejects:
        said = "" if row.problem else _YES_NO[bool(row.answered)]
        lines = [[*line, said, row.names_above] for line in lines]
      file.write(csv_lines(lines))


_YES_NO = {True: "yes", False: "no"}


def _csv_lines(row: ImageRow) -> list[list[Any]]:
  lines = [_values(*ranked) for ranked in enumerate(row.candidates, 1)]
  return [
    [
      visible(value) if isinstance(value, str) else value
      for value in (
        *(row.file, row.width or None, row.height or None),
        *(*line, row.problem),
      )
    ]
    for line in lines or [[None] * len(_OF_CANDIDATE)]
  ]


def _record(row: ImageRow) -> dict[str, Any]:
  return {
    "file": valid_unicode(row.file),
    "bytes": row.size,
    "width": row.width,
    "height": row.height,
    **(
      {}
      if row.answered is None
      else {"answered": row.answered, "names_above": row.names_above}
    ),
    "predictions": [
      dict(zip(_OF_CANDIDATE, _values(*ranked), strict=True))
      for ranked in enumerate(row.candidates, 1)
    ],
  }


def _values(rank: int, candidate: Candidate) -> list[Any]:
  """Returns what files say of a candidate, with the digits that float32 has."""
  values = [
    float(f"{value:.6g}") if isinstance(value, float) else value
    for value in candidate
  ]
  return [rank, *values]
