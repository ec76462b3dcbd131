"""What a language model answers: read it, check it, count what is dropped.

An answer is data and nothing else: it is parsed as JSON, never executed, never
put into a format string, never a path. Entries count for the class index that
they name, and only if the name that they repeat is that class's.
"""

import contextlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon.spelling import concept_keys, plain_key, written_key
from s3_jax.lexicon.synonyms import MAX_WORDS

MAX_DESCRIPTOR_WORDS = 12
MAX_TEXTS = 20  # of one kind, of one class
NOTHING_USABLE = "class without a usable text"
# Scripts without blanks have one word a text: counting words bounds nothing.
_MAX_CHARACTERS_A_WORD = 20
_MAX_STARTS = 64  # places where an object may start inside prose


class ManyBrackets(ValueError):
  """A text with more beginnings of JSON than are tried."""


class Entry(NamedTuple):
  """The usable texts of one class; at least one of the two is not empty."""

  synonyms: tuple[str, ...]
  descriptors: tuple[str, ...]
  kinds: tuple[str, ...] = ()  # of the synonyms; (): all are common names


class Drop(NamedTuple):
  """A text that was not taken.

  Attributes:
    label: the class index.
    kind: "synonym" or "descriptor".
    text: as normalised, at most 200 characters.
    reason: why, one of a few fixed phrases.
  """

  label: int
  kind: str
  text: str
  reason: str


class Reading(NamedTuple):
  """What one answer gave.

  Attributes:
    entries: class index -> texts.
    drops: the texts that were not taken, of these entries.
    problems: why classes got no entry, fixed phrases that can be counted.
  """

  entries: dict[int, Entry]
  drops: tuple[Drop, ...]
  problems: tuple[str, ...]


def clean_text(text: str) -> str:
  """Normalises a text: NFKC, no invisible characters, single blanks.

  Control, formatting (zero-width, right-to-left), unassigned and private
  characters and lone surrogates go; line ends and tabs become blanks.
  """
  spaced = re.sub(r"\s", " ", unicodedata.normalize("NFKC", text))
  kept = "".join(c for c in spaced if unicodedata.category(c)[0] != "C")
  return " ".join(unicodedata.normalize("NFKC", kept).split())


class NameOwners:
  """Which classes bear a name as it is, and which in another spelling."""

  def __init__(self, names: Sequence[str]):
    """Indexes official names."""
    self.exact: dict[str, set[int]] = {}
    self.plain = [plain_key(clean_text(name)) for name in names]
    self._concepts: dict[str, set[int]] = {}
    for label, name in enumerate(names):
      text = clean_text(name)
      self.exact.setdefault(written_key(text), set()).add(label)
      for key in concept_keys(text):
        self._concepts.setdefault(key, set()).add(label)

  def refuse(self, text: str, label: int, *, spellings: bool = False) -> str:
    """Says why a text is no other name of a class; "" where it may be one."""
    if spellings:
      is_name = plain_key(text) == self.plain[label]
    else:
      is_name = label in self.exact.get(written_key(text), ())
    if is_name:
      return "the name itself"
    keys = concept_keys(text)
    bearers = set().union(*(self._concepts.get(key, ()) for key in keys))
    return "another class's name" if bearers - {label} else ""


def read_answer(
  text: str,
  labels: Collection[int],
  names: Sequence[str],
  owners: NameOwners,
) -> Reading:
  """Reads one answer, whatever it is.

  JSON may stand alone, in a fence or after prose; the last object with a list
  of `classes` counts, so that a schema or a draft before it does not.
  """
  records = _find_records(text)
  if records is None:
    return Reading({}, (), ("no JSON with a list of classes",))
  entries: dict[int, Entry] = {}
  drops: list[Drop] = []
  problems: list[str] = []
  seen: set[int] = set()
  for record in records:
    label, problem = asked_label(record, labels, names)
    if label is None:
      problems.append(problem)
    elif label in seen:
      problems.append("class answered twice")
    else:
      seen.add(label)
      entry, dropped = read_entry(record, label, owners)
      drops.extend(dropped)
      if entry.synonyms or entry.descriptors:
        entries[label] = entry
      else:
        problems.append(NOTHING_USABLE)
  problems.extend(["class left out"] * len(set(labels) - seen))
  return Reading(entries, tuple(drops), tuple(problems))


def asked_label(
  record: Any, labels: Collection[int], names: Sequence[str]
) -> tuple[int | None, str]:
  """Says which class an entry is about, or why it is about none."""
  label = _label(record)
  if label is None:
    return None, "entry without a class index"
  if label not in labels:
    return None, "class that was not asked about"
  if not _same_name(record.get("name", names[label]), names[label]):
    return None, "index and name disagree"
  return label, ""


