"""Images listed in a CSV file: a path and a label a line.

Paths start from the CSV's own folder. A label is a class's name, or its index
from 0. The first line may be a header in any words, and the columns may stand
in any order: paths are known by the endings of images.
"""

import csv
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.data.readers.listing import (
  ListedImage,
  count_from_one,
  count_words,
  has_image_ending,
  inside,
  open_files,
)
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec
from s3_jax.lexicon import cells
from s3_jax.lexicon.documents import read_text

FILE = "test.csv"
_PATHS = (
  *("path", "file", "filename", "filepath", "fname", "relpath"),
  *("relativepath", "photo", "picture"),
  *(
    f"{what}{part}"
    for what in ("image", "img")
    for part in ("", "path", "name", "file", "filename", "id")
  ),
)


class Row(NamedTuple):
  """A line of the file."""

  where: str
  path: str
  label: str


class Table(NamedTuple):
  """The lines of a file without the header, and what was taken as what."""

  rows: list[Row]
  notes: tuple[str, ...]


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark whose folder holds test.csv."""
  for folder in spec.folders:
    file = data_dir / folder / FILE
    if file.is_file():
      return read_table(file, read_rows(file), benchmark_finder(spec))
  return None


def read_table(
  file: pathlib.Path, table: Table, finder: ClassFinder
) -> OpenedDataset:
  """Makes a data set of the lines of a CSV file."""
  images, indices = [], []
  for row in table.rows:
    is_index = row.label.isascii() and row.label.isdecimal()
    if is_index and not finder.find(row.label) and not finder.has_numbers:
      label = int(row.label) if len(row.label) < 10 else finder.classes
      if label >= finder.classes:
        raise ValueError(
          f"{row.where}: an index must lie in 0 to {finder.classes - 1}, got"
          f" {row.label:.20}: indices count from 0; subtract 1 from those that"
          " count from 1, or write names."
        )
      indices.append(label)
    else:
      label = finder.label(row.label, row.where)
    images.append(ListedImage(row.path, label))
  note = count_from_one(indices, finder.classes, f"{file}")
  seen = len({image.label for image in images})
  found = (
    f"table {file}: {count_words(len(images), 'image')}, {seen:,} of"
    f" {count_words(finder.classes, 'class', 'classes')}"
  )
  notes = (*table.notes, note) if note else table.notes
  found = "; ".join((found, *notes))
  return open_files(file.parent, images, layout="csv", found=found)


def read_rows(file: pathlib.Path) -> Table:
  """Reads and checks the lines of a CSV file."""
  try:
    read = cells.split_rows(read_text(file))
  except (ValueError, csv.Error) as error:
    why = str(error).removeprefix(f"{file} must be ")
    raise ValueError(f"{file} must be a CSV in UTF-8, got: {why}") from error
  for row in read:
    if len(row.cells) < 2 or len(row.cells) != len(read[0].cells):
      raise _no_pair(file, row)
  if not read:
    raise ValueError(f"{file} must list images, got none.")
  path_at = _path_column(file, read)
  head = _is_header(file, read, path_at)
  label_at, notes = _label_column(file, read, path_at, head)
  rows: list[Row] = []
  lines_of: dict[str, tuple[int, str]] = {}
  for row in read[1:] if head else read:
    path, label = row.cells[path_at], row.cells[label_at]
    where = f"{file}, line {row.line}"
    if not path or not label:
      raise _no_pair(file, row)
    path = inside(path, where)
    number, other = lines_of.setdefault(
      path.replace("\\", "/"), (row.line, label)
    )
    if number != row.line:
      if other != label:
        raise ValueError(
          f"{where} gives {path!r:.60} the label {label!r:.40}, and line"
          f" {number} the label {other!r:.40}: keep one of them."
        )
      raise ValueError(
        f"{where} must list another image than line {number}, got"
        f" {path!r:.60} again."
      )
    rows.append(Row(where, path, label))
  if not rows:
    raise ValueError(f"{file} must list images, got none.")
  return Table(rows, notes)


def _no_pair(file: pathlib.Path, row: cells.Row) -> ValueError:
  return ValueError(
    f"{file}, line {row.line} must be a path and a label, got"
    f" {','.join(row.cells)!r:.60}."
  )


def _path_column(file: pathlib.Path, rows: Sequence[cells.Row]) -> int:
  """Finds the column of paths by the endings of images, or by its header."""
  columns = range(len(rows[0].cells))
  body = rows[1:] or rows
  for kind in (all, any):
    found = [
      column
      for column in columns
      if kind(has_image_ending(row.cells[column]) for row in body)
    ]
    if found:
      break
  if len(found) != 1:
    words = map(_word, rows[0].cells)
    named = [column for column, word in enumerate(words) if word in _PATHS]
    named = [column for column in named if not found or column in found]
    if len(found) > 1 and len(named) != 1:
      raise ValueError(
        f"{file} must have one column of paths, got {len(found)}: keep that of"
        " the images, and call it path."
      )
    found = named or [0]
  return found[0]


def _is_header(
  file: pathlib.Path, rows: Sequence[cells.Row], path_at: int
) -> bool:
  """Says whether the first line is a header: its words, or no path in it."""
  first = rows[0].cells
  path = first[path_at]
  if has_image_ending(path) or "/" in path or "\\" in path:
    return False
  others = [cell for index, cell in enumerate(first) if index != path_at]
  known = _word(path) in _PATHS or cells.is_id_word(path)
  if known and all(map(cells.is_header_word, others)):
    return True
  listed = [has_image_ending(row.cells[path_at]) for row in rows[1:]]
  if not listed or not all(listed):
    return known and len(rows) > 1 and not (file.parent / path).exists()
  return not os.path.lexists(file.parent / path)


def _word(cell: str) -> str:
  word = cells.header_word(cell)
  return word.removesuffix("s") if word not in _PATHS else word


def _label_column(
  file: pathlib.Path, rows: Sequence[cells.Row], path_at: int, head: bool
) -> tuple[int, tuple[str, ...]]:
  """Finds the column of labels, and says what was made of the columns."""
  notes = ["first line taken as a header"] if head else []
  if path_at:
    notes.append(f"paths in column {path_at + 1}")
  others = [c for c in range(len(rows[0].cells)) if c != path_at]
  if len(others) == 1:
    return others[0], tuple(notes)
  if not head:
    raise _no_pair(file, rows[0])
  first = rows[0].cells
  named = [c for c in others if cells.header_word(first[c]) in cells.RANKS]
  in_words = [
    c for c in named if not all(row.cells[c].isdecimal() for row in rows[1:])
  ]
  named = in_words or named
  if len(named) != 1:
    raise ValueError(
      f"{file}, line {rows[0].line} must name one column of labels, got"
      f" {','.join(first)!r:.80}: keep two columns, path,label."
    )
  left = ", ".join(repr(first[c]) for c in others if c != named[0])
  return named[0], (*notes, f"columns left out: {left:.60}")
