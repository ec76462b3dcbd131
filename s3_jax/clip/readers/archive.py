"""Zip archives, read in place; nothing is ever extracted to a disk."""

import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from s3_jax.clip.readers.mapped import map_file

_LOCAL_HEADER = 30  # bytes before the name
INFLATED_LIMIT = 1 << 24
"""Bytes of a compressed member: weights are stored, never compressed."""


class Archive(NamedTuple):
  """A zip archive's bytes and what it says it holds."""

  data: UInt8[np.ndarray, " bytes"]
  members: Mapping[str, zipfile.ZipInfo]


def open_archive(path: pathlib.Path) -> Archive:
  """Reads an archive's directory and checks the names in it.

  Args:
    path: the file.

  Returns:
    The archive; its members are not read yet.

  Raises:
    ValueError: no whole zip archive; a name comes twice, is absolute or leads
      out of the archive.
    OSError: the file cannot be read.
  """
  try:
    with zipfile.ZipFile(path) as file:
      entries = file.infolist()
  except OSError:
    raise
  except Exception as error:  # zipfile raises many kinds on broken archives
    raise ValueError(f"no whole zip archive ({error})") from error
  members: dict[str, zipfile.ZipInfo] = {}
  for entry in entries:
    name = entry.orig_filename  # `filename` ends at a zero byte
    leads_out = name.startswith("/") or ".." in name.split("/")
    if not name or leads_out or any(letter in name for letter in ":\\\0"):
      raise ValueError(f"the member name {name!r:.80}")
    if name in members:
      raise ValueError(f"the member {name!r} twice")
    members[name] = entry
  return Archive(map_file(path), members)


def read_member(
  archive: Archive, name: str, *, inflated_limit: int = INFLATED_LIMIT
) -> UInt8[np.ndarray, " bytes"]:
  """Reads one member and checks its checksum.

  Args:
    archive: the archive.
    name: of the member.
    inflated_limit: bytes that a compressed member may have at most.

  Returns:
    Its bytes, a view of the file.

  Raises:
    ValueError: no such member, or it is encrypted, compressed (small ones may
      be), cut off, or altered.
  """
  if name not in archive.members:
    raise ValueError(f"no member {name!r}")
  entry = archive.members[name]
  header = archive.data[entry.header_offset :][:_LOCAL_HEADER].tobytes()
  if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\3\4"):
    raise ValueError(f"no header of the member {name!r}")
  name_length = int.from_bytes(header[26:28], "little")
  extra_length = int.from_bytes(header[28:30], "little")
  begin = entry.header_offset + _LOCAL_HEADER + name_length + extra_length
  content = archive.data[begin : begin + entry.compress_size]
  if entry.flag_bits & 1:
    raise ValueError(f"the encrypted member {name!r}")
  if entry.compress_type == zipfile.ZIP_DEFLATED:
    content = _inflate(content, entry, inflated_limit)
  elif entry.compress_type != zipfile.ZIP_STORED:
    raise ValueError(f"the compressed member {name!r}")
  if content.size != entry.file_size:
    raise ValueError(
      f"{content.size} bytes of {entry.file_size} in the member {name!r}"
    )
  if zlib.crc32(content.data) != entry.CRC:
    raise ValueError(f"another checksum of the member {name!r}")
  return content


def _inflate(
  content: np.ndarray, entry: zipfile.ZipInfo, limit: int
) -> np.ndarray:
  if entry.file_size > limit:
    raise ValueError(
      f"the compressed member {entry.orig_filename!r} of {entry.file_size}"
      f" bytes (above {limit} numbers must be stored)"
    )
  try:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    whole = inflater.decompress(content.tobytes(), entry.file_size + 1)
  except zlib.error as error:
    raise ValueError(
      f"a broken member {entry.orig_filename!r} ({error})"
    ) from error
  return np.frombuffer(whole, np.uint8)
