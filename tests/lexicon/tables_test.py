"""Every packaged table of a benchmark: complete, in order, without overlaps."""

import json
import re

import pytest

from s3_jax.lexicon import synonyms
from s3_jax.lexicon.spelling import (
  american,
  concept_words,
  group_spellings,
  plain_key,
  shared_concepts,
)
from s3_jax.lexicon.synonyms import DEFAULT_KINDS, load_lexicon
from s3_jax.lexicon.vertices import described
from tests.lexicon import registry

# Words that name a whole branch of things: alone they tell no classes apart.
ANYWHERE = {"animal", "vehicle", "furniture", "thing", "object", "container"}
HYPERNYMS = {
  "imagenet": {
    *("dog", "cat", "bird", "fish", "snake", "insect", "spider", "monkey"),
    *("mammal", "reptile", "fruit", "food", "building", "car", "tool"),
    *("instrument", "clothing", "plant", "lizard", "shark", "hound", "fungus"),
  },
  "caltech101": {"dog", "cat", "bird", "fish", "insect", "flower", "boat"},
  "oxford_pets": {"dog", "cat", "pet", "puppy", "kitten", "terrier", "hound"},
  "stanford_cars": {
    "car",
    "sedan",
    "coupe",
    "suv",
    "van",
    "truck",
    "hatchback",
  },
  "oxford_flowers102": {"flower", "plant", "blossom", "bloom", "wildflower"},
  "food101": {"food", "dish", "dessert", "meal", "snack"},
  "fgvc_aircraft": {"aircraft", "airplane", "plane", "jet", "airliner"},
  "sun397": {"place", "scene", "room", "building", "outdoors", "interior"},
  "dtd": {"texture", "pattern", "surface", "material"},
  "eurosat": {"land", "satellite image"},
  "ucf101": {"action", "sport", "exercise", "playing"},
}
REFERENCE = {
  "voc": "seg_voc21",
  "pascal_context": "seg_context60",
  "coco_object": "seg_coco_object",
  "coco_stuff": "seg_coco_stuff",
  "cityscapes": "seg_city_scapes",
  "ade20k": "seg_ade20k",
}
BACKGROUND = {("voc", 0), ("pascal_context", 0), ("coco_object", 0)}


# Texts that a benchmark's protocol gives a class, whatever we think of them.
PROTOCOL = {
  ("voc", "background"),
  ("voc", "person"),
  ("coco_object", "background"),
  ("coco_object", "person"),
}
INDECENT = re.compile(
  r"wood pussy|invalid chair|eskimo|g[iy]psy|squaw|negro", re.IGNORECASE
)
# Alone they are first of all something else.
BARE = {
  *("leo", "chi", "chin", "frank", "pool", "sub", "ounce", "sammy", "affen"),
  *("grand", "cans", "hoops", "shades", "study", "posting", "walker", "body"),
}
OUT_OF_PLACE = {  # in the data set's own template
  "eurosat": r"satellite|image|photo",
  "dtd": r"textures?",
  "sun397": r"(photo|image|picture) of",
}
BEGINNINGS = re.compile(
  r"(inside|interior of|in|at|on|outside|with|full of|under|of|from|by|for|near"
  r"|above|along|against|around|behind|between|held|set|seen) ",
  re.IGNORECASE,
)
NEGATION = (
  r"no|not|without|never|none|neither|nor|lacks?|lacking|absent|missing"
)
HEDGE = (
  r"often|sometimes|usually|typically|some|may|might|can|could|perhaps"
  r"|possibly|mostly|generally|occasionally|commonly|frequently"
)


def has_word(pattern: str, text: str) -> bool:
  return re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE) is not None


def holds(words: tuple[str, ...], part: tuple[str, ...]) -> bool:
  starts = range(len(words) - len(part) + 1)
  return any(words[start : start + len(part)] == part for start in starts)


@pytest.fixture(scope="module", params=sorted(registry.TABLES))
def table(request):
  return request.param, load_lexicon(request.param)


def test_every_table_is_registered():
  files = {path.stem for path in synonyms.TABLES.glob("*.json")}
  assert files == {*registry.TABLES, "emoji", "pictographs"}
  assert tuple(registry.TABLES) == synonyms.BENCHMARK_TABLES


def test_bytes_and_official_names_are_those_registered(table):
  name, lexicon = table
  row = registry.TABLES[name]
  assert lexicon.dataset == name
  assert len(lexicon.classes) == row.classes
  assert lexicon.sha256 == row.sha256
  assert registry.names_sha256(lexicon) == row.names_sha256


def test_provenance_says_who_wrote_it_and_when(table):
  provenance = json.loads(table[1].provenance)
  assert "large language model" in provenance["author"]
  assert re.fullmatch(r"\d{4}-\d\d-\d\d", provenance["date"])
  assert provenance["version"] == 2
  assert "judgement" in provenance["captioned"]


def test_sizes_of_entries(table):
  name, lexicon = table
  for entry in lexicon.classes:
    where = (name, entry.label, entry.name)
    if (name, entry.label) not in BACKGROUND:
      assert len(entry.synonyms) <= 10, where
    assert 1 <= len(entry.descriptors) <= 6, where
    assert all(len(text.split()) <= 5 for text in entry.synonyms), where
    texts = (*entry.names, *entry.descriptors)
    assert all(text == text.strip() for text in texts), where
    assert all(text.isprintable() and "  " not in text for text in texts), where


