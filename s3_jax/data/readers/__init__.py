"""Readers: a data set on disk, in one of the layouts people have it in.

A reader takes a spec and the folder that holds all data sets. It returns None
where its layout is not there, and raises ValueError where it is there but
wrong. Readers import `specs`, never `datasets`, which imports them.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from s3_jax.data.drawn_sets import read_drawn
from s3_jax.data.readers import (
  coop,
  folders,
  imagenet,
  parquet,
  tables,
  tfds,
  webdataset,
)
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec


class Reader(NamedTuple):
  """One layout.

  Attributes:
    read: opens a data set, or returns None if it has another layout.
    expects: says in a few words what `read` looks for.
  """

  read: Callable[[DatasetSpec, pathlib.Path], OpenedDataset | None]
  expects: Callable[[DatasetSpec], str]


READERS: dict[str, Reader] = {
  "coop": Reader(coop.read, coop.expects),
  "tar": Reader(
    imagenet.read_tar, lambda _: f"{imagenet.ARCHIVE} there or beside it"
  ),
  "flat": Reader(
    imagenet.read_flat,
    lambda _: "ILSVRC2012_val_*.JPEG in it, in val, val_images or images/val",
  ),
  "folders": Reader(
    folders.read,
    lambda _: "a folder a class, in it or in its test, val or images",
  ),
  "csv": Reader(
    tables.read, lambda _: f"{tables.FILE} with lines of path,label"
  ),
  "tfds": Reader(tfds.read, tfds.expects),
  "parquet": Reader(
    parquet.read, lambda _: "shards such as data/test-00000-of-00001.parquet"
  ),
  "webdataset": Reader(
    webdataset.read, lambda _: "test/0.tar and on, with classnames.txt"
  ),
  "pictographs": Reader(read_drawn, lambda _: "nothing"),
  "emoji": Reader(read_drawn, lambda _: "nothing"),
}
