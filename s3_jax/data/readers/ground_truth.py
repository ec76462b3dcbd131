"""Labels of ImageNet's validation images, from the lists people have.

The labels of this package count the classes by sorted WordNet id. The official
list counts them otherwise, by the ILSVRC2012 ids of meta.mat, and looks the
same, a number a line: without meta.mat it is refused.
"""

import csv
import functools
import gzip
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.data.readers.listing import (
  count_from_one,
  count_words,
  label_once,
)
from s3_jax.lexicon.cells import split_rows
from s3_jax.lexicon.documents import read_text, split_lines
from s3_jax.lexicon.synonyms import classes_by_wnid

OFFICIAL = "ILSVRC2012_validation_ground_truth.txt"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_META = "meta.mat"
_LARGEST = 8 << 20  # bytes of either file; they have about 60,000 and 190,000
_UNPACKED = 64 << 20  # bytes of the kit, packed 2.5 million
_TIMEOUT = 120  # seconds; a slow disk has to load scipy
_DEVKIT_FOLDERS = ("", "ILSVRC2012_devkit_t12/data", "devkit/data", "data")

# What each list is, in order of preference; the first that is there is read.
LISTS = {
  "LOC_val_solution.csv": "Kaggle's, with WordNet ids",
  "val.txt": "Caffe's, lines of name and index",
  "imagenet_2012_validation_synset_labels.txt": "a WordNet id a line",
  "validation_labels.txt": "TFDS's, a WordNet id a line",
}
_NUMBER = re.compile(
  r"ILSVRC2012_val_(\d{8})(?:_(n\d{8}))?(?:\.JPEG)?", re.IGNORECASE
)
_WNID = re.compile(r"n\d{8}")


class Truth(NamedTuple):
  """Labels of images by their number, from 1, and where they were read."""

  labels: Mapping[int, int]
  source: str


def find_truth(folders: Iterable[pathlib.Path]) -> Truth:
  """Finds the labels of the validation images."""
  folders = list(dict.fromkeys(folders))
  for folder in folders:
    for name in LISTS:
      if (folder / name).is_file():
        return _read_list(folder / name)
  for location in (
    folder / sub for folder in folders for sub in _DEVKIT_FOLDERS
  ):
    if (location / OFFICIAL).is_file():
      return _read_official(location)
  for folder in folders:
    if (folder / DEVKIT).is_file():
      return _read_devkit(folder / DEVKIT)
  package = importlib.util.find_spec("tensorflow_datasets")
  for base in (package and package.submodule_search_locations) or ():
    file = pathlib.Path(base, "datasets/imagenet2012/validation_labels.txt")
    if file.is_file():
      truth = _read_list(file)
      return truth._replace(source="the list in tensorflow-datasets")
  raise ValueError(
    f"ImageNet's images need a list of labels beside them: one of"
    f" {', '.join(LISTS)}, {DEVKIT}, or {OFFICIAL} with {_META}; none is in"
    f" {', '.join(map(str, folders))}."
  )


def _read_list(file: pathlib.Path) -> Truth:
  """Reads a list whose lines say which class they mean."""
  wnids = wnid_labels()
  labels: dict[str, tuple[int, str]] = {}
  indices, rows = [], _rows(file)
  by_name = bool(rows) and _NUMBER.fullmatch(_name(rows[0][1])) is not None
  for index, (number, row) in enumerate(rows, 1):
    where = f"{file}, line {number}"
    match = _NUMBER.fullmatch(_name(row))
    if len(row) != (2 if match else 1) or bool(match) != by_name:
      raise ValueError(
        f"{where} must be an image's name and its class, or a WordNet id alone,"
        f" as all lines are, got {' '.join(row)!r:.60}."
      )
    if not by_name and number != index:
      raise ValueError(
        f"{where} must not follow a blank line, as the lines count the images:"
        " remove it, or write each image's name before its class."
      )
    image = int(match[1]) if match else number
    label = _class_of(row[-1], wnids, where, named=by_name)
    if not _WNID.fullmatch(row[-1]):
      indices.append(label)
    label_once(labels, f"image {image}", label, where)
    if match and match[2]:
      own = _class_of(match[2].lower(), wnids, where, named=False)
      label_once(labels, f"image {image}", own, f"{where}, in its name,")
  notes = [count_from_one(indices, len(wnids), str(file))]
  repeated = len(rows) - len(labels)
  if repeated:
    notes.append(f"{count_words(repeated, 'line')} listed again")
  source = "; ".join((str(file), *filter(None, notes)))
  truth = {int(i.split()[1]): label for i, (label, _) in labels.items()}
  return Truth(truth, source)


def _name(row: Sequence[str]) -> str:
  return pathlib.PurePath(row[0]).name


def _rows(file: pathlib.Path) -> list[tuple[int, list[str]]]:
  """Splits the lines that are not blank, with their numbers."""
  try:
    text = read_text(file)
    if file.suffix == ".csv":
      # Kaggle: "ImageId,PredictionString", the string "wnid x y x y wnid ...".
      rows = [r for r in split_rows(text, ",") if r.cells[0] != "ImageId"]
      return [
        (row.line, [row.cells[0], *" ".join(row.cells[1:]).split()[:1]])
        for row in rows
      ]
  except (ValueError, csv.Error) as error:
    raise ValueError(f"{file} must be a text file, got: {error}") from error
  lines = enumerate(split_lines(text), 1)
  return [(number, line.split()) for number, line in lines if line.strip()]


def _class_of(
  word: str, wnids: Mapping[str, int], where: str, *, named: bool
) -> int:
  if _WNID.fullmatch(word):
    if word in wnids:
      return wnids[word]
    raise ValueError(f"{where} must hold ImageNet's classes, got {word!r}.")
  if named and word.isascii() and word.isdecimal() and int(word) < len(wnids):
    return int(word)
  raise ValueError(
    f"{where} must hold a WordNet id, or a name with a label from 0 to"
    f" {len(wnids) - 1}, got {word!r:.40}."
  )


