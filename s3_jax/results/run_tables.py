"""The tables of a run: its measures, and their differences to a baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.results.document import (
  Column,
  Percent,
  Points,
  Table,
  mark_best,
  show_p_value,
)
from s3_jax.results.drawing import shorten
from s3_jax.results.results_index import ResultsIndex, headline, index_results
from s3_jax.results.sentences import about_figures, facts
from s3_jax.results.suite_table import suite_tables

__all__ = [
  "difference_table",
  "measure_table",
  "run_tables",
  "summary_table",
]


STREAMS = "These see the test images before one, in an order drawn by a seed"


def run_tables(results: Mapping[str, Any], baseline: str) -> list[Table]:
  """Returns all tables of a run, those of papers last."""
  index = index_results(results, baseline)
  tables = [
    measure_table(index)._replace(
      title="Results", caption=about_figures(results, index)
    )
  ]
  if index.differences:
    about = f"Δ to {baseline} with its 95 % interval and p-value:"
    tables.append(difference_table(index)._replace(caption=(about,)))
  said = tuple(facts(results, index))
  return [*tables[:-1], tables[-1]._replace(notes=said), *suite_tables(results)]


def measure_table(index: ResultsIndex) -> Table:
  """Has a row per method: its measure on each test set, and their mean.

  A method that was not measured on every test set has no mean. Methods that
  see other test images stand apart.
  """
  alone = [name for name in index.methods if name not in index.streams]
  columns = [
    mark_best([_measure(index, name, method) for method in alone])
    for name in index.datasets
  ]
  apart = [
    [method, *(_measure(index, name, method) for name in index.datasets)]
    for method in index.streams
  ]
  if len(index.datasets) > 1:
    columns.append(mark_best([_mean(index, method) for method in alone]))
    apart = [[*row, _mean(index, row[0])] for row in apart]
  return Table(
    _columns(index),
    list(zip(alone, *columns, strict=True)),
    apart=apart,
    apart_title=STREAMS,
  )


def _columns(index: ResultsIndex) -> list[Column]:
  titles = [*index.datasets, *["mean"] * (len(index.datasets) > 1)]
  return [Column("method", words=True), *map(Column, titles)]


def _measure(index: ResultsIndex, dataset: str, method: str) -> Percent | None:
  entry = index.entries.get((dataset, method))
  if entry is None:
    return None
  return Percent(headline(entry), entry["ci95"], dataset in index.partial)


def _mean(index: ResultsIndex, method: str) -> Percent | None:
  row = [index.entries.get((name, method)) for name in index.datasets]
  values = [headline(entry) for entry in row if entry is not None]
  if len(values) < len(row):
    return None
  return Percent(sum(values) / len(values), partial=bool(index.partial))


def difference_table(index: ResultsIndex) -> Table:
  """Has a row per method but the baseline: its differences to that one."""
  rows, apart = [], []
  for method in index.methods:
    if method != index.baseline:
      row = [_difference(index, name, method) for name in index.datasets]
      if len(row) > 1:
        row.append(_mean_difference(index, method))
      (apart if method in index.streams else rows).append([method, *row])
  return Table(_columns(index), rows, apart=apart, apart_title=STREAMS)


def _difference(
  index: ResultsIndex, dataset: str, method: str
) -> Points | None:
  entry = index.differences.get((dataset, method))
  if entry is None:
    return None
  partial = dataset in index.partial
  return Points(entry["delta"], entry["ci95"], entry["p_value"], partial)


def _mean_difference(index: ResultsIndex, method: str) -> Points | None:
  row = [index.differences.get((name, method)) for name in index.datasets]
  values = [entry["delta"] for entry in row if entry is not None]
  if len(values) < len(row):
    return None
  return Points(sum(values) / len(row), partial=bool(index.partial))


def summary_table(index: ResultsIndex) -> Table:
  """Has the measures, and the differences on the first test set and in mean."""
  table = measure_table(index)
  if not index.differences:
    return table
  first, several = index.datasets[0], len(index.datasets) > 1
  more = [
    Column(f"Δ {shorten(first, 40)} [95 % CI]"),
    Column("p", show_p_value),
  ]
  more += [Column("Δ mean")] * several

  def longer(row: Sequence[Any]) -> Sequence[Any]:
    pair = _difference(index, first, row[0])
    p_value = None if pair is None else pair.p_value
    shown = None if pair is None else pair._replace(p_value=None)
    mean = [_mean_difference(index, row[0])] * several
    return [*row, shown, p_value, *mean]

  return table._replace(
    columns=[*table.columns, *more],
    rows=list(map(longer, table.rows)),
    apart=list(map(longer, table.apart)),
  )
