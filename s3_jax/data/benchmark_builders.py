"""TFDS builder of the classification benchmarks, from the user's own downloads.

TFDS has no FGVCAircraft, no frames of UCF101, and other splits of Caltech101,
Flowers102, Food101, DTD and EuroSAT than the published tables use. This builder
stores what a reader found: the encoded files as they are, in their order, as
array_record.
"""

import io
import pathlib
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from s3_jax.data.readers.tfds import OWN_VERSION, class_keys, own_source
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec
from s3_jax.data.stored_builder import StoredBuilder, StoredConfig, store


class Benchmarks(StoredBuilder):
  """Classification benchmarks in the splits of the published tables."""

  VERSION = tfds.core.Version(OWN_VERSION)
  RELEASE_NOTES = {OWN_VERSION: "First preparation."}


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
  """
  unreadable: dict[str, str] = {}
  empty: list[str] = []

  def read(index: int) -> dict[str, Any] | None:
    try:
      record = opened.records[index]
    except OSError as error:
      unreadable[opened.files[index]] = str(error.strerror or error)
      return None
    if not record["image"]:
      empty.append(opened.files[index])
    image = io.BytesIO(record["image"])
    return {"image": image, "label": int(record["label"])}

  def check() -> None:
    if unreadable:
      listed = ", ".join(f"{f} ({why})" for f, why in unreadable.items())
      raise ValueError(
        f"data set {spec.name!r} must have images that can be read, and"
        f" {len(unreadable)} cannot: {listed}."
      )
    if empty and not allow_empty:
      raise ValueError(
        f"data set {spec.name!r} must have a picture in every file, and"
        f" {len(empty)} hold none: {', '.join(empty)}; replace them, or allow"
        " them, to be counted as bad images."
      )

  config = StoredConfig(
    name=spec.name,
    spec=spec,
    opened=opened,
    source=own_source(spec),
    features={
      "image": tfds.features.Image(),
      "label": tfds.features.ClassLabel(names=list(class_keys(spec))),
    },
    read=read,
  )
  folder = store(Benchmarks, config, out_dir, check)
  return PreparedDataset(folder, len(opened.records), tuple(empty))
