"""Which benchmarks are on disk: what was found, what is missing, where to get.

Only names are read: an image that is damaged inside is found when a run reads
it.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax import hosts
from s3_jax.data.datasets import DatasetSpec, find_dataset
from s3_jax.data.readers.listing import FileRecords
from s3_jax.data.readers.parquet import ParquetRecords
from s3_jax.data.readers.tar_members import TarRecords
from s3_jax.data.segmentation_sets import SegmentationSpec, find_masks


class Finding(NamedTuple):
  """What is there of one data set.

  Attributes:
    name: the data set's key.
    title: its name in tables.
    status: "complete"; "incomplete", if the numbers differ or files are absent
      or empty; "broken", if a layout was found that breaks a rule; "missing".
    layout: the reader that found it; "" if none did.
    found: what was found and where, or what is wrong with it; "" if missing.
    images: that can be read, as far as their names say, and their masks where
      they have some; None if not known.
    expected: images of the split as published.
    classes: that have images; None if labels lie inside records or masks.
    expected_classes: of the benchmark.
    split: in words.
    source: where to get it.
    licence: what its publishers say.
  """

  name: str
  title: str
  status: str
  layout: str
  found: str
  images: int | None
  expected: int
  classes: int | None
  expected_classes: int
  split: str
  source: str
  licence: str


def take_inventory(
  specs: Sequence[DatasetSpec | SegmentationSpec], data_dir: pathlib.Path
) -> list[Finding]:
  """Looks for data sets."""
  if not data_dir.is_dir():
    raise ValueError(
      f"`data_dir` must be the folder that holds the data sets, got {data_dir},"
      " which is no folder."
    )
  bar = hosts.progress_bar(specs, desc="look", unit="data set", delay=2)
  return [_look(spec, data_dir) for spec in bar]


def _look(
  spec: DatasetSpec | SegmentationSpec, data_dir: pathlib.Path
) -> Finding:
  finding = Finding(
    name=spec.name,
    title=spec.title,
    status="missing",
    layout="",
    found="",
    images=None,
    expected=spec.examples,
    classes=None,
    expected_classes=spec.classes,
    split=spec.split,
    source=spec.source,
    licence=spec.licence,
  )
  found, classes, numbers = None, None, {spec.examples}
  try:
    if isinstance(spec, SegmentationSpec):
      found = find_masks(spec, data_dir)
      opened = None if found is None else found.opened
      numbers.add(spec.also)
    else:
      opened = find_dataset(spec, data_dir)
  except ValueError as error:
    return finding._replace(status="broken", found=str(error))
  if opened is None:
    return finding
  images = len(opened.records) - (0 if found is None else found.unreadable)
  if isinstance(opened.records, FileRecords | TarRecords | ParquetRecords):
    images -= opened.records.unreadable
    classes = len(set(opened.records.labels))
  # A published split has images of every class.
  whole = images in numbers and classes in (None, spec.classes)
  return finding._replace(
    status="complete" if whole else "incomplete",
    layout=opened.layout,
    found=opened.found,
    images=images,
    classes=classes,
  )
