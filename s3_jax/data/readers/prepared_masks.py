"""Reads segmentation benchmarks that `prepare_data` stored, without TensorFlow.

Their masks hold class indices already, in a PNG of 8 bits.
"""

import pathlib
from typing import Any

from s3_jax.data.masks import plain_labels
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.readers.tfds import RecordNames, read_record
from s3_jax.data.records import OpenedDataset, fingerprint, record_stamps
from s3_jax.data.segmentation_specs import SegmentationSpec
from s3_jax.data.specs import TfdsSource
from s3_jax.extras import require

_BUILDER = "segmentation"  # of `s3_jax.data.segmentation_builders`
OWN_VERSION = "1.0.0"


def own_mask_source(spec: SegmentationSpec) -> TfdsSource:
  """Names the data set that `segmentation_builders` makes of a spec."""
  return TfdsSource(_BUILDER, spec.name, "validation", OWN_VERSION)


def expects(spec: SegmentationSpec) -> str:
  """Says where `read` looks, for messages."""
  source = own_mask_source(spec)
  return (
    f"{source.builder}/{source.config}/{source.version}, prepared as"
    " array_record"
  )


def read(spec: SegmentationSpec, data_dir: pathlib.Path) -> OpenedMasks | None:
  """Opens what `prepare_data` stored of a benchmark."""
  source = own_mask_source(spec)
  folder = data_dir / source.builder / source.config / source.version
  if not folder.is_dir():
    return None
  where = f"data set {spec.name!r} in {folder}"
  require("data", by="Reading a data set that `prepare_data` has stored")
  import tensorflow_datasets as tfds

  try:
    builder: Any = tfds.builder_from_directory(folder)
    split = builder.info.splits[source.split]
    paths = [pathlib.Path(path) for path in split.filepaths]
    shards = [(path, path.stat()) for path in paths]
    skip = tfds.decode.SkipDecoding()
    records = builder.as_data_source(
      source.split, decoders={"image": skip, "segmentation_mask": skip}
    )
    # `len` only says what is promised.
    total = 0
    for length in split.shard_lengths:
      total += length
      _ = records[total - 1]
  except Exception as error:  # TFDS lets through whatever its parsers raise
    raise ValueError(
      f"{where} must be whole, got {type(error).__name__}: remove the folder"
      " and prepare it again."
    ) from error
  files = RecordNames(records, source.split, "file_name")
  name = f"{builder.info.full_name}/{source.split}"
  parts = [
    (name, -1, total, -1),
    *((path.name, -1, stat.st_size, stat.st_mtime_ns) for path, stat in shards),
  ]
  opened = OpenedDataset(
    records=_Records(records),
    files=files,
    found=f"prepared data set {name} in {folder}: {builder.info.description}",
    layout="tfds",
    fingerprint=fingerprint("tfds masks", parts),
    stamps=lambda: record_stamps(folder, shards, split.shard_lengths),
  )
  return OpenedMasks(opened, files, plain_labels(spec.classes), 0)


class _Records:
  """Records with encoded images and masks."""

  def __init__(self, records: Any):
    self._records = records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> dict[str, bytes]:
    record = read_record(self._records, index)
    return {"image": record["image"], "mask": record["segmentation_mask"]}
