"""What a person copied from a chat: all answers, whatever is around them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_jax.lexicon.answers import Entry, NameOwners, read_answer
from s3_jax.lexicon.pasted import Refused, read_pasted
from s3_jax.lexicon.prompting import Job, write_request

NAMES = ("cat", "killer_whale", "tench", "crane")
OWNERS = NameOwners(NAMES)


def record(label, *synonyms, name=None):
  return {
    "index": label,
    "name": name or NAMES[label].replace("_", " "),
    "synonyms": list(synonyms),
    "descriptors": [f"looks like {label}"],
  }


def answer(*records):
  return json.dumps({"classes": list(records)}, indent=2)


def read(text):
  return read_pasted(text, NAMES, OWNERS)


def synonyms(pasted):
  return {label: entry.synonyms for label, entry in pasted.entries.items()}


CAT, WHALE = record(0, "mouser"), record(1, "orca", "grampus")
BOTH = {0: ("mouser",), 1: ("orca", "grampus")}


@pytest.mark.parametrize(
  "text",
  [
    answer(CAT, WHALE),
    json.dumps([CAT, WHALE]),
    f"```json\n{answer(CAT, WHALE)}\n```",
    f"Sure [see below]: {{ok}}\n```\n{answer(CAT, WHALE)}\n```\nMore? [y/n]",
    f"{answer(CAT)}\nand\n{answer(WHALE)}",
    f"```json\n{answer(CAT)}\n```\n\n```json\n{answer(WHALE)}```",
    answer(CAT, WHALE).replace('"', "”"),
    answer(CAT, WHALE).replace("]", ",]").replace("}", ",\n}"),
    answer(CAT, WHALE).replace("\n  ", "\n\u00a0 "),
    f"{answer(CAT)} {answer(WHALE).replace(chr(34), '“')}",
    # The end is missing: the window was full.
    answer(CAT, WHALE, record(2, "doctor fish"))[:-60],
    f"{answer(CAT)[:-4]}\n\nGo on\n\n{answer(WHALE)}",
  ],
)
def test_answers_in_every_wrapping(text):
  assert synonyms(read(text)) == BOTH
  assert read(text).refused == ()


def test_the_question_is_no_answer():
  job = Job(NAMES, "", "", None, None)
  prompt = write_request(job, (0, 1), 0).prompt
  pasted = read(f"{prompt}\n\n{answer(CAT)}")
  assert synonyms(pasted) == {0: ("mouser",)} and pasted.refused == ()
  assert read(prompt) == ({}, (), (), ())


def test_the_same_gate_as_for_an_endpoint():
  texts = [
    "Cat",
    "killer-whale",
    "",
    "a b c d e f",
    "gib",
    "Gib",
    "\u202egib cat",
  ]
  text = answer(record(0, *texts), record(1, "orca"))
  pasted = read(text)
  reading = read_answer(text, (0, 1), NAMES, OWNERS)
  assert (pasted.entries, pasted.drops) == (reading.entries, reading.drops)
  assert pasted.entries[0] == Entry(("gib", "gib cat"), ("looks like 0",))
  assert [drop.reason for drop in pasted.drops] == [
    "the name itself",
    "another class's name",
    "empty",
    "too long",
    "repeated",
  ]


def test_what_is_refused_is_listed():
  broken = {"index": 0, "name": "cat", "synonyms": ["cat"], "descriptors": []}
  text = answer(
    record(2, "x", name="lion"),
    record(9, "x", name="yak"),
    broken,
    {"name": 1, "synonyms": []},
    "prose",
  )
  assert read(text).refused == (
    Refused("2", "lion", "index and name disagree"),
    Refused("9", "yak", "class that was not asked about"),
    Refused("0", "cat", "class without a usable text"),
    Refused("", "1", "entry without a class index"),
    Refused("", "", "entry without a class index"),
  )


def test_the_last_answer_about_a_class_counts():
  later = record(0, "moggy", "cat", "tom")
  pasted = read(answer(CAT) + "Sorry, better:" + answer(later))
  assert synonyms(pasted) == {0: ("moggy", "tom")}
  assert pasted.repeated == (0,)
  assert [drop.text for drop in pasted.drops] == ["cat"]
  worse = {**CAT, "synonyms": [], "descriptors": []}
  pasted = read(answer(CAT) + answer(worse))
  assert synonyms(pasted) == {0: ("mouser",)} and pasted.repeated == ()


def test_curly_quotes_inside_good_json_stay():
  text = answer(record(0, "“tom” cat", "a ,] b"))
  assert synonyms(read(text)) == {0: ("“tom” cat", "a ,] b")}


@pytest.mark.parametrize("text", ["", "sorry", "[1, 2]", "{", "[" * 2000, "[]"])
def test_nothing_is_nothing(text):
  assert read(text) == ({}, (), (), ())


def test_a_heap_of_brackets_is_not_worked_through():
  text = "[x " * 10_000
  with pytest.raises(ValueError, match="at most 10,000 places"):
    read(text + answer(CAT))
  assert synonyms(read("[x " * 5000 + answer(CAT, WHALE))) == BOTH


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='[]{}",:“”\u00a0 \nindexame0synoymd.', max_size=200))
def test_any_text_is_read(text):
  pasted = read(text)
  assert set(pasted.entries) <= set(range(len(NAMES)))
  after = read(f"{text}\n\n{answer(WHALE)}")
  assert after.entries[1].synonyms == ("orca", "grampus")
