"""Test sets of the drawn worlds: drawn once, then read like any other.

Preparing happens once, under the user's cache folder, by TFDS: a killed
preparation leaves an `incomplete` folder that the next one replaces. Of
several processes that prepare at once, the first to be done wins.
"""

import contextlib
import functools
import io
import os
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from s3_jax.data.quiet import quiet_tfds
from s3_jax.data.records import (
  OpenedDataset,
  Stamps,
  fingerprint,
  gather_stamps,
  make_stamp,
)
from s3_jax.data.segmentation_specs import SegmentationSpec
from s3_jax.data.specs import DatasetSpec, TfdsSource
from s3_jax.extras import require


def _pictographs() -> Any:  # TFDS's decorator hides its arguments
  from s3_jax.data.pictograph_builder import Pictographs

  return Pictographs


def _emoji() -> Any:
  from s3_jax.data.emoji_builder import Emoji

  return Emoji


_BUILDERS = {"pictographs": _pictographs, "emoji": _emoji}


def open_drawn(
  spec: DatasetSpec | SegmentationSpec, folder: pathlib.Path
) -> Sequence[Any]:
  """Opens a test set for random access, preparing it on first use."""
  require("data", by="Drawing the data sets of a drawn world")
  import tensorflow_datasets as tfds

  assert spec.tfds is not None
  folder.mkdir(parents=True, exist_ok=True)
  with quiet_tfds():
    make = functools.partial(
      _BUILDERS[spec.tfds.builder](),
      data_dir=str(folder),
      config=spec.tfds.config,
      file_format="array_record",
    )
    builder = make()
    try:
      builder.download_and_prepare()
    except OSError as error:
      # Another process may have been faster; its folder is as good.
      builder = make()
      if not pathlib.Path(builder.data_path).exists():
        raise ValueError(
          f"`config.cache_dir` must be able to hold the data set {spec.name!r},"
          f" which cannot be prepared in {folder}: {error}"
        ) from error
    encoded = [key for key in builder.info.features if key != "label"]
    source = builder.as_data_source(
      spec.tfds.split,
      decoders=dict.fromkeys(encoded, tfds.decode.SkipDecoding()),
    )
  if len(source) != spec.examples:
    raise ValueError(
      f"data set {spec.name!r} must hold {spec.examples} examples, and"
      f" {builder.data_path} holds {len(source)}: remove the folder to prepare"
      " it again."
    )
  return source


class Drawn:
  """The records of a test set, prepared when the first one is asked for.

  A run whose results are all in the cache never draws them.
  """

  def __init__(
    self, spec: DatasetSpec | SegmentationSpec, folder: pathlib.Path
  ):
    self._spec = spec
    self._folder = folder
    self._lock = threading.Lock()
    self._records: Sequence[Any] | None = None

  def __len__(self) -> int:
    return self._spec.examples

  def __getitem__(self, index: int) -> Mapping[str, Any]:
    with self._lock:
      if self._records is None:
        self._records = open_drawn(self._spec, self._folder)
    record = self._records[index]
    if "label" in record:
      return record
    return {"image": record["image"], "mask": record["segmentation_mask"]}


def drawn_stamps(
  source: TfdsSource, folder: pathlib.Path, examples: int
) -> Stamps:
  """Stamps the pictures of a prepared data set by its files."""
  location = os.path.abspath(
    folder / source.builder / source.config / source.version
  )
  files = []
  with contextlib.suppress(OSError):
    files = [(entry.path, entry.stat()) for entry in os.scandir(location)]
  files.sort(key=lambda file: file[0])
  return gather_stamps(
    location,
    [
      make_stamp(*files, part=f"{location} {source.split} {index}")
      for index in range(examples)
    ],
  )


def read_drawn(spec: DatasetSpec, folder: pathlib.Path) -> OpenedDataset | None:
  """Opens a test set as every reader does."""
  if spec.family != "embedded" or spec.tfds is None:
    return None
  # The images are a function of the builder's version.
  name, world = "/".join(spec.tfds), spec.tfds.builder
  return OpenedDataset(
    records=Drawn(spec, folder),
    files=[f"{spec.name}/{index}" for index in range(spec.examples)],
    found=f"{world}, drawn here, in {folder}",
    layout=world,
    fingerprint=fingerprint(world, [(name, -1, spec.examples, -1)]),
    stamps=functools.partial(drawn_stamps, spec.tfds, folder, spec.examples),
  )


def all_images(
  source: Sequence[Any],
  preprocess: Callable[[Any], UInt8[np.ndarray, "height width 3"]],
) -> tuple[
  UInt8[np.ndarray, "examples height width 3"],
  Int32[np.ndarray, " examples"],
]:
  """Decodes and preprocesses a small data set whole."""
  images, labels = [], []
  for index in range(len(source)):
    record = source[index]
    with Image.open(io.BytesIO(record["image"])) as image:
      images.append(preprocess(image))
    labels.append(int(record["label"]))
  return np.stack(images), np.asarray(labels, np.int32)
