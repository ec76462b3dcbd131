"""Images that are members of uncompressed archives, read where they lie."""

import os
import pathlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.data.readers.listing import inside
from s3_jax.data.records import (
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)
from s3_jax.files import LFS_POINTER_BYTES, is_lfs_pointer


class TarMember(NamedTuple):
  """An image in an archive; `name` is what reports call it."""

  name: str
  label: int
  archive: pathlib.Path
  offset: int  # of its first byte
  size: int


class TarRecords:
  """Records whose images are members of uncompressed archives.

  Attributes:
    labels: in the order of the records.
    unreadable: how many members are empty.
  """

  def __init__(self, members: Sequence[TarMember]):
    self._places = [each[2:] for each in members]
    self.labels = [member.label for member in members]
    self.unreadable = sum(member.size == 0 for member in members)

  def __len__(self) -> int:
    return len(self._places)

  def __getitem__(self, index: int) -> dict[str, Any]:
    archive, offset, size = self._places[index]
    # Opened each time: threads share no position, and nothing stays open.
    with open(archive, "rb") as file:
      file.seek(offset)
      data = file.read(size)
    if len(data) != size:
      raise OSError(f"{archive} ends before {size} bytes at {offset}.")
    return {"image": data, "label": self.labels[index]}


def walk(archive: pathlib.Path) -> Iterator[tuple[str, int, int]]:
  """Lists what lies in an archive: name, first byte, size; -1 of a link."""
  total = archive.stat().st_size
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
        if member.offset_data + member.size > total:
          raise tarfile.ReadError(f"{name!r:.80} ends after the archive")
        yield name, member.offset_data, member.size if member.isreg() else -1
      # A cut-off or overwritten header ends the listing without a word.
      if not _is_end(read_part(archive, tar.offset, tarfile.BLOCKSIZE)):
        raise tarfile.ReadError(f"no end, but a damage at byte {tar.offset:,}")
  except (tarfile.TarError, OSError) as error:
    why = str(error)
    if is_lfs_pointer(read_part(archive, 0, LFS_POINTER_BYTES)):
      why = "a Git LFS pointer"
    raise ValueError(
      f"{archive} must be a whole, uncompressed tar, got: {why}; fetch it"
      " again."
    ) from error


def _is_end(block: bytes) -> bool:
  return block == bytes(tarfile.BLOCKSIZE)


def read_part(archive: pathlib.Path, offset: int, size: int) -> bytes:
  """Reads a part of a file; less where it ends before."""
  with open(archive, "rb") as file:
    file.seek(offset)
    return file.read(size)


def open_members(
  root: pathlib.Path, members: Sequence[TarMember], *, layout: str, found: str
) -> OpenedDataset:
  """Makes a data set of members, whose archives lie in or are `root`."""
  files = {
    archive: (os.path.abspath(archive), archive.stat())
    for archive in {member.archive for member in members}
  }
  parts = (
    (each.name, each.label, each.size, files[each.archive][1].st_mtime_ns)
    for each in members
  )
  stamps = [
    make_stamp(files[member.archive], part=f"{member.offset} {member.size}")
    for member in members
  ]
  return OpenedDataset(
    records=TarRecords(members),
    files=[member.name for member in members],
    found=found,
    layout=layout,
    fingerprint=fingerprint(layout, parts),
    stamps=lambda: gather_stamps(os.path.abspath(root), stamps),
  )
