"""Accuracies of single classes: which are hard, and which a method changes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.results.cells import NONE, Cells, headline, points

__all__ = ["ClassRow", "ClassTable", "class_tables"]

_MOST = 10
"""Classes in each list of extremes."""


class ClassRow(NamedTuple):
  """One class under one method on one test set: a row of per_class.csv.

  Attributes:
    dataset: name of the test set.
    method: key of the method.
    label: class index.
    class_name: what the class is called.
    n: images of the class.
    accuracy: share of them that is right, or the IoU of the class; NaN where
      there is none (an empty cell).
  """

  dataset: str
  method: str
  label: int
  class_name: str
  n: int
  accuracy: float


class ClassTable(NamedTuple):
  """The classes of one test set, as cells.

  Attributes:
    dataset: name of the test set.
    about: which methods the extremes compare.
    extremes_head: titles of the columns of the extremes.
    extremes: pairs of a title and rows.
    head: titles of the columns of the whole table.
    rows: a row per class, in label order.
  """

  dataset: str
  about: str
  extremes_head: list[str]
  extremes: list[tuple[str, list[list[str]]]]
  head: list[str]
  rows: list[list[str]]


class _Class(NamedTuple):
  label: int
  name: str
  n: int
  accuracy: dict[str, float]  # by method


def class_tables(
  per_class: Sequence[ClassRow], cells: Cells
) -> list[ClassTable]:
  """Arranges accuracies of classes by test set.

  The extremes are those of the best method other than the baseline, beside the
  baseline: its hardest and easiest classes, and those that it changes most.
  """
  found: dict[str, dict[int, _Class]] = {}
  for row in per_class:
    classes = found.setdefault(row.dataset, {})
    entry = classes.setdefault(
      row.label, _Class(row.label, row.class_name, row.n, {})
    )
    entry.accuracy[row.method] = row.accuracy
  return [
    _table(name, [found[name][label] for label in sorted(found[name])], cells)
    for name in cells.datasets
    if name in found
  ]


def _table(dataset: str, classes: Sequence[_Class], cells: Cells) -> ClassTable:
  methods = [
    name
    for name in cells.methods
    if any(name in entry.accuracy for entry in classes)
  ]
  baseline = cells.baseline if cells.baseline in methods else methods[0]
  others = [name for name in methods if name != baseline] or [baseline]
  best = max(others, key=lambda name: _measure(cells, dataset, name))
  head = ["class", "images", best]
  about = f"Under {best}; in %."
  if best != baseline:
    head += [baseline, "Δ"]
    about = f"{best}, the best of the other methods, beside {baseline}; in %."
  measured = [
    entry
    for entry in classes
    if not math.isnan(entry.accuracy.get(best, math.nan))
  ]
  # Equal classes stay in label order.
  lists = [
    ("Hardest classes", sorted(measured, key=lambda e: e.accuracy[best])),
    ("Easiest classes", sorted(measured, key=lambda e: -e.accuracy[best])),
  ]
  if best != baseline:
    changes = [(_change(e, best, baseline), e) for e in measured]
    gained = sorted(changes, key=lambda pair: -pair[0])
    lost = sorted(changes, key=lambda pair: pair[0])
    lists += [
      ("Most gained", [entry for change, entry in gained if change > 0]),
      ("Most lost", [entry for change, entry in lost if change < 0]),
    ]
  return ClassTable(
    dataset,
    about,
    head,
    [
      (title, [_extreme(e, best, baseline) for e in entries[:_MOST]])
      for title, entries in lists
    ],
    ["class", "images", *methods],
    [
      [
        entry.name,
        f"{entry.n:,}",
        *(_percent(entry.accuracy.get(name, math.nan)) for name in methods),
      ]
      for entry in classes
    ],
  )


def _measure(cells: Cells, dataset: str, method: str) -> float:
  entry = cells.cells.get((dataset, method))
  return -1.0 if entry is None else headline(entry)


def _change(entry: _Class, best: str, baseline: str) -> float:
  change = entry.accuracy[best] - entry.accuracy.get(baseline, math.nan)
  return 0.0 if math.isnan(change) else change


def _extreme(entry: _Class, best: str, baseline: str) -> list[str]:
  row = [entry.name, f"{entry.n:,}", _percent(entry.accuracy[best])]
  if best != baseline:
    row.append(_percent(entry.accuracy.get(baseline, math.nan)))
    row.append(points(_change(entry, best, baseline)))
  return row


def _percent(fraction: float) -> str:
  return NONE if math.isnan(fraction) else f"{100 * fraction:.1f}"
