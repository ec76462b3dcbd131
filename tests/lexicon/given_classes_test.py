"""Classes as they are given: from anywhere, with their texts, or refused."""

import hashlib
import json

import pytest

from s3_jax.lexicon.given_classes import (
  class_entries,
  is_list,
  read_classes,
  read_written_classes,
  shared_texts,
)
from s3_jax.lexicon.synonyms import TABLES, load_lexicon


@pytest.fixture
def write(write):
  """The same, with a path as a config has it."""
  return lambda name, content: str(write(name, content))


def test_names_between_commas_are_their_own_texts():
  classes = read_classes("sun, killer_whale ,apple__pie")
  assert classes.names == ("sun", "killer_whale", "apple__pie")
  assert classes.texts == (("sun",), ("killer whale",), ("apple pie",))
  assert classes.title == "classes"
  assert read_classes("sun,").names == ("sun",)
  assert read_classes(["a, b", "c"]).names == ("a, b", "c")
  assert read_classes(",".join(f"name {n}" for n in range(500))).names[499]


def test_a_packaged_table_brings_its_synonyms():
  classes = read_classes("oxford_pets")
  lexicon = load_lexicon("oxford_pets")
  assert classes.title == "oxford_pets"
  assert classes.names == tuple(entry.name for entry in lexicon.classes)
  assert classes.texts == tuple(entry.only().names for entry in lexicon.classes)


def test_files_of_every_kind(write):
  bins = read_classes(write("bins.csv", "tabby,cat\nPug,dog\nsiamese,cat\n"))
  assert (bins.title, bins.names) == ("bins", ("cat", "dog"))
  assert bins.texts == (("tabby", "siamese"), ("Pug",))
  own = read_classes(write("a.json", {"x": ["a", "A", " "], "y": []}))
  assert own.texts == (("a",), ("y",))
  assert (own.unnamed, own.repeated, own.empty) == ((1,), 1, 1)
  lines = read_classes(write("lines.txt", "n01440764 tench\ngreat_white\n"))
  assert lines.names == ("tench", "great_white")
  assert lines.texts == (("tench",), ("great white",))


@pytest.mark.parametrize(
  "text",
  [
    "cat: cat, kitten\ndog: dog",
    "1. cat\n2. killer_whale",
    "- hen\r\n- cock\r\n",
    '{"cat": ["cat", "kitten"],\n "dog": []}',
    "name\ttext\ncat\tkitten\ncat\ttabby",
    "n01440764 tench\nn01443537 goldfish",
  ],
)
def test_what_is_written_is_what_a_file_would_be(write, text):
  written = read_written_classes(f"\n{text}\n")
  in_file = read_classes(write("classes.txt", text))
  assert (written.names, written.texts) == (in_file.names, in_file.texts)


def test_a_table_that_is_written_is_the_table():
  text = (TABLES / "dtd.json").read_text("utf-8")
  table = read_classes("dtd")
  for written in (read_written_classes(text), read_written_classes("dtd ")):
    assert written.names == table.names and written.texts == table.texts
  broken = text.replace('"schema": ', '"schema": 9', 1)
  with pytest.raises(ValueError, match="`classes`: `schema` must be"):
    read_written_classes(broken)


def test_what_is_written_opens_no_file(write):
  path = write("classes.txt", "cat\ndog")
  with pytest.raises(ValueError, match="there is no such file or table"):
    read_written_classes(path)
  assert read_written_classes("cat, dog").names == ("cat", "dog")
  assert read_written_classes("cat: kitten").texts == (("kitten",),)
  for nothing in ("", " \n ", "#"):
    with pytest.raises(ValueError, match="`classes` must"):
      read_written_classes(nothing)


def test_a_file_wins_over_a_table_of_its_name(write, tmp_path, monkeypatch):
  write("voc", "sun\n")
  monkeypatch.chdir(tmp_path)
  assert read_classes("voc").names == ("sun",)


def test_the_digest_is_of_names_and_texts():
  classes = read_classes("a,b")
  content = json.dumps([["a", "b"], [["a"], ["b"]]])
  assert classes.sha256 == hashlib.sha256(content.encode()).hexdigest()
  assert classes.sha256 != read_classes("b,a").sha256


def test_shared_texts_are_found_however_they_are_spelled():
  texts = [("Crane", "bird"), ("crane", "machine"), ("eel",), ("BIRD",)]
  assert shared_texts(texts) == (("Crane", (0, 1)), ("bird", (0, 3)))
  assert shared_texts([("a", "A")]) == ()


