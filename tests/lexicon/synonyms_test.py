"""Tables of names: the packaged one, what the loader refuses, its views."""

import hashlib
import json
import random
import unicodedata

import pytest

from s3_jax.lexicon import captions, synonyms
from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.synonyms import (
  DEFAULT_KINDS,
  KINDS,
  load_lexicon,
  most_frequent_names,
  read_lexicon,
  split_kinds,
  texts_of_classes,
)


@pytest.fixture(scope="module")
def lexicon():
  return load_lexicon("pictographs")


@pytest.fixture(scope="module")
def record():
  path = synonyms.TABLES / "pictographs.json"
  return json.loads(path.read_text(encoding="utf-8"))


def fold(text: str) -> str:
  """Another way to compare: no white space at all, folded by decomposition."""
  folded = unicodedata.normalize("NFKD", text).casefold()
  return "".join(char for char in folded if not char.isspace())


def test_fields_are_those_of_the_file(lexicon, record):
  path = synonyms.TABLES / "pictographs.json"
  assert lexicon.dataset == record["dataset"] == "pictographs"
  assert json.loads(lexicon.provenance) == record["provenance"]
  assert lexicon.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
  for entry, row in zip(lexicon.classes, record["classes"], strict=True):
    assert list(entry.names) == [row["name"], *row["synonyms"]]
    assert entry.label == row["index"]
    assert list(entry.descriptors) == row["descriptors"]
    assert list(entry.polluted) == row["polluted"]
    assert list(entry.captioned) == row["captioned"]
    assert entry.codepoint == row["codepoint"]


def test_there_are_enough_classes_and_names(lexicon):
  assert len(lexicon.classes) == 90
  names = sum(len(entry.names) for entry in lexicon.classes)
  assert names / len(lexicon.classes) >= 4
  assert min(len(entry.names) for entry in lexicon.classes) >= 2


def test_every_class_has_its_own_picture(lexicon):
  codepoints = {entry.codepoint for entry in lexicon.classes}
  assert len(codepoints) == len(lexicon.classes)
  assert all(isinstance(codepoint, int) for codepoint in codepoints)


def test_names_are_short_and_clean(lexicon):
  for entry in lexicon.classes:
    for name in (*entry.names, *entry.polluted):
      assert 1 <= len(name.split()) <= 5, name
      assert name == " ".join(name.split()), name
      assert name == name.lower() and name.isprintable(), name


def test_no_name_belongs_to_two_classes(lexicon):
  owners = {}
  for entry in lexicon.classes:
    assert len({name.casefold() for name in entry.names}) == len(entry.names)
    for name in entry.names:
      assert owners.setdefault(fold(name), entry.label) == entry.label, name


def test_wrong_entries_are_wrong_everywhere(lexicon):
  right = {fold(name) for entry in lexicon.classes for name in entry.names}
  for entry in lexicon.classes:
    assert entry.polluted, entry.name
    for wrong in entry.polluted:
      assert fold(wrong) not in right, wrong


def test_descriptors_are_few_and_short(lexicon):
  for entry in lexicon.classes:
    assert 3 <= len(entry.descriptors) <= 6, entry.name
    assert len(set(entry.descriptors)) == len(entry.descriptors)
    for descriptor in entry.descriptors:
      assert 1 <= len(descriptor.split()) <= 12, descriptor


def test_captions_use_some_names_each_once(lexicon):
  held_out = 0
  for entry in lexicon.classes:
    assert entry.captioned and set(entry.captioned) <= set(entry.names)
    assert len(set(entry.captioned)) == len(entry.captioned)
    held_out += len(entry.names) - len(entry.captioned)
  assert held_out > 0


def test_official_names_are_the_draw(lexicon):
  # The table was written as captioned names by frequency, then held-out ones,
  # and the draw took one of them out. A held-out name's own place is lost, but
  # the draw must then have fallen behind the captioned ones.
  official_held_out = 0
  for entry in lexicon.classes:
    held_out = [x for x in entry.synonyms if x not in entry.captioned]
    order = [*entry.captioned, *held_out]
    if entry.name not in order:
      official_held_out += 1
      generator = random.Random(captions.OFFICIAL_NAME_SEED + entry.label)
      order.insert(int(generator.random() * len(entry.names)), entry.name)
      assert tuple(order[: len(entry.captioned)]) == entry.captioned
    assert captions.draw_official_name(order, entry.label) == entry.name
    assert [x for x in order if x != entry.name] == list(entry.synonyms)
  assert 0 < official_held_out < len(lexicon.classes)


def test_official_names_vary_in_frequency(lexicon):
  # As a real label set: neither always the common word nor never.
  common = sum(entry.captioned[0] == entry.name for entry in lexicon.classes)
  assert 0 < common < len(lexicon.classes) / 2


