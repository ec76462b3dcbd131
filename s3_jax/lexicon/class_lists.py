"""Lists of classes as people have them, read in one place and never guessed.

A list is a value (of JSON, YAML, Python), a table, or lines. What was taken as
a header, a number or an id is said in a note; what may mean two things is
refused with the way to say which.
"""

import os
import pathlib
import re
from typing import Any

from s3_jax.lexicon.cells import are_running
from s3_jax.lexicon.class_lines import line_classes
from s3_jax.lexicon.class_tables import parse_rows, table_classes
from s3_jax.lexicon.class_values import (
  WNID,
  ListedClass,
  ListedClasses,
  value_classes,
)
from s3_jax.lexicon.documents import (
  parse_brackets,
  parse_json,
  parse_yaml,
  read_text,
  split_lines,
)
from s3_jax.lexicon.synonyms import classes_by_wnid, load_lexicon

JSON, YAML, TABLES = (".json", ".jsonl"), (".yaml", ".yml"), (".csv", ".tsv")


def read_class_list(path: str | os.PathLike[str]) -> ListedClasses:
  """Reads the classes of a file."""
  path = pathlib.Path(path)
  suffix, where = path.suffix.lower(), str(path)
  text = read_text(path)
  if suffix in JSON:
    parse = parse_brackets if suffix == ".jsonl" else parse_json
    value = parse(text, where)
    if is_table_of_ours(value):
      found = _own_table(path)
    else:
      found = value_classes(value, where)
  elif suffix in YAML:
    found = value_classes(parse_yaml(text, where), where)
  elif suffix in TABLES:
    found = table_classes(parse_rows(text, where, suffix), where)
  else:
    found = line_classes(split_lines(text), where)
  return checked(found, where)


def checked(found: ListedClasses, where: str) -> ListedClasses:
  """Refuses a list without classes or with a name that is empty."""
  if not found.classes:
    raise ValueError(f"{where} must name at least one class, got none.")
  for label, entry in enumerate(found.classes):
    if not entry.name.strip():
      raise ValueError(
        f"{where} must not hold an empty name, got {entry.name!r} as class"
        f" {label}."
      )
  found = _named(found, where)
  first = [re.match(r"(\d+)\W+\w", entry.name) for entry in found.classes]
  if all(first) and are_running([match[1] for match in first if match]):
    note = "running numbers before the names are part of them"
    found = found._replace(notes=(*found.notes, note))
  commas = sum("," in entry.name for entry in found.classes)
  if commas:
    note = (
      f'commas in {commas:,} names are part of them, "CLASS: TEXT, TEXT" lines'
      " give a class several texts"
    )
    found = found._replace(notes=(*found.notes, note))
  return found._replace(notes=tuple(dict.fromkeys(found.notes)))


def _named(found: ListedClasses, where: str) -> ListedClasses:
  """Gives classes that are called by WordNet ids the names of our table."""
  if not any(WNID.fullmatch(entry.name) for entry in found.classes):
    return found
  known, classes = classes_by_wnid(), []
  for label, entry in enumerate(found.classes):
    if entry.name not in known and WNID.fullmatch(entry.name):
      raise ValueError(
        f"{where} must name its classes, got the WordNet id {entry.name!r} as"
        f" class {label}, which is none of ImageNet's 1000: write its name"
        " after it."
      )
    if entry.name in known:
      ours = known[entry.name]
      texts = ours.only().names if entry.texts is None else entry.texts
      entry = ListedClass(ours.name, texts, entry.name)
    classes.append(entry)
  note = "WordNet ids found in the table imagenet, names and synonyms are its"
  return ListedClasses(tuple(classes), (*found.notes, note))


def is_table_of_ours(value: Any) -> bool:
  """Says whether a JSON value is one of this package's tables."""
  return isinstance(value, dict) and {"schema", "classes"} <= value.keys()


def _own_table(path: pathlib.Path) -> ListedClasses:
  """Reads a table's default names, and says how many others it has."""
  lexicon = load_lexicon(path)
  taken = lexicon.only().classes
  others = sum(len(e.names) for e in lexicon.classes)
  others -= sum(len(e.names) for e in taken)
  note = f"synonyms of other kinds left out: {others:,}, +all takes them"
  return ListedClasses(
    tuple(ListedClass(e.name, e.names, e.wnid) for e in taken),
    (note,) if others else (),
  )
