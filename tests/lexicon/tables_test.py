"""Every packaged table of a benchmark: complete, in order, without overlaps."""

import json
import re
import statistics
import unicodedata

import pytest

from s3_jax.lexicon import synonyms
from s3_jax.lexicon.synonyms import load_lexicon
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


def key(text: str) -> str:
  """Compares as a reader would: no case, hyphens and underscores as blanks."""
  text = unicodedata.normalize("NFKC", text).casefold()
  return re.sub(r"[\s_\-]+", " ", text).strip()


@pytest.fixture(scope="module", params=sorted(registry.TABLES))
def table(request):
  return request.param, load_lexicon(request.param)


def test_every_table_is_registered():
  files = {path.stem for path in synonyms.TABLES.glob("*.json")}
  assert files == {*registry.TABLES, "pictographs"}
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
  assert provenance["prompt_version"] >= 1


def test_sizes_of_entries(table):
  name, lexicon = table
  for entry in lexicon.classes:
    where = (name, entry.label, entry.name)
    if (name, entry.label) not in BACKGROUND:
      assert len(entry.synonyms) <= 10, where
    assert 3 <= len(entry.descriptors) <= 6, where
    assert all(len(text.split()) <= 5 for text in entry.synonyms), where
    assert all(len(text.split()) <= 12 for text in entry.descriptors), where
    texts = (*entry.names, *entry.descriptors)
    assert all(text == text.strip() for text in texts), where
    assert all(text.isprintable() for text in texts), where
    assert len(set(map(key, entry.names))) == len(entry.names), where


def test_no_text_belongs_to_two_classes(table):
  name, lexicon = table
  official: dict[str, set[int]] = {}
  owners: dict[str, set[int]] = {}
  for entry in lexicon.classes:
    official.setdefault(key(entry.name), set()).add(entry.label)
    for text in entry.synonyms:
      owners.setdefault(key(text), set()).add(entry.label)
  shared = {text: who for text, who in owners.items() if len(who) > 1}
  assert not shared
  taken = {text: who for text, who in owners.items() if text in official}
  assert not taken


def test_no_synonym_is_a_mere_hypernym(table):
  name, lexicon = table
  wrong = [
    (entry.name, text)
    for entry in lexicon.classes
    for text in entry.synonyms
    if key(text) in ANYWHERE | HYPERNYMS.get(name, set())
  ]
  assert not wrong


def test_imagenet_has_synonyms_wnids_and_subsets():
  lexicon = load_lexicon("imagenet")
  counts = [len(entry.synonyms) for entry in lexicon.classes]
  assert statistics.median(counts) >= 4
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
    assert len(classes[one].synonyms) >= 3 <= len(classes[other].synonyms)
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
      assert {key(text) for text in others} <= {*map(key, entry.synonyms)}
  if name == "imagenet":
    assert [entry.wnid for entry in lexicon.classes] == expected["wnids"]
    for subset in ("imagenet_a", "imagenet_r"):
      assert list(lexicon.subsets[subset]) == expected[subset]
