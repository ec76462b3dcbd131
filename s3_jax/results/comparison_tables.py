"""A comparison of runs as text, Markdown, LaTeX and CSV."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from s3_jax.results.cells import (
  NONE,
  equals,
  headline,
  mark_partial,
  partial_sentence,
  partial_sets,
  points,
  show_p_value,
)
from s3_jax.results.comparison import Change, RunComparison
from s3_jax.results.drawing import shorten
from s3_jax.results.escaping import clean, escape_markdown
from s3_jax.results.grids import LATEX_RULES, pipes, stack, tabular
from s3_jax.results.renderers import csv_lines

__all__ = [
  "comparison_csv",
  "comparison_latex",
  "comparison_markdown",
  "comparison_text",
]

_SETS = 3
"""Test sets beside each other in the terminal."""

_NAME = 40
"""Characters of a name in the terminal."""

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
  head, rows = _table(comparison)
  head = [shorten(text, _NAME) for text in head]
  rows = [[shorten(row[0], 2 * _NAME), *row[1:]] for row in rows]
  tail = len(head) - 1 - len(_datasets(comparison))
  lines = [
    *_sentences(comparison, clean),
    *stack(head, rows, columns=_SETS, tail=tail),
  ]
  for name, values in comparison.differing:
    lines.append(f"{clean(name)}: {clean(_against(values))}")
  return "\n".join(lines)


def _against(values: Sequence[str]) -> str:
  return " | ".join(shorten(value, 100) for value in values)


def comparison_markdown(comparison: RunComparison) -> str:
  """Formats a comparison as Markdown."""
  head, rows = _table(comparison)
  parts = ["## Comparison", " ".join(_sentences(comparison, escape_markdown))]
  parts.append(pipes(head, rows))
  if comparison.differing:
    parts.append("What differs beside the results:")
    head = ["", *(run.label for run in comparison.runs)]
    rows = [[name, *values] for name, values in comparison.differing]
    parts.append(pipes(head, rows, texts=True))
  return "\n\n".join(parts) + "\n"


def comparison_latex(comparison: RunComparison) -> str:
  """Formats a comparison as a `tabular` of LaTeX."""
  head, rows = _table(comparison)
  lines = [LATEX_RULES.rstrip()]
  lines += [f"% {line}" for line in _sentences(comparison, clean)]
  lines.append(tabular(head, [("", rows)]))
  for name, values in comparison.differing:
    lines.append(f"% {clean(name)}: {clean(_against(values))}")
  return "\n".join(lines) + "\n"


def comparison_csv(comparison: RunComparison) -> str:
  """Formats a comparison as CSV: a row per data set, method and run."""
  rows = []
  for run in comparison.runs:
    for entry in run.results["methods"]:
      dataset, method = entry["dataset"], entry["name"]
      measure = "miou" if "miou" in entry else "top1"
      row = [dataset, method, run.label, entry["n"], measure, entry[measure]]
      row += entry["ci95"]
      change = comparison.changes.get((dataset, method, run.label))
      if change is None:
        row += [""] * 5
      else:
        row += [comparison.runs[0].label, change.delta]
        row += ["", ""] if change.ci95 is None else change.ci95
        row.append("" if change.p_value is None else change.p_value)
      rows.append(row)
  return csv_lines([_CSV_HEAD, *rows])


def _sentences(
  comparison: RunComparison, show: Callable[[str], str]
) -> list[str]:
  changes = comparison.changes.values()
  kinds = {
    "Mean IoU" if "miou" in entry else "Top-1 accuracy"
    for run in comparison.runs
    for entry in run.results["methods"]
  }
  measure = " or ".join(sorted(kinds, reverse=True))
  first = show(comparison.runs[0].label)
  lines = [_ABOUT.format(measure=measure, first=first)]
  if any(change.p_value is not None for change in changes):
    lines.append(_PAIRED)
  if any(change.p_value is None and change.ci95 for change in changes):
    lines.append(_UNPAIRED)
  for run in comparison.runs:
    partial = partial_sets(run.results)
    if partial:
      lines.append(f"{show(run.label)}: {partial_sentence(partial, show)}")
  return lines


def _datasets(comparison: RunComparison) -> list[str]:
  return list(
    dict.fromkeys(
      entry["name"]
      for run in comparison.runs
      for entry in run.results["datasets"]
    )
  )


def _table(
  comparison: RunComparison,
) -> tuple[list[str], list[list[str]]]:
  """Returns the head, and per method a row of each run and of each change.

  The mean is over the data sets that all runs have.
  """
  runs, changes = comparison.runs, comparison.changes
  datasets = _datasets(comparison)
  have = [{e["name"] for e in run.results["datasets"]} for run in runs]
  shared = [name for name in datasets if all(name in each for each in have)]
  cells = {
    (run.label, entry["dataset"], entry["name"]): entry
    for run in runs
    for entry in run.results["methods"]
  }
  partial = {run.label: partial_sets(run.results) for run in runs}
  head = ["method, run", *datasets]
  if len(shared) > 1:
    whole = len(shared) == len(datasets)
    head.append("mean" if whole else f"mean of {len(shared)} shared")
  rows = []
  for method in dict.fromkeys(name for _, _, name in cells):
    for run in runs:
      found = {name: cells.get((run.label, name, method)) for name in datasets}
      if any(found.values()):
        row = [
          f"{method}, {run.label}",
          *(
            mark_partial(_accuracy(entry))
            if name in partial[run.label]
            else _accuracy(entry)
            for name, entry in found.items()
          ),
        ]
        mean = _mean(
          [
            None if entry is None else headline(entry)
            for entry in map(found.get, shared)
          ]
        )
        mean_cell = NONE if mean is None else f"{100 * mean:.1f}"
        marked = any(name in partial[run.label] for name in shared)
        row.append(mark_partial(mean_cell) if marked else mean_cell)
        rows.append(row[: len(head)])
    for run in runs[1:]:
      gains = {
        name: changes.get((name, method, run.label)) for name in datasets
      }
      if any(gains.values()):
        title = f"{method}, {run.label} − {runs[0].label}"
        mean = _mean(
          [
            None if change is None else change.delta
            for change in map(gains.get, shared)
          ]
        )
        row = [title, *map(_change, gains.values())]
        row.append(NONE if mean is None else points(mean))
        rows.append(row[: len(head)])
  return head, rows


def _mean(values: Sequence[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  whole = known and len(known) == len(values)
  return sum(known) / len(known) if whole else None


def _accuracy(entry: Mapping[str, Any] | None) -> str:
  if entry is None:
    return NONE
  low, high = entry["ci95"]
  return f"{100 * headline(entry):.1f} ±{50 * (high - low):.1f}"


def _change(change: Change | None) -> str:
  if change is None:
    return NONE
  text = points(change.delta)
  if change.ci95 is not None:
    low, high = map(points, change.ci95)
    text += f" [{low}, {high}]"
  if change.p_value is None:
    return text
  return f"{text}, p {equals(show_p_value(change.p_value))}"
