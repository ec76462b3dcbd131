"""A file's bytes, of files alone: pipes, devices and what is too large wait.

Folders of one's own hold anything. What would never end, or would fill the
memory, is refused before a byte of it is read.
"""

import os
import pathlib
import stat

from s3_jax.data.decoding import BadImage, UnreadImage, is_known_format

MAX_BYTES = 1 << 30
"""Larger files are not read: no picture within the limit of pixels needs it."""

_LARGE = 1 << 26
_HEAD = 1 << 12


def check_file(status: os.stat_result) -> str:
  """Says why a file must not be read."""
  if not stat.S_ISREG(status.st_mode):
    return "no regular file"
  if status.st_size > MAX_BYTES:
    return f"file of {status.st_size} bytes, too large"
  return ""


def read_file(path: str | pathlib.Path) -> bytes:
  """Reads an image's or a mask's file whole.

  Of a large one the beginning is looked at first.
  """
  # Without waiting for whoever writes into a pipe.
  flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
  reason = check_file(os.stat(path))
  if reason:
    raise UnreadImage(reason)
  with open(os.open(path, flags), "rb") as file:
    status = os.fstat(file.fileno())
    reason = check_file(status)  # another file may have taken its place
    if reason:
      raise UnreadImage(reason)
    head = file.read(_HEAD) if status.st_size > _LARGE else b""
    if head and not is_known_format(head):
      raise BadImage("not an image of a known format")
    data = head + file.read(status.st_size + 1 - len(head))
  if len(data) != status.st_size:
    raise UnreadImage("file that changed while it was read")
  return data
