"""Which class a spelling means: names as published files write them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from s3_jax.lexicon.synonyms import comparison_key


def _spellings(name: str) -> list[str]:
  """Lists the keys by which a name may be found, the closest one first."""
  plain = comparison_key(name.replace("_", " "))
  keys = [plain]
  if match := re.fullmatch(r"(.+?)\s*\(([^()]+)\)", plain):
    keys.append(f"{match[2]} {match[1]}")
  if match := re.fullmatch(r"(.+?)\s+((?:19|20)\d\d)", plain):
    keys.append(f"{match[2]} {match[1]}")
  return keys + [re.sub(r"\W", "", key) for key in keys]


def finder(
  class_names: Sequence[str], aliases: Mapping[str, int | str]
) -> Callable[[str], tuple[int, ...]]:
  """Makes the function that looks a spelling up.

  Args:
    class_names: official names in class order.
    aliases: other spellings -> class index or official name.

  Returns:
    A function spelling -> indices of the classes it names, ascending.

  Raises:
    ValueError: an alias points at no class.
  """
  index: dict[str, set[int]] = {}
  # The closest spelling of any class wins over a looser one of another.
  for level in range(2):
    found: dict[str, set[int]] = {}
    for label, name in enumerate(class_names):
      keys = _spellings(name)
      half = len(keys) // 2
      for key in keys[half * level : half * (level + 1)]:
        found.setdefault(key, set()).add(label)
    for key, labels in found.items():
      index.setdefault(key, labels)
  for alias, target in aliases.items():
    if isinstance(target, int):
      if not 0 <= target < len(class_names):
        raise ValueError(
          f"`aliases` must point at classes 0 to {len(class_names) - 1}, got "
          f"{target} for {alias!r}."
        )
      labels = {target}
    else:
      labels = index.get(comparison_key(target.replace("_", " ")), set())
      if not labels:
        raise ValueError(
          f"`aliases` must point at class names, got {target!r} for {alias!r}."
        )
    index[comparison_key(alias.replace("_", " "))] = set(labels)

  def find(name: str) -> tuple[int, ...]:
    for key in _spellings(name):
      if key and key in index:
        return tuple(sorted(index[key]))
    return ()

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

  Args:
    texts: of each class, the official name first.
    names: such as those of embedded texts.
    forms: of the names; those of each form are paired by themselves.

  Returns:
    The rows. A class of which no text is found has none.
  """
  find = finder(names, {})
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
    place = labels.index(label)
    return [
      row
      for some in by_form.values()
      for row in (some if len(some) != len(labels) else [some[place]])
    ]

  missing, unofficial, rows = [], [], []
  for label, of_class in enumerate(matches):
    chosen: dict[int, None] = {}
    for place, found in enumerate(of_class):
      chosen |= dict.fromkeys(own(found, label))
      if not found:
        missing.append((label, texts[label][place]))
        if not place:
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

  Args:
    spellings: the names of a file, in its order.
    owners: the classes that each of them names.
    aliases: as for `finder`.

  Returns:
    The classes of each spelling.
  """
  pointed = {
    comparison_key(alias): target
    for alias, target in aliases.items()
    if isinstance(target, int)
  }
  keys = [comparison_key(name.replace("_", " ")) for name in spellings]
  own = {pointed[key] for key in keys if key in pointed}
  decided = [
    tuple(label for label in labels if len(labels) == 1 or label not in own)
    for labels in owners
  ]
  places: dict[tuple[int, ...], list[int]] = {}
  for place, labels in enumerate(decided):
    places.setdefault(labels, []).append(place)
  for labels, found in places.items():
    if len(labels) == len(found):
      for place, label in zip(found, labels, strict=True):
        decided[place] = (label,)
  return decided
