"""Which class a spelling means: names as published files write them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from s3_jax.lexicon.spelling import (
  loose_key,
  ordered_key,
  plain_key,
)


def index_names(
  names: Iterable[Sequence[str]], key: Callable[[str], str]
) -> dict[str, tuple[int, ...]]:
  """Indexes the spellings of classes by a key that forgives something."""
  found: dict[str, dict[int, None]] = {}
  for label, spellings in enumerate(names):
    for spelling in spellings:
      if key(spelling):
        found.setdefault(key(spelling), {})[label] = None
  return {each: tuple(labels) for each, labels in found.items()}


def by_concept(
  names: Iterable[Sequence[str]],
) -> Callable[[Iterable[str]], tuple[int, ...]]:
  """Makes the function that finds the one class of a name written otherwise.

  Number, articles and British or American spelling do not count, but the order
  of words does: "house dog" is no "dog house". Where several classes might be
  meant, none is.
  """
  index: dict[str, set[int]] = {}
  for label, spellings in enumerate(names):
    for spelling in spellings:
      index.setdefault(ordered_key(spelling), set()).add(label)

  def find(spellings: Iterable[str]) -> tuple[int, ...]:
    keys = map(ordered_key, spellings)
    labels = set().union(*(index.get(key, ()) for key in keys))
    return tuple(labels) if len(labels) == 1 else ()

  return find


def other_spellings(name: str) -> list[str]:
  """Lists a name, and the name turned round as other files turn it."""
  plain = plain_key(name)
  spellings = [plain]
  if match := re.fullmatch(r"(.+?)\s*\(([^()]+)\)", plain):
    spellings.append(f"{match[2]} {match[1]}")
  if match := re.fullmatch(r"(.+?)\s+((?:19|20)\d\d)", plain):
    spellings.append(f"{match[2]} {match[1]}")
  return spellings


def finder(
  class_names: Sequence[str],
  aliases: Mapping[str, int | str],
  *,
  otherwise: bool = True,
) -> Callable[[str], tuple[int, ...]]:
  """Makes the function that looks a spelling up.

  `otherwise`: a name that no class has so is that of the one class of which it
  is another number or spelling.
  """
  own = index_names([[name] for name in class_names], plain_key)
  aliased = {}
  for alias, target in aliases.items():
    if isinstance(target, int):
      if not 0 <= target < len(class_names):
        raise ValueError(
          f"`aliases` must point at classes 0 to {len(class_names) - 1}, got "
          f"{target} for {alias!r}."
        )
      labels = (target,)
    else:
      labels = own.get(plain_key(target), ())
      if not labels:
        raise ValueError(
          f"`aliases` must point at class names, got {target!r} for {alias!r}."
        )
    aliased[plain_key(alias)] = labels
  plain = [plain_key(name) for name in class_names]
  spellings = [other_spellings(name) for name in class_names]
  levels = (
    ({**own, **aliased}, plain_key),
    (index_names(spellings, plain_key), plain_key),
    (index_names(spellings, loose_key), loose_key),
  )
  find_concept = by_concept(spellings)

  def find(name: str) -> tuple[int, ...]:
    for index, key in levels:
      for spelling in other_spellings(name):
        labels = index.get(key(spelling), ())
        meets = len({plain[label] for label in labels}) > 1
        if labels and (index is levels[0][0] or not meets):
          return labels
    return find_concept(other_spellings(name)) if otherwise else ()

  return find


class MatchedRows(NamedTuple):
  """Which rows of a list of names the texts of classes are.

  Attributes:
    rows: of each class, those of its first text first.
    missing: class and text of those that no name of the list is.
    unofficial: classes whose first text is missing, so that another stands in
      its place.
    unused: rows that no class has.
  """

  rows: tuple[tuple[int, ...], ...]
  missing: tuple[tuple[int, str], ...]
  unofficial: tuple[int, ...]
  unused: tuple[int, ...]


def match_rows(
  texts: Sequence[Sequence[str]],
  names: Sequence[str],
  *,
  forms: Sequence[int] | None = None,
) -> MatchedRows:
  """Looks the texts of classes up in a list of names.

  A name may occur several times, and all its rows are then taken. Where
  several classes ask for one name, and the list has it once for each of them,
  they are paired in order; else they share it.
  """
  # The vector of "cats" is not that of "cat".
  find = finder(names, {}, otherwise=False)
  matches = [[find(text) for text in of_class] for of_class in texts]
  askers: dict[tuple[int, ...], list[int]] = {}
  for label, of_class in enumerate(matches):
    for found in dict.fromkeys(of_class):
      askers.setdefault(found, []).append(label)

  def own(found: tuple[int, ...], label: int) -> list[int]:
    by_form: dict[int, list[int]] = {}
    for row in found:
      by_form.setdefault(0 if forms is None else forms[row], []).append(row)
    labels = askers[found]
    index = labels.index(label)
    return [
      row
      for some in by_form.values()
      for row in (some if len(some) != len(labels) else [some[index]])
    ]

  missing, unofficial, rows = [], [], []
  for label, of_class in enumerate(matches):
    chosen: dict[int, None] = {}
    for index, found in enumerate(of_class):
      chosen |= dict.fromkeys(own(found, label))
      if not found:
        missing.append((label, texts[label][index]))
        if not index:
          unofficial.append(label)
    rows.append(tuple(chosen))
  used = {row for of_class in rows for row in of_class}
  unused = tuple(row for row in range(len(names)) if row not in used)
  return MatchedRows(tuple(rows), tuple(missing), tuple(unofficial), unused)


def tell_apart(
  spellings: Sequence[str],
  owners: Sequence[tuple[int, ...]],
  aliases: Mapping[str, int | str],
) -> list[tuple[int, ...]]:
  """Decides between classes that bear one name.

  Where the file has that name once for each of them, as our own tables do, they
  are paired in order. A class that it names by an alias is not taken for the
  shared name too.
  """
  pointed = {
    plain_key(alias): target
    for alias, target in aliases.items()
    if isinstance(target, int)
  }
  keys = [plain_key(name) for name in spellings]
  own = {pointed[key] for key in keys if key in pointed}
  decided = [
    tuple(label for label in labels if len(labels) == 1 or label not in own)
    for labels in owners
  ]
  indices: dict[tuple[int, ...], list[int]] = {}
  for index, labels in enumerate(decided):
    indices.setdefault(labels, []).append(index)
  for labels, found in indices.items():
    if len(labels) == len(found):
      for index, label in zip(found, labels, strict=True):
        decided[index] = (label,)
  return decided
