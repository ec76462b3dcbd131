"""Words without a key: looked up, asked for by hand, pasted from a chat.

All of it goes on from the table in the workdir: a class that has synonyms there
keeps its texts, whoever wrote them.
"""

import datetime
import hashlib
import pathlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.tasks.synonyms.report import write_generation_report
from s3_jax.experiment.tasks.synonyms.table_file import (
  GAP,
  Table,
  read_table,
  write_table,
)
from s3_jax.files import atomic_write
from s3_jax.lexicon.answers import (
  Drop,
  Entry,
  add_entries,
  name_owners,
  read_entry,
)
from s3_jax.lexicon.generate import Generated
from s3_jax.lexicon.lookup import (
  LOOKUP_TABLES,
  MATCHES,
  Lookup,
  look_up,
  other_names,
)
from s3_jax.lexicon.pasted import MAX_PASTE_BYTES, Pasted, read_pasted
from s3_jax.lexicon.prompting import PROMPT_VERSION, Job, write_request
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.messages import visible

_SHOWN = 12  # entries of a list on the terminal; the report has more
_TEXTS = 4  # of a class on the terminal


class Asked(NamedTuple):
  """Which classes, and where their table is.

  Attributes:
    job: the classes, and what a prompt says of them.
    wnids: WordNet's ids, where a list has them; one a class.
    path: of the table.
  """

  job: Job
  wnids: tuple[str | None, ...]
  path: pathlib.Path