def tiny_table() -> dict:
  return {
    "schema": 1,
    "dataset": "tiny",
    "provenance": {"author": "a test"},
    "classes": [
      {
        "index": 0,
        "name": "fish",
        "synonyms": ["trout"],
        "descriptors": ["it swims"],
        "captioned": ["trout"],
        "codepoint": 9728,
      },
      {"index": 1, "name": "{weird}", "synonyms": [], "descriptors": []},
    ],
  }


@pytest.fixture
def write(tmp_path):
  def write(table):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return path

  return write


def test_optional_fields_are_empty(write):
  entry = load_lexicon(write(tiny_table())).classes[1]
  assert entry.names == ("{weird}",)
  assert (entry.polluted, entry.captioned, entry.codepoint) == ((), (), None)


@pytest.mark.parametrize("give", [str, lambda path: path])
def test_a_file_is_given_by_path(write, give):
  assert load_lexicon(give(write(tiny_table()))).dataset == "tiny"


def test_a_missing_table_lists_the_packaged_ones():
  with pytest.raises(ValueError, match="'pictogram'.*pictographs"):
    load_lexicon("pictogram")


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(ValueError, match="nosuch.json"):
    load_lexicon(tmp_path / "nosuch.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"schema": 1'])
def test_what_is_not_json_is_refused(tmp_path, content):
  path = tmp_path / "table.json"
  path.write_bytes(content)
  with pytest.raises(ValueError, match="table.json must be JSON"):
    load_lexicon(path)


@pytest.mark.parametrize(
  ("table", "value"),
  [([], r"\[\]"), ({}, "None"), ({"schema": 3}, "3"), ({"schema": "1"}, "'1'")],
)
def test_another_schema_is_refused(write, table, value):
  rule = rf"table.json: `schema` must be 1 or 2, got {value}\."
  with pytest.raises(ValueError, match=rule):
    load_lexicon(write(table))


@pytest.mark.parametrize("key", ["dataset", "provenance", "classes"])
@pytest.mark.parametrize("value", [None, 3])
def test_a_table_has_its_three_parts(write, key, value):
  with pytest.raises(ValueError, match=f"table.json: `{key}` must be .*None"):
    load_lexicon(write({k: v for k, v in tiny_table().items() if k != key}))
  with pytest.raises(ValueError, match=f"`{key}` must be .*{value}"):
    load_lexicon(write({**tiny_table(), key: value}))


def test_a_table_without_classes_is_refused(write):
  with pytest.raises(ValueError, match="at least one class, got 0"):
    load_lexicon(write({**tiny_table(), "classes": []}))


# What is wrong with the second class, and how the message ends.
FAULTS = {
  "no object": ("fish", "class 1 must be an object, got 'fish'"),
  "index absent": ({"index": None}, "`index` must count .*got None"),
  "index repeated": ({"index": 0}, "`index` must count .*got 0"),
  "index skipped": ({"index": 2}, "`index` must count .*got 2"),
  "index true": ({"index": True}, "`index` must count .*got True"),
  "name absent": ({"name": None}, "`name` must not be empty, got None"),
  "name empty": ({"name": " \t"}, r"`name` must not be empty, got ' \\t'"),
  "synonyms absent": (
    {"synonyms": None},
    "`synonyms` must be .* kind -> list, got N",
  ),
  "synonyms text": (
    {"synonyms": "eel"},
    "`synonyms` must be .* kind -> list, got 'eel",
  ),
  "synonym empty": ({"synonyms": [""]}, "must not hold an empty text, got ''"),
  "synonym number": ({"synonyms": [3]}, "must not hold an empty text, got 3"),
  "descriptors absent": ({"descriptors": None}, "`descriptors` must be a list"),
  "descriptor empty": ({"descriptors": [" "]}, "`descriptors` must not hold"),
  "wrong entry empty": ({"polluted": [""]}, "`polluted` must not hold"),
  "six words": (
    {"synonyms": ["one two three four five six"]},
    "at most 5 words, got 'one two three four five six'",
  ),
  "twice": ({"synonyms": ["eel", "eel"]}, "'eel' occurs twice"),
  "ligature": ({"name": "fish", "synonyms": ["ﬁsh"]}, "'ﬁsh' occurs twice"),
  "full width": ({"name": "fish", "synonyms": ["ＦＩＳＨ"]}, "occurs twice"),
  "spaces": ({"synonyms": ["sea eel", "sea  eel"]}, "'sea  eel' occurs twice"),
  "sharp s": ({"synonyms": ["straße", "STRASSE"]}, "'STRASSE' occurs twice"),
  "wrong and right": (
    {"synonyms": ["eel"], "polluted": ["Eel"]},
    "'Eel' occurs twice",
  ),
  "stranger": ({"captioned": ["cod"]}, r"`captioned` must .*got \['cod'\]"),
}


@pytest.mark.parametrize(("fault", "rule"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_class_is_named(write, fault, rule):
  table = tiny_table()
  sound = table["classes"][1]
  table["classes"][1] = {**sound, **fault} if type(fault) is dict else fault
  with pytest.raises(ValueError, match=rule) as caught:
    load_lexicon(write(table))
  message = str(caught.value)
  assert "table.json" in message and "class 1" in message
  assert "\n" not in message


def test_five_words_are_allowed(write):
  table = tiny_table()
  table["classes"][1]["synonyms"] = ["one two three four five"]
  assert load_lexicon(write(table)).classes[1].synonyms


@pytest.mark.parametrize(
  ("left", "right", "equal"),
  [
    ("ﬁsh", "fish", True),
    ("Fish", "fISH", True),
    (" sea\u00a0eel ", "sea eel", True),
    ("seaeel", "sea eel", False),
    ("café", "cafe\u0301", True),
    ("café", "cafe", False),
  ],
)
def test_comparison_key(left, right, equal):
  assert (comparison_key(left) == comparison_key(right)) is equal


def test_views_of_a_table(write):
  table = tiny_table()
  table["classes"][0]["polluted"] = ["bicycle"]
  table["classes"][1]["synonyms"] = ["Trout"]
  table["classes"][1]["captioned"] = ["Trout", "{weird}"]
  lexicon = load_lexicon(write(table))
  assert texts_of_classes(lexicon) == (("fish", "trout"), ("{weird}", "Trout"))
  assert most_frequent_names(lexicon.classes) == ("trout", "Trout")


def test_most_frequent_names_must_be_known(write):
  with pytest.raises(ValueError, match=r"class 1 \('{weird}'\)"):
    most_frequent_names(load_lexicon(write(tiny_table())).classes)


def kinds_table() -> dict:
  table = tiny_table()
  table["schema"] = 2
  table["classes"][0] |= {
    "synonyms": {
      "archaic": ["fysshe"],
      "scientific": ["Pisces"],
      "spelling": ["fishes"],
      "common": ["trout"],
    }
  }
  return table


def test_synonyms_have_kinds(write):
  first, second, *_ = load_lexicon(write(kinds_table())).classes
  assert first.names == ("fish", "trout", "fishes", "Pisces", "fysshe")
  assert first.by_kind == {
    "common": ("trout",),
    "spelling": ("fishes",),
    "scientific": ("Pisces",),
    "archaic": ("fysshe",),
  }
  assert first.concepts[:2] == (("fish", "fishes"), ("trout",))
  assert first.only().names == ("fish", "trout", "fishes")
  assert first.only(("archaic",)).names == ("fish", "fysshe")
  assert first.only(()).names == ("fish",)
  assert first.only().captioned == first.captioned
  # Of a list all are common names.
  assert set(second.by_kind) <= {"common"} and second.only() == second._replace(
    kinds=("common",) * len(second.synonyms)
  )


@pytest.mark.parametrize(
  ("synonyms", "rule"),
  [
    ({"latin": ["Pisces"]}, "must have kinds of common, .*, got 'latin'"),
    ({"common": "trout"}, "`common` must be a list, got 'trout'"),
    ({"common": ["trout", ""]}, "must not hold an empty text"),
    ({"common": ["trout"], "code": ["TROUT"]}, "'TROUT' occurs twice"),
  ],
)
def test_a_faulty_kind_is_named(write, synonyms, rule):
  table = kinds_table()
  table["classes"][0] |= {"synonyms": synonyms, "captioned": []}
  with pytest.raises(ValueError, match=rule) as caught:
    load_lexicon(write(table))
  assert "class 0" in str(caught.value)


def test_kinds_are_asked_for_behind_the_table(write):
  path = str(write(kinds_table()))
  assert split_kinds(f"{path}+scientific") == (
    path,
    ("common", "spelling", "scientific"),
  )
  assert split_kinds("imagenet+all") == ("imagenet", tuple(KINDS))
  assert split_kinds("+code+brand")[1] == (*DEFAULT_KINDS, "brand", "code")
  for source in ("imagenet", path, "", "cat, C+code", "a+b", "C++", "x\n+code"):
    assert split_kinds(source) == (source, DEFAULT_KINDS)
  with pytest.raises(ValueError, match="after \"\\+\", got 'latin'"):
    split_kinds("imagenet+latin")
  names = [e.names for e in read_lexicon(f"{path}+archaic").classes]
  assert names[0] == ("fish", "trout", "fishes", "fysshe")
  assert len(read_lexicon("imagenet+all").classes[0].names) > 0


def test_no_kind_hides_another(write):
  text = json.dumps(kinds_table()).replace('"archaic"', '"common"')
  path = write(kinds_table())
  path.write_text(text)
  with pytest.raises(ValueError, match="'common' must stand once in an object"):
    load_lexicon(path)
