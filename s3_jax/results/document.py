"""A document of results: tables and sentences, in no format yet.

A cell is a value: a number, a text, None where there is none, or a record that
knows how it is shown (`Percent`, `Points`). Texts come from anywhere and are
escaped; figures are shown by their column. `renderers` and the templates turn
a table into files.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
  "BEST",
  "NONE",
  "PARTIAL",
  "Cell",
  "Column",
  "Marked",
  "Percent",
  "Points",
  "Table",
  "mark_best",
  "percent",
  "points",
  "show_p_value",
]

Number = float | int | np.floating

NONE = "–"
"""What a cell without a value shows."""

PARTIAL = "†"
"""Marks a measure that is not on all the images that were published."""

BEST = "best"
"""The mark of the best of a column."""


class Marked(NamedTuple):
  """A value that stands out: the best of its column, or a verdict of a page."""

  value: Any
  mark: str = BEST


class Column(NamedTuple):
  """What a column holds: words, to the left, or figures, to the right."""

  title: str
  show: Callable[[Any], str] = str
  words: bool = False


class Cell(NamedTuple):
  """A cell as it is shown; `given` says that the text is not ours."""

  text: str
  given: bool
  words: bool
  mark: str


class Table(NamedTuple):
  """A table with what is said of it.

  Attributes:
    columns: of the rows.
    rows: cells, as many as there are columns.
    title: a heading; may be empty.
    caption: sentences above the rows.
    notes: sentences below them.
    apart: further rows, which are not to be taken for those above.
    apart_title: what these are.
  """

  columns: Sequence[Column]
  rows: Sequence[Sequence[Any]]
  title: str = ""
  caption: Sequence[str] = ()
  notes: Sequence[str] = ()
  apart: Sequence[Sequence[Any]] = ()
  apart_title: str = ""

  def shown(self, row: Sequence[Any]) -> list[Cell]:
    """Returns the cells of a row as they are shown."""
    return list(map(_show, self.columns, row))

  def say_best(self, how: str) -> list[str]:
    """Says how the best are marked, where a cell is."""
    if not any(_mark(cell) == BEST for row in self.rows for cell in row):
      return []
    which = "of the upper rows" if self.apart else "of each column"
    return [f"The best {which} {how}."]


def _show(column: Column, value: Any) -> Cell:
  mark = _mark(value)
  if isinstance(value, Marked):
    value = value.value
  given = isinstance(value, str)
  text = NONE if value is None else value if given else column.show(value)
  return Cell(text, given, column.words, mark)


def _mark(value: Any) -> str:
  return value.mark if isinstance(value, Marked) else ""


class Percent(NamedTuple):
  """A fraction, shown in percent with half of its interval."""

  value: float
  ci95: Sequence[float] | None = None
  partial: bool = False
  digits: int = 1

  def __str__(self) -> str:
    """Shows it as "82.1 ±1.3"."""
    text = percent(self.value, self.digits)
    if self.ci95 is not None:
      low, high = self.ci95
      text += f" ±{50 * (high - low):.1f}"
    return text + PARTIAL * self.partial


class Points(NamedTuple):
  """A difference of two fractions, shown in points of percent."""

  delta: float
  ci95: Sequence[float] | None = None
  p_value: float | None = None
  partial: bool = False

  def __str__(self) -> str:
    """Shows it as "+1.2 [+0.4, +2.0], p = 0.012"."""
    text = points(self.delta)
    if self.ci95 is not None:
      low, high = map(points, self.ci95)
      text += f" [{low}, {high}]"
    text += PARTIAL * self.partial
    if self.p_value is not None:
      shown = show_p_value(self.p_value)
      text += f", p < {shown[1:]}" if shown[0] == "<" else f", p = {shown}"
    return text


def mark_best(column: Sequence[Percent | None]) -> list[Any]:
  """Marks the largest of several measures."""
  known = [cell.value for cell in column if cell is not None]
  best = max(known) if known and len(column) > 1 else None
  return [
    Marked(cell) if cell is not None and cell.value == best else cell
    for cell in column
  ]


def percent(fraction: Number, digits: int = 1) -> str:
  """Shows a fraction in percent."""
  return f"{100 * float(fraction):.{digits}f}"


def points(fraction: Number) -> str:
  """Shows a difference of two fractions in points, with its sign."""
  text = f"{100 * fraction:+.1f}"
  return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def show_p_value(p_value: Number) -> str:
  """Shows a p-value in three digits."""
  return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"
