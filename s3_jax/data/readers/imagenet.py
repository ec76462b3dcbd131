"""ImageNet's validation images as they are published: one heap, no labels.

Either the archive ILSVRC2012_img_val.tar, read in place, or its files in one
folder. The labels come from one of the lists of `ground_truth`.
"""

import pathlib
import re
from collections.abc import Sequence

from s3_jax.data.readers.folders import list_folder
from s3_jax.data.readers.ground_truth import (
  Truth,
  find_truth,
  wnid_labels,
)
from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  is_image,
  label_once,
  open_files,
  skipped_words,
)
from s3_jax.data.readers.tar_members import TarMember, open_members, walk
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

ARCHIVE = "ILSVRC2012_img_val.tar"
_MANUAL = "downloads/manual"  # where TFDS wants archives to be put
_FLAT = ("", "val", "images/val", "ILSVRC/Data/CLS-LOC/val")
_FLAT += ("val_images", "data/val_images")  # as Hugging Face's hub has it
# The hub writes the class into the name: ILSVRC2012_val_00000293_n01440764.
_NUMBER = re.compile(
  r"ILSVRC2012_val_(\d{8})(?:_(n\d{8}))?\.JPEG", re.IGNORECASE
)


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
  labels = _Labels(folders, str(archive))
  members, skipped = [], []
  for name, offset, size in walk(archive):
    if size >= 0 and is_image(pathlib.PurePath(name).name):
      label = labels.of(name)
      members.append(TarMember(name, label, archive, offset, size))
    else:
      skipped.append(name)
  if not members:
    raise ValueError(
      f"{archive} must hold whole images, got 0 members; fetch it again."
    )
  found = (
    f"archive {archive}: {count_words(len(members), 'image')}, labels from"
    f" {labels.source}{skipped_words(skipped)}"
  )
  return open_members(archive, sorted(members), layout="tar", found=found)


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
