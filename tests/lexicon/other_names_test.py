"""Names of other things: distinct, in a fixed order, none of the user's."""

from s3_jax.lexicon.other_names import NAME_TABLES, other_names
from s3_jax.lexicon.spelling import comparison_key, concept_keys
from s3_jax.lexicon.synonyms import load_lexicon


def test_names_are_those_of_the_tables_less_the_users():
  mine = ["Goldfish", "great_white sharks", "no such thing"]
  found = other_names(mine)
  every = set().union(*map(concept_keys, mine))
  official, names = set(), []
  for table in NAME_TABLES:
    for entry in load_lexicon(table).classes:
      official |= concept_keys(entry.names[0])
      names += [entry.names[0], *entry.by_kind.get("common", ())]
  for name in found:  # none is another spelling of one before it
    assert every.isdisjoint(concept_keys(name)), name
    every |= concept_keys(name)
  assert not any(every.isdisjoint(concept_keys(name)) for name in names)
  first = [concept_keys(name) <= official for name in found]
  assert first.index(False) > 1500 and sum(first[:1500]) == 1500
  assert "goldfish" not in found and "great white shark" not in found
  assert {"goldfish", "great white shark"} <= set(other_names(["cat"]))


def test_any_first_names_are_a_sample_of_all_tables():
  found = other_names([])
  assert found == other_names([])
  sample = {comparison_key(name) for name in found[:400]}
  for table, least in (("imagenet", 120), ("sun397", 40), ("food101", 8)):
    names = {comparison_key(e.names[0]) for e in load_lexicon(table).classes}
    assert len(sample & names) >= least


def test_models_of_cars_are_no_sample_of_names():
  found = set(other_names([]))
  assert "737-300" not in found and "2008 Acura TL Type-S" not in found
