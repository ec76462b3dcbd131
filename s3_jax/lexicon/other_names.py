"""Names of things that are not the user's classes, from the packaged tables."""

import hashlib
from collections.abc import Iterable, Sequence

from s3_jax.lexicon.spelling import comparison_key, concept_keys
from s3_jax.lexicon.synonyms import BENCHMARK_TABLES, load_lexicon

NAME_TABLES = tuple(
  table
  for table in BENCHMARK_TABLES
  # "737-300", "2008 Acura TL Type-S": hundreds of names for two kinds of things
  # would not be a sample of names.
  if table not in ("stanford_cars", "fgvc_aircraft")
)


def other_names(
  texts: Iterable[str], *, tables: Sequence[str] = NAME_TABLES
) -> tuple[str, ...]:
  """Lists the distinct names of tables that are no text of the user's.

  Official names come before common synonyms, both in the order of a hash: any
  number of the first ones is a sample of all tables. Spellings of one name
  count as one.
  """
  seen = {key for text in texts for key in concept_keys(text)}
  entries = [entry for table in tables for entry in load_lexicon(table).classes]
  listed: list[str] = []
  for names in (
    [entry.names[0] for entry in entries],
    [name for entry in entries for name in entry.by_kind.get("common", ())],
  ):
    new: dict[str, str] = {}
    for name in names:
      keys = concept_keys(name)
      if seen.isdisjoint(keys):
        new[comparison_key(name)] = name
        seen |= keys
    listed += [new[key] for key in sorted(new, key=_shuffled)]
  return tuple(listed)


def _shuffled(key: str) -> str:
  return hashlib.sha256(key.encode()).hexdigest()
