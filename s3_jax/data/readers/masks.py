"""Images with masks, in the folders that mmseg's benchmarks have.

Files are read in place and when they are asked for. A listed image without a
mask stays in the data set and is a bad example; masks without an image are
counted.
"""

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from s3_jax import hosts
from s3_jax.data.decoding import BadImage, UnreadImage
from s3_jax.data.masks import LabelMap, Palette
from s3_jax.data.readers.listing import (
  composed,
  count_words,
  inside,
  is_hidden,
  look_at,
  size_and_time,
)
from s3_jax.data.reading import check_file, read_file
from s3_jax.data.records import (
  NO_STAMP,
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)
from s3_jax.data.segmentation_specs import MaskKind, SegmentationSpec
from s3_jax.lexicon.documents import read_text, split_lines


class OpenedMasks(NamedTuple):
  """A data set of images with masks, ready to be read.

  Attributes:
    opened: its records are `{"image": encoded bytes, "mask": encoded bytes}`;
      one whose mask is absent raises BadImage when it is asked for.
    mask_files: a name a mask, in the order of the images.
    labels: what the masks' values mean.
    unreadable: how many images or masks are absent or empty, as far as their
      names say.
    palette: the published colours of the values; () where masks have none.
  """

  opened: OpenedDataset
  mask_files: Sequence[str]
  labels: LabelMap
  unreadable: int
  palette: Palette = ()


class _Pair(NamedTuple):
  """An image and its mask: paths under the data set's folder."""

  image: str
  mask: str


class MaskedRecords:
  """Records whose images and masks are files."""

  def __init__(self, root: pathlib.Path, pairs: Sequence[_Pair]):
    self._root = root
    self._pairs = pairs

  def __len__(self) -> int:
    return len(self._pairs)

  def __getitem__(self, index: int) -> dict[str, bytes]:
    pair = self._pairs[index]
    image = read_file(self._root / pair.image)
    try:
      mask = read_file(self._root / pair.mask)
    except FileNotFoundError:
      raise UnreadImage(f"it has no mask {pair.mask}") from None
    except BadImage as error:
      raise type(error)(f"mask {pair.mask}: {error.reason}") from error
    return {"image": image, "mask": mask}


def expects(spec: SegmentationSpec) -> str:
  """Says what `read` looks for."""
  masks = " or ".join(f"{kind.folder}/*{kind.suffix}" for kind in spec.masks)
  listed = f", {spec.listing}" if spec.listing else ""
  return f"{spec.images}/*{spec.image_suffix}, {masks}{listed}"


def read(spec: SegmentationSpec, data_dir: pathlib.Path) -> OpenedMasks | None:
  """Reads a benchmark from the folders that mmseg's instructions make."""
  for folder in spec.folders:
    root = data_dir / folder
    if (root / spec.images).is_dir():
      return _open(spec, root)
  return None


def _open(spec: SegmentationSpec, root: pathlib.Path) -> OpenedMasks:
  if spec.listing:
    names = _read_list(spec, root)
    skipped = 0
  else:
    names, skipped = _names_in(root / spec.images, spec.image_suffix)
  if not names:
    raise ValueError(
      f"data set {spec.name!r} in {root} must have images, got none"
      f" ({expects(spec)})."
    )
  kind, present = _choose(spec, root, names)
  pairs = [
    _Pair(
      f"{spec.images}/{name}{spec.image_suffix}",
      f"{kind.folder}/{name}{kind.suffix}",
    )
    for name in names
  ]
  found = (
    f"{count_words(len(pairs), 'image')} and {kind.about} in {root}"
    f" ({kind.folder}/*{kind.suffix})"
  )
  wanted = {composed(f"{name}{kind.suffix}") for name in names}
  missing = len(wanted - present)
  if missing:
    found += f"; {count_words(missing, 'image')} without a mask"
  if not spec.listing:  # a list takes some of the masks on purpose
    alone = sum(name.endswith(kind.suffix) for name in present - wanted)
    alone -= _other_kinds(spec, kind, present - wanted)
    if alone:
      found += f"; {count_words(alone, 'mask')} without an image"
  if skipped:
    found += f"; skipped {count_words(skipped, 'other name')}"
  return _with_sizes(spec, root, pairs, kind, found)


