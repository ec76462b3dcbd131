"""Texts of classes from the files that people already have.

CuPL, SuS-X, DCLIP, WaffleCLIP, TPS and CPE write one JSON object, class name ->
list of texts; a CSV has two columns, name and class; SCLIP has one class a
line, its names between commas; CoOp's classnames.txt has "wnid name" a line.
They spell the classes in their own ways and order them in their own ways, so
they are matched by name, and what matches nothing is reported.
"""

import csv
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon.matching import finder, tell_apart
from s3_jax.lexicon.synonyms import comparison_key, load_lexicon

# Spellings of published files -> the index or the official name they mean.
# BENCHMARKS' traps: newt and tights in the descriptors of DCLIP and TPS, the
# second missile and the first sunglasses in TPS, EuroSAT's names in OpenAI's
# list of prompts.
ALIASES: dict[str, dict[str, int | str]] = {
  "imagenet": {
    "eft": 27,
    "maillot": 638,
    "projectile": 744,
    "sunglass": 836,
  },
  "eurosat": {
    "annual crop land": "Annual Crop Land",
    "forest": "Forest",
    "brushland or shrubland": "Herbaceous Vegetation Land",
    "highway or road": "Highway or Road",
    "industrial buildings or commercial buildings": "Industrial Buildings",
    "pasture land": "Pasture Land",
    "permanent crop land": "Permanent Crop Land",
    "residential buildings or homes or apartments": "Residential Buildings",
    "river": "River",
    "lake or sea": "Sea or Lake",
  },
}
EMPTY = ("error", "name")


class ClassTexts(NamedTuple):
  """Texts for every class, and what did not fit.

  Attributes:
    texts: one tuple of texts a class, in class order, without repeats.
    matched: how many classes the file has texts for.
    without_texts: classes that the file does not name or gives nothing for;
      they hold their own name alone.
    unmatched: spellings of the file that name no class.
    shared: spellings that name several classes, all of which got the texts.
    repeated: texts that stood twice in a class and were read once.
    empty: texts that were blank and were left out.
  """

  texts: tuple[tuple[str, ...], ...]
  matched: int
  without_texts: tuple[int, ...]
  unmatched: tuple[str, ...]
  shared: tuple[str, ...]
  repeated: int
  empty: int


def read_class_texts(
  path: str | os.PathLike[str],
  class_names: Sequence[str],
  *,
  aliases: Mapping[str, int | str] | None = None,
  by_position: bool = False,
  empty: str = "error",
) -> ClassTexts:
  """Reads texts of classes from a file of one of the common layouts.

  The layout follows from the file: ".json" is an object of class name -> list
  of texts, or one of our own tables; ".csv" has rows "name,class"; ".txt" has
  one class a line, its names separated by "," or ";". Names are matched without
  regard to case, underscores, blanks and punctuation; "apse (indoor)" is also
  tried as "indoor apse", and "Audi TTS Coupe 2012" as "2012 Audi TTS Coupe".

  Args:
    path: the file, UTF-8.
    class_names: official names in class order. Names may occur twice: a
      spelling that fits both reaches both, unless an alias tells them apart.
    aliases: other spellings -> class index or official name; those of `ALIASES`
      are a start.
    by_position: match the n-th entry with the n-th class instead; the counts
      must agree. A ".txt" file is always read so.
    empty: what becomes of classes without any text: "error", or "name", which
      gives them their own name; they are counted in any case.

  Returns:
    The texts and the report.

  Raises:
    ValueError: the file cannot be read, has another layout, counts disagree,
      or a class stays without text under `empty="error"`.
  """
  if empty not in EMPTY:
    raise ValueError(
      f"`empty` must be one of {', '.join(EMPTY)}, got {empty!r}."
    )
  for index, name in enumerate(class_names):
    if not name.strip():
      raise ValueError(
        f"`class_names` must not hold an empty name, got {name!r} at {index}."
      )
  path = pathlib.Path(path)
  entries = _READERS[_layout(path)](path)
  if by_position or path.suffix == ".txt":
    if len(entries) != len(class_names):
      raise ValueError(
        f"{path} must hold {len(class_names)} entries to be read by position, "
        f"got {len(entries)}; match them by name."
      )
    owners = [(index,) for index in range(len(class_names))]
  else:
    find = finder(class_names, aliases or {})
    owners = [find(name) for name, _ in entries]
    owners = tell_apart([name for name, _ in entries], owners, aliases or {})
  return _collect(path, class_names, entries, owners, empty)


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
  """Reads the class names of a data set, in class order.

  Args:
    path: CoOp's classnames.txt ("n01440764 tench" a line), a text file with one
      name a line, a JSON list, or CoOp's cat_to_name.json ("1" -> name).

  Returns:
    The names; underscores stay.

  Raises:
    ValueError: the file cannot be read, has another layout, or a name is empty.
  """
  path = pathlib.Path(path)
  if path.suffix.lower() == ".json":
    value = _json(path)
    if isinstance(value, dict) and all(key.isdecimal() for key in value):
      places = sorted(value, key=int)
      if [int(key) for key in places] != list(range(1, len(places) + 1)):
        raise ValueError(
          f"{path} must number its names 1, 2, ... without gaps."
        )
      value = [value[key] for key in places]
    if not isinstance(value, list):
      raise ValueError(f"{path} must hold a list of names, got {value!r:.40}.")
    names = value
  else:
    lines = [line.strip() for line in _read(path).splitlines()]
    while lines and not lines[-1]:
      lines.pop()
    names = [re.sub(r"^n\d{8}\s+", "", line) for line in lines]
  for index, name in enumerate(names):
    if not isinstance(name, str) or not name.strip():
      raise ValueError(
        f"{path} must not hold an empty name, got {name!r} as class {index}."
      )
  return tuple(names)


