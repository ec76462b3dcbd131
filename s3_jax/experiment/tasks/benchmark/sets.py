"""The data sets of a benchmark run: found, counted, with their classes."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.data.datasets import (
  DATASETS,
  AbsentDataset,
  DatasetSpec,
  check_counts,
  official_names,
  open_dataset,
  open_own,
)
from s3_jax.data.readers.own import spelled_wnids
from s3_jax.data.records import OpenedDataset
from s3_jax.lexicon.given_classes import class_entries, is_list, read_classes
from s3_jax.lexicon.matching import finder
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.synonyms import (
  ClassEntry,
  classes_by_wnid,
  load_lexicon,
  read_lexicon,
  split_kinds,
)

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


def find_test_set(
  cache_dir: pathlib.Path,
  spec: DatasetSpec,
  *,
  data_dir: pathlib.Path | None = None,
  layout: str = "auto",
) -> OpenedDataset:
  """Finds a test set, on disk or in the embedded world."""
  if spec.family == "embedded":
    return open_dataset(spec, cache_dir / "tfds")
  if data_dir is None:
    raise ValueError(
      f"`config.data_dir` must be the folder that holds {spec.title}, and is"
      " not set."
    )
  return open_dataset(spec, data_dir, layout=layout)


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
  """Finds data sets on disk."""
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
  if lexicon.startswith("+"):  # further kinds of synonyms
    lexicon, own = "", f"{spec.lexicon}{lexicon}"
  else:
    own = spec.lexicon
  classes, sha256, note = _read_classes(lexicon or own, spec.subset)
  if note:
    opened = opened._replace(found=f"{opened.found}; {note}")
  if len(classes) != spec.classes:
    raise ValueError(
      f"`config.lexicon` must have the {spec.classes} classes of {spec.title},"
      f" got {len(classes)}."
    )
  if lexicon:
    _check_order(spec, classes)
  return BenchmarkSet(spec, opened, classes, sha256)


def _read_classes(
  lexicon: str, subset: str = ""
) -> tuple[tuple[ClassEntry, ...], str, str]:
  """Reads a table, or any list of classes."""
  if is_list(lexicon):
    read = read_classes(lexicon, "`config.lexicon`")
    note = f"classes of {read.taken or read.title}".rstrip(".")
    return class_entries(read), read.sha256, note
  table = read_lexicon(lexicon)
  classes = table.classes
  if subset in table.subsets:
    classes = tuple(classes[label] for label in table.subsets[subset])
  return classes, table.sha256, ""


def _check_order(spec: DatasetSpec, classes: Sequence[ClassEntry]) -> None:
  """Refuses classes that bear the names of others of the benchmark."""
  find = finder(official_names(spec), {})
  for label, entry in enumerate(classes):
    meant = find(entry.name)
    if len(meant) == 1 and meant[0] != label:
      raise ValueError(
        f"`config.lexicon` must have {spec.title}'s classes in their order,"
        f" got {entry.name!r:.60} as class {label}, which is class {meant[0]}."
      )


def _find_own(data_dir: pathlib.Path | None, lexicon: str) -> BenchmarkSet:
  if data_dir is None:
    raise ValueError(
      "`config.data_dir` must be a folder with one folder of images a class,"
      " or with parquet or WebDataset shards, or a CSV of (path, label), and is"
      " not set."
    )
  classes, sha256, note = _own_classes(data_dir, lexicon)
  names = tuple(entry.name for entry in classes) or None
  opened, class_names = open_own(
    data_dir, names, wnids=tuple(entry.wnid for entry in classes)
  )
  if note:
    opened = opened._replace(found=f"{opened.found}; {note}")
  classes = classes or tuple(
    _bare_class(label, name) for label, name in enumerate(class_names)
  )
  name = own_name(data_dir)
  spec = DatasetSpec(
    name=name,
    title=name,
    lexicon=lexicon,
    classes=len(classes),
    split="all images",
    family="own",
    template=NAME_TEMPLATE,
    folders=(),
    layouts=(opened.layout,),
    source=str(data_dir),
  )
  return BenchmarkSet(spec, opened, classes, sha256)


def _own_classes(
  data_dir: pathlib.Path, lexicon: str
) -> tuple[tuple[ClassEntry, ...], str | None, str]:
  """Reads the classes of one's own images, as far as something names them."""
  asked, kinds = split_kinds(lexicon)
  if asked:
    return _read_classes(lexicon)
  wnids = spelled_wnids(data_dir)
  if lexicon and not wnids:
    raise ValueError(
      "`config.lexicon` must name a table before its kinds of synonyms, got"
      f" {lexicon!r:.60}: images of your own have none."
    )
  if not wnids:
    return (), None, ""
  table, known = load_lexicon("imagenet"), classes_by_wnid()
  classes = tuple(
    known[wnid].only(kinds)._replace(label=label)
    for label, wnid in enumerate(wnids)
  )
  note = "WordNet ids: names and synonyms are those of the table imagenet"
  return classes, table.sha256, note


def own_name(path: pathlib.Path) -> str:
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
