"""TFDS builder of the segmentation benchmarks, from the user's own downloads.

TFDS has masks of Cityscapes alone, and those of other labels than the published
tables use. This builder stores what a reader found: the encoded images as they
are, and the masks as class indices in PNG, as array_record and in their order.
"""

import io
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from s3_jax.data.decoding import BadImage, decode_image
from s3_jax.data.masks import decode_labels, encode_mask
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.readers.prepared_masks import OWN_VERSION, own_mask_source
from s3_jax.data.segmentation_specs import SegmentationSpec
from s3_jax.data.stored_builder import StoredBuilder, StoredConfig, store


class Segmentation(StoredBuilder):
  """Segmentation benchmarks in the splits of the published tables."""

  VERSION = tfds.core.Version(OWN_VERSION)
  RELEASE_NOTES = {OWN_VERSION: "First preparation."}


def prepare_masks(
  spec: SegmentationSpec, found: OpenedMasks, out_dir: pathlib.Path
) -> pathlib.Path:
  """Stores a data set as TFDS does, whole or not at all."""
  opened = found.opened
  bad: dict[str, str] = {}

  def read(index: int) -> dict[str, Any] | None:
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
      bad[opened.files[index]] = str(error)
      return None
    return {
      "image": io.BytesIO(record["image"]),
      "segmentation_mask": io.BytesIO(encode_mask(mask)),
    }

  def check() -> None:
    if bad:
      listed = ", ".join(f"{f} ({why})" for f, why in bad.items())
      raise ValueError(
        f"data set {spec.name!r} must have a picture and a mask for every"
        f" image, and {len(bad)} cannot be used: {listed}."
      )

  config = StoredConfig(
    name=spec.name,
    spec=spec,
    opened=opened,
    source=own_mask_source(spec),
    features={
      "image": tfds.features.Image(),
      "segmentation_mask": tfds.features.LabeledImage(
        shape=(None, None, 1), labels=256, encoding_format="png"
      ),
    },
    read=read,
  )
  return store(Segmentation, config, out_dir, check)
