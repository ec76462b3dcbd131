"""The table that a run of the task leaves, and the next one goes on from."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.files import atomic_write
from s3_jax.lexicon import synonyms
from s3_jax.lexicon.answers import Entry

GAP = {"how": "none"}
"""The `source` of a class without texts, until a person fills them in."""


class Table(NamedTuple):
  """What a table has.

  Attributes:
    entries: class index -> texts, of the classes that have any.
    sources: class index -> where they come from, where the table says so.
    provenance: of the whole.
  """

  entries: dict[int, Entry]
  sources: dict[int, Any]
  provenance: dict[str, Any]


def read_table(
  path: pathlib.Path, names: Sequence[str], *, replaces: bool = False
) -> Table:
  """Reads a table of the same classes; an empty one where there is no file.

  A table of other classes is refused, unless a run that `replaces` tables finds
  one in which no class has a source: it was made of stored answers.
  """
  if not path.exists():
    return Table({}, {}, {})
  lexicon = synonyms.load_lexicon(path)
  given = tuple(entry.name for entry in lexicon.classes)
  if given != tuple(names):
    if replaces and all(entry.source is None for entry in lexicon.classes):
      return Table({}, {}, {})
    raise ValueError(
      f"{path} must be of the classes that are asked for, to be gone on from,"
      f" got {len(given)} classes, {given[0]!r:.40} first, for {len(names)}:"
      " give another --workdir, or another `config.name`."
    )
  entries, sources = {}, {}
  for entry in lexicon.classes:
    if entry.synonyms or entry.descriptors:
      entries[entry.label] = Entry(
        entry.synonyms, entry.descriptors, entry.kinds
      )
      if entry.source is not None:
        is_filled = entry.source == GAP
        sources[entry.label] = {"how": "hand"} if is_filled else entry.source
  return Table(entries, sources, json.loads(lexicon.provenance))


def write_table(
  path: pathlib.Path,
  names: Sequence[str],
  entries: Mapping[int, Entry],
  provenance: Mapping[str, Any],
  sources: Mapping[int, Any],
) -> None:
  """Writes a table with one class a line, as the packaged ones are."""
  rows = []
  for label, class_name in enumerate(names):
    entry = entries.get(label, Entry((), ()))
    row: dict[str, Any] = {
      "index": label,
      "name": class_name,
      "synonyms": entry.synonyms,
      "descriptors": entry.descriptors,
    }
    if entry.kinds:  # as a person wrote them
      row["synonyms"] = {kind: [] for kind in dict.fromkeys(entry.kinds)}
      for text, kind in zip(entry.synonyms, entry.kinds, strict=True):
        row["synonyms"][kind].append(text)
    if label in sources:
      row["source"] = sources[label]
    rows.append(f"  {_dump(row)}")
  atomic_write(
    path,
    f'{{\n "schema": {synonyms.SCHEMA},\n "dataset": {_dump(path.stem)},\n'
    f' "provenance": {_dump(provenance)},\n "classes": [\n'
    + ",\n".join(rows)
    + "\n ]\n}\n",
  )
  synonyms.load_lexicon(path)  # what is written can be read


def _dump(value: Any) -> str:
  return json.dumps(value, ensure_ascii=False, allow_nan=False)
