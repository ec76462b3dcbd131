"""What is known of a data set before it is opened.

Readers import this module; `datasets` holds the table and imports the readers.
"""

import functools
from typing import NamedTuple

from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.synonyms import ClassEntry, load_lexicon

SHARDS = ("parquet", "webdataset")
"""The layouts of copies on Hugging Face's hub; after those that say more."""


class TfdsSource(NamedTuple):
  """The prepared TFDS data set that holds the very same test images.

  Attributes:
    builder: such as "imagenet_v2".
    config: of the builder; "" where it has none.
    split: of the prepared data, such as "test".
    version: of the prepared data, such as "3.0.0".
  """

  builder: str
  config: str
  split: str
  version: str


class CoopLayout(NamedTuple):
  """Where CoOp keeps the test images of a data set, under its own folder.

  Attributes:
    roots: folders that the paths of a list may start from, CoOp's first, or the
      one that holds class folders.
    listing: the list of test images; "" where class folders say it all.
  """

  roots: tuple[str, ...]
  listing: str = ""


class DatasetSpec(NamedTuple):
  """One test set: its classes, its size, and where its images may be.

  Attributes:
    name: in configs and results.
    title: in tables, as papers write it.
    lexicon: name of the packaged table that has the official class names; ""
      if the data set brings its own names.
    classes: how many.
    folders: names that its folder may have, in order of preference.
    source: where to get it.
    examples: images of the split as published; 0 if that is not known.
    split: in words, for results.
    family: "fine_grained", "imagenet", "embedded" or "own".
    template: CoOp's zero-shot template.
    subset: key of `Lexicon.subsets` whose classes these are; "" for all.
    layouts: keys of the readers that apply, in order of preference.
    coop: its folders in CoOp's layout, or None.
    tfds: the prepared TFDS data set that readers may use instead, or None.
    licence: of the images, as far as their publishers say.
  """

  name: str
  title: str
  lexicon: str
  classes: int
  folders: tuple[str, ...]
  source: str
  examples: int = 0
  split: str = "test"
  family: str = "fine_grained"
  template: str = NAME_TEMPLATE
  subset: str = ""
  layouts: tuple[str, ...] = ("coop", "csv", "tfds", "folders", *SHARDS)
  coop: CoopLayout | None = None
  tfds: TfdsSource | None = None
  licence: str = ""


def official_names(spec: DatasetSpec) -> tuple[str, ...]:
  """Lists the class names as the benchmark spells them, in label order."""
  return tuple(entry.name for entry in _entries(spec))


def wnids(spec: DatasetSpec) -> tuple[str | None, ...]:
  """Lists WordNet's ids of the classes, in label order."""
  return tuple(entry.wnid for entry in _entries(spec))


def other_names(spec: DatasetSpec) -> tuple[tuple[str, ...], ...]:
  """Lists the names and synonyms of each class, in label order."""
  return tuple((entry.name, *entry.synonyms) for entry in _entries(spec))


def _entries(spec: DatasetSpec) -> tuple[ClassEntry, ...]:
  if not spec.lexicon:
    raise ValueError(
      f"data set {spec.name!r} must have a packaged table of class names, and"
      " brings its own: pass its names along."
    )
  return _table(spec.lexicon, spec.subset)


@functools.cache
def _table(lexicon: str, subset: str) -> tuple[ClassEntry, ...]:
  table = load_lexicon(lexicon)
  if not subset:
    return table.classes
  return tuple(table.classes[index] for index in table.subsets[subset])
