"""A table as plain text, Markdown, LaTeX and CSV; `pages` has HTML.

Each format escapes what is not ours in one way, that of `escaping`.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from s3_jax.results.document import BEST, Cell, Marked, Table
from s3_jax.results.drawing import shorten
from s3_jax.results.escaping import (
  clean,
  defuse_cell,
  escape_latex,
  escape_markdown,
)

__all__ = [
  "LATEX_RULES",
  "align",
  "csv_lines",
  "to_csv",
  "to_latex",
  "to_markdown",
  "to_text",
]

LATEX_RULES = """\
% Rules are those of booktabs where a document loads it, else plain lines.
\\providecommand{\\toprule}{\\hline}
\\providecommand{\\midrule}{\\hline}
\\providecommand{\\bottomrule}{\\hline}
"""

_LONGEST = 60
"""Characters of a name in a table of the terminal."""


def align(table: Table) -> list[str]:
  """Returns the head and the rows as aligned lines."""
  shown = [table.shown(row) for row in (*table.rows, *table.apart)]
  columns = []
  for index, column in enumerate(table.columns):
    cells = [row[index] for row in shown]
    texts = [clean(cell.text) for cell in cells]
    head = clean(column.title)
    if any(cell.mark == BEST for cell in cells):
      # Where there is an asterisk, the others leave its place empty.
      texts = [
        text + ("*" if cell.mark == BEST else " ")
        for text, cell in zip(texts, cells, strict=True)
      ]
      head += " "
    width = max(map(len, (head, *texts)))
    columns.append(
      [
        f"{text:{'<' if column.words else '>'}{width}}"
        for text in (head, *texts)
      ]
    )
  return ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]


def to_text(table: Table, *, columns: int | None = None, tail: int = 0) -> str:
  """Writes a table for the terminal, between rules, names cut to a length.

  Args:
    table: the table; its first column has the names of the rows.
    columns: so many further ones stand beside each other; None for all.
    tail: so many of the last ones are never apart from each other.

  Returns:
    Lines, without a line end behind the last.
  """
  table = _cut_names(table)
  several = len(table.columns)
  starts = list(range(1, max(several - tail, 2), columns or several))
  lines = [f"{clean(table.title)}."] * bool(table.title)
  lines += [clean(sentence) for sentence in table.caption]
  lines += table.say_best("has an asterisk")
  for start, end in zip(starts, [*starts[1:], several], strict=True):
    kept = (0, *range(start, end))
    head, *rows = align(_choose(table, kept))
    rule = "─" * max(map(len, (head, *rows)))
    last = len(table.rows)
    lines += [rule, head, rule, *rows[:last], rule]
    if table.apart:
      lines += [f"{clean(table.apart_title)}:", *rows[last:], rule]
  return "\n".join([*lines, *map(clean, table.notes)])


def _cut_names(table: Table) -> Table:
  def cut(rows):
    return [
      [
        shorten(cell, _LONGEST) if isinstance(cell, str) else cell
        for cell in row
      ]
      for row in rows
    ]

  titles = [
    column._replace(title=shorten(column.title, _LONGEST))
    for column in table.columns
  ]
  return table._replace(
    columns=titles, rows=cut(table.rows), apart=cut(table.apart)
  )


def _choose(table: Table, kept: Sequence[int]) -> Table:
  def choose(rows):
    return [[row[index] for index in kept] for row in rows]

  return table._replace(
    columns=[table.columns[index] for index in kept],
    rows=choose(table.rows),
    apart=choose(table.apart),
  )


def to_markdown(table: Table, *, level: int = 2) -> str:
  """Writes a table in Markdown, with its title as a heading of a level."""
  caption = [*map(escape_markdown, table.caption)]
  caption += table.say_best("in bold")
  parts = [f"{'#' * level} {escape_markdown(table.title)}"] * bool(table.title)
  parts += [" ".join(caption)] * bool(caption)
  parts.append(_pipes(table, table.rows))
  if table.apart:
    parts += [f"{escape_markdown(table.apart_title)}:"]
    parts.append(_pipes(table, table.apart))
  notes = [f"- {escape_markdown(sentence)}" for sentence in table.notes]
  parts += ["\n".join(notes)] * bool(notes)
  return "\n\n".join(parts) + "\n"


def _pipes(table: Table, rows: Sequence[Sequence[Any]]) -> str:
  lines = [
    [escape_markdown(column.title) for column in table.columns],
    ["---" if column.words else "---:" for column in table.columns],
    *(map(_markdown_cell, table.shown(row)) for row in rows),
  ]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
  # Escaped figures would be hard to read in the file, and need it not.
  text = escape_markdown(cell.text) if cell.given else cell.text
  return f"**{text}**" if cell.mark == BEST else text


def to_latex(table: Table) -> str:
  r"""Writes a `tabular` of LaTeX, to stand in a table with a caption.

  What is said of the table stands in comments around it. A file of tables
  begins with `LATEX_RULES`. Letters beyond Latin in names need XeLaTeX or
  LuaLaTeX.
  """
  count = len(table.columns)
  sides = "".join("l" if column.words else "r" for column in table.columns)
  comments = [*([table.title] if table.title else ()), *table.caption]
  comments += table.say_best("in bold")
  lines = [f"% {clean(sentence)}" for sentence in comments]
  lines += [f"\\begin{{tabular}}{{{sides}}}", "\\toprule"]
  lines.append(_latex_row(escape_latex(each.title) for each in table.columns))
  lines.append("\\midrule")
  lines += [_latex_row(map(_latex_cell, table.shown(r))) for r in table.rows]
  if table.apart:
    title = f"\\emph{{{escape_latex(table.apart_title)}}}"
    lines += ["\\midrule", f"\\multicolumn{{{count}}}{{l}}{{{title}}} \\\\"]
    lines += [_latex_row(map(_latex_cell, table.shown(r))) for r in table.apart]
  lines += ["\\bottomrule", "\\end{tabular}"]
  return "\n".join([*lines, *(f"% {clean(n)}" for n in table.notes)]) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
  return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
  text = escape_latex(cell.text)
  return f"\\textbf{{{text}}}" if cell.mark == BEST else text


def to_csv(table: Table) -> str:
  """Writes the values of a table, not as they are shown, with its titles."""
  return csv_lines([[each.title for each in table.columns], *table.rows])


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
  """Writes lines of a CSV file, with every text defused."""
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator="\n")
  for row in rows:
    values = [c.value if isinstance(c, Marked) else c for c in row]
    writer.writerow(
      [defuse_cell(v) if isinstance(v, str) else v for v in values]
    )
  return buffer.getvalue()
