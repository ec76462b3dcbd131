"""TFDS builder of the segmentation benchmarks, from the user's own downloads.

TFDS has masks of Cityscapes alone, and those of other labels than the published
tables use. This builder stores what a reader found: the encoded images as they
are, and the masks as class indices in PNG, as array_record and in their order.
It needs no TensorFlow, neither to prepare nor to read.
"""

import dataclasses
import io
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from s3_jax.data.builder_shards import shard_iterators
from s3_jax.data.decoding import BadImage, decode_image
from s3_jax.data.masks import decode_labels, encode_mask
from s3_jax.data.quiet import quiet_tfds
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.readers.prepared_masks import OWN_VERSION, own_mask_source
from s3_jax.data.segmentation_specs import SegmentationSpec

__all__ = ["MaskConfig", "Segmentation", "prepare_masks"]


@dataclasses.dataclass(kw_only=True)
class MaskConfig(tfds.core.BuilderConfig):
  """One data set, opened by a reader.

  Attributes:
    spec: of the data set.
    found: its images and masks.
    bad: gets the reason of every image without a usable mask or picture.
  """

  spec: SegmentationSpec = dataclasses.field(repr=False)
  found: OpenedMasks = dataclasses.field(repr=False)
  bad: dict[str, str] = dataclasses.field(repr=False)


class Segmentation(tfds.core.ShardBasedBuilder):
  """Segmentation benchmarks in the splits of the published tables."""

  VERSION = tfds.core.Version(OWN_VERSION)
  RELEASE_NOTES = {OWN_VERSION: "First preparation."}

  @property
  def _config(self) -> MaskConfig:
    assert isinstance(self.builder_config, MaskConfig)
    return self.builder_config

  def _info(self) -> tfds.core.DatasetInfo:
    spec, opened = self._config.spec, self._config.found.opened
    features = {
      "image": tfds.features.Image(),
      "segmentation_mask": tfds.features.LabeledImage(
        shape=(None, None, 1), labels=256, encoding_format="png"
      ),
      "file_name": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      description=f"{spec.title}, {spec.split}; {opened.found}",
      license=spec.licence,
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(
    self, dl_manager: Any
  ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
    del dl_manager  # the user has downloaded it
    config = self._config
    return {
      own_mask_source(config.spec).split: shard_iterators(
        config.spec.name, len(config.found.opened.records), self._examples
      )
    }

  def _examples(
    self, indices: range, bar: tqdm
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    found = self._config.found
    opened = found.opened
    for index in indices:
      bar.update()
      try:
        record = opened.records[index]
        width, height = decode_image(record["image"]).size
        mask = decode_labels(
          record["mask"],
          found.labels,
          (height, width),
          where=found.mask_files[index],
          palette=found.palette,
        )
      except (OSError, BadImage) as error:
        self._config.bad[opened.files[index]] = str(error)
        continue
      yield (
        index,
        {
          "image": io.BytesIO(record["image"]),
          "segmentation_mask": io.BytesIO(encode_mask(mask)),
          "file_name": opened.files[index],
        },
      )
    if indices.stop == bar.total:
      bar.close()


def prepare_masks(
  spec: SegmentationSpec, found: OpenedMasks, out_dir: pathlib.Path
) -> pathlib.Path:
  """Stores a data set as TFDS does, whole or not at all."""
  source = own_mask_source(spec)
  folder = out_dir / source.builder / source.config / source.version
  if folder.exists():
    raise ValueError(
      f"data set {spec.name!r} must not be prepared yet, and {folder} exists:"
      " remove it to prepare it again."
    )
  out_dir.mkdir(parents=True, exist_ok=True)
  temporary = out_dir / f".{secrets.token_hex(8)}.tmp"
  config = MaskConfig(name=spec.name, spec=spec, found=found, bad={})
  try:
    with quiet_tfds():
      make_builder: Any = Segmentation  # TFDS's decorator hides its arguments
      builder = make_builder(
        data_dir=str(temporary), config=config, file_format="array_record"
      )
      builder.download_and_prepare()
    if config.bad:
      listed = ", ".join(f"{f} ({why})" for f, why in config.bad.items())
      raise ValueError(
        f"data set {spec.name!r} must have a picture and a mask for every"
        f" image, and {len(config.bad)} cannot be used: {listed}."
      )
    for path in pathlib.Path(builder.data_path).iterdir():
      with open(path, "r+b") as file:
        os.fsync(file.fileno())  # on the disk before it gets its name
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(builder.data_path, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return folder
