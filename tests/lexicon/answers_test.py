"""Answers of models, whatever they are, become checked data or nothing."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_jax.lexicon.answers import (
  MAX_DESCRIPTOR_WORDS,
  MAX_TEXTS,
  Entry,
  NameOwners,
  clean_text,
  drop_shared,
  read_answer,
)
from s3_jax.lexicon.spelling import written_key
from s3_jax.lexicon.synonyms import MAX_WORDS

NAMES = ("boxer", "killer_whale", "F-16A/B", "missile", "missile")
OWNERS = NameOwners(NAMES)


def record(label, synonyms=("other",), descriptors=("round",), name=None):
  return {
    "index": label,
    "name": NAMES[label] if name is None else name,
    "synonyms": list(synonyms),
    "descriptors": list(descriptors),
  }


def read(value, labels=(0, 1), *, wrap=True):
  text = json.dumps({"classes": value}) if wrap else value
  return read_answer(text, labels, NAMES, OWNERS)


GOOD = json.dumps({"classes": [record(0, ["German boxer"])]})


@pytest.mark.parametrize(
  "text",
  [
    GOOD,
    f"```json\n{GOOD}\n```",
    f"Sure! Here it is:\n\n```\n{GOOD}\n```\nAnything else?",
    f"<think>{{maybe [this]}}</think>\n{GOOD}",
    f"\ufeff  {GOOD}",
    json.dumps(json.loads(GOOD)["classes"]),
    f'{{"classes": [{json.dumps(record(0, ["a draft"]))}]}} No: {GOOD}',
    f'{{"type": "object", "properties": {{"classes": {{}}}}}}\n{GOOD}',
  ],
  ids=["bare", "fence", "prose", "think", "bom", "list", "draft", "schema"],
)
def test_json_is_found_wherever_it_stands(text):
  reading = read(text, (0,), wrap=False)
  assert reading.entries == {0: Entry(("German boxer",), ("round",))}
  assert reading.problems == ()


@pytest.mark.parametrize(
  "text",
  [
    "",
    "I cannot help with that.",
    GOOD[:-20],
    '{"classes": {"type": "array"}}',
    '{"classes": []}',
    '{"classes": ["boxer"]}',
    '"classes"',
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"classes": [' + "9" * 5000 + "]}",
    "\x00\ud800",
  ],
  ids=range(11),
)
def test_what_is_no_answer_is_a_problem(text):
  reading = read(text, wrap=False)
  assert reading.entries == {}
  assert reading.problems == ("no JSON with a list of classes",)


@pytest.mark.parametrize(
  ("records", "problems"),
  [
    ([record(0), record(1, name="boxer")], ["index and name disagree"]),
    ([record(0), record(2)], ["class that was not asked about"]),
    ([record(0), {"index": 99}], ["class that was not asked about"]),
    ([record(0), record(0, ["late"])], ["class answered twice"]),
    ([record(0), {"name": "x"}], ["entry without a class index"]),
    ([record(0), {"index": True}], ["entry without a class index"]),
    ([record(0), {"index": 1.0}], ["entry without a class index"]),
    ([record(0), {"index": None}, "x"], ["entry without a class index"] * 2),
    ([record(0), {"index": 1, "name": None}], ["index and name disagree"]),
    ([record(0)], []),
  ],
)
def test_only_the_asked_classes_count(records, problems):
  reading = read(records)
  assert reading.entries == {0: Entry(("other",), ("round",))}
  assert list(reading.problems) == [*problems, "class left out"]


@pytest.mark.parametrize(
  "fields",
  [
    {"synonyms": [], "descriptors": []},
    {},
    {"synonyms": None, "descriptors": {}},
    {"synonyms": ["", "  ", "...", "\u200b"], "descriptors": [["round"]]},
    {"synonyms": ["boxer", "BOXER "], "descriptors": [3, None]},
  ],
)
def test_a_class_without_a_text_has_no_entry(fields):
  reading = read([{"index": 0, "name": "boxer", **fields}], (0,))
  assert reading.entries == {}
  assert reading.problems == ("class without a usable text",)


def test_an_index_may_be_written_as_a_string_and_the_name_may_be_missing():
  reading = read([{"index": " 1", "synonyms": ["orca"]}], (1,))
  assert reading.entries == {1: Entry(("orca",), ())}


@pytest.mark.parametrize(
  ("label", "name"), [(1, "Killer Whale"), (2, "f16a b"), (0, "ｂｏｘｅｒ")]
)
def test_the_name_may_be_spelled_loosely(label, name):
  assert read([record(label, name=name)], (label,)).problems == ()


def test_every_dropped_text_is_listed_with_its_reason():
  synonyms = [
    "Boxer dog",
    "boxer-dog",
    "a b c d e",
    "a b c d e f",
    "x" * 101,
    "boxer",
    "killer whale",
    "MISSILE",
    " \t",
    None,
  ]
  descriptors = ["short coat.", "Short  coat", "a " * 13, "a " * 12, "f-16a/b"]
  reading = read([record(0, synonyms, descriptors)], (0,))
  assert reading.entries[0].synonyms == ("Boxer dog", "a b c d e")
  assert reading.entries[0].descriptors == (
    "short coat",
    " ".join("a" * 12),
  )
  assert [(d.kind, d.text[:13], d.reason) for d in reading.drops] == [
    ("synonym", "boxer-dog", "repeated"),
    ("synonym", "a b c d e f", "too long"),
    ("synonym", "x" * 13, "too long"),
    ("synonym", "boxer", "the name itself"),
    ("synonym", "killer whale", "another class's name"),
    ("synonym", "MISSILE", "another class's name"),
    ("synonym", "", "empty"),
    ("synonym", "", "empty"),
    ("descriptor", "Short coat", "repeated"),
    ("descriptor", "a a a a a a a", "too long"),
    ("descriptor", "f-16a/b", "another class's name"),
  ]
  assert all(drop.label == 0 for drop in reading.drops)


def test_two_classes_of_one_name_both_drop_it_as_their_own():
  reading = read([record(3, ["Missile", "rocket"])], (3,))
  assert reading.entries[3].synonyms == ("rocket",)
  assert reading.drops[0].reason == "the name itself"


def test_a_class_has_a_bounded_number_of_texts():
  reading = read([record(0, [f"name {i}" for i in range(1000)])], (0,))
  assert len(reading.entries[0].synonyms) == MAX_TEXTS
  assert {drop.reason for drop in reading.drops} == {"more than enough"}


@pytest.mark.parametrize(
  ("text", "cleaned"),
  [
    ("\u202eregnad\u202c", "regnad"),
    ("ze\u200bro\u2060 wi\u00addth", "zero width"),
    ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
    ("a\x00b\x1b[31mc\r\n\td", "ab[31mc d"),
    ("ﬁsh\u2028and\u00a0chips", "fish and chips"),
    ("lone \ud800surrogate", "lone surrogate"),
    ("cafe\u0301", "café"),
    ("{0.__class__} %s {weird}", "{0.__class__} %s {weird}"),
    ("\U000e0001tag\ue000", "tag"),
  ],
)
def test_texts_are_cleaned(text, cleaned):
  assert clean_text(text) == cleaned


@given(st.text(max_size=40))
def test_cleaning_is_complete(text):
  cleaned = clean_text(text)
  assert clean_text(cleaned) == cleaned
  assert all(unicodedata.category(c)[0] != "C" for c in cleaned)
  cleaned.encode("utf-8")


def test_marks_of_lists_and_quotes_go():
  reading = read(
    [record(0, ["- boxer dog", '"pugilist dog"', "“Boxer hound”", "U.S. dog."])]
  )
  assert reading.entries[0].synonyms == (
    "boxer dog",
    "pugilist dog",
    "Boxer hound",
    "U.S. dog.",
  )


def test_a_synonym_of_two_classes_is_dropped_from_both():
  entries = {
    4: Entry(("crane-bird", "Crane"), ("long neck",)),
    1: Entry(("crane", "lifting machine"), ("long neck",)),
  }
  kept, drops = drop_shared(entries)
  assert list(kept.items()) == [
    (1, Entry(("lifting machine",), ("long neck",))),
    (4, Entry(("crane-bird",), ("long neck",))),
  ]
  assert [(d.label, d.text, d.reason) for d in drops] == [
    (1, "crane", "claimed by several classes"),
    (4, "Crane", "claimed by several classes"),
  ]


JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-2, 6)
  | st.floats()
  | st.sampled_from(["boxer", "killer whale", "orca", "a-b", "A B", "1", ""])
  | st.text(max_size=20),
  lambda inner: (
    st.lists(inner, max_size=4)
    | st.dictionaries(
      st.sampled_from(
        ["classes", "index", "name", "synonyms", "descriptors", "x"]
      ),
      inner,
      max_size=5,
    )
  ),
  max_leaves=30,
)


@settings(deadline=None)
@given(JSON, st.text(max_size=10), st.integers(0, 30))
def test_whatever_comes_back_entries_keep_the_rules(value, around, cut):
  text = around + json.dumps(value) + around
  for given_text in (text, text[: len(text) - cut]):
    reading = read(given_text, wrap=False)
    assert set(reading.entries) <= {0, 1}
    assert len(reading.entries) == 2 or reading.problems
    for label, entry in reading.entries.items():
      keys = [written_key(t) for t in entry.synonyms]
      assert len(set(keys)) == len(keys) and not set(keys) & set(OWNERS.exact)
      assert entry.synonyms or entry.descriptors
      assert all(len(t.split()) <= MAX_WORDS for t in entry.synonyms)
      assert all(
        len(t.split()) <= MAX_DESCRIPTOR_WORDS for t in entry.descriptors
      )
      assert all(
        t and clean_text(t) == t for t in entry.synonyms + entry.descriptors
      )
      assert label in (0, 1)
