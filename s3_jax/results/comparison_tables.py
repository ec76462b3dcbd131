"""The tables of a comparison of runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.results.comparison import Change, RunComparison
from s3_jax.results.document import Column, Percent, Points, Table
from s3_jax.results.drawing import shorten
from s3_jax.results.renderers import (
  LATEX_RULES,
  to_csv,
  to_latex,
  to_markdown,
  to_text,
)
from s3_jax.results.results_index import headline, partial_sets
from s3_jax.results.sentences import partial_sentence
from s3_jax.results.templating import render

__all__ = [
  "comparison_csv",
  "comparison_latex",
  "comparison_markdown",
  "comparison_page",
  "comparison_text",
]

_SETS = 3
"""Test sets beside each other in the terminal."""

_ABOUT = (
  "{measure} in %, ± half of its 95 % interval; below it the difference to "
  "{first}, in points, with its 95 % interval."
)
_PAIRED = (
  "With a p-value: on the same images (paired bootstrap, exact McNemar)."
)
_UNPAIRED = (
  "Without a p-value: single images are not known or not the same, and the "
  "interval is Newcombe's for independent runs, too wide if the images agree."
)
_CSV_HEAD = (
  "dataset",
  "method",
  "run",
  "n",
  "measure",
  "value",
  "ci95_low",
  "ci95_high",
  "first_run",
  "delta",
  "delta_ci95_low",
  "delta_ci95_high",
  "p_value",
)


def comparison_text(comparison: RunComparison) -> str:
  """Formats a comparison as aligned plain text."""
  table = _table(comparison)
  tail = len(table.columns) - 1 - len(_datasets(comparison))
  table = table._replace(notes=_differing(comparison))
  return to_text(table, columns=_SETS, tail=tail)


def comparison_markdown(comparison: RunComparison) -> str:
  """Formats a comparison as Markdown."""
  text = to_markdown(_table(comparison)._replace(title="Comparison"))
  if comparison.differing:
    other = _differing_table(comparison)
    other = other._replace(caption=("What differs beside the results:",))
    text += f"\n{to_markdown(other)}"
  return text


def comparison_page(comparison: RunComparison) -> str:
  """Formats a comparison as one HTML page."""
  differing = _differing_table(comparison) if comparison.differing else None
  context = {"table": _table(comparison), "differing": differing}
  return render("comparison.html", context)


def _differing_table(comparison: RunComparison) -> Table:
  titles = ("", *(run.label for run in comparison.runs))
  return Table(
    [Column(title, words=True) for title in titles],
    [[name, *values] for name, values in comparison.differing],
  )


def comparison_latex(comparison: RunComparison) -> str:
  """Formats a comparison as a `tabular` of LaTeX."""
  table = _table(comparison)._replace(notes=_differing(comparison))
  return LATEX_RULES + to_latex(table)


def _differing(comparison: RunComparison) -> list[str]:
  return [
    f"{name}: {' | '.join(shorten(value, 100) for value in values)}"
    for name, values in comparison.differing
  ]


def comparison_csv(comparison: RunComparison) -> str:
  """Formats a comparison as CSV: a row per data set, method and run."""
  first = comparison.runs[0].label
  rows = []
  for run in comparison.runs:
    for entry in run.results["methods"]:
      dataset, method = entry["dataset"], entry["name"]
      measure = "miou" if "miou" in entry else "top1"
      row = [dataset, method, run.label, entry["n"], measure, entry[measure]]
      row += entry["ci95"]
      change = comparison.changes.get((dataset, method, run.label))
      if change is None:
        row += [None] * 5
      else:
        low, high = change.ci95 or (None, None)
        row += [first, change.delta, low, high, change.p_value]
      rows.append(row)
  return to_csv(Table([Column(title) for title in _CSV_HEAD], rows))


def _sentences(comparison: RunComparison) -> list[str]:
  changes = comparison.changes.values()
  kinds = {
    "Mean IoU" if "miou" in entry else "Top-1 accuracy"
    for run in comparison.runs
    for entry in run.results["methods"]
  }
  measure = " or ".join(sorted(kinds, reverse=True))
  first = comparison.runs[0].label
  lines = [_ABOUT.format(measure=measure, first=first)]
  if any(change.p_value is not None for change in changes):
    lines.append(_PAIRED)
  if any(change.p_value is None and change.ci95 for change in changes):
    lines.append(_UNPAIRED)
  for run in comparison.runs:
    partial = partial_sets(run.results)
    if partial:
      lines.append(f"{run.label}: {partial_sentence(partial)}")
  return lines


def _datasets(comparison: RunComparison) -> list[str]:
  return list(
    dict.fromkeys(
      entry["name"]
      for run in comparison.runs
      for entry in run.results["datasets"]
    )
  )


def _table(comparison: RunComparison) -> Table:
  """Has, per method, a row of each run and of each change.

  The mean is over the data sets that all runs have.
  """
  runs, first = comparison.runs, comparison.runs[0].label
  datasets = _datasets(comparison)
  have = [{e["name"] for e in run.results["datasets"]} for run in runs]
  shared = [name for name in datasets if all(name in each for each in have)]
  titles = ["method, run", *datasets]
  if len(shared) > 1:
    whole = len(shared) == len(datasets)
    titles.append("mean" if whole else f"mean of {len(shared)} shared")
  columns = [Column(title, words=not i) for i, title in enumerate(titles)]
  entries = {
    (run.label, entry["dataset"], entry["name"]): entry
    for run in runs
    for entry in run.results["methods"]
  }
  partial = {run.label: partial_sets(run.results) for run in runs}
  rows = []
  for method in dict.fromkeys(name for _, _, name in entries):
    for run in runs:
      found = {n: entries.get((run.label, n, method)) for n in datasets}
      if any(found.values()):
        in_part = partial[run.label]
        cells = {n: _measure(e, n in in_part) for n, e in found.items()}
        mean = _mean([cells[name] for name in shared])
        if mean is not None:
          mean = Percent(mean, partial=any(n in in_part for n in shared))
        rows.append([f"{method}, {run.label}", *cells.values(), mean])
    for run in runs[1:]:
      gains = {
        name: _points(comparison.changes.get((name, method, run.label)))
        for name in datasets
      }
      if any(gains.values()):
        mean = _mean([gains[name] for name in shared])
        mean = None if mean is None else Points(mean)
        title = f"{method}, {run.label} − {first}"
        rows.append([title, *gains.values(), mean])
  rows = [row[: len(columns)] for row in rows]
  return Table(columns, rows, caption=_sentences(comparison))


def _mean(cells: Sequence[Percent | Points | None]) -> float | None:
  """Mean of what cells begin with, their fraction; None if one is absent."""
  known = [cell[0] for cell in cells if cell is not None]
  whole = known and len(known) == len(cells)
  return sum(known) / len(known) if whole else None


def _measure(entry: Mapping[str, Any] | None, partial: bool) -> Percent | None:
  if entry is None:
    return None
  return Percent(headline(entry), entry["ci95"], partial)


def _points(change: Change | None) -> Points | None:
  if change is None:
    return None
  return Points(change.delta, change.ci95, change.p_value)