def drop_shared(
  entries: Mapping[int, Entry],
) -> tuple[dict[int, Entry], tuple[Drop, ...]]:
  """Drops synonyms that several classes claim from all of them.

  A word that is true of two classes tells neither from the other. Descriptors
  may be shared: they are used together with a name.
  """
  claims: dict[str, set[int]] = {}
  for label, entry in entries.items():
    for text in entry.synonyms:
      for key in concept_keys(text):
        claims.setdefault(key, set()).add(label)
  kept, drops = {}, []
  for label, entry in sorted(entries.items()):
    own = tuple(
      text
      for text in entry.synonyms
      if all(len(claims[key]) == 1 for key in concept_keys(text))
    )
    kinds = dict(zip(entry.synonyms, entry.kinds, strict=False))
    drops.extend(
      Drop(label, "synonym", text, "claimed by several classes")
      for text in entry.synonyms
      if text not in own
    )
    kept[label] = entry._replace(
      synonyms=own, kinds=tuple(kinds[text] for text in own if kinds)
    )
  return kept, tuple(drops)


def _find_records(text: str) -> list[Any] | None:
  found = None
  with contextlib.suppress(ManyBrackets):
    for value in json_values(text, starts=_MAX_STARTS):
      found = listed_records(value) or found
  return found


def listed_records(value: Any) -> list[Any]:
  """Returns the entries of an answer; none where a value is no answer."""
  records = value.get("classes") if isinstance(value, dict) else value
  if isinstance(records, list) and any(isinstance(r, dict) for r in records):
    return records
  return []


def add_entries(
  known: Mapping[int, Entry], more: Mapping[int, Entry]
) -> tuple[dict[int, Entry], tuple[Drop, ...]]:
  """Adds entries to others, which stay as they are, without shared synonyms."""
  entries, drops = drop_shared({**more, **known})
  return (
    {label: known.get(label, entry) for label, entry in entries.items()},
    tuple(drop for drop in drops if drop.label not in known),
  )


def json_values(*texts: str, starts: int) -> Iterator[Any]:
  """Yields the outermost JSON objects and lists in a text.

  Of several texts, all equally long, the first is read that can be read from a
  place on.
  """
  decoder = json.JSONDecoder()
  bracket = re.compile(r"[\[{]")
  index = 0
  for _ in range(starts):
    start = bracket.search(texts[0], index)
    if start is None:
      return
    index = start.start()
    for text in texts:
      try:
        value, index = decoder.raw_decode(text, index)
      except (ValueError, RecursionError):
        continue
      yield value
      break
    else:
      index += 1
  raise ManyBrackets(
    f"an answer must have at most {starts:,} places where JSON may begin, got"
    " more: leave out what is around it."
  )


def _label(record: Any) -> int | None:
  index = record.get("index") if isinstance(record, dict) else None
  if isinstance(index, str) and re.fullmatch(r"[0-9]{1,9}", index.strip()):
    return int(index)
  return index if type(index) is int else None


def _same_name(given: Any, name: str) -> bool:
  if not isinstance(given, str):
    return False
  return written_key(clean_text(given)) == written_key(clean_text(name))


def read_entry(
  record: Mapping[str, Any],
  label: int,
  owners: NameOwners,
  *,
  spellings: bool = False,
) -> tuple[Entry, list[Drop]]:
  """Takes the texts of a class that may be taken, and says why not others.

  `spellings`: names that differ in blanks and hyphens alone are taken as well.
  """
  key_of = plain_key if spellings else written_key
  drops: list[Drop] = []

  def take(kind: str, max_words: int) -> tuple[str, ...]:
    values = record.get(f"{kind}s")
    taken: dict[str, str] = {}
    for value in values if isinstance(values, list) else [values]:
      text = _strip(value, kind) if isinstance(value, str) else ""
      bearers = owners.refuse(text, label, spellings=spellings)
      reason = _refuse(text, max_words, taken, key_of(text), bearers)
      if reason is None:
        taken[key_of(text)] = text
      elif values is not None:
        drops.append(Drop(label, kind, text[:200], reason))
    return tuple(taken.values())

  entry = Entry(
    take("synonym", MAX_WORDS), take("descriptor", MAX_DESCRIPTOR_WORDS)
  )
  return entry, drops


def _strip(text: str, kind: str) -> str:
  """Cleans a text of list marks and quotes around it, and a final period."""
  text = re.sub(r"^[-*•·]\s+", "", clean_text(text))
  text = re.sub(r'^(["“”`])(.*)["“”`]$', r"\2", text).strip()
  return text.rstrip(". ") if kind == "descriptor" else text


def _refuse(
  text: str, max_words: int, taken: Mapping[str, str], key: str, bearers: str
) -> str | None:
  words = len(text.split())
  if not any(c.isalnum() for c in text):
    return "empty"
  if words > max_words or len(text) > _MAX_CHARACTERS_A_WORD * max_words:
    return "too long"
  if bearers:
    return bearers
  if key in taken:
    return "repeated"
  if len(taken) >= MAX_TEXTS:
    return "more than enough"
  return None
