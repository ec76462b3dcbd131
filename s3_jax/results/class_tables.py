"""Accuracies of single classes: which are hard, and which a method changes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax.results.document import Column, Table, percent, points
from s3_jax.results.results_index import ResultsIndex, headline

__all__ = ["ClassRow", "ClassTables", "class_tables"]

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


class ClassTables(NamedTuple):
  """The classes of one test set.

  Attributes:
    dataset: name of the test set.
    about: which methods the extremes compare.
    extremes: tables of the hardest, the easiest and the most changed classes.
    whole: a row per class, in label order, with every method.
  """

  dataset: str
  about: str
  extremes: list[Table]
  whole: Table


class _Class(NamedTuple):
  label: int
  name: str
  n: int
  accuracy: dict[str, float]  # by method; none where there is no image


def class_tables(
  per_class: Sequence[ClassRow], index: ResultsIndex
) -> list[ClassTables]:
  """Arranges accuracies of classes by test set.

  The extremes are those of the best method other than the baseline, beside the
  baseline: its hardest and easiest classes, and those that it changes most.
  """
  found: dict[str, dict[int, _Class]] = {}
  methods: dict[str, dict[str, None]] = {}
  for row in per_class:
    classes = found.setdefault(row.dataset, {})
    entry = classes.setdefault(
      row.label, _Class(row.label, row.class_name, row.n, {})
    )
    methods.setdefault(row.dataset, {})[row.method] = None
    if not math.isnan(row.accuracy):
      entry.accuracy[row.method] = row.accuracy
  return [
    _tables(
      name,
      [found[name][label] for label in sorted(found[name])],
      [method for method in index.methods if method in methods[name]],
      index,
    )
    for name in index.datasets
    if name in found
  ]


def _tables(
  dataset: str,
  classes: Sequence[_Class],
  methods: Sequence[str],
  index: ResultsIndex,
) -> ClassTables:
  baseline = index.baseline if index.baseline in methods else methods[0]
  others = [name for name in methods if name != baseline] or [baseline]
  best = max(others, key=lambda name: _measure(index, dataset, name))
  measured = [entry for entry in classes if best in entry.accuracy]
  # Equal classes stay in label order.
  lists = [
    ("Hardest classes", sorted(measured, key=lambda e: e.accuracy[best])),
    ("Easiest classes", sorted(measured, key=lambda e: -e.accuracy[best])),
  ]
  columns = [*_columns([best])]
  about = f"Under {best}; in %."
  if best != baseline:
    columns = [*_columns([best, baseline]), Column("Δ", points)]
    about = f"{best}, the best of the other methods, beside {baseline}; in %."
    gained = sorted(measured, key=lambda e: -_change(e, best, baseline))
    lost = sorted(measured, key=lambda e: _change(e, best, baseline))
    lists += [
      ("Most gained", [e for e in gained if _change(e, best, baseline) > 0]),
      ("Most lost", [e for e in lost if _change(e, best, baseline) < 0]),
    ]
  return ClassTables(
    dataset,
    about,
    [
      Table(
        columns,
        [_extreme(entry, best, baseline) for entry in entries[:_MOST]],
        title=title,
      )
      for title, entries in lists
    ],
    Table(
      _columns(methods),
      [[e.name, e.n, *map(e.accuracy.get, methods)] for e in classes],
    ),
  )


def _columns(methods: Sequence[str]) -> list[Column]:
  return [
    Column("class", words=True),
    Column("images", "{:,}".format),
    *(Column(method, percent) for method in methods),
  ]


def _measure(index: ResultsIndex, dataset: str, method: str) -> float:
  entry = index.entries.get((dataset, method))
  return -1.0 if entry is None else headline(entry)


def _change(entry: _Class, best: str, baseline: str) -> float:
  own = entry.accuracy[best]
  return own - entry.accuracy.get(baseline, own)


def _extreme(entry: _Class, best: str, baseline: str) -> list[Any]:
  row = [entry.name, entry.n, entry.accuracy[best]]
  if best != baseline:
    row += [entry.accuracy.get(baseline), _change(entry, best, baseline)]
  return row