def look_names_up(asked: Asked, *, tables: Sequence[str]) -> pathlib.Path:
  """Takes the texts of the classes that packaged tables know."""
  names = asked.job.names
  before = read_table(asked.path, names)
  todo = _without_synonyms(before, names)
  owners = name_owners(names)
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
    entries[label], dropped = read_entry(record, label, owners)
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
  done = _finish(
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
  _say_kept(len(names) - len(todo))
  _say_end(asked, done)
  return asked.path


def print_prompts(asked: Asked, *, size: int) -> None:
  """Prints what to paste into a chat about the classes without synonyms.

  Nothing else goes to stdout.
  """
  names = asked.job.names
  todo = _without_synonyms(read_table(asked.path, names), names)
  pastes = -(-len(todo) // size)
  for number in range(pastes):
    # Of one length, as a last one of one class shows a chat little.
    labels = todo[
      number * len(todo) // pastes : (number + 1) * len(todo) // pastes
    ]
    if pastes > 1:
      tell(f"--- paste {number + 1} of {pastes} ---")
    tell(write_request(asked.job, labels, 0).prompt)
  if not todo:
    tell(
      f"Every class has synonyms in {asked.path}; nothing is to be asked.",
      aside=True,
    )
    return
  tell(
    f"{_count(pastes, 'text')} to paste into a chat, about"
    f" {_count(len(todo), 'class')}. Copy the answers into a file, and give it"
    " with the same classes, --paste=FILE (- is standard input) and"
    f" --workdir={asked.path.parent}.",
    aside=True,
  )


def take_pasted(asked: Asked, source: str) -> pathlib.Path:
  """Takes the texts of the answers that a person copied from a chat."""
  names = asked.job.names
  before = read_table(asked.path, names)
  todo = set(_without_synonyms(before, names))
  data = _read_bytes(source)
  pasted = read_pasted(_decode(data), names, name_owners(names))
  if not pasted.entries:
    raise ValueError(_complaint(pasted))
  digest = hashlib.sha256(data).hexdigest()
  atomic_write(asked.path.parent / f"answers/pasted-{digest[:12]}.txt", data)
  origin = {
    "how": "pasted",
    "date": datetime.date.today().isoformat(),
    "prompt_version": PROMPT_VERSION,
    "sha256": digest,
  }
  entries = {i: entry for i, entry in pasted.entries.items() if i in todo}
  done = _finish(
    asked,
    before,
    entries,
    dict.fromkeys(entries, origin),
    [drop for drop in pasted.drops if drop.label in todo],
    problems=Counter(refused.reason for refused in pasted.refused),
    more={
      "refused": [refused._asdict() for refused in pasted.refused],
      "repeated": list(pasted.repeated),
      "kept": sorted(set(pasted.entries) - todo),
    },
  )
  tell(f"{_count(len(entries), 'class')} taken from the pasted text.")
  for text in _first(
    [f"index {r.index}, {r.name!r}: {r.reason}" for r in pasted.refused]
  ):
    tell(f"  refused: {text}")
  if pasted.repeated:
    tell(
      f"{_count(len(pasted.repeated), 'class')} answered twice: last counts."
    )
  _say_kept(len(set(pasted.entries) - todo))
  _say_end(asked, done)
  return asked.path


def _without_synonyms(before: Table, names: Sequence[str]) -> list[int]:
  known = {label for label, entry in before.entries.items() if entry.synonyms}
  return [label for label in range(len(names)) if label not in known]


def _finish(
  asked: Asked,
  before: Table,
  new: Mapping[int, Entry],
  sources: Mapping[int, Any],
  drops: Sequence[Drop],
  *,
  problems: Mapping[str, int] | None = None,
  more: Mapping[str, Any],
) -> Generated:
  """Adds texts to a table, and writes it and its report."""
  names = asked.job.names
  known = {i: entry for i, entry in before.entries.items() if entry.synonyms}
  added = {i: entry for i, entry in before.entries.items() if i not in known}
  for label, entry in new.items():
    # Descriptors that were there stay beside synonyms that were not.
    descriptors = added.get(label, entry).descriptors or entry.descriptors
    if entry.synonyms or descriptors:
      added[label] = Entry(entry.synonyms, descriptors)
  entries, shared = add_entries(known, added)
  where = {
    label: {**before.sources, **sources}.get(label) if label in entries else GAP
    for label in range(len(names))
  }
  where = {label: source for label, source in where.items() if source}
  provenance = _provenance(before, where)
  write_table(asked.path, names, entries, provenance, where)
  generated = Generated(
    entries=entries,
    fallback=tuple(i for i in range(len(names)) if i not in entries),
    drops=(*sorted(drops), *shared),
    problems=dict(problems or {}),
    failures={},
    left_out=(),
    records=(),
    requests=0,
    tokens=0,
    stopped="",
    detail="",
  )
  write_generation_report(
    generated,
    asked.job,
    asked.path.parent,
    provenance=provenance,
    table=asked.path.name,
    more=more,
  )
  return generated


def _provenance(before: Table, sources: Mapping[int, Any]) -> dict[str, Any]:
  """Describes the origin of a table; that of an endpoint's part is kept."""
  used = {
    source.get("table")
    for source in sources.values()
    if isinstance(source, dict)
  }
  earlier = before.provenance.get(
    "earlier", [before.provenance] if before.provenance else []
  )
  return {
    "author": "a large language model, where `source` says nothing else",
    "how": "looked up in packaged tables, pasted from a chat or filled in by"
    " hand, as `source` says of each class; see docs/LEXICON.md",
    "tables": {
      table: load_lexicon(table).sha256
      for table in LOOKUP_TABLES
      if table in used
    },
    "earlier": earlier,
  }


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
    rows.append(f"{name}: {_some(texts) or 'no other name'}  [{at}]")
    if others:
      other = others[0]
      there = _some(other_names(name, other.entry))
      unsure.append(f"{name}: in {other.table} also {there}")
  lines = [
    f"{len(sources)} of {_count(len(todo), 'name')} found in the packaged"
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
    lines += [f"  {text}" for text in _first(texts)]
  return "\n".join(lines)


def _say_kept(count: int) -> None:
  if count:
    tell(f"{_count(count, 'class')} kept: synonyms were there.")


def _say_end(asked: Asked, done: Generated) -> None:
  """Says what was left out, where the table is, and what to do with it."""
  if done.drops:
    reasons = Counter(drop.reason for drop in done.drops)
    some = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    tell(f"{_count(len(done.drops), 'text')} not taken: {some}.")
  left = [
    label
    for label in range(len(asked.job.names))
    if not done.entries.get(label, Entry((), ())).synonyms
  ]
  folder = asked.path.parent
  tell(f"Table: {asked.path}; all lists: {folder / 'report.md'}")
  if left:
    some = _some([visible(asked.job.names[label]) for label in left])
    tell(
      f"{_count(len(left), 'class')} without synonyms: {some}. Write them into"
      " the table, or run this again with --prompt alone and"
      f" --workdir={folder} for a text to paste into a chat, then with"
      " --paste=FILE."
    )
  tell(
    f"Use it as --classes={asked.path}, for images of your own as --lexicon."
  )


def _read_bytes(source: str) -> bytes:
  try:
    if source == "-":
      if sys.stdin.isatty():
        tell(
          "Paste the answer, then press Ctrl-D on a line of its own.",
          aside=True,
        )
      data = sys.stdin.buffer.read(MAX_PASTE_BYTES + 1)
    else:
      with open(source, "rb") as file:
        data = file.read(MAX_PASTE_BYTES + 1)
  except OSError as error:
    raise ValueError(
      "`config.paste` must be a file with the answer of a chat, or - for"
      f" standard input, got {source!r}: {error.strerror}."
    ) from error
  if len(data) > MAX_PASTE_BYTES:
    raise ValueError(
      f"`config.paste` must hold at most {MAX_PASTE_BYTES >> 20} MiB, got more:"
      " give the answers one after the other."
    )
  return data


def _decode(data: bytes) -> str:
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"`config.paste` must be UTF-8, got: {error}; save it as UTF-8."
    ) from error


def _complaint(pasted: Pasted) -> str:
  rule = "`config.paste` must hold the JSON that --config.prompt=True asks for"
  if not pasted.refused:
    return f"{rule}, got none: copy the whole answer, from its first {{ on."
  first = pasted.refused[0]
  return (
    f"{rule}, got {_count(len(pasted.refused), 'entry')} and can take none; the"
    f" first, index {first.index:.20} and name {first.name!r:.40}:"
    f" {first.reason}. Give the classes that the prompt was made for."
  )


def _first(texts: Sequence[str]) -> list[str]:
  rest = len(texts) - _SHOWN
  return [*texts[:_SHOWN], *([f"and {rest:,} more"] if rest > 0 else [])]


def _some(texts: Sequence[str]) -> str:
  return ", ".join((*texts[:_TEXTS], *(["..."] if len(texts) > _TEXTS else [])))


_PLURALS = {"class": "classes", "entry": "entries"}


def _count(number: int, noun: str) -> str:
  return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"
