"""Parquet shards of Hugging Face's hub, read in place.

Images are a column of encoded bytes, labels one of indices whose names lie in
the file's metadata, or of names.
"""

import bisect
import collections
import itertools
import pathlib
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder
from s3_jax.data.readers.parquet_columns import (
  Column,
  choose_images,
  choose_labels,
  describe,
  open_file,
)
from s3_jax.data.readers.split_shards import (
  SplitShards,
  find_shards,
  preferred_splits,
  read_class_names,
)
from s3_jax.data.readers.stored_labels import StoredImages, open_benchmark
from s3_jax.data.records import (
  OpenedDataset,
  fingerprint,
  gather_stamps,
  make_stamp,
)
from s3_jax.data.specs import DatasetSpec
from s3_jax.extras import require

_GROUP_BYTES = 4 << 30  # of a row group's images, which are read together
_KEPT_GROUPS = 2


class _Shard(NamedTuple):
  """A file: the first row of each of its row groups, and one past the last."""

  path: pathlib.Path
  starts: tuple[int, ...]


class ParquetRecords:
  """Records whose images lie in row groups, of which the last two are kept.

  Attributes:
    labels: in the order of the records.
    unreadable: 0; a row without bytes is found when it is read.
  """

  unreadable = 0

  def __init__(
    self,
    shards: Sequence[_Shard],
    column: Column,
    rows: Sequence[int],
    labels: Sequence[int],
  ):
    self._shards = shards
    self._firsts = _firsts(shards)
    self._column = column
    self._rows = rows
    self.labels = list(labels)
    self._groups: collections.OrderedDict[tuple[int, int], Any] = (
      collections.OrderedDict()
    )
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> dict[str, Any]:
    row = self._rows[index]
    shard = bisect.bisect_right(self._firsts, row) - 1
    row -= self._firsts[shard]
    starts = self._shards[shard].starts
    group = bisect.bisect_right(starts, row) - 1
    with self._lock:
      column = self._groups.pop((shard, group), None)
      if column is None:
        column = _read_images(self._shards[shard].path, group, self._column)
      self._groups[shard, group] = column
      while len(self._groups) > _KEPT_GROUPS:
        self._groups.popitem(last=False)
    value = column[row - starts[group]].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    return {"image": data or b"", "label": self.labels[index]}


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Reads a benchmark that is distributed as parquet."""
  for name in spec.folders:
    folder = data_dir / name
    if folder.is_dir():
      stored = index(
        folder, prefer=preferred_splits(spec), finder=benchmark_finder(spec)
      )
      if stored is not None:
        return open_benchmark(stored, spec)
  return None


def index(
  root: pathlib.Path,
  *,
  prefer: Sequence[str],
  finder: ClassFinder | None = None,
) -> StoredImages | None:
  """Lists the images of the parquet files in a folder, or of one file."""
  shards = find_shards(root, ".parquet", prefer=prefer)
  if shards is None:
    return None
  require("data", "pyarrow", by="Reading parquet")
  columns = describe(shards.paths[0])
  image = choose_images(columns, shards.root)
  if image is None:
    return None  # tables of something else
  label = choose_labels(columns, shards.root, finder)
  files, values = [], []
  bar = hosts.progress_bar(
    shards.paths, desc=f"index {shards.root.name}", unit="file", delay=2
  )
  for path in bar:
    others = [each for each in describe(path) if each in (image, label)]
    if len(others) != 2:
      raise ValueError(
        f"{path} must have the columns {image.name!r} and {label.name!r} of"
        f" {shards.paths[0].name}, with the same class names: fetch it again."
      )
    starts, found = _read_labels(path, image, label)
    files.append(_Shard(path, starts))
    values += found
  firsts = _firsts(files)

  def name(row: int) -> str:
    shard = bisect.bisect_right(firsts, row) - 1
    return f"{shards.name(files[shard].path)}[{row - firsts[shard]}]"

  def open_rows(rows, labels, found) -> OpenedDataset:
    return _open(shards, files, image, rows, labels, found, name)

  names = label.names or read_class_names(shards)
  note = f"images in {image.name}, labels in {label.name}"
  return StoredImages("parquet", shards, values, names, name, open_rows, note)


def _open(
  shards: SplitShards,
  files: Sequence[_Shard],
  image: Column,
  rows: Sequence[int],
  labels: Sequence[int],
  found: str,
  name: Any,
) -> OpenedDataset:
  names = [name(row) for row in rows]
  status = [(str(each.path.absolute()), each.path.stat()) for each in files]
  firsts = _firsts(files)
  stamps = [
    make_stamp(
      status[bisect.bisect_right(firsts, row) - 1], part=f"{row} {label}"
    )
    for row, label in zip(rows, labels, strict=True)
  ]
  parts = [
    *((path, -1, stat.st_size, stat.st_mtime_ns) for path, stat in status),
    *((name, label, -1, -1) for name, label in zip(names, labels, strict=True)),
  ]
  parts = [(pathlib.Path(each).name, *rest) for each, *rest in parts]
  return OpenedDataset(
    records=ParquetRecords(files, image, rows, labels),
    files=names,
    found=found,
    layout="parquet",
    fingerprint=fingerprint("parquet", parts),
    stamps=lambda: gather_stamps(str(shards.root.absolute()), stamps),
  )


def _firsts(files: Sequence[_Shard]) -> list[int]:
  """Returns the number of the first row of each file, among all rows."""
  lengths = [each.starts[-1] for each in files]
  return [0, *itertools.accumulate(lengths)][:-1]


def _read_labels(
  path: pathlib.Path, image: Column, label: Column
) -> tuple[tuple[int, ...], list[int | str]]:
  """Reads a file's labels, and where its row groups begin."""
  import pyarrow as pa

  with open_file(path) as file:
    groups = [
      file.metadata.row_group(number)
      for number in range(file.metadata.num_row_groups)
    ]
    for group in groups:
      size = sum(
        group.column(number).total_uncompressed_size
        for number in range(group.num_columns)
        if group.column(number).path_in_schema.split(".")[0] == image.name
      )
      if size > _GROUP_BYTES:
        raise ValueError(
          f"{path} must have row groups of at most {_GROUP_BYTES >> 30} GiB, as"
          f" each is read whole, got {size >> 30}: write it again with smaller"
          " ones."
        )
    try:
      values = file.read(columns=[label.name]).column(0).to_pylist()
    except (pa.ArrowException, OSError) as error:
      raise ValueError(
        f"{path} must have readable labels, got: {error!s:.120}; fetch it"
        " again."
      ) from error
  lengths = (group.num_rows for group in groups)
  starts = (0, *itertools.accumulate(lengths))
  if None in values:
    raise ValueError(
      f"{path} must have a label for each image, and row {values.index(None)}"
      " has none: take the labelled split."
    )
  return starts, values


def _read_images(path: pathlib.Path, group: int, column: Column) -> Any:
  """Reads the images of a row group, encoded as they are."""
  import pyarrow as pa
  import pyarrow.parquet as pq

  leaf = f"{column.name}.bytes" if column.kind == "struct" else column.name
  try:
    with pq.ParquetFile(path) as file:
      return file.read_row_group(group, columns=[leaf]).column(0)
  except (pa.ArrowException, OSError) as error:
    raise OSError(f"damaged row group {group} of {path.name}") from error
