"""A table that is completed without an endpoint, and what is said of it.

A class that has synonyms in the workdir's table keeps its texts, whoever wrote
them; the others may get some.
"""

import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.tasks.synonyms.report import write_generation_report
from s3_jax.experiment.tasks.synonyms.table_file import (
  GAP,
  Table,
  write_table,
)
from s3_jax.lexicon.answers import Drop, Entry, add_entries
from s3_jax.lexicon.generate import Generated
from s3_jax.lexicon.lookup import LOOKUP_TABLES
from s3_jax.lexicon.prompting import Job
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.messages import visible

_SHOWN = 12  # entries of a list on the terminal; the report has more
_TEXTS = 4  # of a class on the terminal
_PLURALS = {"class": "classes", "entry": "entries"}


class Asked(NamedTuple):
  """Which classes, and where their table is.

  Attributes:
    job: the classes, and what a prompt says of them.
    wnids: WordNet's ids, where a list has them; one a class.
    path: of the table.
  """

  job: Job
  wnids: tuple[str | None, ...]
  path: pathlib.Path


def without_synonyms(before: Table, names: Sequence[str]) -> list[int]:
  """Lists the classes that may get texts."""
  known = {label for label, entry in before.entries.items() if entry.synonyms}
  return [label for label in range(len(names)) if label not in known]


def complete(
  asked: Asked,
  before: Table,
  new: Mapping[int, Entry],
  sources: Mapping[int, Any],
  drops: Sequence[Drop],
  *,
  problems: Mapping[str, int] | None = None,
  more: Mapping[str, Any],
) -> Generated:
  """Adds texts to a table, and writes it and its report."""
  names = asked.job.names
  known = {i: entry for i, entry in before.entries.items() if entry.synonyms}
  added = {i: entry for i, entry in before.entries.items() if i not in known}
  for label, entry in new.items():
    # Descriptors that were there stay beside synonyms that were not.
    descriptors = added.get(label, entry).descriptors or entry.descriptors
    if entry.synonyms or descriptors:
      added[label] = entry._replace(descriptors=descriptors)
  entries, shared = add_entries(known, added)
  where = {**before.sources, **sources}
  # A class that lost all of its texts is a gap like any other.
  for label in range(len(names)):
    if not any(entries.get(label, ())):
      where[label] = GAP
  provenance = _provenance(before, where)
  write_table(asked.path, names, entries, provenance, where)
  generated = Generated(
    entries=entries,
    fallback=tuple(i for i in range(len(names)) if i not in entries),
    drops=(*sorted(drops), *shared),
    problems=dict(problems or {}),
    failures={},
    left_out=(),
    records=(),
    requests=0,
    tokens=0,
    stopped="",
    detail="",
  )
  write_generation_report(
    generated,
    asked.job,
    asked.path.parent,
    provenance=provenance,
    table=asked.path.name,
    more=more,
  )
  return generated


def _provenance(before: Table, sources: Mapping[int, Any]) -> dict[str, Any]:
  """Describes the origin of a table; that of an endpoint's part is kept."""
  used = {
    source.get("table")
    for source in sources.values()
    if isinstance(source, dict)
  }
  earlier = before.provenance.get(
    "earlier", [before.provenance] if before.provenance else []
  )
  return {
    "author": "a large language model, where `source` says nothing else",
    "how": "looked up in packaged tables, pasted from a chat or filled in by"
    " hand, as `source` says of each class; see docs/LEXICON.md",
    "tables": {
      table: load_lexicon(table).sha256
      for table in LOOKUP_TABLES
      if table in used
    },
    "earlier": earlier,
  }


def say_kept(count: int) -> None:
  """Says how many classes were left as they are."""
  if count:
    tell(f"{count_of(count, 'class')} kept: synonyms were there.")


def say_end(asked: Asked, done: Generated) -> None:
  """Says what was left out, where the table is, and what to do with it."""
  if done.drops:
    reasons = Counter(drop.reason for drop in done.drops)
    few = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    tell(f"{count_of(len(done.drops), 'text')} not taken: {few}.")
  left = [
    label
    for label in range(len(asked.job.names))
    if not done.entries.get(label, Entry((), ())).synonyms
  ]
  folder = asked.path.parent
  tell(f"Table: {asked.path}; all lists: {folder / 'report.md'}")
  if left:
    few = some([visible(asked.job.names[label]) for label in left])
    tell(
      f"{count_of(len(left), 'class')} without synonyms: {few}. Write them into"
      " the table, or run this again with --prompt alone and"
      f" --workdir={folder} for a text to paste into a chat, then with"
      " --paste=FILE."
    )
  tell(
    f"Use it as --classes={asked.path}, for images of your own as --lexicon."
  )


def first_few(texts: Sequence[str]) -> list[str]:
  """Returns the first lines of a list, and how many more there are."""
  rest = len(texts) - _SHOWN
  return [*texts[:_SHOWN], *([f"and {rest:,} more"] if rest > 0 else [])]


def some(texts: Sequence[str]) -> str:
  """Joins the first texts of a class."""
  return ", ".join((*texts[:_TEXTS], *(["..."] if len(texts) > _TEXTS else [])))


def count_of(number: int, noun: str) -> str:
  """Says how many of something there are."""
  return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"
