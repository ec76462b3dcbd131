"""Image files of one's own: found, and stacked into batches."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from s3_jax.data.loading import LoadedImage
from s3_jax.data.readers.listing import is_clutter

# Files with these endings are taken for images unopened, so that one that is
# damaged is listed as such. HEIC is among them although nothing here reads it.
_ENDINGS = (
  *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".bmp"),
  *(".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"),
  *(".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
_BEGINNINGS = (
  b"\xff\xd8\xff",  # JPEG
  b"\x89PNG\r\n\x1a\n",
  b"GIF87a",
  b"GIF89a",
  b"II*\0",  # TIFF
  b"MM\0*",
  b"II+\0",
  b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
  b"\xff\x4f\xff\x51",
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")


class FoundImages(NamedTuple):
  """What was found where a config said to look.

  Attributes:
    files: images by their paths, in a fixed order, each once.
    hidden: files and folders whose names begin with a dot, and folders that
      file systems make; not looked into.
    other: files that are no images.
    links: links to folders, which are not followed.
    closed: folders that cannot be read, and why.
  """

  files: tuple[str, ...]
  hidden: tuple[str, ...]
  other: tuple[str, ...]
  links: tuple[str, ...]
  closed: tuple[tuple[str, str], ...]


def find_images(images: str | Sequence[Any]) -> FoundImages:
  """Finds image files.

  Folders are walked to their depths in the order of their paths, letter by
  letter. A file in them is an image if its name or its first bytes say so; a
  file that is named itself is taken as it is.
  """
  locations = []
  for location in _sources(images):
    here = _look(location)
    if not here.files:
      passed = ", ".join(
        f"{what}: {len(paths)}"
        for paths, what in (
          (here.other, "other files"),
          (here.hidden, "hidden"),
          (here.links, "links to folders"),
          (here.closed, "folders that cannot be read"),
        )
        if paths
      )
      raise ValueError(
        f"`config.images` must hold an image, got {location!r} with none"
        f" ({passed or 'nothing is there'})."
      )
    locations.append(here)
  found = _join(locations)
  unique: dict[str, str] = {}
  for file in found.files:
    unique.setdefault(os.path.abspath(file), file)
  return found._replace(files=tuple(unique.values()))


def _sources(images: str | Sequence[Any]) -> list[str]:
  if isinstance(images, str):
    whole = os.path.exists(os.path.expanduser(images))
    parts = [images] if whole else [part.strip() for part in images.split(",")]
    images = parts[:-1] if len(parts) > 1 and not parts[-1] else parts
  for image in images:
    if not isinstance(image, str) or not image or "\0" in image:
      raise ValueError(
        "`config.images` must be a folder, a pattern, a file, or several of"
        f" these, got {image!r}."
      )
  if not images:
    raise ValueError("`config.images` must name at least one place, got none.")
  return [os.path.expanduser(image) for image in images]


def _look(location: str) -> FoundImages:
  if os.path.isdir(location):
    return _walk(location)
  if os.path.lexists(location):
    if not _is_file(location):
      raise ValueError(
        f"`config.images` must be files or folders, got {location!r}, which is"
        " neither or leads nowhere."
      )
    return FoundImages((location,), (), (), (), ())
  if not glob.has_magic(location):
    raise ValueError(
      "`config.images` must be a folder, a pattern, a file, or several of these"
      f" between commas, got {location!r}, which does not exist."
    )
  matches = sorted(glob.glob(location, recursive=True), key=_parts)
  files = [path for path in matches if not os.path.isdir(path)]
  images = tuple(path for path in files if _is_image(path))
  other = tuple(sorted({*files} - {*images}, key=_parts))
  found = [FoundImages(images, (), other, (), ())]
  if "**" not in location:  # that has been everywhere already
    found += [_walk(path) for path in matches if os.path.isdir(path)]
  return _join(found)


def _join(found: Sequence[FoundImages]) -> FoundImages:
  def joined(kind: str) -> tuple:
    return tuple(path for each in found for path in getattr(each, kind))

  return FoundImages(*map(joined, FoundImages._fields))


def _walk(folder: str) -> FoundImages:
  files, hidden, other, links = [], [], [], []
  closed: list[tuple[str, str]] = []

  def note(error: OSError) -> None:
    closed.append((str(error.filename), error.strerror or "unknown error"))

  for root, folders, names in os.walk(folder, onerror=note):
    for name in (*folders, *names):
      if name.startswith("."):
        hidden.append(os.path.join(root, name))
    hidden += [os.path.join(root, name) for name in folders if is_clutter(name)]
    folders[:] = [
      name
      for name in folders
      if not name.startswith(".") and not is_clutter(name)
    ]
    links += [
      path
      for path in (os.path.join(root, name) for name in folders)
      if os.path.islink(path)
    ]
    for name in names:
      if not name.startswith("."):
        path = os.path.join(root, name)
        (files if _is_image(path) else other).append(path)
  return FoundImages(
    files=tuple(sorted(files, key=_parts)),
    hidden=tuple(sorted(hidden, key=_parts)),
    other=tuple(sorted(other, key=_parts)),
    links=tuple(sorted(links, key=_parts)),
    closed=tuple(sorted(closed)),
  )


def _parts(path: str) -> list[str]:
  return path.split(os.sep)


def _is_file(path: str) -> bool:
  """Tells a file from pipes and devices, which would never end."""
  try:
    return stat.S_ISREG(os.stat(path).st_mode)
  except OSError:
    return False


def _is_image(path: str) -> bool:
  named = path.lower().endswith(_ENDINGS)
  if not _is_file(path):
    return named and os.path.islink(path)  # leads nowhere: listed as bad
  if named:
    return True
  try:
    with open(path, "rb") as file:
      start = file.read(16)
  except OSError:
    return False
  return (
    start.startswith(_BEGINNINGS)
    or (start[:2] == b"BM" and start[6:10] == b"\0\0\0\0")
    or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
    or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
  )


def batch_images(
  images: Iterable[LoadedImage], *, batch_size: int, size: int
) -> Iterator[tuple[dict[str, np.ndarray], list[LoadedImage]]]:
  """Stacks images into batches of one shape."""
  start = 0
  row: list[LoadedImage] = []
  for image in images:
    row.append(image)
    if len(row) == batch_size:
      yield _batch(row, start, batch_size, size), row
      start, row = start + batch_size, []
  if row:
    yield _batch(row, start, batch_size, size), row


def _batch(
  row: Sequence[LoadedImage], start: int, batch_size: int, size: int
) -> dict[str, np.ndarray]:
  pixels = np.zeros((batch_size, size, size, 3), np.uint8)
  mask = np.zeros(batch_size, bool)
  index = np.full(batch_size, -1, np.int32)
  for location, image in enumerate(row):
    index[location] = start + location
    if image.pixels is not None:
      pixels[location] = image.pixels
      mask[location] = True
  label = np.full(batch_size, -1, np.int32)
  return {"image": pixels, "label": label, "mask": mask, "index": index}
