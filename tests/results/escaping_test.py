"""Texts of any kind in tables of every kind."""

import re

import pytest

from s3_jax.results.escaping import (
  clean,
  escape_latex,
  escape_markdown,
  valid_unicode,
)
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
