"""Tables in text files: rows of cells, and what a header's words mean."""

import csv
import io
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

# What the columns of a list of classes are called, without blanks and signs.
# The class is in the column of the highest rank; a coarser one wins.
RANKS: dict[str, int] = {
  **dict.fromkeys(
    (
      *("text", "synonym", "alias", "prompt", "word", "description"),
      *("caption", "term", "subclass", "finelabel", "fineclass"),
    ),
    0,
  ),
  **dict.fromkeys(("name", "member"), 1),
  **dict.fromkeys(
    (
      *("class", "cls", "label", "category", "target", "classname"),
      *("labelname", "categoryname", "targetname", "classlabel", "species"),
      *("breed", "concept", "tag", "kind", "type"),
    ),
    2,
  ),
  **dict.fromkeys(
    (
      *("bin", "group", "superclass", "supercategory", "parent", "cluster"),
      *("coarselabel", "coarseclass", "parentclass", "superlabel"),
    ),
    3,
  ),
}
_IDS = (
  *("", "id", "index", "idx", "number", "no", "nr", "num", "unnamed0"),
  *(
    f"{what}{how}"
    for what in ("class", "cls", "label", "target", "category", "cat")
    for how in ("id", "index", "idx", "no", "number")
  ),
)
_WNIDS = ("wnid", "synset", "synsetid", "wordnetid", "wordnet", "imagenetid")
# Of a list of names alone: other words may be the first of the names.
_ALONE = ("name", "class", "label", "category", "classname", "labelname")
_PLURALS = {
  **{f"{word}s": word for word in RANKS},
  **{"aliases": "alias", "categories": "category", "classes": "class"},
  **{"superclasses": "superclass", "supercategories": "supercategory"},
  **{"species": "species", "othernames": "synonym", "indices": "index"},
}


class Row(NamedTuple):
  """A row of a table: where it begins, from 1, and its cells."""

  line: int
  cells: list[str]


def split_rows(text: str, delimiter: str = "") -> list[Row]:
  """Splits a table into rows; a quoted line break is part of a cell."""
  reader = csv.reader(
    io.StringIO(text, newline=""),
    delimiter=delimiter or _delimiter(text),
    strict=True,
  )
  rows, start = [], 1
  for cells in reader:
    cells = [cell.strip(" \t\r\n") for cell in cells]
    if any(cells):
      rows.append(Row(start, cells))
    start = reader.line_num + 1
  return rows


def _delimiter(text: str) -> str:
  lines = io.StringIO(text[:100_000], newline="")
  first = list(itertools.islice(filter(str.strip, lines), 20))
  for delimiter in "\t,;":
    if first and all(delimiter in line for line in first):
      return delimiter
  return ","


def header_word(cell: str) -> str:
  """Returns the form in which a header's word is looked up."""
  word = re.sub(r"[\W_]+", "", cell.casefold())
  return _PLURALS.get(word, word)


def is_plural(cell: str) -> bool:
  """Says whether a header's word announces several texts in a cell."""
  word = re.sub(r"[\W_]+", "", cell.casefold())
  return word in _PLURALS and word != header_word(cell)


def is_id_word(cell: str) -> bool:
  """Says whether a header's word is that of a column of numbers."""
  return header_word(cell) in _IDS


def is_header_word(cell: str) -> bool:
  """Says whether a cell is a word that headers of class lists have."""
  word = header_word(cell)
  return bool(word) and (word in RANKS or word in _IDS or word in _WNIDS)


def heads_names(cell: str) -> bool:
  """Says whether a cell is the header of a list of names alone."""
  return header_word(cell) in _ALONE


def are_running(cells: Sequence[str]) -> bool:
  """Says whether cells are 0, 1, 2, ... or 1, 2, 3, ..., in this order."""
  if not cells or not all(c.isascii() and c.isdecimal() for c in cells):
    return False
  if any(len(cell) > 9 for cell in cells):
    return False
  numbers = [int(cell) for cell in cells]
  first = numbers[0]
  return first in (0, 1) and numbers == list(range(first, first + len(numbers)))
