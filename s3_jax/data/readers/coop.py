"""The layout of CoOp, read where it lies; TPT's folders differ in name only.

Fine-grained sets are a folder of images and a list of the test images: CoOp's
`split_zhou_*.json`, or FGVCAircraft's own lists. ImageNet's family are folders
called after WordNet ids, or after numbers.

References:
  CoOp (arXiv 2109.01134): the splits, and the folders in its DATASETS.md. TPT
  (arXiv 2209.07511): the other folder names, and its roots of the same splits.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from s3_jax.data.readers.folders import list_folder, read_class_folders
from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  inside,
  label_once,
  open_files,
  stored_path,
)
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import CoopLayout, DatasetSpec
from s3_jax.lexicon.documents import parse_json, read_text, split_lines

_VARIANTS = "variants.txt"


def expects(spec: DatasetSpec) -> str:
  """Says what `read` looks for; nothing of a data set that CoOp has not."""
  if spec.coop is None:
    return ""
  (first, *_), listing = spec.coop
  if not listing:
    return f"{first} with a folder a class"
  return f"{listing} beside {first}" if first else listing


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark in CoOp's layout."""
  folders = [data_dir / name for name in spec.folders]
  folders = [folder for folder in folders if folder.is_dir()]
  if spec.coop is None or not folders:
    return None
  if spec.coop.listing:
    return _read_listed(spec, spec.coop, folders, data_dir)
  roots = [folder / spec.coop.roots[0] for folder in folders]
  for root in filter(pathlib.Path.is_dir, roots):
    finder = benchmark_finder(spec)
    if any(map(finder.find, list_folder(root).folders)):
      return read_class_folders(root, finder, layout="coop")
  return None


def _read_listed(
  spec: DatasetSpec,
  coop: CoopLayout,
  folders: Sequence[pathlib.Path],
  data_dir: pathlib.Path,
) -> OpenedDataset | None:
  aircraft = spec.name == "fgvc_aircraft"
  if aircraft:  # its archive has everything in `data`, which CoOp moves up
    locations = [
      location for each in folders for location in (each, each / "data")
    ]
  else:  # TPT and DMN keep the lists together, apart from the images
    locations = [*folders, data_dir, data_dir / "data_splits"]
  location = next(
    (each for each in locations if (each / coop.listing).is_file()), None
  )
  if location is None:
    return None
  file = location / coop.listing
  finder = benchmark_finder(spec)
  if aircraft:
    images = _read_aircraft(file, finder)
    folders = [location]
  else:
    images = _read_json(file, finder, spec)
    folders = sorted(folders, key=lambda folder: folder != location)
  root = _root(
    [each / root for each in folders for root in coop.roots], images, file
  )
  found = f"{file} and {root}: {count_words(len(images), 'image')} listed"
  return open_files(root, images, layout="coop", found=found)


def _root(
  candidates: Sequence[pathlib.Path],
  images: Sequence[ListedImage],
  file: pathlib.Path,
) -> pathlib.Path:
  """Returns the first folder that has any of the images."""
  for root in candidates:
    listings: dict[pathlib.Path, dict[str, str]] = {}
    if root.is_dir() and any(
      (root / image.file).is_file()
      or (root / stored_path(root, image.file, listings)).is_file()
      for image in images
    ):
      return root
  raise ValueError(
    f"{file} lists {count_words(len(images), 'image')}, and none lies in"
    f" {' or '.join(map(str, candidates))} ({images[0].file} first): put the"
    " images there."
  )


def _read_json(
  file: pathlib.Path, finder: ClassFinder, spec: DatasetSpec
) -> list[ListedImage]:
  """Reads the test images of CoOp's list `[path, label, class name]`."""
  splits = parse_json(read_text(file), str(file))
  entries = splits.get("test") if isinstance(splits, dict) else None
  if not isinstance(entries, list) or not entries:
    raise ValueError(
      f"{file} must hold a list of images under `test`, got {entries!r:.60}."
    )
  images, checked = [], set()
  labels: dict[str, tuple[int, str]] = {}
  for number, (path, label, name) in _triples(file, entries):
    where = f"{file}, entry {number} of `test`"
    if not 0 <= label < spec.classes:
      raise ValueError(
        f"{where}: a label must lie in 0 to {spec.classes - 1}, got {label}."
      )
    if (label, name) not in checked:
      _check_label(finder, label, name, where)
      checked.add((label, name))
    images.append(ListedImage(inside(path, where), label))
    label_once(labels, images[-1].file, label, where)
  return images


def _triples(
  file: pathlib.Path, entries: Sequence[Any]
) -> Iterator[tuple[int, tuple[str, int, str]]]:
  for number, entry in enumerate(entries):
    kinds = [type(value) for value in entry] if isinstance(entry, list) else []
    if kinds != [str, int, str]:
      raise ValueError(
        f"{file}, entry {number} of `test` must be [path, label, class name],"
        f" got {entry!r:.60}."
      )
    yield number, (entry[0], entry[1], entry[2])


def _check_label(
  finder: ClassFinder, label: int, name: str, where: str
) -> None:
  if label not in finder.find(name):
    official = finder.label(name, where)
    raise ValueError(
      f"{where} gives label {label} to {name!r}, whose label is {official}: its"
      " classes are in another order than the benchmark's."
    )


def _read_aircraft(
  file: pathlib.Path, finder: ClassFinder
) -> list[ListedImage]:
  """Reads lines "image variant", and checks the order of variants.txt."""
  variants = file.parent / _VARIANTS
  if variants.is_file():
    for label, name in enumerate(_lines(variants)):
      _check_label(finder, label, name, f"{variants}, line {label + 1}")
  images = []
  labels: dict[str, tuple[int, str]] = {}
  for number, line in enumerate(_lines(file), 1):
    where = f"{file}, line {number}"
    image, _, name = line.partition(" ")
    label = finder.label(name, where)
    images.append(ListedImage(f"{inside(image, where)}.jpg", label))
    label_once(labels, image, label, where)
  if not images:
    raise ValueError(f"{file} must list images, got an empty file.")
  return images


def _lines(file: pathlib.Path) -> list[str]:
  try:
    lines = split_lines(read_text(file))
  except ValueError as error:
    raise ValueError(f"{file} must be a text file, got: {error}") from error
  return [line.strip() for line in lines if line.strip()]