@pytest.mark.parametrize(
  ("source", "message"),
  [
    ("imagnet", "names between commas, a file of names, or a packaged table"),
    ("no/such.csv", "got 'no/such.csv': there is no such file or table"),
    ("", "got ''"),
    ("a,,b", "'' as class 1"),
    ("a,\u200b", "as class 1"),
    ("a,___", "'___' as class 1"),
    ("a,\udce9", "as class 1"),
    (("a", 1), "1 as class 1"),
    ((), "at least one class"),
  ],
)
def test_what_names_no_class_is_refused(source, message):
  with pytest.raises(ValueError, match=message) as error:
    read_classes(source)
  assert "`classes`" in str(error.value)


def test_texts_that_cannot_be_read_are_refused(write):
  path = write("a.json", '{"a": ["x", "\\u200b"]}')
  with pytest.raises(
    ValueError, match="texts that can be read, got .* class 0"
  ):
    read_classes(path)


def test_a_list_may_stand_in_the_config_as_python_writes_it():
  for source in ("['cat', 'sea lion']", '["cat", "sea lion"]'):
    assert read_classes(source).names == ("cat", "sea lion")
  assert read_classes("{0: 'cat', 1: 'dog'}").names == ("cat", "dog")
  own = read_classes('{"cat": ["tom", "tabby"]}')
  assert own.texts == (("tom", "tabby"),)
  numbered = read_classes("0: cat, 1: dog")
  assert numbered.names == ("cat", "dog")
  assert "numbers from 0 before the names left out" in numbered.taken
  with pytest.raises(ValueError, match="`classes`: what begins with a brack"):
    read_classes("[cat, dog]")


def test_what_was_taken_is_said(write):
  path = write("bins.csv", "kind,bin\ntom,cat\ntabby,cat\npug,dog\n")
  classes = read_classes(path)
  assert classes.names == ("cat", "dog")
  said = "bins.csv: 2 classes, 3 texts; first line taken as a header."
  assert classes.taken == said
  assert read_classes("cat,dog").taken == read_classes("voc").taken == ""


def test_names_alone_are_those_of_the_classes(write):
  """The generator asks about the classes of a table, not about its lines."""
  path = write("pets.csv", "tabby,cat\nsiamese,cat\npuppy,dog\n")
  classes = read_classes(path)
  assert (classes.names, classes.title) == (("cat", "dog"), "pets")


def test_entries_for_a_benchmark(write):
  path = write("a.txt", "n01440764 tench\nn01443537 Gold_Fish\n")
  first, second = class_entries(read_classes(path))
  assert (first.name, first.wnid, first.names) == (
    *("tench", "n01440764"),
    ("tench",),
  )
  assert second.names == ("Gold Fish",) and second.label == 1
  (own,) = class_entries(read_classes(write("b.json", {"cat": ["tom"]})))
  assert own.names == ("cat", "tom")


@pytest.mark.parametrize(
  ("source", "expected"), [("a.txt", True), ("voc", False), ("a,b", True)]
)
def test_lists_are_told_from_tables(write, source, expected):
  source = write(source, "cat\n") if source.endswith("txt") else source
  assert is_list(source) is expected
  assert not is_list("no_such_file.json")
  assert not is_list(str(TABLES / "voc.json"))
  assert is_list(write("b.json", ["cat"]))


def test_kinds_of_synonyms_of_a_table(write):
  table = {
    "schema": 2,
    "dataset": "mine",
    "provenance": {},
    "classes": [
      {
        "index": 0,
        "name": "gray_owl",
        "synonyms": {
          "common": ["spectral owl"],
          "spelling": ["grey owls"],
          "scientific": ["Strix nebulosa"],
        },
        "descriptors": [],
      }
    ],
  }
  path = write("mine.json", table)
  default = (("gray owl", "spectral owl", "grey owls"),)
  every = ((*default[0], "Strix nebulosa"),)
  assert read_classes(path).texts == default
  assert "of other kinds left out: 1, +all" in read_classes(path).taken
  assert read_classes(path).concepts == (("gray owl", "spectral owl"),)
  assert read_classes(f"{path}+scientific").texts == every
  assert read_written_classes(json.dumps(table)).texts == default
  assert not is_list(f"{path}+scientific") and not is_list("voc+all")
  voc, more = read_classes("voc"), read_classes("voc+all")
  assert voc.names == more.names and voc.sha256 != more.sha256
  for few, all_of in zip(voc.texts, more.texts, strict=True):
    assert set(few) <= set(all_of)


def test_texts_of_two_classes_are_found_in_any_spelling():
  shared = shared_texts([["stairs", "steps"], ["step"], ["path", "track"]])
  assert shared == (("steps", (0, 1)),)
