"""The lexicon as a page that a person reads to find words that are wrong."""

import json
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.results.properties import Property, list_properties
from s3_jax.results.templating import render


class NearerWord(NamedTuple):
  """A synonym whose nearest official name is another class's.

  Attributes:
    text: the synonym.
    own: its cosine to the official name of its class.
    other: its largest cosine to an official name.
    other_class: whose that name is.
  """

  text: str
  own: float
  other: float
  other_class: str


class ClassWords(NamedTuple):
  """The words of a class, and what was noticed about them.

  Attributes:
    label: class index.
    name: official name.
    texts: the name as it is spoken, then its synonyms.
    descriptors: what the class looks like.
    truncated: texts and descriptors that lose tokens in the template.
    removed: texts outside the core; empty where no checkpoint was given.
    nearer: synonyms that lie nearer to another class; likewise.
  """

  label: int
  name: str
  texts: tuple[str, ...]
  descriptors: tuple[str, ...]
  truncated: tuple[str, ...]
  removed: tuple[str, ...]
  nearer: tuple[NearerWord, ...]


class TableWords(NamedTuple):
  """A table and what was noticed about it.

  Attributes:
    dataset: its name.
    sha256: of its file.
    provenance: JSON of who wrote it, and when.
    classes: its classes.
    shared: texts that several classes claim, with these classes' names.
    cut: classes whose core leaves texts out; None without a checkpoint.
    compared: synonyms that were compared with official names; None where
      nothing is embedded.
  """

  dataset: str
  sha256: str
  provenance: str
  classes: tuple[ClassWords, ...]
  shared: tuple[tuple[str, tuple[str, ...]], ...]
  cut: int | None
  compared: int | None


def summarize(table: TableWords) -> dict[str, int | float | str | None]:
  """Counts what a table holds and what was noticed."""
  synonyms = [len(entry.texts) - 1 for entry in table.classes]
  words = [len(text.split()) for entry in table.classes for text in entry.texts]
  return {
    "dataset": table.dataset,
    "classes": len(table.classes),
    "synonyms": sum(synonyms),
    "synonyms_median": statistics.median(synonyms),
    "synonyms_min": min(synonyms),
    "synonyms_max": max(synonyms),
    "words_mean": round(statistics.mean(words), 2),
    "words_max": max(words),
    "descriptors": sum(len(entry.descriptors) for entry in table.classes),
    "shared": len(table.shared),
    "truncated": None
    if table.cut is None
    else sum(len(entry.truncated) for entry in table.classes),
    "classes_cut": table.cut,
    "removed": None
    if table.cut is None
    else sum(len(entry.removed) for entry in table.classes),
    "compared": table.compared,
    "nearer_to_another": None
    if table.compared is None
    else sum(len(entry.nearer) for entry in table.classes),
  }


_COLUMNS = (
  ("dataset", "data set"),
  ("classes", "classes"),
  ("synonyms", "synonyms"),
  ("synonyms_median", "median"),
  ("synonyms_min", "least"),
  ("synonyms_max", "most"),
  ("words_mean", "words a text"),
  ("descriptors", "descriptors"),
  ("shared", "shared"),
  ("truncated", "truncated"),
  ("classes_cut", "classes cut"),
  ("removed", "removed"),
  ("compared", "compared"),
  ("nearer_to_another", "nearer to another"),
)


def render_page(tables: Sequence[TableWords], about: str) -> str:
  """Writes tables as one HTML page."""
  context = {
    "about": about,
    "titles": [title for _, title in _COLUMNS],
    "rows": [
      [row[key] for key, _ in _COLUMNS] for row in map(summarize, tables)
    ],
    "tables": [
      (table, _facts(table), {text.casefold() for text, _ in table.shared})
      for table in tables
    ],
  }
  return render("lexicon.html", context)


def _facts(table: TableWords) -> list[Property]:
  """Lists where a table comes from."""
  return list_properties(
    {**json.loads(table.provenance), "sha256": table.sha256}
  )
