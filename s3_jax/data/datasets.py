"""Data sets by name: where they are prepared, what they must hold.

Preparing happens once, under the user's cache folder, by TFDS: a killed
preparation leaves an `incomplete` folder that the next one replaces.
"""

import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from s3_jax.data import pictographs


class DatasetSpec(NamedTuple):
  """One test set: where it comes from and what it must hold."""

  name: str  # in configs and results
  config: str  # of the TFDS builder
  split: str
  classes: int
  examples: int
  version: str = "1.0.0"  # of the prepared data


_TEST_SETS = {
  style: DatasetSpec(style, style, "test", 90, 3600)
  for style in pictographs.STYLES
}
DATASETS = {
  **_TEST_SETS,
  "validation": DatasetSpec("validation", "plain", "validation", 90, 1800),
}


def default_cache_dir() -> pathlib.Path:
  """Returns `$XDG_CACHE_HOME/s3_jax`, or `~/.cache/s3_jax`."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "s3_jax"


def open_dataset(spec: DatasetSpec, folder: pathlib.Path) -> Sequence[Any]:
  """Opens a data set for random access, preparing it on first use.

  Args:
    spec: a row of DATASETS.
    folder: under which TFDS keeps its data sets.

  Returns:
    A sequence of records `{"image": encoded bytes, "label": int}`.

  Raises:
    ValueError: if the prepared folder holds another number of examples.
  """
  import tensorflow_datasets as tfds

  from s3_jax.data.pictograph_builder import Pictographs

  tfds.disable_progress_bar()
  folder.mkdir(parents=True, exist_ok=True)
  builder = Pictographs(
    data_dir=str(folder), config=spec.config, file_format="array_record"
  )
  logger = logging.getLogger("absl")
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    builder.download_and_prepare()
    source = builder.as_data_source(
      spec.split, decoders={"image": tfds.decode.SkipDecoding()}
    )
  finally:
    logger.setLevel(level)
  if len(source) != spec.examples:
    raise ValueError(
      f"data set {spec.name!r} must hold {spec.examples} examples, and"
      f" {builder.data_path} holds {len(source)}: remove the folder to prepare"
      " it again."
    )
  return source


def all_images(source: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
  """Decodes a small data set whole: uint8[examples, ...] and its labels."""
  import io

  from PIL import Image

  records = [source[index] for index in range(len(source))]
  images = [
    np.asarray(Image.open(io.BytesIO(record["image"]))) for record in records
  ]
  labels = [int(record["label"]) for record in records]
  return np.stack(images), np.asarray(labels, np.int32)
