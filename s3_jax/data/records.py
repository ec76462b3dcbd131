"""What every reader gives: encoded images with labels, and where they lie.

A reader finds a data set on disk and says what it found; nothing is decoded
before the input pipeline does. Whatever the layout, what comes after it sees
one stream.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = ["OpenedDataset", "Records", "fingerprint"]


@runtime_checkable  # for the shape checks of the tests
class Records(Protocol):
  """Random access to `{"image": encoded bytes, "label": int}`.

  Safe to read from several threads at once. A record that cannot be read raises
  OSError when it is asked for, and not before.
  """

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Mapping[str, Any]: ...


class OpenedDataset(NamedTuple):
  """A data set on disk, ready to be read.

  Attributes:
    records: the images in their fixed order, labels in the spec's class order.
    files: a name an image, as reports show it: a path under the data set's
      folder, a member of a tar, or a record's key.
    found: one line that says which layout was found and where.
    layout: the reader's key, such as "coop".
    fingerprint: changes whenever an image, a label or the order may have; part
      of the key of cached embeddings.
  """

  records: Records
  files: Sequence[str]
  found: str
  layout: str
  fingerprint: str


def fingerprint(layout: str, parts: Iterable[tuple[str, int, int, int]]) -> str:
  """Hashes a listing of images.

  Args:
    layout: the reader's key.
    parts: name, label, size in bytes and modification time in nanoseconds of
      every image, in order; -1 where something is not known.

  Returns:
    64 hexadecimal digits; the first 32 do not depend on the times.
  """
  timeless = hashlib.sha256(layout.encode())
  times = hashlib.sha256()
  for name, label, size, modified in parts:
    line = f"\n{name}\t{label}\t{size}"
    timeless.update(line.encode("utf-8", "surrogateescape"))
    times.update(f"\n{modified}".encode())
  return timeless.hexdigest()[:32] + times.hexdigest()[:32]


def timeless_part(fingerprint: str) -> str:
  """Returns what a data set and its copy on another disk have in common.

  Args:
    fingerprint: of a data set.

  Returns:
    The digits that follow from names, labels and sizes alone.
  """
  return fingerprint[:32]
