"""Encoded images in files of their own, and which names are images.

Nothing is left out in silence: what a name rules out is counted, and what is
listed and absent stays, to be reported by whoever reads it.
"""

import os
import pathlib
import posixpath
import re
import stat
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.data.reading import check_file, read_file
from s3_jax.data.records import (
  NO_STAMP,
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)

_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
_SUFFIXES += (".tif", ".tiff", ".ppm", ".pgm")
_CLUTTER = (
  *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__pycache__"),
  *("__macosx", "lost+found", "$recycle.bin", "recycler", "@eadir"),
  *("#recycle", "#snapshot", "system volume information", "lost.dir"),
)


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
  """Makes a data set of files."""
  whole = os.path.abspath(root)
  sizes: list[tuple[int, int]] = []
  stamps: list[tuple[bytes, int]] = []
  stored: list[ListedImage] = []
  listings: dict[pathlib.Path, dict[str, str]] = {}
  owners: dict[tuple[int, int], int] = {}
  same = other = 0
  for image in hosts.progress_bar(
    images, desc=f"list {root.name}", unit="file", delay=2
  ):
    file, status = look_at(root, image.file, listings)
    sizes.append(size_and_time(status))
    stamps.append(NO_STAMP)
    if status is not None and not check_file(status):
      stamps[-1] = make_stamp((os.path.join(whole, file), status))
    if status is not None and status.st_ino:
      key = status.st_dev, status.st_ino
      same += key in owners
      other += owners.setdefault(key, image.label) != image.label
    stored.append(image if file == image.file else image._replace(file=file))
  absent = sum(size < 0 for size, _ in sizes)
  empty = sum(size == 0 for size, _ in sizes)
  for count, words in ((absent, "listed, but absent"), (empty, "empty")):
    if count:
      found += f"; {count_words(count, 'file')} {words}"
  if same:
    found += f"; {count_words(same, 'image')} listed again"
    found += f", {other:,} of them with another label" if other else ""
  parts = (
    (image.file, image.label, *size)
    for image, size in zip(images, sizes, strict=True)
  )
  return OpenedDataset(
    records=FileRecords(root, stored, unreadable=absent + empty),
    files=[image.file for image in images],
    found=found,
    layout=layout,
    fingerprint=fingerprint(layout, parts),
    stamps=lambda: gather_stamps(whole, stamps),
    absent=absent,
  )


def look_at(
  root: pathlib.Path, file: str, listings: dict[pathlib.Path, dict[str, str]]
) -> tuple[str, os.stat_result | None]:
  """Finds a listed file: its stored path, and its facts if it is a file."""
  try:
    try:
      status = os.stat(root / file)
    except FileNotFoundError:
      file = stored_path(root, file, listings)
      status = os.stat(root / file)
  except OSError:
    return file, None
  return file, status if stat.S_ISREG(status.st_mode) else None


def size_and_time(status: os.stat_result | None) -> tuple[int, int]:
  """Returns what a fingerprint knows of a file; -1 of one that is not there."""
  return (-1, -1) if status is None else (status.st_size, status.st_mtime_ns)


def stored_path(
  root: pathlib.Path,
  file: str,
  listings: dict[pathlib.Path, dict[str, str]],
) -> str:
  """Finds a listed file that is stored under an equal name in other signs.

  One system stores an accented letter as one sign, another as two (NFC, NFD);
  a list may have been made on either, or with backslashes.
  """
  if file.isascii() and "\\" not in file:
    return file
  parts, folder = [], root
  for part in re.split(r"[/\\]", file):
    if not os.path.lexists(folder / part):
      if folder not in listings:
        names = os.listdir(folder) if folder.is_dir() else []
        listings[folder] = {composed(name): name for name in names}
      part = listings[folder].get(composed(part), part)
    parts.append(part)
    folder /= part
  return "/".join(parts)


def composed(name: str) -> str:
  """Returns a name with accented letters as one sign each."""
  return unicodedata.normalize("NFC", name)


def label_once(
  labels: dict[str, tuple[int, str]], name: str, label: int, where: str
) -> None:
  """Notes the label of a listed image, and refuses a second one."""
  first, location = labels.setdefault(name, (label, where))
  if first != label:
    shown = name if name.isprintable() else repr(name)
    raise ValueError(
      f"{where} gives {shown:.80} the label {label}, and {location} the label"
      f" {first}: keep one of them."
    )


def count_from_one(labels: Sequence[int], classes: int, where: str) -> str:
  """Refuses indices that seem to count from 1."""
  different = set(labels)
  if not different or 0 in different:
    return ""
  if different == set(range(1, classes)):
    raise ValueError(
      f"{where}: indices count the classes from 0, got all of 1 to"
      f" {classes - 1} and no 0: subtract 1 if they count from 1, or write the"
      " classes' names."
    )
  return "no image has the index 0, from which classes are counted"


def is_image(name: str) -> bool:
  """Says whether a file's name is that of an image."""
  return has_image_ending(name) and not is_hidden(name)


def has_image_ending(path: str) -> bool:
  """Says whether a path ends as those of images do."""
  return os.path.splitext(path)[1].lower() in _SUFFIXES


def is_hidden(name: str) -> bool:
  """Says whether systems leave files or folders of this name about."""
  return name.startswith((".", "@")) or is_clutter(name)


def is_clutter(name: str) -> bool:
  """Says whether a name is one that file systems and tools make themselves."""
  return name.casefold() in _CLUTTER or name.casefold().startswith("found.0")


def inside(path: str, where: str) -> str:
  """Makes sure that a path stays in its folder, by its words alone."""
  parts = re.split(r"[/\\]", path)
  absolute = not parts[0] or re.fullmatch(r"[A-Za-z]:", parts[0])
  if absolute or ".." in parts or "\0" in path:
    raise ValueError(
      f"{where}: a path must stay inside the data set's folder, got"
      f" {path!r:.80}."
    )
  return posixpath.normpath(path)


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
