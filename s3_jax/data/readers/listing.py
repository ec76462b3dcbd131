"""Encoded images in files of their own, and which names are images.

Nothing is left out in silence: what a name rules out is counted, and what is
listed and absent stays, to be reported by whoever reads it.
"""

import os
import pathlib
import re
import stat
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from s3_jax.data.reading import check_file, read_file
from s3_jax.data.records import (
  NO_STAMP,
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)

__all__ = [
  "FileRecords",
  "ListedImage",
  "count_words",
  "inside",
  "is_hidden",
  "is_image",
  "open_files",
  "skipped_words",
]

_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
_SUFFIXES += (".tif", ".tiff", ".ppm", ".pgm")
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")


class ListedImage(NamedTuple):
  """An image that a layout lists: its path under the root, and its label."""

  file: str
  label: int


class FileRecords:
  """Records whose images are files; they are read when they are asked for.

  Attributes:
    labels: in the order of the records.
    unreadable: how many files are absent or empty.
  """

  def __init__(
    self,
    root: pathlib.Path,
    images: Sequence[ListedImage],
    *,
    unreadable: int = 0,
  ):
    self._root = root
    self._files = [image.file for image in images]
    self.labels = [image.label for image in images]
    self.unreadable = unreadable

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, index: int) -> dict[str, Any]:
    data = read_file(self._root / self._files[index])
    return {"image": data, "label": self.labels[index]}


def open_files(
  root: pathlib.Path,
  images: Sequence[ListedImage],
  *,
  layout: str,
  found: str,
) -> OpenedDataset:
  """Makes a data set of files.

  Args:
    root: the folder that the images' paths start from.
    images: in their fixed order.
    layout: the reader's key.
    found: what was found; absent and empty files are added to it.

  Returns:
    The data set; sizes and times of the files are part of its fingerprint.
    What is no regular file, such as a pipe, counts as absent.
  """
  whole = os.path.abspath(root)
  sizes: list[tuple[int, int]] = []
  stamps: list[tuple[bytes, int]] = []
  for image in tqdm(
    images, desc=f"list {root.name}", unit="file", delay=2, leave=False
  ):
    path = os.path.join(whole, image.file)
    try:
      status = os.stat(path)
    except OSError:
      status = None
    if status is None or not stat.S_ISREG(status.st_mode):
      sizes.append((-1, -1))
      stamps.append(NO_STAMP)
    else:
      sizes.append((status.st_size, status.st_mtime_ns))
      stamps.append(
        NO_STAMP if check_file(status) else make_stamp((path, status))
      )
  absent = sum(size < 0 for size, _ in sizes)
  empty = sum(size == 0 for size, _ in sizes)
  for count, words in ((absent, "listed, but absent"), (empty, "empty")):
    if count:
      found += f"; {count_words(count, 'file')} {words}"
  parts = (
    (image.file, image.label, *size)
    for image, size in zip(images, sizes, strict=True)
  )
  return OpenedDataset(
    records=FileRecords(root, images, unreadable=absent + empty),
    files=[image.file for image in images],
    found=found,
    layout=layout,
    fingerprint=fingerprint(layout, parts),
    stamps=lambda: gather_stamps(whole, stamps),
    absent=absent,
  )


def is_image(name: str) -> bool:
  """Says whether a file's name is that of an image."""
  suffix = name[name.rfind(".") :].lower()
  return suffix in _SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
  """Says whether systems leave files or folders of this name about."""
  return name.startswith((".", "@")) or name.lower() in _CLUTTER


def inside(path: str, where: str) -> str:
  """Makes sure that a path stays in its folder, by its words alone.

  Args:
    path: as a list or an archive has it, parts between slashes.
    where: what has it, for the message.

  Returns:
    The path, without "./" at its start.

  Raises:
    ValueError: if the path is absolute or climbs, or is no path.
  """
  parts = re.split(r"[/\\]", path)
  absolute = not parts[0] or re.fullmatch(r"[A-Za-z]:", parts[0])
  if absolute or ".." in parts or "\0" in path:
    raise ValueError(
      f"{where}: a path must stay inside the data set's folder, got"
      f" {path!r:.80}."
    )
  return path.removeprefix("./")


def count_words(count: int, noun: str, plural: str = "") -> str:
  """Writes "1 file", "2,000 files"."""
  return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def skipped_words(names: Sequence[str]) -> str:
  """Says how many files were no images by their names, the first by name."""
  if not names:
    return ""
  some = ", ".join(sorted(names)[:3])
  more = ", ..." if len(names) > 3 else ""
  return f"; skipped {count_words(len(names), 'name')} ({some}{more})"
