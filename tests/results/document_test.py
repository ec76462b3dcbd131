"""Tables in every format: what stands where, marks, and hostile texts."""

import csv
import io

import pytest

from s3_jax.results.document import (
  Column,
  Marked,
  Percent,
  Points,
  Table,
  mark_best,
  percent,
  points,
)
from s3_jax.results.renderers import (
  align,
  to_csv,
  to_latex,
  to_markdown,
  to_text,
)
from tests.results.sample_results import HOSTILE_NAMES

NAME = Column("method", words=True)


def small(**parts):
  """Two methods, the second the best."""
  columns = (NAME, Column("a_b"), Column("n", "{:,}".format))
  cells = mark_best([Percent(0.5, (0.49, 0.5)), Percent(0.75, partial=True)])
  rows = [["x & y", cells[0], 1000], ["[z]", cells[1], None]]
  return Table(columns, rows, **parts)


def test_text_by_hand():
  table = small(title="T", caption=("One.",), notes=("Two.",))
  rule = "─" * len("method        a_b       n")
  assert to_text(table).splitlines() == [
    "T.",
    "One.",
    "The best of each column has an asterisk.",
    rule,
    "method        a_b       n",
    rule,
    "x & y   50.0 ±0.5   1,000",
    "[z]         75.0†*      –",
    rule,
    "Two.",
  ]


def test_markdown_by_hand():
  table = small(
    title="T",
    caption=("One.", "Two."),
    notes=("<three>",),
    apart=[["*o*", Percent(0.1), 0]],
    apart_title="Others",
  )
  assert to_markdown(table, level=3) == (
    "### T\n\n"
    "One. Two. The best of the upper rows in bold.\n\n"
    "| method | a_b | n |\n"
    "| --- | ---: | ---: |\n"
    "| x \\& y | 50.0 ±0.5 | 1,000 |\n"
    "| \\[z\\] | **75.0†** | – |\n\n"
    "Others:\n\n"
    "| method | a_b | n |\n"
    "| --- | ---: | ---: |\n"
    "| \\*o\\* | 10.0 | 0 |\n\n"
    "- \\<three\\>\n"
  )


def test_latex_by_hand():
  table = small(caption=("One.",), notes=("Two.",))
  table = table._replace(apart=[["o", None, 1]], apart_title="50% of")
  assert to_latex(table).splitlines() == [
    "% One.",
    "% The best of the upper rows in bold.",
    r"\begin{tabular}{lrr}",
    r"\toprule",
    r"method & a\_b & n \\",
    r"\midrule",
    r"x \& y & 50.0 $\pm$0.5 & 1,000 \\",
    r"{[}z{]} & \textbf{75.0$\dagger$} & \textendash{} \\",
    r"\midrule",
    r"\multicolumn{3}{l}{\emph{50\% of}} \\",
    r"o & \textendash{} & 1 \\",
    r"\bottomrule",
    r"\end{tabular}",
    "% Two.",
  ]


def test_csv_holds_values():
  table = Table(
    (NAME, Column("top1", percent), Column("n")),
    [["=x", Marked(0.125), None], ["y", -0.5, 3]],
  )
  assert to_csv(table) == "method,top1,n\n'=x,0.125,\ny,-0.5,3\n"


def test_alignment_by_hand():
  table = Table(
    (NAME, Column("bb"), Column("words", words=True)),
    [["ccc", "1", "x"], ["d", "22222", "yy"]],
  )
  assert align(table) == [
    "method     bb  words",
    "ccc         1  x",
    "d       22222  yy",
  ]


@pytest.mark.parametrize(
  ("columns", "tail", "heads"),
  [
    (None, 0, ["m a b c d e"]),
    (5, 0, ["m a b c d e"]),
    (2, 0, ["m a b", "m c d", "m e"]),
    (2, 1, ["m a b", "m c d e"]),
    (2, 2, ["m a b", "m c d e"]),
    (2, 5, ["m a b c d e"]),
    (1, 4, ["m a b c d e"]),
  ],
)
def test_wide_tables_are_stacked(columns, tail, heads):
  table = Table([Column(title) for title in "mabcde"], ["x12345"])
  lines = to_text(table, columns=columns, tail=tail).splitlines()
  assert [x.split() for x in lines if "m" in x] == [h.split() for h in heads]
  assert "".join(lines).count("x") == len(heads)


def test_the_best_are_marked_and_one_alone_is_not():
  half, third = Percent(0.5), Percent(0.25)
  assert mark_best([half, None, third, half]) == [
    Marked(half),
    None,
    third,
    Marked(half),
  ]
  assert mark_best([half]) == [half]
  assert mark_best([None, None]) == [None, None]


@pytest.mark.parametrize(
  ("cell", "text"),
  [
    (Percent(0.8214), "82.1"),
    (Percent(0.5, (0.48, 0.54)), "50.0 ±3.0"),
    (Percent(0.5, (0.48, 0.54), partial=True), "50.0 ±3.0†"),
    (Points(0.125), "+12.5"),
    (Points(-0.021, (-0.03, 0.0004)), "−2.1 [−3.0, 0.0]"),
    (Points(0.1, (0.0, 0.2), 0.0123, True), "+10.0 [0.0, +20.0]†, p = 0.012"),
    (Points(0.1, None, 0.0009), "+10.0, p < 0.001"),
  ],
)
def test_measures_and_differences(cell, text):
  assert str(cell) == text


@pytest.mark.parametrize(
  ("delta", "text"),
  [(0.0, "0.0"), (-0.0004, "0.0"), (0.0004, "0.0"), (-0.021, "−2.1")],
)
def test_signs(delta, text):
  assert points(delta) == text


def test_rows_cannot_break_a_table():
  columns = (NAME, *(Column(name) for name in HOSTILE_NAMES[5:7]))
  rows = [[name, name, 1] for name in HOSTILE_NAMES]
  table = Table(columns, rows, HOSTILE_NAMES[2], HOSTILE_NAMES, HOSTILE_NAMES)
  lines = to_markdown(table).splitlines()
  lines = [line for line in lines if line.startswith("|")]
  assert len(lines) == 2 + len(rows)
  for line in lines:
    bare = line.replace("\\\\", "").replace("\\|", "")
    assert bare.count("|") == 4
  for line in to_latex(table).splitlines():
    if not line.startswith(("%", "\\begin", "\\end")):
      assert line.endswith((r"\\", "rule"))
      assert line.replace(r"\&", "").count("&") in (0, 2)
  assert len(to_text(table).splitlines()) == 5 + 2 * len(HOSTILE_NAMES) + len(
    rows
  )
  read = list(csv.reader(io.StringIO(to_csv(table))))
  assert len(read) == 1 + len(rows) and {len(row) for row in read} == {3}
  for form in (to_text, to_markdown, to_latex, to_csv):
    text = form(table)
    text.encode("utf-8")
    assert not set(text) & set("\x00\x1b\u202e")
