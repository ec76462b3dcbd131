"""ImageNet's validation images as they are published: one heap, no labels.

Either the archive ILSVRC2012_img_val.tar, read in place, or its files in one
folder. The labels come from one of the lists of `ground_truth`.
"""

import os
import pathlib
import re
import tarfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.data.readers.folders import list_folder
from s3_jax.data.readers.ground_truth import (
  Truth,
  find_truth,
  wnid_labels,
)
from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  inside,
  is_image,
  label_once,
  open_files,
  skipped_words,
)
from s3_jax.data.records import (
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)
from s3_jax.data.specs import DatasetSpec

ARCHIVE = "ILSVRC2012_img_val.tar"
_MANUAL = "downloads/manual"  # where TFDS wants archives to be put
_FLAT = ("", "val", "images/val", "ILSVRC/Data/CLS-LOC/val")
_FLAT += ("val_images", "data/val_images")  # as Hugging Face's hub has it
# The hub writes the class into the name: ILSVRC2012_val_00000293_n01440764.
_NUMBER = re.compile(
  r"ILSVRC2012_val_(\d{8})(?:_(n\d{8}))?\.JPEG", re.IGNORECASE
)


class _Member(NamedTuple):
  """A file in an archive."""

  name: str
  label: int
  offset: int  # of its first byte
  size: int


class TarRecords:
  """Records whose images are members of an uncompressed archive.

  Attributes:
    labels: in the order of the records.
    unreadable: how many members are empty.
  """

  def __init__(self, archive: pathlib.Path, members: Sequence[_Member]):
    self._archive = archive
    self._places = [(member.offset, member.size) for member in members]
    self.labels = [member.label for member in members]
    self.unreadable = sum(member.size == 0 for member in members)

  def __len__(self) -> int:
    return len(self._places)

  def __getitem__(self, index: int) -> dict[str, Any]:
    offset, size = self._places[index]
    # Opened each time: threads share no position, and nothing stays open.
    with open(self._archive, "rb") as file:
      file.seek(offset)
      data = file.read(size)
    if len(data) != size:
      raise OSError(f"{self._archive} ends before {size} bytes at {offset}.")
    return {"image": data, "label": self.labels[index]}


def read_tar(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads the official archive of the validation images in place."""
  folders = [data_dir / name for name in spec.folders]
  for folder in (*folders, data_dir, data_dir / _MANUAL):
    archive = folder / ARCHIVE
    if archive.is_file():
      return _index(archive, (archive.parent, *folders))
  return None


def _index(
  archive: pathlib.Path, folders: Sequence[pathlib.Path]
) -> OpenedDataset:
  members, skipped = [], []
  labels = _Labels(folders, str(archive))
  try:
    with (
      tarfile.open(archive, "r:") as tar,
      hosts.progress_bar(
        desc=f"index {archive.name}", unit="file", delay=2
      ) as bar,
    ):
      for member in tar:
        bar.update()
        name = inside(member.name, str(archive))
        if member.isdir():
          continue
        if not member.isreg() or not is_image(pathlib.PurePath(name).name):
          skipped.append(name)
          continue
        label = labels.of(name)
        members.append(_Member(name, label, member.offset_data, member.size))
  except (tarfile.TarError, OSError) as error:
    raise ValueError(
      f"{archive} must be a whole, uncompressed tar, got: {error}; fetch it"
      " again."
    ) from error
  end = max((member.offset + member.size for member in members), default=0)
  if not members or end > archive.stat().st_size:
    raise ValueError(
      f"{archive} must hold whole images, got {len(members)} members that end"
      f" at byte {end:,} of {archive.stat().st_size:,}; fetch it again."
    )
  members.sort()
  status = archive.stat()
  whole = os.path.abspath(archive)
  stamps = [
    make_stamp((whole, status), part=f"{member.offset} {member.size}")
    for member in members
  ]
  return OpenedDataset(
    records=TarRecords(archive, members),
    files=[member.name for member in members],
    found=(
      f"archive {archive}: {count_words(len(members), 'image')}, labels from"
      f" {labels.source}{skipped_words(skipped)}"
    ),
    layout="tar",
    fingerprint=fingerprint(
      "tar", ((m.name, m.label, m.size, status.st_mtime_ns) for m in members)
    ),
    stamps=lambda: gather_stamps(whole, stamps),
  )


def read_flat(
  spec: DatasetSpec, data_dir: pathlib.Path
) -> OpenedDataset | None:
  """Reads the validation images from one folder, as the archive unpacks."""
  folders = [data_dir / name for name in spec.folders]
  for root in (folder / part for folder in folders for part in _FLAT):
    listing = list_folder(root) if root.is_dir() else None
    if listing is None or not any(map(_NUMBER.fullmatch, listing.images)):
      continue
    labels = _Labels((root, root.parent, *folders), str(root))
    images = [ListedImage(name, labels.of(name)) for name in listing.images]
    found = (
      f"flat folder {root}: {count_words(len(images), 'image')}, labels from"
      f" {labels.source}{skipped_words(listing.skipped)}"
    )
    return open_files(root, images, layout="flat", found=found)
  return None


class _Labels:
  """Labels of images: from their names, or from a list that is then sought."""

  def __init__(self, folders: Sequence[pathlib.Path], where: str):
    self._folders = folders
    self._where = where
    self._truth: Truth | None = None
    self._numbers: dict[str, tuple[int, str]] = {}

  @property
  def source(self) -> str:
    return self._truth.source if self._truth else "the files' names"

  def of(self, name: str) -> int:
    """Returns the label of an image, or says why there is none."""
    match = _NUMBER.fullmatch(pathlib.PurePath(name).name)
    if match is None:
      raise ValueError(
        f"{self._where} must hold images called ILSVRC2012_val_00000001.JPEG"
        f" and so on, got {name!r:.80}."
      )
    label = self._named(match[2].lower(), name) if match[2] else None
    if label is None:
      label = self._listed(int(match[1]))
    number = f"image {match[1]}"
    label_once(self._numbers, number, label, f"{self._where}, {name}")
    return label

  def _named(self, wnid: str, name: str) -> int:
    if wnid not in wnid_labels():
      raise ValueError(
        f"{self._where} must hold images of ImageNet's classes, got {wnid!r} in"
        f" {name!r:.80}."
      )
    return wnid_labels()[wnid]

  def _listed(self, number: int) -> int:
    if self._truth is None:
      self._truth = find_truth(self._folders)
    if number not in self._truth.labels:
      raise ValueError(
        f"{self._truth.source} must have a label for image {number} of"
        f" {self._where}, and has {len(self._truth.labels):,} labels."
      )
    return self._truth.labels[number]
