"""Class folders: `root/CLASS/IMAGE`, one level deep.

A folder's name is a class's name in any spelling, or its WordNet id. Folders
deeper down are an error: walking them would take a data set's own splits, or
its thumbnails, for more images of a class.
"""

import os
import pathlib
from typing import NamedTuple

from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  is_hidden,
  is_image,
  open_files,
  skipped_words,
)
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

# Where class folders may start; the last is that of Kaggle's ImageNet.
_PARTS = ("", "test", "val", "images", "images/val", "images/test", "sketch")
_PARTS += ("ILSVRC/Data/CLS-LOC/val",)


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark whose images lie in class folders."""
  finder = benchmark_finder(spec)
  for folder in spec.folders:
    for part in _PARTS:
      root = data_dir / folder / part
      names = list_folder(root).folders if root.is_dir() else []
      if any(finder.find(name) for name in names):
        return read_class_folders(root, finder, layout="folders")
  return None


class _Listing(NamedTuple):
  """What lies directly in a folder, sorted; what is no data is `skipped`."""

  folders: list[str]
  images: list[str]
  skipped: list[str]


def list_folder(root: pathlib.Path) -> _Listing:
  """Lists a folder, but not its folders; links are what they lead to."""
  listing = _Listing([], [], [])
  try:
    with os.scandir(root) as scanned:
      entries = list(scanned)
  except OSError as error:
    raise ValueError(f"{root} must be readable: {error.strerror}.") from error
  for entry in entries:
    if is_hidden(entry.name):
      listing.skipped.append(entry.name)
    elif entry.is_dir():
      listing.folders.append(entry.name)
    elif is_image(entry.name):
      listing.images.append(entry.name)
    else:
      listing.skipped.append(entry.name)
  for names in listing:
    names.sort()
  return listing


def read_class_folders(
  root: pathlib.Path, finder: ClassFinder, *, layout: str
) -> OpenedDataset:
  """Reads class folders."""
  top = list_folder(root)
  skipped = top.skipped
  dropped = [name for name in top.folders if name in finder.dropped]
  owners: dict[int, str] = {}
  for name in top.folders:
    if name in dropped:
      continue
    label = finder.label(name, f"each folder in {root}")
    if label in owners:
      raise ValueError(
        f"{root} must hold one folder a class, and {owners[label]!r} and"
        f" {name!r} both are class {label}: merge them."
      )
    owners[label] = name
  images = []
  for label in sorted(owners):
    inner = list_folder(root / owners[label])
    if inner.folders:
      raise ValueError(
        f"{root / owners[label]} must hold images and no folders, got"
        f" {inner.folders[0]!r}: class folders are read one level deep."
      )
    skipped += inner.skipped
    images += [ListedImage(f"{owners[label]}/{n}", label) for n in inner.images]
  if not images:
    raise ValueError(f"{root} must hold images in its class folders, got none.")
  with_images = len({image.label for image in images})
  found = (
    f"class folders in {root}: {count_words(len(images), 'image')},"
    f" {with_images:,} of {count_words(finder.classes, 'class', 'classes')}"
  )
  if dropped:
    found += f"; left out {' and '.join(dropped)}, as the benchmark does"
  if top.images:
    found += (
      f"; left out {count_words(len(top.images), 'image')} outside of class"
      f" folders ({top.images[0]} first)"
    )
  found += skipped_words(skipped)
  return open_files(root, images, layout=layout, found=found)
