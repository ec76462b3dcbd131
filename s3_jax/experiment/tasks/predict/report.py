"""What a run of predictions says of itself, in JSON and on the terminal."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from s3_jax.clip import Clip
from s3_jax.experiment.checkpoint import describe_model
from s3_jax.experiment.image_files import FoundImages
from s3_jax.experiment.tasks.predict.stream import FilePredictions
from s3_jax.lexicon.given_classes import ClassList
from s3_jax.messages import visible
from s3_jax.results.document import Column, Table, percent
from s3_jax.results.drawing import shorten
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.predictions import NONE
from s3_jax.results.renderers import align
from s3_jax.space import SynonymousSpace

SCHEMA = 1
SHOWN = 20
"""Images, and bad files, that the terminal lists."""

_SOFTMAX = "softmax of exp(logit_scale) x score over the given classes"
_SIGMOID = (
  "; this checkpoint was trained with a sigmoid, whose bias is the same for all"
  " classes and changes nothing here"
)


def collect_facts(
  head: dict[str, Any],
  clip: Clip,
  found: FoundImages,
  looked: FilePredictions,
) -> dict[str, Any]:
  """Collects what predictions.json says of model, settings and files."""
  bad = sorted(looked.problems)
  return {
    "schema": SCHEMA,
    "kind": "predictions",
    **head,
    "model": describe_model(clip),
    "logit_scale": float(clip.params["logit_scale"]),
    "probability": _SOFTMAX + (_SIGMOID if "logit_bias" in clip.params else ""),
    "files": {
      "found": len(looked.files),
      "good": len(looked.files) - len(bad),
      "bad": len(bad),
      "hidden": list(map(valid_unicode, found.hidden)),
      "other": list(map(valid_unicode, found.other)),
      "links": list(map(valid_unicode, found.links)),
      "closed": [
        {"folder": valid_unicode(path), "reason": reason}
        for path, reason in found.closed
      ],
    },
    "bad_files": [
      {
        "file": valid_unicode(looked.files[index]),
        "reason": valid_unicode(looked.problems[index]),
      }
      for index in bad
    ],
  }


def class_records(
  classes: ClassList, space: SynonymousSpace
) -> Iterator[dict[str, Any]]:
  """Lists the classes with the texts in and outside their cores."""
  core = np.asarray(space.mask)
  for label, texts in enumerate(classes.concepts):
    kept = core[label, : len(texts)].tolist()
    yield {
      "label": label,
      "name": classes.names[label],
      "core": [text for text, is_in in zip(texts, kept, strict=True) if is_in],
      "left_out": [
        text for text, is_in in zip(texts, kept, strict=True) if not is_in
      ],
    }


_COLUMNS = (
  Column("file", words=True),
  Column("class", words=True),
  Column("score", "{:.3f}".format),
  Column("prob.", lambda share: f"{percent(share)} %"),
  Column("nearest text", words=True),
  Column("cosine", "{:.3f}".format),
)


def format_table(looked: FilePredictions) -> str:
  """Shows the first images, one a line."""
  rows = []
  for index in range(min(SHOWN, len(looked.files))):
    row = looked.row(index)
    name = visible(row.file)
    name = name if len(name) <= 44 else f"…{name[-43:]}"
    if row.problem:
      rows.append((name, "bad: see below", "", "", "", ""))
      continue
    best = row.candidates[0]
    said = (
      (NONE, "", "")
      if row.answered is False
      else (shorten(visible(best.class_name), 28), best.score, best.probability)
    )
    rows.append(
      (
        name,
        *said,
        shorten(visible(best.text), 28),
        best.cosine,
      )
    )
  lines = align(Table(_COLUMNS, rows))
  if len(looked.files) > SHOWN:
    lines.append(f"... and {len(looked.files) - SHOWN:,} more in the files")
  return "\n".join(lines)


def format_counts(
  found: FoundImages,
  looked: FilePredictions,
  pages: Sequence[str],
  folder: pathlib.Path,
) -> str:
  """Says how many files were what, which are bad, and where the results are."""
  bad = sorted(looked.problems)
  counts = [
    f"{what}: {len(paths):,}"
    for paths, what in (
      (bad, "bad"),
      (found.hidden, "hidden, not looked at"),
      (found.other, "no images"),
      (found.links, "links to folders, not followed"),
      (found.closed, "folders that cannot be read"),
    )
    if paths
  ]
  good = f"{len(looked.files) - len(bad):,} of {len(looked.files):,} files good"
  lines = ["; ".join([good, *counts]) + "."]
  if looked.answered is not None and looked.good.any():
    answered, of = int(looked.answered.sum()), int(looked.good.sum())
    lines.append(
      f"Answered: {answered:,} of {of:,} images (coverage"
      f" {percent(answered / of)} %); {NONE}: {of - answered:,}."
    )
  lines += [
    f"bad: {visible(looked.files[index])}: {visible(looked.problems[index])}"
    for index in bad[:SHOWN]
  ]
  if len(bad) > SHOWN:
    lines.append(f"... and {len(bad) - SHOWN:,} more bad ones in the files")
  files = ["predictions.json", "predictions.csv", *pages[:1]]
  more = f" and {len(pages) - 1} more pages" if len(pages) > 1 else ""
  lines.append(f"{', '.join(files)}{more}: {visible(str(folder))}")
  return "\n".join(lines)


def check_good(
  looked: FilePredictions, folder: pathlib.Path, *, strict: bool
) -> None:
  """Refuses a run without a good image, under `strict` one with a bad one."""
  bad, total = len(looked.problems), len(looked.files)
  if not bad or (bad < total and not strict):
    return
  rule = "`config.images` must hold an image that can be used"
  if strict:
    rule = "`config.strict` allows no bad file"
  first = min(looked.problems)
  raise ValueError(
    f"{rule}, got {bad:,} bad of {total:,}, the first is"
    f" {visible(looked.files[first])} ({visible(looked.problems[first])});"
    f" they are listed in {visible(str(folder / 'predictions.json'))}."
  )
