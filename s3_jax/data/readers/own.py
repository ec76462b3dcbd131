"""A data set of one's own: class folders, or a CSV file."""

import pathlib
from collections.abc import Sequence

from s3_jax.data.readers.folders import (
  list_folder,
  read_class_folders,
  sort_names,
)
from s3_jax.data.readers.naming import ClassFinder, twins
from s3_jax.data.readers.tables import Table, read_rows, read_table
from s3_jax.data.records import OpenedDataset
from s3_jax.lexicon.class_values import WNID
from s3_jax.lexicon.synonyms import classes_by_wnid


def open_own(
  path: pathlib.Path,
  class_names: Sequence[str] | None = None,
  *,
  wnids: Sequence[str | None] = (),
) -> tuple[OpenedDataset, tuple[str, ...]]:
  """Opens images of one's own."""
  if class_names is not None and not (
    class_names and all(name.strip() for name in class_names)
  ):
    raise ValueError(
      f"`class_names` must hold names, none of them empty, got"
      f" {list(class_names)!r:.60}."
    )
  table = _table(path)
  names = class_names
  if names is None:
    names = _spelled(path, table)
    known = _known(names)
    if known:
      wnids, names = names, known
  if not names:
    raise ValueError(
      f"{path} must hold a folder of images for each class, got no folder."
    )
  names = tuple(names)
  finder = ClassFinder("the class names", names, ids=wnids)
  if table is not None:
    return read_table(path, table, finder), names
  return read_class_folders(path, finder, layout="folders"), names


def spelled_wnids(path: pathlib.Path) -> tuple[str, ...]:
  """Lists the classes of a data set whose folders are called by WordNet ids."""
  names = _spelled(path, _table(path))
  return names if _known(names) else ()


def _table(path: pathlib.Path) -> Table | None:
  """Reads the CSV, or returns None for a folder."""
  if path.suffix.lower() == ".csv" and path.is_file():
    return read_rows(path)
  if not path.is_dir():
    raise ValueError(
      "the data set must be a folder that holds a folder a class, or a CSV file"
      f" of lines path,label, got {path}."
    )
  return None


def _spelled(path: pathlib.Path, table: Table | None) -> tuple[str, ...]:
  """Lists the classes as the folders or the labels spell them, sorted."""
  spelled = (
    list_folder(path).folders
    if table is None
    else {row.label for row in table.rows}
  )
  names = tuple(sort_names(list(spelled)))
  pair = twins(names)
  if pair:
    raise ValueError(
      f"{path} must spell each class in one way, got {pair[0]!r} and"
      f" {pair[1]!r}: use one of them."
    )
  return names


def _known(names: Sequence[str]) -> tuple[str, ...]:
  """Returns the names of WordNet ids; nothing if the names are no ids."""
  if not names or not all(map(WNID.fullmatch, names)):
    return ()
  known = classes_by_wnid()
  strange = [name for name in names if name not in known]
  if strange:
    raise ValueError(
      f"classes called by WordNet ids must be of ImageNet's 1000, got"
      f" {strange[0]!r} and {len(strange) - 1} more others: give their names in"
      ' a file of lines "n01440764 tench" as `config.lexicon`.'
    )
  return tuple(known[name].name for name in names)
