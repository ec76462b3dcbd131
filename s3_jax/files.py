"""Files that are absent, old or complete, and where files may lie."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
  """Returns a file's sha256 in hexadecimal."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def texts_sha256(texts: Iterable[str], *, separator: str = "\n") -> str:
  """Returns the sha256 of joined texts, such as other digests."""
  return hashlib.sha256(separator.join(texts).encode()).hexdigest()


LFS_POINTER_BYTES = 64
"""How much of a file `is_lfs_pointer` needs to see."""

_LFS_LINE = re.compile(rb"version https?://[\w.-]+/spec/v\d+\r?\n")


def atomic_write(path: Path, data: bytes | str) -> None:
  """Writes a file, and its folders, so that a reader never sees half of it.

  Text is stored as UTF-8 with the newlines that it has.
  """
  payload = data.encode("utf-8") if isinstance(data, str) else data
  with replacing(path) as temporary:
    temporary.write_bytes(payload)


def write_json(path: Path, value: Any, *, ascii: bool = True) -> None:
  """Writes a JSON file whole: one key a line, no NaN, a line end at the end."""
  text = json.dumps(value, indent=1, ensure_ascii=ascii, allow_nan=False)
  atomic_write(path, text + "\n")


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
  """Hands out a fresh name, and renames the file made there onto `path`.

  The name is in the same folder; after the body the file is flushed to the disk
  and renamed. Killed at any moment, the process leaves the old file or the new
  one; at worst a `.tmp` file stays beside it. Where the body raises, the old
  file stays. Two writers never share a temporary name: the last complete one
  wins.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
  try:
    yield temporary
    with open(temporary, "r+b") as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    # Of a full disk the system does not say where; of others only the body's.
    if error.errno in _FULL and error.filename in (None, str(temporary)):
      raise OSError(error.errno, error.strerror, str(path)) from error
    raise
  finally:
    temporary.unlink(missing_ok=True)
  if os.name == "posix":
    # The rename itself lives in the folder, which has to reach the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)


def safe_name(index: int, name: str) -> str:
  """Turns a class or data-set name into a harmless file name.

  Class names hold slashes, dots, control and right-to-left characters, or are
  hundreds of characters long. The result is the index, a slug of at most 60
  characters of `[a-z0-9-]`, and the first 8 hexadecimal digits of the name's
  sha256, so that two names with one slug stay apart. It has no extension.
  """
  if index < 0:
    raise ValueError(f"`index` must be >= 0, got {index}.")
  ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore")
  slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.decode().lower()).strip("-")
  slug = slug[:60].strip("-") or "x"
  digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
  return f"{index:04d}-{slug}-{digest[:8]}"


def below_common_folder(files: Sequence[str]) -> list[str]:
  """Shortens paths to what lies behind the folder that all of them share."""
  parts = [file.split(os.sep) for file in files]
  shared = len(os.path.commonprefix([each[:-1] for each in parts]))
  return [os.sep.join(each[shared:]) for each in parts]


def is_lfs_pointer(first_bytes: bytes) -> bool:
  """Says whether a file is what Git LFS leaves where it fetched no content.

  Such a pointer is three short lines of text: a version, the content's sha256
  and its size. A clone without `git lfs` holds it in the place of the file.

  References:
    The specification of Git LFS, docs/spec.md.
  """
  return _LFS_LINE.match(first_bytes) is not None


def default_cache_dir() -> Path:
  """Returns `$XDG_CACHE_HOME/s3_jax`, or `~/.cache/s3_jax`."""
  base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
  return Path(base) / "s3_jax"
