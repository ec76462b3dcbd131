"""Rows of cells as plain text, Markdown and LaTeX.

The first cell of a row is a name, the others are measures. A measure that ends
in an asterisk is the best of its column; Markdown and LaTeX set it in bold.
"""

from collections.abc import Sequence

from s3_jax.results.escaping import (
  clean,
  escape_latex,
  escape_markdown,
)

__all__ = ["LATEX_RULES", "align", "pipes", "stack", "tabular"]

LATEX_RULES = """\
% Rules are those of booktabs where a document loads it, else plain lines.
\\providecommand{\\toprule}{\\hline}
\\providecommand{\\midrule}{\\hline}
\\providecommand{\\bottomrule}{\\hline}
"""

_GAP = "  "


def align(rows: Sequence[Sequence[str]]) -> list[str]:
  """Aligns rows: names to the left, measures to the right."""
  rows = [[clean(text) for text in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    first, *rest = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1])]
    cells += [text.rjust(width) for text, width in rest]
    lines.append(_GAP.join(cells).rstrip())
  return lines


def stack(
  head: Sequence[str],
  rows: Sequence[Sequence[str]],
  *,
  columns: int,
  tail: int = 0,
) -> list[str]:
  """Aligns rows between rules, wide ones as several tables below each other."""
  starts = list(range(1, max(len(head) - tail, 2), columns))
  ends = [*starts[1:], len(head)]
  parts = []
  for start, end in zip(starts, ends, strict=True):
    table = [[row[0], *row[start:end]] for row in (head, *rows)]
    lines = align(table)
    rule = "─" * max(map(len, lines))
    parts += [rule, lines[0], rule, *lines[1:], rule]
  return parts


def pipes(
  head: Sequence[str],
  rows: Sequence[Sequence[str]],
  *,
  texts: bool = False,
) -> str:
  """Writes a table in Markdown."""
  show, side = (escape_markdown, "---") if texts else (_bold, "---:")
  lines = [
    [escape_markdown(text) for text in head],
    ["---", *[side] * (len(head) - 1)],
    *([escape_markdown(row[0]), *map(show, row[1:])] for row in rows),
  ]
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bold(text: str) -> str:
  text = text.strip()
  return f"**{text[:-1]}**" if text.endswith("*") else text


def tabular(
  head: Sequence[str],
  blocks: Sequence[tuple[str, Sequence[Sequence[str]]]],
) -> str:
  r"""Writes a `tabular` of LaTeX, to stand in a table with a caption."""
  columns = len(head)
  lines = [f"\\begin{{tabular}}{{l{'r' * (columns - 1)}}}", "\\toprule"]
  lines.append(" & ".join(map(escape_latex, head)) + r" \\")
  for title, rows in blocks:
    lines.append("\\midrule")
    if title:
      shown = f"\\emph{{{escape_latex(title)}}}"
      lines.append(f"\\multicolumn{{{columns}}}{{l}}{{{shown}}} \\\\")
    for name, *measures in rows:
      cells = [escape_latex(name), *map(_latex_measure, measures)]
      lines.append(" & ".join(cells) + r" \\")
  return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _latex_measure(text: str) -> str:
  text = text.strip()
  if text.endswith("*"):
    return f"\\textbf{{{escape_latex(text[:-1])}}}"
  return escape_latex(text)
