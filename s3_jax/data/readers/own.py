"""A data set of one's own: class folders, or a CSV file."""

import pathlib
from collections.abc import Sequence

from s3_jax.data.readers.folders import (
  list_folder,
  read_class_folders,
  sort_names,
)
from s3_jax.data.readers.naming import ClassFinder, twins
from s3_jax.data.readers.tables import read_rows, read_table
from s3_jax.data.records import OpenedDataset

__all__ = ["open_own"]


def open_own(
  path: pathlib.Path, class_names: Sequence[str] | None = None
) -> tuple[OpenedDataset, tuple[str, ...]]:
  """Opens images of one's own.

  Args:
    path: a folder that holds a folder a class, or a CSV file of lines
      "path,label", paths starting from its folder.
    class_names: the classes in label order; folders and labels are matched with
      them in any spelling, and a CSV's label may be an index from 0. Without
      them the folders' names, or the different labels of the CSV, are the
      classes, sorted; where all are numbers, as numbers.

  Returns:
    The data set, and the names of its classes in label order.

  Raises:
    ValueError: if there is no such folder or file, a folder or label is no
      class, two folders are one class, or there is no image.
  """
  if class_names is not None and not (
    class_names and all(name.strip() for name in class_names)
  ):
    raise ValueError(
      f"`class_names` must hold names, none of them empty, got"
      f" {list(class_names)!r:.60}."
    )
  table = path.suffix.lower() == ".csv" and path.is_file()
  if not table and not path.is_dir():
    raise ValueError(
      "the data set must be a folder that holds a folder a class, or a CSV file"
      f" of lines path,label, got {path}."
    )
  rows = read_rows(path) if table else []
  if class_names is None:
    spelled = (
      {row.label for row in rows} if table else list_folder(path).folders
    )
    names = tuple(sort_names(list(spelled)))
    pair = twins(names)
    if pair:
      raise ValueError(
        f"{path} must spell each class in one way, got {pair[0]!r} and"
        f" {pair[1]!r}: use one of them."
      )
  else:
    names = tuple(class_names)
  if not names:
    raise ValueError(
      f"{path} must hold a folder of images for each class, got no folder."
    )
  finder = ClassFinder("the class names", names)
  if table:
    return read_table(path, rows, finder), names
  return read_class_folders(path, finder, layout="folders"), names
