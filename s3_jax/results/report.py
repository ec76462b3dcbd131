"""Result files of a run: JSON for programs, tables for papers, a page to read.

Fractions in [0, 1] in JSON and CSV, percent in tables. Every file appears
complete or not at all. docs/RESULT_FILES.md describes each of them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s3_jax.evaluation.diagnosis import Confusion
from s3_jax.files import atomic_write, safe_name
from s3_jax.results.class_tables import ClassRow
from s3_jax.results.diagnosis_plots import plot_confusion, plot_reliability
from s3_jax.results.page import Picture, render_report
from s3_jax.results.plots import plot_accuracy
from s3_jax.results.renderers import (
  LATEX_RULES,
  csv_lines,
  to_latex,
  to_markdown,
  to_text,
)
from s3_jax.results.results_index import differences_to, index_results
from s3_jax.results.run_tables import run_tables, summary_table
from s3_jax.results.schema import plain, validate_results
from s3_jax.results.sentences import about_figures, facts
from s3_jax.results.suite_table import suite_tables

__all__ = [
  "ClassRow",
  "Picture",
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
  "bootstrap_ci95_low",
  "bootstrap_ci95_high",
  "miou",
  "pixel_accuracy",
)
_CONFUSION_HEAD = ("dataset", "method", "label", "predicted", "count")


_SETS = 5
"""Test sets beside each other in the terminal."""


def format_table(results: Mapping[str, Any], *, baseline: str) -> str:
  """Formats what a run measured for the terminal.

  Rows are methods, columns test sets, then the mean over the test sets, the
  paired difference to the baseline on the first test set and the mean of that
  difference. Of more than five test sets there are several tables, the last of
  which has the mean and the differences. Tables of papers follow where the run
  has several of their sets.
  """
  index = index_results(results, baseline)
  table = summary_table(index)._replace(
    caption=about_figures(results, index), notes=tuple(facts(results, index))
  )
  tail = len(table.columns) - 1 - len(index.datasets)
  parts = [to_text(table, columns=_SETS, tail=tail)]
  if len(index.datasets) > 1:
    parts += [to_text(t._replace(notes=())) for t in suite_tables(results)]
  return "\n".join(parts)


def write_report(
  results: Mapping[str, Any],
  workdir: Path,
  *,
  baseline: str,
  per_class: Sequence[ClassRow],
  confusion: Sequence[Confusion] | None = None,
  pictures: Sequence[Picture] = (),
) -> list[Path]:
  """Writes all result files of a run.

  These are figures/accuracy.png, and a figure for each data set that has
  `reliability` and for each of `confusion`; results.md, results.tex,
  results.csv, per_class.csv, confusion.csv where `confusion` is given,
  report.html, and results.json. Everything is checked and formatted before the
  first file is written; results.json comes last, so that its presence means
  that all of them are there.
  """
  validate_results(results)
  tree = plain(results)
  confusion = list(confusion or ())
  _check_confusion(tree, confusion)
  tables = run_tables(tree, baseline)
  contents = {
    "results.md": "\n".join(map(to_markdown, tables)),
    "results.tex": LATEX_RULES + "\n".join(map(to_latex, tables)),
    "results.csv": _results_csv(tree, baseline),
    "per_class.csv": _per_class_csv(per_class),
  }
  if confusion:
    contents["confusion.csv"] = _confusion_csv(confusion)
  text = json.dumps(
    tree, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
  )
  drawn = _draw(tree, workdir / "figures", baseline, confusion)
  contents["report.html"] = render_report(
    tree,
    baseline=baseline,
    per_class=per_class,
    pictures=[*drawn, *pictures],
  )
  contents["results.json"] = text + "\n"
  paths = [picture.path for picture in drawn]
  for name, content in contents.items():
    atomic_write(workdir / name, content)
    paths.append(workdir / name)
  return paths


def _check_confusion(
  results: Mapping[str, Any], confusion: Sequence[Confusion]
) -> None:
  measured = {(e["dataset"], e["name"]) for e in results["methods"]}
  for entry in confusion:
    if (entry.dataset, entry.method) not in measured:
      raise ValueError(
        "`confusion` must belong to measured data sets and methods, got "
        f"{entry.method!r} on {entry.dataset!r}."
      )


def _draw(
  results: Mapping[str, Any],
  folder: Path,
  baseline: str,
  confusion: Sequence[Confusion],
) -> list[Picture]:
  """Draws what the results and the confusions show."""
  drawn = [
    Picture("accuracy", "The methods on each test set", folder / "accuracy.png")
  ]
  plot_accuracy(results, drawn[0].path, baseline=baseline)
  indices = {e["name"]: i for i, e in enumerate(results["datasets"])}
  methods = list(dict.fromkeys(e["name"] for e in results["methods"]))
  by_dataset: dict[str, list[Mapping[str, Any]]] = {}
  for row in results.get("reliability", ()):
    by_dataset.setdefault(row["dataset"], []).append(row)
  for name, rows in by_dataset.items():
    path = folder / f"reliability-{safe_name(indices[name], name)}.png"
    plot_reliability(rows, path, title=name)
    caption = f"Reliability of confidences on {name}"
    drawn.append(Picture("reliability", caption, path))
  for entry in confusion:
    dataset = safe_name(indices[entry.dataset], entry.dataset)
    method = safe_name(methods.index(entry.method), entry.method)
    path = folder / f"confusion-{dataset}-{method}.png"
    plot_confusion(entry, path)
    caption = f"Confusions of {entry.method} on {entry.dataset}"
    drawn.append(Picture("confusion", caption, path))
  return drawn


def _results_csv(results: Mapping[str, Any], baseline: str) -> str:
  splits = {entry["name"]: entry["split"] for entry in results["datasets"]}
  differences = differences_to(results, baseline)
  rows: list[Sequence[Any]] = []
  for entry in results["methods"]:
    dataset, name = entry["dataset"], entry["name"]
    row = [dataset, splits[dataset], name, entry["n"], entry.get("top1", "")]
    row += entry["ci95"]
    row += [entry.get(key, "") for key in ("top5", "mean_per_class", "ece")]
    pair = differences.get((dataset, name))
    if pair is None:
      row += [""] * 5
    else:
      row += [baseline, pair["delta"], *pair["ci95"], pair["p_value"]]
    row += entry.get("bootstrap_ci95", ["", ""])
    row += [entry.get(key, "") for key in ("miou", "pixel_accuracy")]
    rows.append(row)
  return csv_lines([_CSV_HEAD, *rows])


def _per_class_csv(per_class: Sequence[ClassRow]) -> str:
  rows = [
    [*row[:-1], "" if math.isnan(row.accuracy) else float(row.accuracy)]
    for row in per_class
  ]
  return csv_lines([ClassRow._fields, *rows])


def _confusion_csv(confusion: Sequence[Confusion]) -> str:
  rows = []
  for entry in confusion:
    labels, predicted = np.nonzero(entry.counts)
    counts = entry.counts[labels, predicted]
    rows += [
      [entry.dataset, entry.method, int(i), int(j), int(count)]
      for i, j, count in zip(labels, predicted, counts, strict=True)
    ]
  return csv_lines([_CONFUSION_HEAD, *rows])
