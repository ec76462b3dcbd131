"""predictions.csv of a run, read back for comparisons on the same images."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from s3_jax.results.escaping import defuse_cell

__all__ = ["Answers", "read_answers"]

_HEAD = ("dataset", "file", "label")


class Answers(NamedTuple):
  """Which images of a test set each method got right.

  Attributes:
    images: (file, label) of each image, in the order of the run.
    correct: bool[images] by method.
  """

  images: tuple[tuple[str, str], ...]
  correct: dict[str, Bool[np.ndarray, " images"]]


def read_answers(path: Path, results: Mapping[str, Any]) -> dict[str, Answers]:
  """Reads a predictions.csv."""
  try:
    text = path.read_text("utf-8-sig")
  except FileNotFoundError:
    return {}
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(
      f"{str(path)!r} must be a readable CSV: {error}."
    ) from None
  # Line breaks alone end a line, and keep them: a quoted name may hold one.
  lines = csv.reader(io.StringIO(text, newline=""), strict=True)
  rows: dict[str, list[list[str]]] = {}
  head: list[str] = []
  try:
    head = next(lines, [])
    if tuple(head[:3]) != _HEAD:
      return {}
    for row in lines:
      if len(row) != len(head):
        raise ValueError(f"line {lines.line_num} has {len(row)} cells")
      rows.setdefault(row[0], []).append(row)
  except (csv.Error, ValueError) as error:
    raise ValueError(
      f"{str(path)!r} must have {len(head)} cells in each line: {error}."
    ) from None
  names = {defuse_cell(e["name"]): e["name"] for e in results["datasets"]}
  answers = {
    names.get(dataset, dataset): Answers(
      tuple((row[1], row[2]) for row in found),
      {
        method: np.array([row[index] == row[2] for row in found])
        for index, method in enumerate(head[3:], start=3)
      },
    )
    for dataset, found in rows.items()
  }
  _check(path, answers, results)
  return answers


def _check(
  path: Path, answers: Mapping[str, Answers], results: Mapping[str, Any]
) -> None:
  """Refuses predictions of another run than that of the results."""
  for entry in results["methods"]:
    dataset, method = entry["dataset"], entry["name"]
    found = answers.get(dataset)
    if found is None or method not in found.correct or "top1" not in entry:
      continue
    correct = found.correct[method]
    top1 = float(np.mean(correct))
    if correct.size != entry["n"] or abs(top1 - entry["top1"]) > 1e-9:
      raise ValueError(
        f"{str(path)!r} must belong to the results.json beside it, got"
        f" {top1:.4f} for {method!r} on {dataset!r} instead of"
        f" {entry['top1']:.4f}; remove the older of the two files."
      )