@functools.cache
def wnid_labels() -> Mapping[str, int]:
  """Returns ImageNet's labels by WordNet id."""
  return {wnid: entry.label for wnid, entry in classes_by_wnid().items()}


def _read_official(location: pathlib.Path) -> Truth:
  """Reads the official list with the meta.mat that says what it counts."""
  file, meta = location / OFFICIAL, location / _META
  if not meta.is_file():
    raise ValueError(
      f"{file} numbers its classes in the order of {_META}, not of WordNet ids,"
      f" and no {_META} is beside it: put it there, or one of"
      f" {', '.join(LISTS)}; or remove the list, and that of"
      " tensorflow-datasets is used."
    )
  listed, synsets = (_read_small(path) for path in (file, meta))
  return _count_official(listed, synsets, str(file))


def _read_small(path: pathlib.Path) -> bytes:
  try:
    with open(path, "rb") as file:
      data = file.read(_LARGEST + 1)
  except OSError as error:
    raise ValueError(f"{path} must be readable: {error.strerror}.") from error
  if len(data) > _LARGEST:
    raise ValueError(
      f"{path} must be ILSVRC2012's, of at most {_LARGEST >> 20} MiB."
    )
  return data


def _read_devkit(file: pathlib.Path) -> Truth:
  """Reads both from the development kit, without unpacking it."""
  wanted: dict[str, bytes] = {}
  try:
    with open(file, "rb") as stored:
      packed = stored.read(2) == b"\x1f\x8b"
      stored.seek(0)
      stream: Any = gzip.GzipFile(fileobj=stored) if packed else stored
      bounded: Any = _Bounded(stream, _UNPACKED)
      with tarfile.open(fileobj=bounded, mode="r|") as tar:
        for member in tar:
          name = pathlib.PurePath(member.name).name
          if name not in (OFFICIAL, _META):
            continue
          if not member.isreg() or member.issparse() or member.size > _LARGEST:
            raise ValueError(f"{name} as no plain file of its size")
          data = tar.extractfile(member)
          wanted[name] = data.read(_LARGEST) if data else b""
          if len(wanted) == 2:
            break
  except Exception as error:  # tarfile lets through what its parsers raise
    words = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(
      f"{file} must be a whole tar, got: {words:.120}; fetch it again."
    ) from error
  if len(wanted) != 2:
    raise ValueError(
      f"{file} must hold {OFFICIAL} and {_META}, got"
      f" {', '.join(wanted) or 'neither'}."
    )
  return _count_official(wanted[OFFICIAL], wanted[_META], str(file))


class _Bounded:
  """A stream that ends in an error where it is longer than it may be."""

  def __init__(self, stream: Any, left: int):
    self._stream = stream
    self._left = left

  def read(self, size: int) -> bytes:
    """Reads as the stream does; tarfile asks for nothing else."""
    data = self._stream.read(size)
    self._left -= len(data)
    if self._left < 0:
      raise ValueError(f"more than {_UNPACKED >> 20} MiB unpacked")
    return data


def _count_official(listed: bytes, meta: bytes, source: str) -> Truth:
  ids = _read_meta(meta, source)
  labels = {}
  for number, word in enumerate(
    listed.decode("utf-8-sig", "replace").split(), 1
  ):
    if not (word.isascii() and word.isdecimal() and len(word) < 10):
      word_id = 0
    else:
      word_id = int(word)
    if word_id not in ids:
      raise ValueError(
        f"{source}, line {number} must hold an id of {_META}, 1 to {len(ids)},"
        f" got {word!r:.40}."
      )
    labels[number] = ids[word_id]
  return Truth(labels, f"{source}, in the order of {_META}")


def _read_meta(data: bytes, source: str) -> dict[int, int]:
  """Reads ILSVRC2012 id -> label from meta.mat."""
  wnids = wnid_labels()
  try:
    pairs = [(int(number), str(wnid)) for number, wnid in _parse_meta(data)]
  except (ValueError, TypeError) as error:
    raise ValueError(
      f"{_META} of {source} must hold the synsets of ILSVRC2012, got:"
      f" {error!s:.120}."
    ) from error
  # Ids above 1000 are of inner nodes of the hierarchy.
  ids = {number: wnids[wnid] for number, wnid in pairs if wnid in wnids}
  different = len(set(ids.values()))
  if sorted(ids) != list(range(1, len(wnids) + 1)) or different != len(wnids):
    raise ValueError(
      f"{_META} of {source} must number the {len(wnids)} classes from 1, got"
      f" {different} of them."
    )
  return ids


def _parse_meta(data: bytes) -> list[Any]:
  """Parses meta.mat in a process of its own, see `synsets_child`."""
  environment = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    # Threads of linear algebra would reserve memory.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"),
  }
  program = pathlib.Path(__file__).with_name("synsets_child.py")
  try:
    child = subprocess.run(
      [sys.executable, "-P", str(program)],
      input=data,
      capture_output=True,
      timeout=_TIMEOUT,
      env=environment,
      check=False,
    )
  except subprocess.TimeoutExpired:
    raise ValueError(f"a file that takes more than {_TIMEOUT} s") from None
  except OSError as error:
    raise ValueError(f"no second process: {error.strerror}") from error
  if child.returncode:
    words = " ".join(child.stderr.decode("utf-8", "replace").split())
    raise ValueError(words[-100:] or "a file that ends its reader")
  pairs = json.loads(child.stdout)
  if not isinstance(pairs, list):
    raise ValueError("no list")
  return pairs
