"""What every reader gives: encoded images with labels, and where they lie.

A reader finds a data set on disk and says what it found; nothing is decoded
before the input pipeline does. Whatever the layout, what comes after it sees
one stream.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable  # for the shape checks of the tests
class Records(Protocol):
  """Random access to `{"image": encoded bytes, "label": int}`.

  Safe to read from several threads at once. A record that cannot be read raises
  OSError when it is asked for, and not before.
  """

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Mapping[str, Any]: ...


class Stamps(NamedTuple):
  """What a file system says of images' bytes, without reading them.

  Attributes:
    location: the folder or file that they lie in, by its whole path.
    digests: of each image's path, size, times of change, and inode; 16 bytes,
      none for an image that is not there.
    newest: the later of each file's times, in nanoseconds; -1 where it has
      none.
  """

  location: str
  digests: Sequence[bytes]
  newest: Sequence[int]


class Contents(NamedTuple):
  """What a data set's images are, byte by byte.

  Attributes:
    ids: sha256 of each image's bytes (and of its mask's), 64 hexadecimal
      digits; "" for one that could not be read.
    labels: class indices; -1 where unknown.
    reasons: index -> why it could not be read.
  """

  ids: tuple[str, ...]
  labels: tuple[int, ...]
  reasons: Mapping[int, str]


class OpenedDataset(NamedTuple):
  """A data set on disk, ready to be read.

  Attributes:
    records: the images in their fixed order, labels in the spec's class order.
    files: a name an image, as reports show it: a path under the data set's
      folder, a member of a tar, or a record's key.
    found: one line that says which layout was found and where.
    layout: the reader's key, such as "coop".
    fingerprint: changes whenever an image, a label or the order may have.
    stamps: looks at the files' stamps; None where there are no files, whose
      bytes are then hashed at every start.
    contents: of its images, once they are known.
    absent: how many listed images are not there.
  """

  records: Records
  files: Sequence[str]
  found: str
  layout: str
  fingerprint: str
  stamps: Callable[[], Stamps] | None = None
  contents: Contents | None = None
  absent: int = 0


def fingerprint(layout: str, parts: Iterable[tuple[str, int, int, int]]) -> str:
  """Hashes a listing of images."""
  lines, times = [layout], [""]
  for name, label, size, modified in parts:
    lines.append(f"{name}\t{label}\t{size}")
    times.append(str(modified))
  hashes = [
    hashlib.sha256("\n".join(each).encode("utf-8", "surrogateescape"))
    for each in (lines, times)
  ]
  return "".join(each.hexdigest()[:32] for each in hashes)


def timeless_part(fingerprint: str) -> str:
  """Returns what a data set and its copy on another disk have in common."""
  return fingerprint[:32]


NO_STAMP = (b"", -1)
"""Of an image that is not there."""


def make_stamp(
  *files: tuple[str, os.stat_result], part: str = ""
) -> tuple[bytes, int]:
  """Makes the stamp of an image.

  References:
    The index of git, which trusts the same facts.
  """
  text, newest = part, -1
  for path, stat in files:
    changed, renewed = stat.st_mtime_ns, stat.st_ctime_ns
    text += f"\n{path}\t{stat.st_size}\t{changed}\t{renewed}\t{stat.st_ino}"
    newest = max(newest, changed, renewed)
  data = text.encode("utf-8", "surrogateescape")
  return hashlib.blake2b(data, digest_size=16).digest(), newest


def gather_stamps(location: str, stamps: Iterable[tuple[bytes, int]]) -> Stamps:
  """Puts the stamps of a data set's images together."""
  digests, newest = [], []
  for digest, time_ns in stamps:
    digests.append(digest)
    newest.append(time_ns)
  return Stamps(location, digests, newest)


def record_stamps(
  folder: pathlib.Path,
  shards: Sequence[tuple[pathlib.Path, os.stat_result]],
  lengths: Sequence[int],
  *,
  meaning: str = "",
) -> Stamps:
  """Stamps records by the file that holds them and their number in it."""
  stamps = [
    make_stamp((os.path.abspath(path), stat), part=f"{number} {meaning}")
    for (path, stat), length in zip(shards, lengths, strict=True)
    for number in range(length)
  ]
  return gather_stamps(os.path.abspath(folder), stamps)


_TICK = 20_000_000
"""Nanoseconds by which a file's time may lag behind the clock."""


def is_racy(newest: int, read: int) -> bool:
  """Says whether a file may have changed again without another stamp.

  References:
    git's "racily clean" entries. File systems that count whole seconds, or
    every other one, are told by their times.
  """
  tick = 2_000_000_000 if newest % 1_000_000_000 == 0 else _TICK
  return newest >= 0 and newest + tick >= read


def content_id(record: Mapping[str, Any]) -> str:
  """Hashes the bytes of a record."""
  image = hashlib.sha256(record["image"])
  if "mask" not in record:
    return image.hexdigest()
  mask = hashlib.sha256(record["mask"])
  return hashlib.sha256(image.digest() + mask.digest()).hexdigest()
