"""Files that are absent, old or complete, and names that stay in a folder."""

import hashlib
import os
import re
import secrets
import unicodedata
from pathlib import Path

__all__ = ["atomic_write", "safe_name"]


def atomic_write(path: Path, data: bytes | str) -> None:
  """Writes a file so that a reader never sees half of it.

  The bytes go to a fresh name in the same folder, are flushed to the disk and
  then renamed onto `path`. Killed at any moment, the process leaves the old
  file or the new one; at worst a `.tmp` file stays beside it. Two writers
  never share a temporary name: the last complete one wins.

  Args:
    path: the file to write; missing parent folders are made.
    data: its content; text is stored as UTF-8 with the newlines it has.

  Raises:
    OSError: when the folder cannot be made or written.
  """
  payload = data.encode("utf-8") if isinstance(data, str) else data
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
  try:
    with open(temporary, "xb") as file:
      file.write(payload)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
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

  Args:
    index: the number of the class or data set, >= 0.
    name: any text.

  Returns:
    A name such as `0012-baluster-handrail-1f0c9a3e`.
  """
  if index < 0:
    raise ValueError(f"`index` must be >= 0, got {index}.")
  ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore")
  slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.decode().lower()).strip("-")
  slug = slug[:60].strip("-") or "x"
  digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
  return f"{index:04d}-{slug}-{digest[:8]}"