def read_own_classes(
  path: str | os.PathLike[str],
) -> tuple[tuple[str, ...], ClassTexts]:
  """Reads classes and their texts from one file that has both.

  Args:
    path: a CSV with rows "name,class", where several names make one class; a
      JSON object of class -> list of texts; one of our own tables; or what
      `read_class_names` reads, where the name is the text. SCLIP's lines are
      not told from plain names and count as such.

  Returns:
    The names as the file spells them, classes in the order of their first
    mention, and their texts. A class whose list is empty has its own name as
    its text, and stands among `without_texts`.

  Raises:
    ValueError: the file cannot be read, has another layout, holds no class, or
      a name is empty.
  """
  path = pathlib.Path(path)
  suffix = path.suffix.lower()
  if suffix == ".csv" or (suffix == ".json" and not _is_list(path)):
    entries = _READERS[suffix](path)
    names = tuple(name for name, _ in entries)
  else:
    names = read_class_names(path)
    entries = [(name, [name.replace("_", " ")]) for name in names]
  if not names:
    raise ValueError(f"{path} must name at least one class, got none.")
  for index, name in enumerate(names):
    if not name.strip():
      raise ValueError(
        f"{path} must not hold an empty name, got {name!r} as class {index}."
      )
  owners = [(index,) for index in range(len(names))]
  return names, _collect(path, names, entries, owners, "name")


def _is_list(path: pathlib.Path) -> bool:
  """Tells names, also CoOp's numbered ones, from names with texts."""
  value = _json(path)
  return isinstance(value, list) or (
    isinstance(value, dict)
    and bool(value)
    and all(
      key.isdecimal() and isinstance(name, str) for key, name in value.items()
    )
  )


_Entries = list[tuple[str, list[str]]]


def _layout(path: pathlib.Path) -> str:
  if path.suffix not in _READERS:
    raise ValueError(
      f"{path} must end in {', '.join(_READERS)}, got {path.suffix!r}."
    )
  return path.suffix


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text(encoding="utf-8-sig")
  except OSError as error:
    raise ValueError(f"{path} must be readable: {error.strerror}.") from error
  except UnicodeDecodeError as error:
    raise ValueError(f"{path} must be UTF-8, got: {error}.") from error


