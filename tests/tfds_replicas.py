"""Tiny data sets as TFDS's own builders prepare them.

The builders are the official ones, with their versions, features, class names
and files; only what they would download is replaced.
"""

import io
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def encoded(value: int) -> bytes:
  """Encodes a picture of one colour."""
  buffer = io.BytesIO()
  Image.new("RGB", (4, 3), (value % 256, value // 256, 9)).save(buffer, "PNG")
  return buffer.getvalue()


def prepare_official(
  data_dir: pathlib.Path,
  name: str,
  rows: Iterable[Mapping[str, Any]],
  *,
  config: str | None = None,
  split: str = "test",
) -> pathlib.Path:
  """Prepares rows as an official data set, without TensorFlow.

  Args:
    data_dir: the folder under which TFDS keeps its data sets.
    name: of the official builder.
    rows: `image` as bytes, `label` as the official name or its index; other
      features of the builder, or they are filled in.
    config: of the builder.
    split: to make.

  Returns:
    The folder of the prepared version.
  """
  tfds.disable_progress_bar()
  builder = tfds.builder(
    f"{name}/{config}" if config else name,
    data_dir=str(data_dir),
    file_format="array_record",
  )
  known = {
    "file_name": lambda index: f"photo_{index}.jpg",
    "id": lambda index: f"{index:05d}",
    "segmentation_mask": lambda _: io.BytesIO(_mask()),
    "species": lambda _: 0,
    "head_bbox": lambda _: tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
    "bbox": lambda _: tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
  }

  def examples():
    for index, row in enumerate(rows):
      filled = {
        key: known[key](index)
        for key in builder.info.features
        if key not in ("image", "label")
      }
      yield index, {**filled, **row, "image": io.BytesIO(row["image"])}

  with mock.patch.object(
    type(builder), "_split_generators", lambda self, dl: {split: examples()}
  ):
    builder.download_and_prepare()
  return pathlib.Path(builder.data_path)


def _mask() -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(np.ones((3, 4), np.uint8)).save(buffer, "PNG")
  return buffer.getvalue()
