r"""The tables of a run for a paper: bare `tabular`s, to be put into a `table`.

Every text is escaped, so a class or data-set name is never a command. Any LaTeX
takes the file by `\input`; letters beyond Latin in names need XeLaTeX or
LuaLaTeX.
"""

from collections.abc import Mapping
from typing import Any

from s3_jax.results import cells as cell_texts
from s3_jax.results.cells import read_cells
from s3_jax.results.escaping import clean
from s3_jax.results.grids import LATEX_RULES, tabular
from s3_jax.results.suite_table import suite_latex

__all__ = ["format_latex"]


def format_latex(results: Mapping[str, Any], *, baseline: str) -> str:
  r"""Formats accuracies, paired differences and the suite as LaTeX.

  What the figures are, and what has no column, stands in comments above and
  below the tables.
  """
  cells = read_cells(results, baseline)
  head = ["method", *cells.datasets]
  head += ["mean"] if len(cells.datasets) > 1 else []
  rows = cell_texts.accuracy_rows(cells)
  table = [[name, *row] for name, row in zip(cells.methods, rows, strict=True)]
  parts = [LATEX_RULES.rstrip()]
  about = cell_texts.title(results, cells, "the best in bold", clean)
  parts += [f"% {line}" for line in about]
  parts.append(tabular(head, [("", table)]))
  if cells.differences:
    differences = [
      [name, *row] for name, row in cell_texts.difference_rows(cells)
    ]
    parts.append(f"% Differences to {clean(cells.baseline)}, in points.")
    parts.append(tabular(head, [("", differences)]))
  parts += [f"% {line}" for line in cell_texts.facts(results, cells, clean)]
  suite = suite_latex(results)
  return "\n".join(parts) + "\n" + (f"\n{suite}" if suite else "")
