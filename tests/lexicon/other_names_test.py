"""Names of other things: distinct, in a fixed order, none of the user's."""

from s3_jax.lexicon.other_names import NAME_TABLES, other_names
from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.synonyms import load_lexicon


def test_names_are_those_of_the_tables_less_the_users():
  mine = ["Goldfish", "great_white shark", "no such thing"]
  found = other_names(mine)
  every, official = set(), set()
  for table in NAME_TABLES:
    for entry in load_lexicon(table).classes:
      every |= {comparison_key(name) for name in entry.names}
      official.add(comparison_key(entry.names[0]))
  left = every - {"goldfish", "great white shark"}
  keys = [comparison_key(name) for name in found]
  assert len(keys) == len(set(keys)) and set(keys) == left
  assert len(left) == len(every) - 2  # both were there
  first = len(official - {"goldfish", "great white shark"})
  assert set(keys[:first]) <= official
  assert not set(keys[first:]) & official


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
