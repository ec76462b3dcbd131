"""Texts of any kind in tables of every kind."""

import re

import pytest

from s3_jax.results.escaping import (
  clean,
  escape_latex,
  escape_markdown,
  valid_unicode,
)
from s3_jax.results.grids import align, pipes, stack, tabular
from tests.results.sample_results import HOSTILE_NAMES

# What TeX obeys, except for what an escape itself is made of.
TEX = re.compile(
  r"\\(textbackslash|textasciitilde|textasciicircum|textasciigrave|textendash)"
  r"\{\}|\\[{}$&%#_]|\{[\[\]*]\}|\{\\char34\}|-\{\}"
  r"|\$(<|>|\||-|\\(pm|times|leq|geq|Delta))\$"
)


@pytest.mark.parametrize("text", HOSTILE_NAMES)
def test_nothing_that_tex_obeys_is_left(text):
  rest = TEX.sub("", escape_latex(text))
  assert not set(rest) & set("\\{}$&%#_~^\n\r\0")


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("F-16A/B", "F-16A/B"),
    ("a_b & 50%", r"a\_b \& 50\%"),
    ("\\input{x}", r"\textbackslash{}input\{x\}"),
    ("[x] *y*", "{[}x{]} {*}y{*}"),
    ("a---b", "a-{}-{}-b"),
    ("+1.0 ±0.2 − 3 – 4", r"+1.0 $\pm$0.2 $-$ 3 \textendash{} 4"),
    ("café", "café"),
    (" two\nlines ", "two lines"),
    ("", ""),
  ],
)
def test_latex_by_hand(text, expected):
  assert escape_latex(text) == expected


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("a|b", r"a\|b"),
    ("local_center _e_", r"local_center \_e\_"),
    ("&lt;b&gt;", r"\&lt;b\&gt;"),
    ("[x](y) `c`", r"\[x\](y) \`c\`"),
    ("~~a~~ $b$", r"\~\~a\~\~ \$b\$"),
  ],
)
def test_markdown_by_hand(text, expected):
  assert escape_markdown(text) == expected


@pytest.mark.parametrize("text", HOSTILE_NAMES)
@pytest.mark.parametrize("show", [clean, escape_markdown, escape_latex])
def test_one_line_of_valid_unicode(text, show):
  shown = show(text)
  shown.encode("utf-8")
  assert len(f"x{shown}x".splitlines()) == 1
  assert not set(shown) & set("\x00\x1b\u202e\u2066\u200f")


def test_surrogates_are_written_out():
  assert valid_unicode("a\udcffb") == "a\\udcffb"
  assert valid_unicode("é\U0001f600") == "é\U0001f600"


def test_rows_cannot_break_a_markdown_table():
  rows = [[name, "1.0*", "2.0 "] for name in HOSTILE_NAMES]
  lines = pipes(["method", *HOSTILE_NAMES[5:7]], rows).splitlines()
  assert len(lines) == 2 + len(rows)
  for line in lines:
    bare = line.replace("\\\\", "").replace("\\|", "")
    assert bare.count("|") == 4
  assert lines[2].endswith("| **1.0** | 2.0 |")


def test_texts_are_no_measures():
  table = pipes(["", "a"], [["x", "a|b*"]], texts=True)
  assert table.splitlines()[-1] == "| x | a\\|b\\* |"


def test_tabular_by_hand():
  table = tabular(
    ["method", "a_b"],
    [("", [["x & y", "1.0 ±0.5*"]]), ("50% of", [["[z]", "–"]])],
  )
  assert table.splitlines() == [
    r"\begin{tabular}{lr}",
    r"\toprule",
    r"method & a\_b \\",
    r"\midrule",
    r"x \& y & \textbf{1.0 $\pm$0.5} \\",
    r"\midrule",
    r"\multicolumn{2}{l}{\emph{50\% of}} \\",
    r"{[}z{]} & \textendash{} \\",
    r"\bottomrule",
    r"\end{tabular}",
  ]


def test_alignment_by_hand():
  assert align([["a", "bb "], ["ccc", "1*"]]) == ["a    bb", "ccc   1*"]


@pytest.mark.parametrize(
  ("columns", "tail", "heads"),
  [
    (5, 0, ["m a b c d e"]),
    (2, 0, ["m a b", "m c d", "m e"]),
    (2, 1, ["m a b", "m c d e"]),
    (2, 2, ["m a b", "m c d e"]),
    (2, 5, ["m a b c d e"]),
    (1, 4, ["m a b c d e"]),
  ],
)
def test_wide_tables_are_stacked(columns, tail, heads):
  lines = stack(list("mabcde"), [list("x12345")], columns=columns, tail=tail)
  assert [x.split() for x in lines if x.startswith("m")] == [
    head.split() for head in heads
  ]
  assert "".join(lines).count("x") == len(heads)
