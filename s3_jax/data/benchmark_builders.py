"""TFDS builder of the classification benchmarks, from the user's own downloads.

TFDS has no FGVCAircraft, no frames of UCF101, and other splits of Caltech101,
Flowers102, Food101, DTD and EuroSAT than the published tables use. This builder
stores what a reader found: the encoded files as they are, in their order, as
array_record. It needs no TensorFlow, neither to prepare nor to read.
"""

import dataclasses
import io
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from tqdm import tqdm

from s3_jax.data.builder_shards import shard_iterators
from s3_jax.data.quiet import quiet_tfds
from s3_jax.data.readers.tfds import OWN_VERSION, class_keys, own_source
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

__all__ = ["BenchmarkConfig", "Benchmarks", "PreparedDataset", "prepare"]


@dataclasses.dataclass(kw_only=True)
class BenchmarkConfig(tfds.core.BuilderConfig):
  """One data set, opened by a reader.

  Attributes:
    spec: of the data set.
    opened: its images.
    unreadable: gets the reason of every file that cannot be read.
    empty: gets the files that hold nothing.
  """

  spec: DatasetSpec = dataclasses.field(repr=False)
  opened: OpenedDataset = dataclasses.field(repr=False)
  unreadable: dict[str, str] = dataclasses.field(repr=False)
  empty: list[str] = dataclasses.field(repr=False)


class Benchmarks(tfds.core.ShardBasedBuilder):
  """Classification benchmarks in the splits of the published tables.

  Shard by shard, because TFDS's other base class collects a split before it
  writes it: all in memory, and above a gigabyte in files that need TensorFlow.
  """

  VERSION = tfds.core.Version(OWN_VERSION)
  RELEASE_NOTES = {OWN_VERSION: "First preparation."}

  @property
  def _config(self) -> BenchmarkConfig:
    assert isinstance(self.builder_config, BenchmarkConfig)
    return self.builder_config

  def _info(self) -> tfds.core.DatasetInfo:
    spec = self._config.spec
    features = {
      "image": tfds.features.Image(),
      "label": tfds.features.ClassLabel(names=list(class_keys(spec))),
      "file_name": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      description=f"{spec.title}, {spec.split}; {self._config.opened.found}",
      license=spec.licence,
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(
    self, dl_manager: Any
  ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
    del dl_manager  # the user has downloaded it
    config = self._config
    return {
      own_source(config.spec).split: shard_iterators(
        config.spec.name, len(config.opened.records), self._examples
      )
    }

  def _examples(
    self, indices: range, bar: tqdm
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    config = self._config
    for index in indices:
      bar.update()
      file = config.opened.files[index]
      try:
        record = config.opened.records[index]
      except OSError as error:
        config.unreadable[file] = str(error.strerror or error)
        continue
      if not record["image"]:
        config.empty.append(file)
      yield (
        index,
        {
          "image": io.BytesIO(record["image"]),
          "label": int(record["label"]),
          "file_name": file,
        },
      )
    if indices.stop == bar.total:
      bar.close()


class PreparedDataset(NamedTuple):
  """What was written.

  Attributes:
    folder: of the prepared data set.
    examples: how many it holds.
    empty: the files that hold nothing, or videos without a frame.
  """

  folder: pathlib.Path
  examples: int
  empty: tuple[str, ...]


def prepare(
  spec: DatasetSpec,
  opened: OpenedDataset,
  out_dir: pathlib.Path,
  *,
  allow_empty: bool = False,
) -> PreparedDataset:
  """Stores a data set as TFDS does, whole or not at all.

  Files are stored as they are, the damaged ones too: an evaluation lists them.
  The folder appears under its name when everything in it is on the disk.
  Killed before, the process leaves a hidden `.tmp` folder that nothing reads.
  """
  source = own_source(spec)
  folder = out_dir / source.builder / source.config / source.version
  if folder.exists():
    raise ValueError(
      f"data set {spec.name!r} must not be prepared yet, and {folder} exists:"
      " remove it to prepare it again."
    )
  if not len(opened.records):
    raise ValueError(
      f"data set {spec.name!r} must have an image, got none from"
      f" {opened.found}."
    )
  out_dir.mkdir(parents=True, exist_ok=True)
  temporary = out_dir / f".{secrets.token_hex(8)}.tmp"
  try:
    config = BenchmarkConfig(
      name=spec.name, spec=spec, opened=opened, unreadable={}, empty=[]
    )
    with quiet_tfds():
      make_builder: Any = Benchmarks  # TFDS's decorator hides its arguments
      builder = make_builder(
        data_dir=str(temporary), config=config, file_format="array_record"
      )
      builder.download_and_prepare()
    _refuse(spec, config, allow_empty)
    examples = builder.info.splits[source.split].num_examples
    assert examples == len(opened.records)
    _flush(pathlib.Path(builder.data_path))
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(builder.data_path, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return PreparedDataset(folder, examples, tuple(config.empty))


def _refuse(
  spec: DatasetSpec, config: BenchmarkConfig, allow_empty: bool
) -> None:
  if config.unreadable:
    listed = ", ".join(f"{f} ({why})" for f, why in config.unreadable.items())
    raise ValueError(
      f"data set {spec.name!r} must have images that can be read, and"
      f" {len(config.unreadable)} cannot: {listed}."
    )
  if config.empty and not allow_empty:
    raise ValueError(
      f"data set {spec.name!r} must have a picture in every file, and"
      f" {len(config.empty)} hold none: {', '.join(config.empty)}; replace"
      " them, or allow them, to be counted as bad images."
    )


def _flush(folder: pathlib.Path) -> None:
  """Makes sure that the files are on the disk before they get their name."""
  for path in folder.iterdir():
    with open(path, "r+b") as file:
      os.fsync(file.fileno())
