"""Classes from tables: names and classes in columns, a header or none."""

import collections
import csv
import re
from collections.abc import Sequence

from s3_jax.lexicon.cells import (
  RANKS,
  Row,
  are_running,
  header_word,
  heads_names,
  is_header_word,
  is_id_word,
  is_plural,
  split_rows,
)
from s3_jax.lexicon.class_values import (
  WNID,
  ListedClass,
  ListedClasses,
  is_index,
)


def parse_rows(text: str, where: str, suffix: str = "") -> list[Row]:
  """Splits the text of a table into rows, or says what is wrong with it."""
  try:
    return split_rows(text, "\t" if suffix == ".tsv" else "")
  except csv.Error as error:
    raise ValueError(f"{where} must be a CSV, got: {error}.") from error


def table_classes(rows: Sequence[Row], where: str) -> ListedClasses:
  """Reads classes from a table of names and classes, or of names alone."""
  if not rows:
    return ListedClasses(())
  width = len(rows[0].cells)
  for row in rows:
    if len(row.cells) != width or not width:
      raise ValueError(
        f"{where}, line {row.line} must hold a name and a class, got"
        f" {','.join(row.cells)!r:.60}: each line needs {width} cells, quotes"
        " around a name with commas."
      )
  head = _header(rows, where)
  body = [row.cells for row in (rows[1:] if head else rows)]
  notes = ["first line taken as a header"] if head else []
  if not body:
    return ListedClasses(())
  literal = [word.casefold() for word in head] == ["name", "class"]
  columns = dict(enumerate(map(list, zip(*body, strict=True))))
  wnids = _take_wnids(columns)
  if wnids is not None:
    notes.append("a column of WordNet ids")
  if not literal and _take_ids(columns, head, where):
    notes.append("a column of running numbers")
  if head and len(columns) > 1:
    for column in list(columns):
      if header_word(head[column]) not in RANKS and len(columns) > 1:
        notes.append(f"column {head[column]!r} left out")
        del columns[column]
  if len(columns) == 1:
    (cells,) = columns.values()
    ids = wnids or [None] * len(cells)
    classes = [ListedClass(n, None, i) for n, i in zip(cells, ids, strict=True)]
    return ListedClasses(tuple(classes), tuple(notes))
  if len(columns) != 2:
    raise ValueError(
      f"{where}, line {rows[0].line} must hold a name and a class, got"
      f" {','.join(rows[0].cells)!r:.60}: keep two columns, under the header"
      " name,class."
    )
  name, owner = _order(columns, head, rows, literal, where)
  return _grouped(columns, name, owner, wnids, head, notes)


def _header(rows: Sequence[Row], where: str) -> list[str]:
  """Returns the first row if it is a header, else nothing."""
  first = rows[0].cells
  if len(first) == 1:
    return first if heads_names(first[0]) else []
  known = list(map(is_header_word, first))
  certain = sum(k or not cell for k, cell in zip(known, first, strict=True))
  if certain == len(first) or (len(first) > 2 and sum(known) > 1):
    return first
  body = [row.cells for row in rows[1:]]
  for column, cell in enumerate(first):
    below = [cells[column] for cells in body]
    if len(below) > 1 and not is_index(cell) and are_running(below):
      return first
    if below and not WNID.fullmatch(cell) and all(map(WNID.fullmatch, below)):
      return first
  if any(known) and len(rows) > 1:
    word = first[known.index(True)]
    raise ValueError(
      f"{where}, line {rows[0].line} may be a header or a row, got"
      f" {','.join(first)!r:.60}, in which {word!r:.20} is a header's word:"
      " write name,class above the rows, or in its place if it is one."
    )
  if len(first) == 2 and not any(known):
    rest = collections.Counter(cells[1] for cells in body)
    if len(rest) > 1 and min(rest.values()) > 1 and first[1] not in rest:
      raise ValueError(
        f"{where}, line {rows[0].line} may be a header or a row, got"
        f" {','.join(first)!r:.60}, the only one of its class: write name,class"
        " above the rows, or in its place if it is one."
      )
  return []


def _take_wnids(columns: dict[int, list[str]]) -> list[str] | None:
  """Takes the column of WordNet ids out, where there is one beside others."""
  for column, cells in columns.items():
    if len(columns) > 1 and all(map(WNID.fullmatch, cells)):
      if len(set(cells)) < len(cells):
        return None  # classes that are called by them
      return columns.pop(column)
  return None


def _take_ids(
  columns: dict[int, list[str]], head: Sequence[str], where: str
) -> bool:
  """Takes the column of the classes' numbers out, where there is one."""
  for column, cells in list(columns.items()):
    if len(columns) < 2 or not all(map(is_index, cells)):
      continue
    if are_running(cells):
      del columns[column]
      return True
    word = header_word(head[column]) if head else ""
    if is_id_word(word) if head else column == 0:
      raise ValueError(
        f"{where}: the numbers of column {column + 1} must run 0, 1, 2, ... or"
        f" 1, 2, ... beside the names, got {cells[0]!r:.20} first: sort the"
        " rows, leave the column out, or write class,name above it."
      )
  return False


def _order(
  columns: dict[int, list[str]],
  head: Sequence[str],
  rows: Sequence[Row],
  literal: bool,
  where: str,
) -> tuple[int, int]:
  """Says which of two columns has the names and which the classes."""
  first, second = columns
  if literal:
    return first, second
  if head:
    ranks = [RANKS[header_word(head[column])] for column in columns]
    if ranks[0] == ranks[1]:
      raise ValueError(
        f"{where}, line {rows[0].line} must say which column has the classes,"
        f" got {head[first]!r:.20} and {head[second]!r:.20}: call the columns"
        " name and class."
      )
    return (first, second) if ranks[0] < ranks[1] else (second, first)
  names, owners = columns[first], columns[second]
  if len(set(names)) < len(names) and len(set(owners)) == len(owners):
    again = next(n for n, name in enumerate(names) if name in names[:n])
    raise ValueError(
      f"{where}, line {rows[again].line} repeats {names[again]!r:.40} in the"
      " column of the names, and each class has one: if the classes come first,"
      " write class,name above the rows, else name,class."
    )
  return first, second


def _grouped(
  columns: dict[int, list[str]],
  name: int,
  owner: int,
  wnids: Sequence[str] | None,
  head: Sequence[str],
  notes: list[str],
) -> ListedClasses:
  several = bool(head) and is_plural(head[name])
  texts: dict[str, list[str]] = {}
  ids: dict[str, set[str]] = {}
  for index, (text, of_class) in enumerate(
    zip(columns[name], columns[owner], strict=True)
  ):
    parts = re.split(r"[;|,]", text) if several else [text]
    texts.setdefault(of_class, []).extend(parts)
    if wnids:
      ids.setdefault(of_class, set()).add(wnids[index])
  if several:
    notes.append(f"several texts a cell under {head[name]!r}")
  classes = []
  for of_class, parts in texts.items():
    wnid = ids[of_class].pop() if len(ids.get(of_class, ())) == 1 else None
    classes.append(ListedClass(of_class, tuple(parts), wnid))
  return ListedClasses(tuple(classes), tuple(notes))