def _read_list(spec: SegmentationSpec, root: pathlib.Path) -> list[str]:
  path = root / spec.listing
  try:
    lines = split_lines(read_text(path))
  except ValueError as error:
    raise ValueError(
      f"data set {spec.name!r} in {root} must have its list {spec.listing},"
      f" which cannot be read: get it from {spec.source}."
    ) from error
  names = [inside(line.strip(), str(path)) for line in lines if line.strip()]
  twice = len(names) - len(set(names))
  if twice:
    raise ValueError(
      f"{path} must name each image once, and {twice} are twice."
    )
  return names


def _names_in(folder: pathlib.Path, suffix: str) -> tuple[list[str], int]:
  """Lists what lies in a folder and in its folders, without the suffix."""
  files = sorted(_files_in(folder))
  names = [
    file.removesuffix(suffix)
    for file in files
    if file.lower().endswith(suffix.lower()) and file.endswith(suffix)
  ]
  return names, len(files) - len(names)


def _files_in(folder: pathlib.Path) -> Iterable[str]:
  if not folder.is_dir():
    return
  with os.scandir(folder) as entries:
    for entry in entries:
      if is_hidden(entry.name):
        continue
      if not entry.is_dir():
        yield entry.name
        continue
      with os.scandir(entry.path) as inner:
        for each in inner:
          if not is_hidden(each.name) and not each.is_dir():
            yield f"{entry.name}/{each.name}"


def _choose(
  spec: SegmentationSpec, root: pathlib.Path, names: Sequence[str]
) -> tuple[MaskKind, set[str]]:
  """Takes the first kind of masks of which there is one."""
  listings: dict[str, set[str]] = {}
  for kind in spec.masks:
    if kind.folder not in listings:
      files = _files_in(root / kind.folder)
      listings[kind.folder] = set(map(composed, files))
    present = listings[kind.folder]
    if any(composed(f"{name}{kind.suffix}") in present for name in names):
      return kind, present
  raise ValueError(
    f"data set {spec.name!r} in {root} must have masks, got none of"
    f" {', '.join(f'{kind.folder}/*{kind.suffix}' for kind in spec.masks)}: get"
    f" them from {spec.source}."
  )


def _other_kinds(
  spec: SegmentationSpec, kind: MaskKind, names: Iterable[str]
) -> int:
  """Counts masks whose longer suffix makes them another kind's."""
  others = tuple(
    other.suffix
    for other in spec.masks
    if other.suffix != kind.suffix and other.suffix.endswith(kind.suffix)
  )
  return sum(bool(others) and name.endswith(others) for name in names)


def _with_sizes(
  spec: SegmentationSpec,
  root: pathlib.Path,
  pairs: Sequence[_Pair],
  kind: MaskKind,
  found: str,
) -> OpenedMasks:
  parts, absent, lacking, unreadable = [], 0, 0, 0
  whole = os.path.abspath(root)
  stamps: list[tuple[bytes, int]] = []
  stored: list[_Pair] = []
  listings: dict[pathlib.Path, dict[str, str]] = {}
  bar = hosts.progress_bar(pairs, desc=f"list {spec.name}", delay=2)
  for pair in bar:
    sizes, known, found_at = [], [], []
    for index, file in enumerate(pair):
      file, status = look_at(root, file, listings)
      found_at.append(file)
      absent += status is None and index == 0
      if status is not None and not check_file(status):
        known.append((os.path.join(whole, file), status))
      size, time = size_and_time(status)
      sizes.append(size)
      parts.append((file, index, size, time))
    stamps.append(make_stamp(*known) if len(known) == len(pair) else NO_STAMP)
    lacking += min(sizes) < 0
    unreadable += min(sizes) <= 0
    stored.append(_Pair(*found_at))
  if absent:
    found += f"; {count_words(absent, 'image')} listed, but absent"
  opened = OpenedDataset(
    records=MaskedRecords(root, stored),
    files=[pair.image for pair in pairs],
    found=found,
    layout="mmseg",
    fingerprint=fingerprint(f"mmseg {kind.suffix}", parts),
    stamps=lambda: gather_stamps(whole, stamps),
    absent=lacking,
  )
  return OpenedMasks(
    opened,
    [pair.mask for pair in pairs],
    kind.labels,
    unreadable,
    kind.palette,
  )
