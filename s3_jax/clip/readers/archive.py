"""Zip archives, read in place; nothing is ever extracted to a disk."""

import pathlib
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from s3_jax.clip.documents import shown
from s3_jax.clip.readers.mapped import map_file

_LOCAL_HEADER = 30  # bytes before the name
INFLATED_LIMIT = 1 << 24
"""Bytes of a compressed member: weights are stored, never compressed."""
# All that is inflated, in times the archive's own size. What numbers compress
# to is a half at best; a bomb of zeros has a factor of a thousand.
_INFLATED_FACTOR = 8


_OWN = (zipfile.BadZipFile, NotImplementedError)


class Archive:
  """A zip archive's bytes and what it says it holds.

  Attributes:
    data: the file's bytes.
    members: what its directory says, by name.
    inflated: bytes that compressed members took so far.
  """

  def __init__(
    self,
    data: UInt8[np.ndarray, " bytes"],
    members: Mapping[str, zipfile.ZipInfo],
  ):
    self.data = data
    self.members = members
    self.inflated = 0


def open_archive(path: pathlib.Path) -> Archive:
  """Reads an archive's directory and checks the names in it."""
  try:
    with zipfile.ZipFile(path) as file:
      entries = file.infolist()
  except OSError:
    raise
  except Exception as error:  # zipfile raises many kinds on broken archives
    # Its own words, unless they are Python's: a bare number or key.
    reason = shown(str(error))[1:-1] if isinstance(error, _OWN) else "broken"
    raise ValueError(f"no whole zip archive ({reason})") from error
  members: dict[str, zipfile.ZipInfo] = {}
  for entry in entries:
    name = entry.orig_filename  # `filename` ends at a zero byte
    leads_out = name.startswith("/") or ".." in name.split("/")
    if not name or leads_out or any(letter in name for letter in ":\\\0"):
      raise ValueError(f"the member name {shown(name)}")
    if name in members:
      raise ValueError(f"the member {shown(name)} twice")
    members[name] = entry
  data = map_file(path)
  _check_spans(members, data.size)
  return Archive(data, members)


def _check_spans(members: Mapping[str, zipfile.ZipInfo], size: int) -> None:
  """Refuses members that share bytes: a few bytes would stand for many."""
  end = 0
  for name, entry in sorted(
    members.items(), key=lambda member: member[1].header_offset
  ):
    if entry.header_offset < end:
      raise ValueError(f"the member {shown(name)} inside another one")
    end = entry.header_offset + _LOCAL_HEADER + len(name)  # in bytes or more
    end += entry.compress_size
    if end > size:
      raise ValueError(f"{size} bytes of {end} up to the member {shown(name)}")


def read_member(
  archive: Archive, name: str, *, inflated_limit: int = INFLATED_LIMIT
) -> UInt8[np.ndarray, " bytes"]:
  """Reads one member and checks its checksum."""
  if name not in archive.members:
    raise ValueError(f"no member {shown(name)}")
  entry = archive.members[name]
  header = archive.data[entry.header_offset :][:_LOCAL_HEADER].tobytes()
  if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\3\4"):
    raise ValueError(f"no header of the member {shown(name)}")
  name_length = int.from_bytes(header[26:28], "little")
  extra_length = int.from_bytes(header[28:30], "little")
  begin = entry.header_offset + _LOCAL_HEADER + name_length + extra_length
  content = archive.data[begin : begin + entry.compress_size]
  if entry.flag_bits & 1:
    raise ValueError(f"the encrypted member {shown(name)}")
  if entry.compress_type == zipfile.ZIP_DEFLATED:
    content = _inflate(content, entry, inflated_limit)
    archive.inflated += content.size
    if archive.inflated > inflated_limit + _INFLATED_FACTOR * archive.data.size:
      raise ValueError(
        f"{archive.inflated} bytes in compressed members of {archive.data.size}"
        " (numbers must be stored)"
      )
  elif entry.compress_type != zipfile.ZIP_STORED:
    raise ValueError(f"the compressed member {shown(name)}")
  if content.size != entry.file_size:
    raise ValueError(
      f"{content.size} bytes of {entry.file_size} in the member {shown(name)}"
    )
  if zlib.crc32(content.data) != entry.CRC:
    raise ValueError(f"another checksum of the member {shown(name)}")
  return content


def _inflate(
  content: np.ndarray, entry: zipfile.ZipInfo, limit: int
) -> np.ndarray:
  if entry.file_size > limit:
    raise ValueError(
      f"the compressed member {shown(entry.orig_filename)} of"
      f" {entry.file_size} bytes (above {limit} numbers must be stored)"
    )
  try:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    whole = inflater.decompress(content.tobytes(), entry.file_size + 1)
  except zlib.error as error:
    raise ValueError(
      f"a broken member {shown(entry.orig_filename)} ({error})"
    ) from error
  return np.frombuffer(whole, np.uint8)