def test_every_synonym_has_the_kind_that_it_is(table):
  name, lexicon = table
  for entry in lexicon.classes:
    where = (name, entry.label, entry.name)
    kinds = entry.by_kind
    common = [entry.names[0], *kinds.get("common", ())]
    # Common names are concepts of their own; spellings belong to one of them.
    assert len(group_spellings(common)) == len(common), where
    both = (*common, *kinds.get("spelling", ()))
    assert len(group_spellings(both)) == len(common), where
    others = [
      text
      for kind, texts in kinds.items()
      if kind not in DEFAULT_KINDS
      for text in texts
    ]
    alone = len(group_spellings((*common, *others))) - len(common)
    assert alone == len(group_spellings(others)), where
    assert len(kinds.get("scientific", ())) <= 1, where


def test_no_concept_belongs_to_two_classes(table):
  name, lexicon = table
  official = [entry.names[:1] for entry in lexicon.classes]
  twins = set(shared_concepts(official))
  names = [entry.names for entry in lexicon.classes]
  assert set(shared_concepts(names)) == twins
  if name != "imagenet":
    assert not twins


def test_the_name_that_captions_use_most_is_one_of_the_class(table):
  name, lexicon = table
  for entry in lexicon.classes:
    assert len(entry.captioned) == 1, (name, entry.label)
    assert entry.captioned[0] in entry.only((*DEFAULT_KINDS, "brand")).names


def test_no_synonym_is_indecent_or_bare(table):
  name, lexicon = table
  for entry in lexicon.classes:
    for text in entry.synonyms:
      assert not INDECENT.search(text), (name, text)
      if (name, entry.name) not in PROTOCOL:
        assert text.casefold() not in BARE, (name, text)


def test_names_fit_the_template(table):
  name, lexicon = table
  words = OUT_OF_PLACE.get(name, "(?!)")
  for entry in lexicon.classes:
    for text in entry.synonyms:
      assert not BEGINNINGS.match(text), (name, text)
      assert not has_word(words, text), (name, text)


def test_descriptors_are_visible_things_of_one_class(table):
  name, lexicon = table
  owners: dict[str, int] = {}
  for entry in lexicon.classes:
    own = concept_words(entry.names[0])
    for text in entry.descriptors:
      where = (name, entry.name, text)
      assert owners.setdefault(text.casefold(), entry.label) == entry.label, (
        where
      )
      assert 3 <= len(text.split()) <= 12, where
      assert not has_word(NEGATION, text), where
      assert not has_word(HEDGE, text), where
      assert not has_word("or", text), where
      assert described("It", text) == f"It, which has {text}", where
      assert not BEGINNINGS.match(text), where
      assert text[-1] not in ".,", where
      assert text == american(text), where
      assert not set(own) <= set(concept_words(text)), where


def test_no_name_of_a_region_holds_the_name_of_another(table):
  name, lexicon = table
  if name not in REFERENCE:
    return
  official = [concept_words(entry.names[0]) for entry in lexicon.classes]
  for entry in lexicon.classes:
    spellings = group_spellings(entry.names)[0]
    for text in entry.synonyms:
      if text in spellings or (name, entry.name) in PROTOCOL:
        continue
      inside = [
        lexicon.classes[label].name
        for label, other in enumerate(official)
        if label != entry.label and holds(concept_words(text), other)
      ]
      assert not inside, (name, entry.name, text, inside)


def test_no_synonym_is_a_mere_hypernym(table):
  name, lexicon = table
  wrong = [
    (entry.name, text)
    for entry in lexicon.classes
    for text in entry.synonyms
    if plain_key(text) in ANYWHERE | HYPERNYMS.get(name, set())
    and not entry.name.endswith("-other")  # is a hypernym
  ]
  assert not wrong


def test_imagenet_has_synonyms_wnids_and_subsets():
  lexicon = load_lexicon("imagenet")
  wnids = [entry.wnid for entry in lexicon.classes]
  assert all(wnid and re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
  assert wnids == sorted(set(wnids))
  assert {name: len(who) for name, who in lexicon.subsets.items()} == {
    "imagenet_a": 200,
    "imagenet_r": 200,
  }
  shared = set(lexicon.subsets["imagenet_a"]) & set(
    lexicon.subsets["imagenet_r"]
  )
  assert len(shared) == 86


def test_twins_of_imagenet_are_told_apart():
  classes = load_lexicon("imagenet").classes
  for one, other in ((657, 744), (836, 837)):
    assert classes[one].name == classes[other].name
    assert len(classes[one].only().synonyms) >= 1
    assert len(classes[other].only().synonyms) >= 1
    assert not set(classes[one].descriptors) & set(classes[other].descriptors)


def test_official_names_are_those_of_the_reference(table, reference):
  name, lexicon = table
  file = reference / "class_names" / f"{REFERENCE.get(name, name)}.json"
  expected = json.loads(file.read_text(encoding="utf-8"))
  for entry, official in zip(lexicon.classes, expected["names"], strict=True):
    if name not in REFERENCE:
      assert entry.name == official
      continue
    # One class a line; its first name is the official one, but background's.
    first, *others = (part.strip() for part in official.split(","))
    assert entry.name == (
      "background" if (name, entry.label) in BACKGROUND else first
    )
    if (name, entry.label) not in BACKGROUND:
      spellings = {*map(plain_key, entry.synonyms)}
      assert {*map(plain_key, others)} <= spellings
  if name == "imagenet":
    assert [entry.wnid for entry in lexicon.classes] == expected["wnids"]
    for subset in ("imagenet_a", "imagenet_r"):
      assert list(lexicon.subsets[subset]) == expected[subset]
