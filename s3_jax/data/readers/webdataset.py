"""WebDataset: tars of samples, read in place, as CLIP_benchmark lays them out.

A sample is the members whose names agree up to the first dot: an image and a
`.cls` with its label. `classnames.txt` names the classes.

References:
  The format of webdataset; the folders of LAION-AI/CLIP_benchmark, such as
  `wds_cars/test/0.tar`.
"""

import pathlib
import posixpath
from collections.abc import Sequence

from s3_jax.data.readers.listing import (
  count_words,
  has_image_ending,
  skipped_words,
)
from s3_jax.data.readers.split_shards import (
  SplitShards,
  find_shards,
  preferred_splits,
  read_class_names,
)
from s3_jax.data.readers.stored_labels import StoredImages, open_benchmark
from s3_jax.data.readers.tar_members import (
  TarMember,
  open_members,
  read_part,
  walk,
)
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

_LABEL = "cls"
_LABEL_BYTES = 1 << 10
_KIND = "dataset_type.txt"  # CLIP_benchmark's: "multilabel" in one of its sets


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark that is distributed as tars of samples."""
  for name in spec.folders:
    folder = data_dir / name
    if folder.is_dir():
      stored = index(folder, prefer=preferred_splits(spec))
      if stored is not None:
        return open_benchmark(stored, spec)
  return None


def index(root: pathlib.Path, *, prefer: Sequence[str]) -> StoredImages | None:
  """Lists the samples of the tars in a folder, or of one tar."""
  shards = find_shards(root, ".tar", prefer=prefer)
  if shards is None or not _holds_samples(shards.paths[0]):
    return None
  kind = shards.root / _KIND
  if kind.is_file() and "multilabel" in kind.read_text("utf-8", "replace"):
    raise ValueError(
      f"{shards.root} must have one class an image, and {_KIND} says"
      " multilabel: take a data set of single labels."
    )
  members: list[TarMember] = []
  values: list[int | str] = []
  skipped: list[str] = []
  for path in shards.paths:
    found, labels, others = _read_shard(shards, path)
    members += found
    values += labels
    skipped += others

  def open_rows(rows, labels, found) -> OpenedDataset:
    kept = [
      members[row]._replace(label=label)
      for row, label in zip(rows, labels, strict=True)
    ]
    return open_members(shards.root, kept, layout="webdataset", found=found)

  return StoredImages(
    "webdataset",
    shards,
    values,
    read_class_names(shards),
    lambda row: members[row].name,
    open_rows,
    skipped_words(skipped).removeprefix("; "),
  )


def _holds_samples(path: pathlib.Path) -> bool:
  """Says whether the first sample of a tar has a label; archives have none."""
  first = ""
  for name, _, _ in walk(path):
    key, part = _split(name)
    if part == _LABEL:
      return True
    if first and key != first:
      return False
    first = key
  return False


def _read_shard(
  shards: SplitShards, path: pathlib.Path
) -> tuple[list[TarMember], list[int | str], list[str]]:
  """Reads the samples of a shard, in its order."""
  images: dict[str, TarMember] = {}
  labels: dict[str, tuple[int, int]] = {}
  skipped = []
  shard = shards.name(path)
  for name, offset, size in walk(path):
    key, part = _split(name)
    if size < 0 or not (part == _LABEL or _is_image(part)):
      skipped.append(f"{shard}/{name}")
      continue
    if key in (labels if part == _LABEL else images):
      what = "label" if part == _LABEL else "image"
      raise ValueError(
        f"{path} must hold one {what} a sample, got two of {key!r:.80}: fetch"
        " it again."
      )
    if part == _LABEL:
      labels[key] = (offset, size)
    else:
      images[key] = TarMember(f"{shard}/{name}", -1, path, offset, size)
  lone = next((key for key in images if key not in labels), None)
  lone = lone or next((key for key in labels if key not in images), None)
  if lone is not None:
    lacks = f"no .{_LABEL}" if lone in images else "no image"
    raise ValueError(
      f"{path} must hold an image and a .{_LABEL} a sample, and {lone!r:.80}"
      f" has {lacks} ({count_words(len(images), 'image')},"
      f" {count_words(len(labels), 'label')}): fetch it again."
    )
  if not images:
    raise ValueError(f"{path} must hold samples, got none: fetch it again.")
  return (
    list(images.values()),
    [_read_label(path, key, *labels[key]) for key in images],
    skipped,
  )


def _read_label(
  path: pathlib.Path, key: str, offset: int, size: int
) -> int | str:
  text = read_part(path, offset, min(size, _LABEL_BYTES))
  words = text.decode("utf-8", "replace").strip()
  if not words or size > _LABEL_BYTES:
    raise ValueError(
      f"{path} must hold a class in each .{_LABEL}, got {words!r:.40} for"
      f" {key!r:.80}: fetch it again."
    )
  sign = words.removeprefix("-")
  return int(words) if sign.isascii() and sign.isdecimal() else words


def _is_image(part: str) -> bool:
  return "." not in part and has_image_ending(f"x.{part}")


def _split(name: str) -> tuple[str, str]:
  """Splits a member's name into that of its sample and its part's ending."""
  folder, base = posixpath.split(name)
  key, _, part = base.partition(".")
  return posixpath.join(folder, key), part.lower()
