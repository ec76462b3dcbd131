"""Images listed in a CSV file: a path and a label a line.

Paths start from the CSV's own folder. A label is a class's name, or its index
from 0. The first line may be a header.
"""

import csv
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  inside,
  open_files,
)
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

__all__ = ["FILE", "Row", "expects", "read", "read_rows", "read_table"]

FILE = "test.csv"
_PATHS = ("path", "file", "filename", "file_name", "filepath", "image")
_LABELS = ("label", "class", "class_name", "name")


class Row(NamedTuple):
  """A line of the file."""

  where: str
  path: str
  label: str


def expects(spec: DatasetSpec) -> str:
  """Says what `read` looks for."""
  del spec
  return f"{FILE} with lines of path,label"


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark whose folder holds test.csv.

  Args:
    spec: a row of DATASETS.
    data_dir: the folder that holds the data sets.

  Returns:
    The data set, in the order of the lines, or None if there is no such file.

  Raises:
    ValueError: if the file breaks a rule.
  """
  for folder in spec.folders:
    file = data_dir / folder / FILE
    if file.is_file():
      return read_table(file, read_rows(file), benchmark_finder(spec))
  return None


def read_table(
  file: pathlib.Path, rows: Sequence[Row], finder: ClassFinder
) -> OpenedDataset:
  """Makes a data set of the lines of a CSV file.

  Args:
    file: the CSV, for its folder.
    rows: its lines.
    finder: of the classes; a name that is a number goes before an index.

  Returns:
    The data set, in the order of the lines.

  Raises:
    ValueError: if a label is neither a class's name nor an index of one.
  """
  images = []
  for row in rows:
    is_index = row.label.isascii() and row.label.isdecimal()
    if is_index and not finder.find(row.label):
      label = int(row.label)
      if label >= finder.classes:
        raise ValueError(
          f"{row.where}: an index must lie in 0 to {finder.classes - 1}, got"
          f" {label}."
        )
    else:
      label = finder.label(row.label, row.where)
    images.append(ListedImage(row.path, label))
  seen = len({image.label for image in images})
  found = (
    f"table {file}: {count_words(len(images), 'image')}, {seen:,} of"
    f" {count_words(finder.classes, 'class', 'classes')}"
  )
  return open_files(file.parent, images, layout="csv", found=found)


def read_rows(file: pathlib.Path) -> list[Row]:
  """Reads and checks the lines of a CSV file.

  Args:
    file: UTF-8, commas between two columns, the path and the label.

  Returns:
    The lines without the header.

  Raises:
    ValueError: if a line has no two columns, a path leaves the folder or occurs
      twice, or there is no image.
  """
  try:
    lines = file.read_text("utf-8-sig").splitlines()
    cells = list(csv.reader(lines, strict=True))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{file} must be a CSV in UTF-8, got: {error}.") from error
  rows: list[Row] = []
  lines_of: dict[str, int] = {}
  for number, row in enumerate(cells, 1):
    row = [cell.strip() for cell in row]
    if not any(row) or (number == 1 and _is_header(row)):
      continue
    where = f"{file}, line {number}"
    if len(row) != 2 or not all(row):
      raise ValueError(
        f"{where} must be a path and a label, got {','.join(row)!r:.60}."
      )
    path = inside(row[0], where)
    if path in lines_of:
      raise ValueError(
        f"{where} must list another image than line {lines_of[path]}, got"
        f" {path!r:.60} again."
      )
    lines_of[path] = number
    rows.append(Row(where, path, row[1]))
  if not rows:
    raise ValueError(f"{file} must list images, got none.")
  return rows


def _is_header(row: Sequence[str]) -> bool:
  words = [cell.casefold() for cell in row]
  return len(words) == 2 and words[0] in _PATHS and words[1] in _LABELS
