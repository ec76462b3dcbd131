"""The data sets of a benchmark run: found, counted, with their classes."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.data.datasets import (
  DATASETS,
  AbsentDataset,
  DatasetSpec,
  check_counts,
  open_own,
)
from s3_jax.data.records import OpenedDataset
from s3_jax.experiment.embedding import find_test_set
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.synonyms import ClassEntry, load_lexicon

OWN = "own"
"""The data set that is a folder or a CSV of the user's."""


class BenchmarkSet(NamedTuple):
  """A data set that can be run.

  Attributes:
    spec: what is known of it.
    opened: its images.
    classes: of the lexicon, in label order.
    lexicon_sha256: of the table they come from; None without a table.
  """

  spec: DatasetSpec
  opened: OpenedDataset
  classes: tuple[ClassEntry, ...]
  lexicon_sha256: str | None


def find_sets(
  cache_dir: pathlib.Path,
  names: Sequence[str],
  *,
  data_dir: pathlib.Path | None,
  layout: str,
  lexicon: str,
  partial: bool,
  skip_absent: bool,
) -> tuple[tuple[BenchmarkSet, ...], tuple[tuple[str, str], ...]]:
  """Finds data sets on disk.

  Args:
    cache_dir: folder that holds the embedded world.
    names: rows of DATASETS, or `OWN`.
    data_dir: under which they lie; for `OWN` the folder or the CSV itself.
    layout: of the files, or "auto".
    lexicon: a table in place of the data set's own; "" for that.
    partial: accept another number of images than was published.
    skip_absent: leave out what is not there, and say so, instead of failing;
      what is there and broken fails all the same.

  Returns:
    The data sets that were found, and (name, reason) of those that were not.

  Raises:
    ValueError: for a data set that is absent, has another number of images, or
      whose classes are not those of the table.
  """
  found, skipped = [], []
  for name in names:
    try:
      found.append(
        _find_own(data_dir, lexicon)
        if name == OWN
        else _find(cache_dir, name, data_dir, layout, lexicon, partial)
      )
    except AbsentDataset as error:
      if not skip_absent:
        raise
      skipped.append((name, str(error)))
  if not found:
    raise ValueError(
      "`config.datasets` must name a data set that is there, got none of"
      f" {len(names)}: {skipped[0][1]}"
    )
  return tuple(found), tuple(skipped)


def _find(
  cache_dir: pathlib.Path,
  name: str,
  data_dir: pathlib.Path | None,
  layout: str,
  lexicon: str,
  partial: bool,
) -> BenchmarkSet:
  spec = DATASETS[name]
  opened = find_test_set(cache_dir, spec, data_dir=data_dir, layout=layout)
  if not partial:
    try:
      check_counts(spec, opened)
    except ValueError as error:
      raise ValueError(
        f"{error} `config.partial=True` runs on what is there."
      ) from error
  table = load_lexicon(lexicon or spec.lexicon)
  classes = table.classes
  if spec.subset and spec.subset in table.subsets:
    classes = tuple(classes[label] for label in table.subsets[spec.subset])
  if len(classes) != spec.classes:
    raise ValueError(
      f"`config.lexicon` must have the {spec.classes} classes of {spec.title},"
      f" got {len(classes)}."
    )
  return BenchmarkSet(spec, opened, classes, table.sha256)


def _find_own(data_dir: pathlib.Path | None, lexicon: str) -> BenchmarkSet:
  if data_dir is None:
    raise ValueError(
      "`config.data_dir` must be a folder with one folder of images a class,"
      " or a CSV of (path, label), and is not set."
    )
  table = load_lexicon(lexicon) if lexicon else None
  names = None
  if table is not None:
    names = tuple(entry.name for entry in table.classes)
  opened, class_names = open_own(data_dir, names)
  classes = (
    table.classes
    if table is not None
    else tuple(_bare_class(i, name) for i, name in enumerate(class_names))
  )
  name = _own_name(data_dir)
  spec = DatasetSpec(
    name=name,
    title=name,
    lexicon=lexicon,
    subset="",
    classes=len(classes),
    examples=0,
    split="all images",
    family="own",
    template=NAME_TEMPLATE,
    folders=(),
    layouts=(opened.layout,),
    tfds=None,
    source=str(data_dir),
    licence="",
  )
  sha256 = None if table is None else table.sha256
  return BenchmarkSet(spec, opened, classes, sha256)


def _own_name(path: pathlib.Path) -> str:
  """Names a data set of one's own, never as a benchmark is named.

  Published numbers and the averages of a suite go by names.
  """
  whole = path.resolve()
  name = (whole.name if whole.is_dir() else whole.stem) or OWN
  return f"{OWN} {name}" if name in DATASETS else name


def _bare_class(label: int, name: str) -> ClassEntry:
  """Makes the entry of a class of which only the name is known."""
  return ClassEntry(
    label=label,
    name=name,
    synonyms=(),
    descriptors=(),
    polluted=(),
    captioned=(),
    codepoint=None,
  )
