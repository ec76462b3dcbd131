"""A data set of one's own: class folders, a CSV file, or shards."""

import pathlib
from collections.abc import Sequence

from s3_jax.data.readers import parquet, webdataset
from s3_jax.data.readers.folders import list_folder, read_class_folders
from s3_jax.data.readers.naming import ClassFinder, sole_spellings
from s3_jax.data.readers.split_shards import CLASS_NAMES
from s3_jax.data.readers.stored_labels import (
  StoredImages,
  open_stored,
  own_names,
)
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
  source = _source(path)
  names = class_names
  if names is None:
    names = _spelled(path, source)
    known = _known(names)
    if known:
      wnids, names = names, known
  if not names and isinstance(source, StoredImages):
    raise ValueError(
      f"{path} must name its classes, got indices alone: put {CLASS_NAMES}, a"
      " class a line in their order, beside the shards, or give a list of"
      " classes as `config.lexicon`."
    )
  if not names:
    raise ValueError(
      f"{path} must hold a folder of images for each class, got no folder."
    )
  names = tuple(names)
  finder = ClassFinder("the class names", names, ids=wnids)
  if isinstance(source, StoredImages):
    return open_stored(source, finder), names
  if source is not None:
    return read_table(path, source, finder), names
  return read_class_folders(path, finder, layout="folders"), names


def spelled_wnids(path: pathlib.Path) -> tuple[str, ...]:
  """Lists the classes of a data set that calls them by WordNet ids."""
  names = _spelled(path, _source(path))
  return names if _known(names) else ()


def _source(path: pathlib.Path) -> Table | StoredImages | None:
  """Reads a CSV, or what lies in shards; None of class folders."""
  if path.suffix.lower() == ".csv" and path.is_file():
    return read_rows(path)
  if path.is_dir() and _has_class_folders(path):
    return None
  if path.is_dir() or path.suffix.lower() in (".parquet", ".tar"):
    for reader in (parquet, webdataset):
      stored = reader.index(path, prefer=("test", "validation"))
      if stored is not None:
        return stored
  if not path.is_dir():
    raise ValueError(
      "the data set must be a folder that holds a folder a class, or parquet or"
      " WebDataset shards, or a CSV file of lines path,label, or one shard, got"
      f" {path}."
    )
  return None


def _has_class_folders(path: pathlib.Path) -> bool:
  folders = list_folder(path).folders
  return any(list_folder(path / name).images for name in folders)


def _spelled(
  path: pathlib.Path, source: Table | StoredImages | None
) -> tuple[str, ...]:
  """Lists the classes as folders, labels or shards spell them."""
  if isinstance(source, StoredImages):
    return own_names(source)
  spelled = (
    list_folder(path).folders
    if source is None
    else (row.label for row in source.rows)
  )
  return sole_spellings(spelled, f"{path}")


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
