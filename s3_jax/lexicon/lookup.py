"""Names looked up in the packaged tables: whose class is it, by which rule?

A name may be the official name of a class or one of its synonyms, and may be
spelled otherwise or stand in the other number. The closest match is taken
whole, from one class of one table: names of several classes are never mixed, as
one word may mean two things.
"""

import difflib
import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.lexicon.spelling import (
  concept_keys,
  plain_key,
  spelling_key,
  word_stems,
)
from s3_jax.lexicon.synonyms import ClassEntry, Lexicon, load_lexicon

LOOKUP_TABLES = (
  *("voc", "coco_object", "imagenet", "caltech101", "oxford_pets", "food101"),
  *("oxford_flowers102", "stanford_cars", "fgvc_aircraft", "cityscapes"),
  *("coco_stuff", "pascal_context", "sun397", "ade20k", "ucf101", "dtd"),
  "eurosat",
)
"""The tables in order: of things, of what is around them, of scenes, of more.

The names of later ones, such as EuroSAT's "satellite image of woodland", fit
other pictures worse.
"""

# Closest first. "woods" is a synonym of "tree" sooner than the plural of
# "wood".
MATCHES = (
  "official name",
  "official name, spelled otherwise",
  "synonym",
  "synonym, spelled otherwise",
  "official name, in another number or order",
  "synonym, in another number or order",
)
WORDNET_ID = "WordNet id"

_OFFICIAL = MATCHES[:2]

# SCLIP's lists of what is in such a region ("wall", "person in shirt"), which
# are no other names of it.
_SKIPPED = {
  (table, name)
  for table in ("voc", "coco_object")
  for name in ("background", "person")
}
_MOST_NEAR = 3  # names beside one that is not found
_MOST_SEARCHES = 100  # of names that are not found: each takes a moment
_LIKENESS = 0.8  # of a name that may be a slip of the keyboard


class Match(NamedTuple):
  """A class of a table that a name may mean.

  Attributes:
    table: which table.
    entry: the class.
    rule: one of MATCHES, or WORDNET_ID.
  """

  table: str
  entry: ClassEntry
  rule: str


class Lookup(NamedTuple):
  """What the tables say of a name.

  Attributes:
    match: the class whose texts are taken, if any.
    others: classes that bear the name and share no other name with `match`:
      they may be something else.
    hint: where nothing is taken, what is nearest, in words; may be empty.
  """

  match: Match | None
  others: tuple[Match, ...] = ()
  hint: str = ""


def look_up(
  names: Sequence[str],
  wnids: Sequence[str | None],
  *,
  tables: Sequence[str] = LOOKUP_TABLES,
) -> tuple[Lookup, ...]:
  """Looks class names up, the closest match first, then the first table.

  A name that is but a synonym, as "kitten" is of "cat", gets nothing where
  another name of the list means the same class of the tables.
  """
  index = _index_of(tuple(tables))
  keys = [plain_key(name) for name in names]
  matches = [
    index.with_wnid(wnid) or index.find(name)
    for name, wnid in zip(names, wnids, strict=True)
  ]
  means: dict[str, dict[str, str]] = {}  # official name -> key -> name
  for name, key, found in zip(names, keys, matches, strict=True):
    for match in found:
      means.setdefault(spelling_key(match.entry.name), {})[key] = name
  asked, before, searches = Counter(keys), Counter[str](), 0
  results = []
  for name, key, found in zip(names, keys, matches, strict=True):
    free = [
      match
      for match in found
      if match.rule in (WORDNET_ID, *_OFFICIAL)
      or len(means[spelling_key(match.entry.name)]) == 1
    ]
    if free:
      match = _choose(free, before[key], asked[key])
      result = Lookup(match, _others(name, match, found))
    elif found:
      rivals = means[spelling_key(found[0].entry.name)]
      rival = next(other for k, other in rivals.items() if k != key)
      meant = f"{found[0].entry.names[0]!r} of {found[0].table}"
      result = Lookup(None, hint=f"means {meant}, as {rival!r} does")
    else:
      searches += 1
      near = index.near(name) if searches <= _MOST_SEARCHES else ()
      result = Lookup(None, hint=", ".join(near))
    results.append(result)
    before[key] += 1
  return tuple(results)


