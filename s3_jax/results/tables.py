"""One aligned table for the terminal, and the same facts in Markdown."""

from collections.abc import Mapping
from typing import Any

from s3_jax.results import cells as cell_texts
from s3_jax.results.cells import read_cells
from s3_jax.results.drawing import shorten
from s3_jax.results.escaping import clean, escape_markdown
from s3_jax.results.grids import pipes, stack

__all__ = ["format_markdown", "format_table"]

_NAME = 40
"""Characters of a name in the terminal."""

_SETS = 5
"""Test sets beside each other in the terminal."""


def format_table(results: Mapping[str, Any], *, baseline: str) -> str:
  """Formats all methods on all test sets as aligned plain text.

  Rows are methods, columns test sets with "accuracy ±half width" in percent,
  then the mean over the test sets, then the paired difference to the baseline
  on the first test set (points, 95 % interval, p-value) and the mean of that
  difference over the test sets. An asterisk marks the best of each column.
  Below stand the other comparisons, what the core removed, and what the run
  cost. 115 columns wide for five test sets; further ones follow in tables of
  five, the last of which has the mean and the differences.
  """
  cells = read_cells(results, baseline)
  several = len(cells.datasets) > 1
  # Measures end in a place for the asterisk, so their headings do too.
  heads = [f"{shorten(name, _NAME)} " for name in cells.datasets]
  rows = cell_texts.accuracy_rows(cells)
  if several:
    heads.append("mean ")
  if cells.differences:
    heads += [f"Δ {shorten(cells.datasets[0], _NAME)} [95 % CI]", "p"]
    heads += ["Δ mean"] if several else []
    for row, more in zip(
      rows, cell_texts.first_differences(cells), strict=True
    ):
      row += more
  names = [shorten(method, _NAME) for method in cells.methods]
  lines = stack(
    ["method", *heads],
    [[name, *row] for name, row in zip(names, rows, strict=True)],
    columns=_SETS,
    tail=len(heads) - len(cells.datasets),
  )
  about = cell_texts.title(results, cells, "* the best", clean)
  facts = cell_texts.facts(results, cells, clean)
  return "\n".join([*about, *lines, *facts])


def format_markdown(results: Mapping[str, Any], *, baseline: str) -> str:
  """Formats the same facts as Markdown, with every paired difference.

  Names are escaped: a pipe, a bracket or a backtick in a class or data-set
  name cannot break the table or become a link.
  """
  cells = read_cells(results, baseline)
  head = ["method", *cells.datasets]
  head += ["mean"] if len(cells.datasets) > 1 else []
  rows = [
    [method, *row]
    for method, row in zip(
      cells.methods, cell_texts.accuracy_rows(cells), strict=True
    )
  ]
  about = cell_texts.title(results, cells, "the best in bold", escape_markdown)
  parts = ["## Results", " ".join(about), pipes(head, rows)]
  if cells.differences:
    parts.append("Δ with its 95 % interval and p-value:")
    parts.append(
      pipes(
        head,
        [[name, *row] for name, row in cell_texts.difference_rows(cells)],
      )
    )
  facts = cell_texts.facts(results, cells, escape_markdown)
  parts.append("\n".join(f"- {line}" for line in facts))
  return "\n\n".join(parts) + "\n"