def _json(path: pathlib.Path) -> Any:
  repeats: list[str] = []

  def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in items]
    repeats.extend({key for key in keys if keys.count(key) > 1})
    return dict(items)

  text = _read(path)
  try:
    value = json.loads(text, object_pairs_hook=pairs)
  except RecursionError as error:
    raise ValueError(f"{path} must be JSON, got: too deep.") from error
  except ValueError as error:
    raise ValueError(f"{path} must be JSON, got: {error}.") from error
  if repeats:
    raise ValueError(
      f"{path} must name each class once, got {sorted(repeats)[0]!r} twice."
    )
  return value


def _read_json(path: pathlib.Path) -> _Entries:
  value = _json(path)
  if isinstance(value, dict) and {"schema", "classes"} <= value.keys():
    # Its own reader checks it. Names may repeat, so this is no dictionary.
    return [
      (entry.name, list(entry.names)) for entry in load_lexicon(path).classes
    ]
  if not isinstance(value, dict):
    raise ValueError(
      f"{path} must map class names to lists of texts, got {value!r:.40}."
    )
  for name, texts in value.items():
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or any(
      not isinstance(text, str) for text in texts
    ):
      raise ValueError(
        f"{path}: {name!r} must hold a list of texts, got {texts!r:.60}."
      )
    value[name] = texts
  return list(value.items())


def _read_csv(path: pathlib.Path) -> _Entries:
  entries: dict[str, list[str]] = {}
  rows = csv.reader(_read(path).splitlines(), strict=True)
  try:
    for number, row in enumerate(rows, 1):
      if not any(cell.strip() for cell in row):
        continue
      if len(row) != 2:
        raise ValueError(
          f"{path}, line {number} must hold a name and a class, got "
          f"{row!r:.60}."
        )
      name, owner = (cell.strip() for cell in row)
      if number == 1 and (name.casefold(), owner.casefold()) == (
        "name",
        "class",
      ):
        continue
      entries.setdefault(owner, []).append(name)
  except csv.Error as error:
    raise ValueError(f"{path} must be a CSV, got: {error}.") from error
  return list(entries.items())


def _read_lines(path: pathlib.Path) -> _Entries:
  lines = [line.strip() for line in _read(path).splitlines()]
  while lines and not lines[-1]:
    lines.pop()
  entries = []
  for line in lines:
    names = re.split(r"[,;]", re.sub(r"^n\d{8}\s+", "", line))
    entries.append((names[0].strip(), names))
  return entries


_READERS = {".json": _read_json, ".csv": _read_csv, ".txt": _read_lines}


def _collect(
  path: pathlib.Path,
  class_names: Sequence[str],
  entries: _Entries,
  owners: Sequence[tuple[int, ...]],
  empty: str,
) -> ClassTexts:
  texts: list[dict[str, str]] = [{} for _ in class_names]
  unmatched, shared = [], []
  repeated = blank = 0
  for (name, lines), labels in zip(entries, owners, strict=True):
    if not labels:
      unmatched.append(name)
    if len(labels) > 1:
      shared.append(name)
    lines = [" ".join(line.split()) for line in lines]
    blank += lines.count("")
    for label in labels:
      for line in filter(None, lines):
        repeated += comparison_key(line) in texts[label]
        texts[label].setdefault(comparison_key(line), line)
  without = [label for label, known in enumerate(texts) if not known]
  if without and empty == "error":
    some = ", ".join(repr(class_names[label]) for label in without[:5])
    raise ValueError(
      f"{path} must hold texts for every class, got none for {len(without)} of "
      f"{len(class_names)} ({some}{', ...' if len(without) > 5 else ''}); "
      f"{len(unmatched)} of its names match no class"
      + (f" ({unmatched[0]!r} first)" if unmatched else "")
      + '; give `aliases`, or empty="name" to fall back to the class name.'
    )
  for label in without:
    name = class_names[label].replace("_", " ")
    texts[label][name] = name
  return ClassTexts(
    texts=tuple(tuple(known.values()) for known in texts),
    matched=len(class_names) - len(without),
    without_texts=tuple(without),
    unmatched=tuple(unmatched),
    shared=tuple(shared),
    repeated=repeated,
    empty=blank,
  )
