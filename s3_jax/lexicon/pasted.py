"""Answers that a person copied from a chat, with whatever stood around them.

Several may follow each other, fenced or not, with the question before them. A
chat's window makes quotes curly, puts hard blanks into the indentation and may
end in the middle of an answer; its whole entries count. What is in an entry is
checked as an endpoint's answers are.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon.answers import (
  NOTHING_USABLE,
  Drop,
  Entry,
  NameOwners,
  asked_label,
  clean_text,
  json_values,
  listed_records,
  read_entry,
)

MAX_PASTE_BYTES = 1 << 21
"""Of what is read at once: an answer about ImageNet has 0.5 MB."""

_MAX_STARTS = 10_000  # a failed one may take a millisecond


class Refused(NamedTuple):
  """An entry of which nothing was taken.

  Attributes:
    class_index: the index that it gives, normalised, at most 200 characters.
    name: the name that it gives, likewise.
    reason: a fixed phrase.
  """

  class_index: str
  name: str
  reason: str


class Pasted(NamedTuple):
  """What a pasted text gave.

  Attributes:
    entries: class index -> texts, of its last usable entry.
    drops: the texts that were not taken, of these entries.
    refused: the entries of which nothing was taken.
    repeated: classes with an earlier usable entry, which does not count.
  """

  entries: dict[int, Entry]
  drops: tuple[Drop, ...]
  refused: tuple[Refused, ...]
  repeated: tuple[int, ...]


def read_pasted(text: str, names: Sequence[str], owners: NameOwners) -> Pasted:
  """Reads all answers of a text."""
  entries: dict[int, Entry] = {}
  drops: dict[int, list[Drop]] = {}
  refused: list[Refused] = []
  repeated: dict[int, None] = {}
  for record in _records(text):
    label, reason = asked_label(record, range(len(names)), names)
    entry, dropped = Entry((), ()), []
    if label is not None:
      entry, dropped = read_entry(record, label, owners)
      reason = NOTHING_USABLE
    if label is None or not (entry.synonyms or entry.descriptors):
      refused.append(_refuse(record, reason))
      continue
    if label in entries:
      repeated[label] = None
    entries[label], drops[label] = entry, dropped
  return Pasted(
    entries,
    tuple(drop for label in sorted(drops) for drop in drops[label]),
    tuple(refused),
    tuple(sorted(repeated)),
  )


def _records(text: str) -> list[Any]:
  """Lists the entries of all answers, without the question's own."""
  records: list[Any] = []
  for value in json_values(text, _repaired(text), starts=_MAX_STARTS):
    # An entry stands alone where the end of its list is missing.
    alone = isinstance(value, dict) and "index" in value
    records += [value] if alone else listed_records(value)
  return [record for record in records if not _is_asked(record)]


def _is_asked(record: Any) -> bool:
  """Says whether an entry is of the prompt: its list, or its example."""
  return isinstance(record, dict) and (
    record.get("name") == "..."
    or not record.keys() & {"synonyms", "descriptors"}
  )


def _repaired(text: str) -> str:
  """Undoes what makes JSON unreadable; every character keeps its place."""
  text = re.sub("[“”„‟]", '"', text)
  text = re.sub("[\u00a0\u200b\u202f\ufeff]", " ", text)
  return re.sub(r",(?=\s*[\]}])", " ", text)


def _refuse(record: Any, reason: str) -> Refused:
  given = record if isinstance(record, dict) else {}
  index, name = (
    clean_text(str(given.get(key, "")))[:200] for key in ("index", "name")
  )
  return Refused(index, name, reason)
