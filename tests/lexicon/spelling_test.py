"""Which spellings are one name, and which are not."""

import itertools

import pytest

from s3_jax.lexicon.spelling import (
  both_spellings,
  concept_keys,
  first_spellings,
  group_spellings,
  shared_concepts,
  spelling_key,
)


@pytest.mark.parametrize(
  ("first", "second"),
  [
    ("gray whale", "Grey_Whale"),
    ("airplane", "aeroplane"),
    ("colored pajamas", "coloured pyjamas"),
    ("T-shirt", "tee-shirt".replace("tee", "t")),
    ("hot dog", "hotdog"),
    ("hot-dog", "hot dog"),
    ("crème brûlée", "creme brulee"),
    ("jack o'lantern", "jack-o-lantern"),
    ("theater curtain", "theatre curtain"),
    ("m²", "M2"),
  ],
)
def test_spellings_of_one_name(first, second):
  assert spelling_key(first) == spelling_key(second) != ""


@pytest.mark.parametrize(
  ("first", "second"),
  [
    ("C++", "C#"),
    ("2.5", "25"),
    ("737-200", "737-300"),
    ("crane", "cranes"),
    ("flour", "flor"),
    ("sidewalk", "pavement"),
    ("中文", "中国"),
  ],
)
def test_names_that_differ(first, second):
  assert spelling_key(first) != spelling_key(second)


@pytest.mark.parametrize(
  ("one", "several"),
  [
    ("cat", "cats"),
    ("grey wolf", "gray wolves"),
    ("knife", "knives"),
    ("shoe", "shoes"),
    ("potato", "potatoes"),
    ("box", "boxes"),
    ("bus", "buses"),
    ("horse", "horses"),
    ("dish", "dishes"),
    ("daisy", "daisies"),
    ("cookie", "cookies"),
    ("fireman", "firemen"),
    ("computer mouse", "computer mice"),
    ("child", "children"),
    ("tire", "tyres"),
  ],
)
def test_one_and_several(one, several):
  assert concept_keys(one) & concept_keys(several)
  assert spelling_key(one) != spelling_key(several)


@pytest.mark.parametrize(
  ("first", "second"),
  [
    ("knee pad", "kneepads"),
    ("Pan's pipes", "pan pipe"),
    ("floor-wood", "wood floor"),
    ("trafficlight", "Traffic_Lights"),
    ("love in the mist", "love-in-a-mist"),
    ("the wine glasses", "a wine glass"),
    ("R.V.", "RV"),
    ("2012 Audi A4", "Audi A4 2012"),
    ("MD 80", "MD-80"),
    ("hammer and sickle", "sickle and hammer"),
    ("great grey owls", "great gray owl"),
    ("café", "cafes"),
    ("wolf", "wolves"),
    ("bookshelf", "book shelves"),
    ("midwife", "midwives"),
    ("giraffe", "giraffes"),
    ("lens", "lenses"),
    ("cyclamen", "cyclamens"),
    ("elf", "elves"),
    ("chili", "chillies"),
    ("crème brûlée", "creme brulees"),
    ("pie", "pies"),
    ("ski", "skis"),
    ("aeroplane cabin", "airplane cabins"),
  ],
)
def test_spellings_of_one_concept(first, second):
  assert concept_keys(first) & concept_keys(second)


@pytest.mark.parametrize(
  ("first", "second"),
  [
    ("bus", "bu"),
    ("glass", "glas"),
    ("tennis", "tenni"),
    ("737", "73"),
    ("sky", "skis"),
    ("cafe", "caves"),
    ("olive", "olif"),
    ("tube", "tubs"),
    ("cane", "cans"),
    ("pine", "pin"),
    ("glass", "glasses"),
    ("the woods", "wood"),
    ("ハス", "バス"),
    ("и", "й"),
    ("influenza A virus", "influenza virus"),
    ("2 dogs 3 cats", "3 dogs 2 cats"),
    ("A-frame house", "frame house"),
    ("Mercedes A-Class", "Mercedes class"),
    ("1.5 cats", "15 cats"),
    ("737-200", "7372-00"),
    ("B747-200", "747-200B"),
    ("C#", "C++"),
    ("grill", "grille"),
    ("stairs", "steps"),
    ("中文", "文中"),
  ],
)
def test_concepts_that_differ(first, second):
  assert not concept_keys(first) & concept_keys(second)


@pytest.mark.parametrize(
  "name", ["a", "the", "s", "...", "", " ", "of the", "猫"]
)
def test_any_text_has_a_key_that_is_stable(name):
  assert concept_keys(name) == concept_keys(name.upper().lower())
  assert len(concept_keys(name)) >= 1


def test_spellings_stand_together_in_their_order():
  names = (
    "kneepad",
    "patella guard",
    "knee pads",
    "Knee Pad",
    "guard, patella",
  )
  assert group_spellings(names) == (
    ("kneepad", "knee pads", "Knee Pad"),
    ("patella guard", "guard, patella"),
  )
  assert first_spellings(names) == ("kneepad", "patella guard")
  assert group_spellings(()) == ()


def test_what_is_grouped_hangs_on_no_order():
  names = ("kneepad", "pad knee", "knee pad")
  for order in itertools.permutations(names):
    assert group_spellings(order) == (order,)
  shared = shared_concepts([["dog house"], ["house dog"], ["dog houses"]])
  assert shared == ((("dog house", 0), ("house dog", 1), ("dog houses", 2)),)
  twice = shared_concepts([["knee pad", "kneepads"], ["kneepad", "pad knee"]])
  assert twice == ((("knee pad", 0), ("kneepad", 1)),)


def test_concepts_of_two_classes_are_found_however_they_are_spelled():
  names = [["stairs", "steps"], ["step", "stair"], ["path"]]
  assert shared_concepts(names) == (
    (("stairs", 0), ("stair", 1)),
    (("steps", 0), ("step", 1)),
  )
  assert shared_concepts([["bow"], ["bowl"]]) == ()


def test_both_spellings_of_a_text():
  assert both_spellings("gray fur") == ("gray fur", "grey fur")
  assert both_spellings("grey fur") == ("grey fur", "gray fur")
  assert both_spellings("brown fur") == ("brown fur",)
  assert both_spellings("gray parking meter") == (
    "gray parking meter",
    "grey parking meter",
  )
  mixed = both_spellings("gray tyre")
  assert mixed == ("gray tyre", "gray tire", "grey tyre")
