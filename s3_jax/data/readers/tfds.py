"""Reads data sets that TFDS has prepared, without TensorFlow.

TFDS keeps a data set in `<builder>/<config>/<version>`. Only array_record can
be read at random places, and without TensorFlow. Labels are joined by the names
of the classes: TFDS orders and spells them in its own way.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from s3_jax.data.readers.naming import UNKNOWN, benchmark_finder, match_names
from s3_jax.data.records import (
  OpenedDataset,
  fingerprint,
  record_stamps,
)
from s3_jax.data.specs import DatasetSpec, TfdsSource, official_names, wnids
from s3_jax.extras import require

OWN_BUILDER = "benchmarks"  # of `s3_jax.data.benchmark_builders`
OWN_VERSION = "1.0.0"


def own_source(spec: DatasetSpec) -> TfdsSource:
  """Names the prepared data set that `benchmark_builders` makes of a spec."""
  return TfdsSource(OWN_BUILDER, spec.name, "test", OWN_VERSION)


def expects(spec: DatasetSpec) -> str:
  """Says where `read` looks, for messages."""
  locations = [
    "/".join(filter(None, (source.builder, source.config, source.version)))
    for source in _sources(spec)
  ]
  return f"{' or '.join(locations)}, prepared as array_record"


def _sources(spec: DatasetSpec) -> list[TfdsSource]:
  own = own_source(spec)
  return [own] if spec.tfds in (None, own) else [spec.tfds, own]


def class_keys(spec: DatasetSpec) -> tuple[str, ...]:
  """Lists the name of each class that no other has, in label order."""
  ids = [wnid for wnid in wnids(spec) if wnid is not None]
  names = official_names(spec)
  return tuple(ids) if len(ids) == len(names) else names


def read(spec: DatasetSpec, data_dir: pathlib.Path) -> OpenedDataset | None:
  """Opens a prepared data set: the spec's own source, or what we prepared."""
  for source in _sources(spec):
    root = data_dir.joinpath(*filter(None, (source.builder, source.config)))
    folder = root / source.version
    if folder.is_dir():
      return _open(spec, source, folder)
    versions = [
      path.parent.name
      for path in sorted(root.glob("*/dataset_info.json"))
      if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
    ]
    if versions:
      raise ValueError(
        f"data set {spec.name!r} must be prepared in version {source.version},"
        f" got {', '.join(versions)} in {root}: prepare it again."
      )
  return None


def _open(
  spec: DatasetSpec, source: TfdsSource, folder: pathlib.Path
) -> OpenedDataset:
  require("data", by="Reading a data set that TFDS has prepared")
  import tensorflow_datasets as tfds

  where = f"data set {spec.name!r} in {folder}"
  try:
    builder: Any = tfds.builder_from_directory(folder)
    names = builder.info.features["label"].names
    images = [
      key
      for key, feature in builder.info.features.items()
      if isinstance(feature, tfds.features.Image)
    ]
  except Exception as error:  # TFDS lets through whatever its parsers raise
    raise ValueError(
      f"{where} must hold dataset_info.json and features.json with an image and"
      f" a label, got {type(error).__name__}: prepare it again."
    ) from error
  _check_format(source, where, builder.info.file_format)
  if source.split not in builder.info.splits:
    raise ValueError(
      f"{where} must have a split {source.split!r}, got"
      f" {', '.join(builder.info.splits) or 'none'}: prepare it again."
    )
  split = builder.info.splits[source.split]
  labels = match_names(
    benchmark_finder(spec),
    names,
    where,
    advice="prepare it again",
    whole=True,
    subset=bool(spec.subset),
  ).labels
  shards = _stat_shards(where, split.filepaths)
  skip = tfds.decode.SkipDecoding()
  records = builder.as_data_source(
    source.split, decoders=dict.fromkeys(images, skip)
  )
  if len(records) != split.num_examples:
    raise ValueError(
      f"{where} must hold {split.num_examples} examples, as its"
      f" dataset_info.json says, got {len(records)}: prepare it again."
    )
  _check_shards(where, records, split.shard_lengths)
  name = f"{builder.info.full_name}/{source.split}"
  parts = [
    (name, -1, split.num_examples, -1),
    *((text, label, -1, -1) for text, label in zip(names, labels, strict=True)),
    *((path.name, -1, stat.st_size, stat.st_mtime_ns) for path, stat in shards),
  ]
  named = [key for key in ("file_name", "id") if key in builder.info.features]
  found = f"TFDS data set {name} in {folder}"
  if source.builder == OWN_BUILDER:  # which then says what it was made of
    found += f": {builder.info.description}"
  return OpenedDataset(
    records=_Records(spec.name, records, names, labels),
    files=RecordNames(records, source.split, named[0] if named else ""),
    found=found,
    layout="tfds",
    fingerprint=fingerprint("tfds", parts),
    # Labels lie in the records, and mean what the names say.
    stamps=lambda: record_stamps(
      folder, shards, split.shard_lengths, meaning=f"{names} {labels}"
    ),
  )