def other_names(name: str, entry: ClassEntry) -> dict[str, str]:
  """Maps the texts of a class but for a name to their kinds, kind by kind.

  The official name is a common one where another has taken its place.
  """
  by_kind = {"common": (entry.names[0],)} | {
    kind: (*((entry.names[0],) if kind == "common" else ()), *texts)
    for kind, texts in entry.by_kind.items()
  }
  return {
    text: kind
    for kind, texts in by_kind.items()
    for text in texts
    if plain_key(text) != plain_key(name)
  }


class _Index:
  """The texts of tables under all their keys."""

  def __init__(self, lexicons: Sequence[Lexicon]):
    self._texts: dict[str, dict[tuple[int, int, int], None]] = {}
    self._lexicons = lexicons
    for table, lexicon in enumerate(lexicons):
      for entry in lexicon.classes:
        if (lexicon.dataset, entry.name) not in _SKIPPED:
          for place, text in enumerate(entry.names):
            for key in concept_keys(text):
              place_of = (table, entry.label, place)
              self._texts.setdefault(key, {})[place_of] = None

  def find(self, name: str) -> list[Match]:
    """Returns the classes that a name may mean, the closest first."""
    plain, spelled = plain_key(name), spelling_key(name)
    best: dict[tuple[int, int], int] = {}
    for key in concept_keys(name):
      for table, label, place in self._texts.get(key, ()):
        text = self._lexicons[table].classes[label].names[place]
        if plain_key(text) == plain:
          level = 2 if place else 0
        elif spelling_key(text) == spelled:
          level = 3 if place else 1
        else:
          level = 5 if place else 4
        best[table, label] = min(level, best.get((table, label), level))
    ordered = sorted(best.items(), key=lambda item: (item[1], item[0]))
    return [
      self._match(table, label, MATCHES[level])
      for (table, label), level in ordered
    ]

  def with_wnid(self, wnid: str | None) -> list[Match]:
    """Returns the class that has a WordNet id."""
    return [
      self._match(table, entry.label, WORDNET_ID)
      for table, lexicon in enumerate(self._lexicons if wnid else ())
      for entry in lexicon.classes
      if entry.wnid == wnid
    ]

  def near(self, name: str) -> list[str]:
    """Lists official names that hold the words of a name, or are like it."""
    known = {
      plain_key(entry.name): f"{entry.names[0]!r} of {lexicon.dataset}"
      for lexicon in reversed(self._lexicons)
      for entry in lexicon.classes
    }
    words = word_stems(name)
    holding = [key for key in known if words and words <= word_stems(key)]
    nearest = sorted(holding, key=len) or difflib.get_close_matches(
      plain_key(name)[:60], known, n=_MOST_NEAR, cutoff=_LIKENESS
    )
    return [known[key] for key in nearest[:_MOST_NEAR]]

  def _match(self, table: int, label: int, rule: str) -> Match:
    lexicon = self._lexicons[table]
    return Match(lexicon.dataset, lexicon.classes[label], rule)


@functools.lru_cache(maxsize=8)
def _index_of(tables: tuple[str, ...]) -> _Index:
  """Returns the index of some tables, which takes a second to make."""
  return _Index([load_lexicon(table) for table in tables])


def _choose(matches: Sequence[Match], number: int, asked: int) -> Match:
  """Takes the first match; names asked as often as a table has them, in order.

  ImageNet has "missile" and "sunglasses" twice.
  """
  first = matches[0]
  equal = [m for m in matches if m[::2] == first[::2]]
  return equal[number] if len(equal) == asked else first


def _others(
  name: str, match: Match, matches: Sequence[Match]
) -> tuple[Match, ...]:
  taken = set(map(spelling_key, other_names(name, match.entry)))
  return tuple(
    other
    for other in matches
    if other is not match
    and taken.isdisjoint(map(spelling_key, other_names(name, other.entry)))
  )
