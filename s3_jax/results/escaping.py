"""How a text is shown in each kind of file, whatever is written in it.

Class names come from benchmarks, users and language models, file names from
anywhere. They are shown, never obeyed: no text breaks a table, becomes a link,
or a command, or turns the direction of what stands beside it. Of HTML the
templates' own escaping takes care.
"""

import re
import unicodedata

from s3_jax.messages import visible

__all__ = [
  "clean",
  "defuse_cell",
  "escape_latex",
  "escape_markdown",
  "valid_unicode",
]

_LATEX = {
  "\\": r"\textbackslash{}",
  "{": r"\{",
  "}": r"\}",
  "$": r"\$",
  "&": r"\&",
  "%": r"\%",
  "#": r"\#",
  "_": r"\_",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"$<$",
  ">": r"$>$",
  "|": r"$|$",
  # Behind the end of a row these would be read as its options.
  "[": "{[}",
  "]": "{]}",
  "*": "{*}",
  # babel's German gives it a meaning.
  '"': "{\\char34}",
  "`": r"\textasciigrave{}",
  "−": "$-$",
  "–": r"\textendash{}",
  "±": r"$\pm$",
  "×": r"$\times$",
  "≤": r"$\leq$",
  "≥": r"$\geq$",
  "Δ": r"$\Delta$",
  "†": r"$\dagger$",
}


def valid_unicode(text: str) -> str:
  r"""Writes out what has no place in a UTF-8 file.

  The names of files need not be Unicode; Python then holds lone surrogates,
  which no encoding takes.
  """
  return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clean(text: str) -> str:
  """Drops control and direction-changing characters, joins lines."""
  if text.isascii() and text.isprintable():
    return text  # as nearly all are: pages have many
  joined = re.sub(r"[\t\r\n\v\f\u0085\u2028\u2029]+", " ", text)
  return valid_unicode(
    "".join(
      char for char in joined if unicodedata.category(char) not in ("Cc", "Cf")
    )
  )


def escape_markdown(text: str) -> str:
  """Escapes a text for a cell or a sentence of Markdown."""
  text = re.sub(r"([\\|`*<>\[\]#~$&])", r"\\\1", clean(text).strip())
  return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def escape_latex(text: str) -> str:
  r"""Escapes a text for LaTeX, in text mode.

  No letter of the text can start a command, end a row or open a group. Signs
  that tables use (±, −, Δ, ...) become commands, so that pdfLaTeX has them;
  letters beyond Latin are left, for XeLaTeX and LuaLaTeX.
  """
  escaped = "".join(_LATEX.get(char, char) for char in clean(text).strip())
  # Two hyphens would melt into a dash.
  return re.sub("-(?=-)", "-{}", escaped)


def defuse_cell(text: str) -> str:
  """Keeps a spreadsheet from running a name as a formula.

  Control characters become blanks, direction marks and the like are written
  out, and a text that starts like a formula, also behind
  blanks or in full-width characters, gets an apostrophe in front.
  """
  text = "".join(
    " " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else visible(char)
    for char in text
  )
  start = unicodedata.normalize("NFKC", text).lstrip()[:1]
  return f"'{text}" if start and start in "=+-@" else text
