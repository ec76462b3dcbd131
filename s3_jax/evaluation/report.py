"""Result files of a run: JSON for programs, Markdown for papers, CSV for both.

Fractions in [0, 1] in JSON and CSV, percent in tables. Every file appears
complete or not at all.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s3_jax.evaluation.schema import plain, validate_results
from s3_jax.evaluation.spreadsheet import format_csv
from s3_jax.evaluation.tables import format_markdown, format_table
from s3_jax.files import atomic_write

__all__ = [
  "ClassRow",
  "format_markdown",
  "format_table",
  "validate_results",
  "write_report",
]

_CSV_HEAD = (
  "dataset",
  "split",
  "method",
  "n",
  "top1",
  "ci95_low",
  "ci95_high",
  "top5",
  "mean_per_class",
  "ece",
  "baseline",
  "delta",
  "delta_ci95_low",
  "delta_ci95_high",
  "p_value",
)


class ClassRow(NamedTuple):
  """One class under one method on one test set: a row of per_class.csv.

  Attributes:
    dataset: name of the test set.
    method: key of the method.
    label: class index.
    class_name: what the class is called.
    n: images of the class.
    accuracy: share of them that is right; NaN without images (an empty cell).
  """

  dataset: str
  method: str
  label: int
  class_name: str
  n: int
  accuracy: float


def write_report(
  results: Mapping[str, Any],
  workdir: Path,
  *,
  baseline: str,
  per_class: Sequence[ClassRow],
) -> list[Path]:
  """Writes results.json, results.md, results.csv and per_class.csv.

  Everything is checked and formatted before the first file is written;
  results.json comes last, so that its presence means that all four are there.

  Args:
    results: the mapping of schema 1; numpy numbers and tuples are converted.
    workdir: the folder; made when missing.
    baseline: the method that tables compare the others with.
    per_class: rows of per_class.csv, in the order wanted.

  Returns:
    The paths, results.json last.

  Raises:
    ValueError: when the results break the schema, hold NaN, or lack the
      baseline.
    OSError: when the folder cannot be written.
  """
  validate_results(results)
  tree = plain(results)
  contents = {
    "results.md": format_markdown(tree, baseline=baseline),
    "results.csv": _results_csv(tree, baseline),
    "per_class.csv": _per_class_csv(per_class),
    "results.json": json.dumps(
      tree, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
    )
    + "\n",
  }
  paths = []
  for name, content in contents.items():
    atomic_write(workdir / name, content)
    paths.append(workdir / name)
  return paths


def _results_csv(results: Mapping[str, Any], baseline: str) -> str:
  splits = {entry["name"]: entry["split"] for entry in results["datasets"]}
  differences = {
    (entry["dataset"], entry["a"]): entry
    for entry in results["comparisons"]
    if entry["b"] == baseline
  }
  rows: list[Sequence[Any]] = []
  for entry in results["methods"]:
    dataset, name = entry["dataset"], entry["name"]
    measures = [entry[key] for key in ("top5", "mean_per_class", "ece")]
    row = [dataset, splits[dataset], name, entry["n"], entry["top1"]]
    row += [*entry["ci95"], *measures]
    pair = differences.get((dataset, name))
    if pair is None:
      row += [""] * 5
    else:
      row += [baseline, pair["delta"], *pair["ci95"], pair["p_value"]]
    rows.append(row)
  return format_csv(_CSV_HEAD, rows)


def _per_class_csv(per_class: Sequence[ClassRow]) -> str:
  rows = [
    [*row[:-1], "" if math.isnan(row.accuracy) else float(row.accuracy)]
    for row in per_class
  ]
  return format_csv(ClassRow._fields, rows)
