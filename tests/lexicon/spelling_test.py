"""Which spellings are one name, and which are not."""

import pytest

from s3_jax.lexicon.spelling import number_keys, spelling_key


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
  assert number_keys(one) & number_keys(several)
  assert spelling_key(one) != spelling_key(several)


@pytest.mark.parametrize(
  ("first", "second"),
  [("bus", "bu"), ("glass", "glas"), ("tennis", "tenni"), ("737", "73")],
)
def test_no_plural_is_made_up(first, second):
  assert not number_keys(first) & number_keys(second)
