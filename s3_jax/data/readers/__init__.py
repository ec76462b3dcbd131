"""Readers: a data set on disk, in one of the layouts people have it in.

A reader takes a spec and the folder that holds all data sets. It returns None
where its layout is not there, and raises ValueError where it is there but
wrong. Readers import `specs`, never `datasets`, which imports them.
"""

import pathlib
from collections.abc import Callable

from s3_jax.data.pictograph_sets import read_pictographs
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec

__all__ = ["READERS"]

Reader = Callable[[DatasetSpec, pathlib.Path], OpenedDataset | None]

READERS: dict[str, Reader] = {"pictographs": read_pictographs}