def _check_format(source: TfdsSource, where: str, file_format: Any) -> None:
  got = file_format.value if file_format is not None else "no format"
  if got == "array_record":
    return
  if got == "parquet":
    raise ValueError(
      f"{where} must be array_record, got parquet, of which TFDS writes half"
      " the examples: prepare it again."
    )
  name = f"{source.builder}/{source.config}".rstrip("/")
  raise ValueError(
    f"{where} must be array_record, got {got}: prepare it again in another"
    f" folder, `tfds build {name} --file_format=array_record --data_dir=...`,"
    " which needs TensorFlow, as reading does not."
  )


def _stat_shards(
  where: str, paths: Sequence[Any]
) -> list[tuple[pathlib.Path, os.stat_result]]:
  try:
    return [(pathlib.Path(path), os.stat(path)) for path in paths]
  except OSError as error:
    raise ValueError(
      f"{where} must have all its files, and {error.filename} cannot be read:"
      " prepare it again."
    ) from error


def _check_shards(where: str, records: Any, lengths: Sequence[int]) -> None:
  """Reads the last record of every file: `len` only says what is promised."""
  total = 0
  for length in lengths:
    total += length
    try:
      if length:
        records[total - 1]
    except RuntimeError as error:  # array_record's one exception
      raise ValueError(
        f"{where} must hold {sum(lengths)} examples, and example {total - 1}"
        " cannot be read: prepare it again."
      ) from error


def read_record(records: Any, index: int) -> Any:
  """Reads a record, or raises what the input pipeline counts as bad."""
  try:
    return records[index]
  except RuntimeError as error:  # array_record's one exception
    raise OSError("damaged record") from error


class _Records:
  """Records with encoded images and the benchmark's labels."""

  def __init__(
    self, name: str, records: Any, names: Sequence[str], labels: list[int]
  ):
    self._name = name
    self._records = records
    self._names = names
    self._labels = labels

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, Any]:
    record = read_record(self._records, index)
    stored = int(record["label"])
    if not 0 <= stored < len(self._labels):
      raise ValueError(
        f"data set {self._name!r} must have labels from 0 to"
        f" {len(self._labels) - 1}, and image {index} has {stored} (-1"
        " is an image without a label): prepare the labelled split."
      )
    label = self._labels[stored]
    if label == UNKNOWN:
      raise ValueError(
        f"data set {self._name!r} must have images of its own"
        f" {len(set(self._labels)) - 1} classes, and image {index} is of"
        f" {self._names[stored]!r}: prepare it again."
      )
    return {"image": record["image"], "label": label}


class RecordNames(Sequence[str]):
  """The images' names: a feature of the records, each read on request."""

  def __init__(self, records: Any, split: str, feature: str):
    self._records = records
    self._split = split
    self._feature = feature

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: Any) -> Any:
    number = range(len(self))[index]
    if isinstance(number, range):
      return [self[one] for one in number]
    if self._feature:
      with contextlib.suppress(RuntimeError):  # a damaged record's is lost
        name = self._records[number][self._feature]
        return name.decode("utf-8", "surrogateescape")
    return f"{self._split}[{number}]"
