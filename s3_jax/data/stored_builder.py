"""What our two TFDS builders of benchmarks share: stored as read, in order.

Shard by shard, because TFDS's other base class collects a split before it
writes it: all in memory, and above a gigabyte in files that need TensorFlow.
Neither preparing nor reading needs TensorFlow.
"""

import dataclasses
import functools
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from s3_jax import hosts
from s3_jax.data.quiet import quiet_tfds
from s3_jax.data.records import OpenedDataset
from s3_jax.data.segmentation_specs import SegmentationSpec
from s3_jax.data.specs import DatasetSpec, TfdsSource

SHARD = 512  # images in a file: TFDS holds that many in memory


@dataclasses.dataclass(kw_only=True)
class StoredConfig(tfds.core.BuilderConfig):
  """One data set, opened by a reader.

  Attributes:
    spec: of the data set.
    opened: its images.
    source: what it is to be called.
    features: of an example, beside the name of its file.
    read: makes an example of an image's index; None where there is none.
  """

  spec: DatasetSpec | SegmentationSpec = dataclasses.field(repr=False)
  opened: OpenedDataset = dataclasses.field(repr=False)
  source: TfdsSource = dataclasses.field(repr=False)
  features: Mapping[str, Any] = dataclasses.field(repr=False)
  read: Callable[[int], dict[str, Any] | None] = dataclasses.field(repr=False)


class StoredBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
  """Stores the examples of its config."""

  @property
  def _config(self) -> StoredConfig:
    assert isinstance(self.builder_config, StoredConfig)
    return self.builder_config

  def _info(self) -> tfds.core.DatasetInfo:
    spec = self._config.spec
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {**self._config.features, "file_name": tfds.features.Text()}
      ),
      description=f"{spec.title}, {spec.split}; {self._config.opened.found}",
      license=spec.licence,
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(
    self, dl_manager: Any
  ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
    del dl_manager  # the user has downloaded it
    total = len(self._config.opened.records)
    bar = hosts.progress_bar(
      total=total, desc=f"prepare {self._config.spec.name}"
    )
    shards = [
      range(start, min(start + SHARD, total))
      for start in range(0, total, SHARD)
    ]
    examples = [
      functools.partial(self._examples, shard, bar) for shard in shards
    ]
    return {self._config.source.split: examples}

  def _examples(
    self, indices: range, bar: Any
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    for index in indices:
      bar.update()
      example = self._config.read(index)
      if example is not None:
        file = self._config.opened.files[index]
        yield index, {**example, "file_name": file}
    if indices.stop == len(self._config.opened.records):
      bar.close()


def store(
  make_builder: Any,  # TFDS's decorator hides its arguments
  config: StoredConfig,
  out_dir: pathlib.Path,
  check: Callable[[], None],
) -> pathlib.Path:
  """Stores a data set as TFDS does, whole or not at all; returns its folder.

  The folder appears under its name when `check` raises nothing and everything
  in it is on the disk. Killed before, the process leaves a hidden `.tmp` folder
  that nothing reads.
  """
  name, source = config.spec.name, config.source
  folder = out_dir / source.builder / source.config / source.version
  if folder.exists():
    raise ValueError(
      f"data set {name!r} must not be prepared yet, and {folder} exists: remove"
      " it to prepare it again."
    )
  if not len(config.opened.records):
    raise ValueError(
      f"data set {name!r} must have an image, got none from"
      f" {config.opened.found}."
    )
  out_dir.mkdir(parents=True, exist_ok=True)
  temporary = out_dir / f".{secrets.token_hex(8)}.tmp"
  try:
    with quiet_tfds():
      builder = make_builder(
        data_dir=str(temporary), config=config, file_format="array_record"
      )
      builder.download_and_prepare()
    check()
    examples = builder.info.splits[source.split].num_examples
    assert examples == len(config.opened.records)
    for path in pathlib.Path(builder.data_path).iterdir():
      with open(path, "r+b") as file:
        os.fsync(file.fileno())  # on the disk before it gets its name
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(builder.data_path, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return folder
