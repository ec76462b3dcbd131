"""The table of the drawn world: each text from somewhere, wrong ones wrong."""

import re

import pytest

from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.synonyms import load_lexicon, parse_lexicon

CLASSES = load_lexicon("emoji").classes
SOURCE = re.compile(
  r"(Unicode CLDR(, shortened)?|GitHub|Slack|JoyPixels|emojibase|"
  r"WordNet \d{8}|\d+ in WordNet)"
)


def test_there_are_as_many_classes_as_the_sheets_have():
  assert len(CLASSES) == 374
  codes = [entry.codepoint for entry in CLASSES]
  assert len(set(codes)) == 374
  assert all(re.fullmatch(r"[0-9a-f]{4,5}", code) for code in codes)


def test_no_right_name_is_of_two_classes():
  owners = {}
  for entry in CLASSES:
    for name in entry.names:
      owners.setdefault(comparison_key(name), set()).add(entry.label)
  shared = {key: found for key, found in owners.items() if len(found) > 1}
  assert shared == {}


@pytest.mark.parametrize("entry", CLASSES, ids=lambda entry: entry.codepoint)
def test_each_text_says_where_it_is_from(entry):
  wrong = (*entry.polluted, *entry.associations)
  assert set(entry.source) == {*entry.names, *wrong}
  for name in entry.names:
    parts = entry.source[name].split("; ")
    assert all(SOURCE.fullmatch(part) for part in parts), entry.source[name]
    # The frequency is what the sources add up to.
    counts = [re.fullmatch(r"(\d+) in WordNet", part) for part in parts]
    total = sum(int(count[1]) if count else 1 for count in counts)
    assert entry.frequencies[entry.captioned.index(name)] == total
  for text in entry.polluted:
    assert re.fullmatch(r"WordNet \d{8}, another sense", entry.source[text])
  for text in entry.associations:
    assert entry.source[text].endswith(", association")
  assert list(entry.frequencies) == sorted(entry.frequencies, reverse=True)
  assert sorted(entry.captioned) == sorted(entry.names)


def test_the_known_traps_of_the_words_are_avoided():
  """Synsets that an automatic choice took for the drawn thing."""
  by_name = {entry.name: entry for entry in CLASSES}
  assert "motorboat" not in by_name["kick scooter"].names
  assert "dolphinfish" not in by_name["dolphin"].names
  assert "crack" not in by_name["tornado"].names
  assert "andiron" in by_name["dog"].polluted
  assert "cricket bat" in by_name["bat"].polluted
  assert by_name["television"].captioned[0] in ("television", "tv")


def test_frequencies_are_one_for_each_captioned_name():
  table = (
    '{"schema": 2, "dataset": "x", "provenance": {}, "classes": [{"index": 0,'
    ' "name": "cat", "synonyms": ["kitty"], "descriptors": [], "captioned":'
    ' ["cat", "kitty"], "frequencies": %s}]}'
  )
  found = parse_lexicon((table % "[3, 0.5]").encode(), "x")
  assert found.classes[0].frequencies == (3.0, 0.5)
  for wrong in ("[3]", "[3, 0]", "[1, 2, 3]", "[1, -2]"):
    with pytest.raises(ValueError, match="`frequencies` must be a number > 0"):
      parse_lexicon((table % wrong).encode(), "x")
