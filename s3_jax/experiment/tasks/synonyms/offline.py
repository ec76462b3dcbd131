"""Names looked up in the packaged tables, without a network."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.tasks.synonyms.completing import (
  Asked,
  complete,
  count_of,
  first_few,
  say_end,
  say_kept,
  some,
  without_synonyms,
)
from s3_jax.experiment.tasks.synonyms.table_file import read_table
from s3_jax.lexicon.answers import Entry, NameOwners, read_entry
from s3_jax.lexicon.generate import Generated
from s3_jax.lexicon.lookup import (
  LOOKUP_TABLES,
  MATCHES,
  Lookup,
  look_up,
  other_names,
)
from s3_jax.messages import visible


def look_names_up(asked: Asked, *, tables: Sequence[str]) -> pathlib.Path:
  """Takes the texts of the classes that packaged tables know."""
  names = asked.job.names
  before = read_table(asked.path, names)
  todo = without_synonyms(before, names)
  owners = NameOwners(names)
  found = look_up(names, asked.wnids, tables=tables or LOOKUP_TABLES)
  entries, drops, sources, others = {}, [], {}, []
  for label in todo:
    match = found[label].match
    if match is None:
      continue
    texts = other_names(names[label].replace("_", " "), match.entry)
    record = {
      "synonyms": list(texts),
      "descriptors": list(match.entry.descriptors),
    }
    entry, dropped = read_entry(record, label, owners, spellings=True)
    kinds = tuple(texts.get(text, "common") for text in entry.synonyms)
    entries[label] = entry._replace(kinds=kinds)
    drops += dropped
    sources[label] = {
      "how": "table",
      "table": match.table,
      "index": match.entry.label,
      "name": match.entry.name,
      "match": match.rule,
    }
    others += [
      {
        "label": label,
        "table": other.table,
        "name": other.entry.name,
        "match": other.rule,
        "synonyms": list(other.entry.synonyms),
      }
      for other in found[label].others
    ]
  done = complete(
    asked,
    before,
    entries,
    sources,
    drops,
    more={
      "found": [{"label": label, **at} for label, at in sources.items()],
      "others": others,
      "hints": {
        label: found[label].hint for label in todo if found[label].hint
      },
    },
  )
  tell(_describe_lookup(asked, done, found, sources, todo))
  say_kept(len(names) - len(todo))
  say_end(asked, done)
  return asked.path


def _describe_lookup(
  asked: Asked,
  done: Generated,
  found: Sequence[Lookup],
  sources: Mapping[int, Any],
  todo: Sequence[int],
) -> str:
  """Says what was found, what may mean something else, and what was not."""
  rows, unsure, gaps = [], [], []
  for label in todo:
    match, others, hint = found[label]
    name = visible(asked.job.names[label])
    if match is None:
      gaps.append(f"{name}  ({hint})" if hint else name)
      continue
    texts = done.entries.get(label, Entry((), ())).synonyms
    at = match.table
    if match.rule != MATCHES[0]:
      at += f" {match.entry.names[0]!r}, {match.rule}"
    rows.append(f"{name}: {some(texts) or 'no other name'}  [{at}]")
    if others:
      other = others[0]
      there = some(tuple(other_names(name, other.entry)))
      unsure.append(f"{name}: in {other.table} also {there}")
  lines = [
    f"{len(sources)} of {count_of(len(todo), 'name')} found in the packaged"
    " tables; no key, no network."
  ]
  for title, texts in (
    ("", rows),
    (
      "Another meaning? Ask by one of its names, or with --tables",
      unsure,
    ),
    ("Not found", gaps),
  ):
    lines += [f"{title}: {len(texts)}"] if texts and title else []
    lines += [f"  {text}" for text in first_few(texts)]
  return "\n".join(lines)
