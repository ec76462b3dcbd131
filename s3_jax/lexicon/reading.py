"""Texts of classes from the files that people already have.

CuPL, SuS-X, DCLIP, WaffleCLIP, TPS and CPE write one JSON object, class name ->
list of texts; a CSV has two columns, name and class; SCLIP has one class a
line, its names between commas; CoOp's classnames.txt has "wnid name" a line.
They spell the classes in their own ways and order them in their own ways, so
they are matched by name, and what matches nothing is reported.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from s3_jax.lexicon.class_lines import line_classes
from s3_jax.lexicon.class_lists import (
  TABLES,
  is_table_of_ours,
  read_class_list,
)
from s3_jax.lexicon.class_tables import parse_rows, table_classes
from s3_jax.lexicon.class_values import ListedClasses, text_entries
from s3_jax.lexicon.documents import (
  parse_json,
  parse_yaml,
  read_text,
  split_lines,
)
from s3_jax.lexicon.matching import finder, tell_apart
from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.synonyms import load_lexicon

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
    notes: what was taken as what in a list of classes, a few words each.
    wnids: WordNet's ids of the classes, where such a list has them.
  """

  texts: tuple[tuple[str, ...], ...]
  matched: int
  without_texts: tuple[int, ...]
  unmatched: tuple[str, ...]
  shared: tuple[str, ...]
  repeated: int
  empty: int
  notes: tuple[str, ...] = ()
  wnids: tuple[str | None, ...] = ()


def read_class_texts(
  path: str | os.PathLike[str],
  class_names: Sequence[str],
  *,
  aliases: Mapping[str, int | str] | None = None,
  by_position: bool = False,
  empty: str = "error",
) -> ClassTexts:
  """Reads texts of classes from a file of one of the common layouts.

  The layout follows from the file: ".json" and ".yaml" are an object of class
  name -> list of texts, or one of our own tables; ".csv" and ".tsv" have rows
  "name,class", or a header that says otherwise; ".txt" has one class a line,
  its names separated by "," or ";", or "class: text, text". Names are matched
  without regard to case, underscores and blanks, nor to punctuation in words;
  "apse (indoor)" is also tried as "indoor apse", and "Audi TTS Coupe 2012" as
  "2012 Audi TTS Coupe".
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
  entries, in_order = _entries(path)
  if by_position or in_order:
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
  """Reads the class names of a data set, in class order."""
  return tuple(entry.name for entry in read_class_list(path).classes)


def read_own_classes(
  path: str | os.PathLike[str],
) -> tuple[tuple[str, ...], ClassTexts]:
  """Reads classes and their texts from one file that has both."""
  return class_texts(read_class_list(path), pathlib.Path(path))


def class_texts(
  found: ListedClasses, path: pathlib.Path
) -> tuple[tuple[str, ...], ClassTexts]:
  """Gives each class of a list its texts."""
  names = tuple(entry.name for entry in found.classes)
  entries = [
    (name, [name.replace("_", " ")] if texts is None else list(texts))
    for name, texts, _ in found.classes
  ]
  owners = [(index,) for index in range(len(names))]
  texts = _collect(path, names, entries, owners, "name")
  return names, texts._replace(
    notes=found.notes, wnids=tuple(entry.wnid for entry in found.classes)
  )


_Entries = list[tuple[str, list[str]]]


def _entries(path: pathlib.Path) -> tuple[_Entries, bool]:
  """Reads names with texts, and whether they are meant by position alone."""
  suffix = path.suffix.lower()
  if suffix not in _SUFFIXES:
    raise ValueError(
      f"{path} must end in {', '.join(_SUFFIXES)}, got {path.suffix!r}."
    )
  text, where = read_text(path), str(path)
  if suffix == ".txt":
    return _line_entries(split_lines(text), where)
  if suffix in TABLES:
    rows = parse_rows(text, where, suffix)
    found = table_classes(rows, where).classes
    for row in rows:
      if found and found[0].texts is None:
        raise ValueError(
          f"{path}, line {row.line} must hold a name and a class, got"
          f" {','.join(row.cells)!r:.60}."
        )
    return [(entry.name, list(entry.texts or ())) for entry in found], False
  value = (
    parse_json(text, where) if suffix == ".json" else parse_yaml(text, where)
  )
  if is_table_of_ours(value):
    # Its own reader checks it. Names may repeat, so this is no dictionary.
    classes = load_lexicon(path).only().classes
    return [(entry.name, list(entry.names)) for entry in classes], False
  return text_entries(value, where), False


def _line_entries(lines: Sequence[str], where: str) -> tuple[_Entries, bool]:
  """Reads SCLIP's lines of names by position, "cat: tabby" by name."""
  found = line_classes(lines, where, several=True).classes
  named = bool(found) and found[0].texts is not None
  entries = []
  for entry in found:
    if named:
      entries.append((entry.name, list(entry.texts or ())))
    else:
      names = re.split(r"[,;]", entry.name)
      entries.append((names[0].strip(), names))
  return entries, not named


_SUFFIXES = (".json", ".csv", ".txt", ".tsv", ".yaml", ".yml")


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
