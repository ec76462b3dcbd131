"""CSV files that a spreadsheet may open: no cell of them runs."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from s3_jax.messages import visible


def format_csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
  """Writes rows as CSV, with every text defused."""
  return format_rows([head, *rows])


def format_rows(rows: Iterable[Sequence[Any]]) -> str:
  """Writes lines of a CSV file, with every text defused."""
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator="\n")
  for row in rows:
    writer.writerow(
      [defuse_cell(value) if isinstance(value, str) else value for value in row]
    )
  return buffer.getvalue()


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
