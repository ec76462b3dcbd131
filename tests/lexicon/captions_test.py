"""Captions: how often each name occurs, and which never do."""

import collections
import random

import pytest

from s3_jax.lexicon import captions
from s3_jax.lexicon.synonyms import load_lexicon

NAMES = ("zyx one", "zyx two", "zyx three", "zyx four")


def find_name(caption: str, names=NAMES) -> str:
  (name,) = (name for name in names if name in caption)
  return name


@pytest.mark.parametrize("count", [1, 2, 7])
def test_weights_fall_as_the_square_of_the_rank(count):
  weights = captions.name_weights(count)
  assert sum(weights) == pytest.approx(1)
  for rank, weight in enumerate(weights, 1):
    assert weight / weights[0] == pytest.approx(1 / rank**2)


def test_names_occur_by_their_weights():
  generator = random.Random(5)
  drawn = 8000
  counts = collections.Counter(
    find_name(captions.sample_caption(generator, NAMES)) for _ in range(drawn)
  )
  # 1 : 1/4 : 1/9 : 1/16, written out. 3 degrees of freedom: 16.3 at 0.001.
  shares = [144 / 205, 36 / 205, 16 / 205, 9 / 205]
  chi_square = sum(
    (counts[name] - drawn * share) ** 2 / (drawn * share)
    for name, share in zip(NAMES, shares, strict=True)
  )
  assert chi_square < 16.3
  assert sum(counts.values()) == drawn


def test_templates_occur_alike_and_hold_one_place():
  assert len(set(captions.CAPTION_TEMPLATES)) == len(captions.CAPTION_TEMPLATES)
  assert all(text.count("{}") == 1 for text in captions.CAPTION_TEMPLATES)
  generator = random.Random(6)
  drawn = 4000
  counts = collections.Counter(
    captions.sample_caption(generator, ["zyx"]) for _ in range(drawn)
  )
  filled = {text.replace("{}", "zyx") for text in captions.CAPTION_TEMPLATES}
  assert set(counts) == filled
  expected = drawn / len(filled)
  chi_square = sum((n - expected) ** 2 / expected for n in counts.values())
  assert chi_square < 37.7  # 15 degrees of freedom at 0.001


def test_some_captions_are_described():
  generator = random.Random(7)
  described = 0
  for _ in range(2000):
    caption = captions.sample_caption(generator, NAMES, ("has a qux", "is wee"))
    if ", has a qux." in caption or ", is wee." in caption:
      described += 1
      assert "..," not in caption and caption.count(".") == 1
    else:
      assert "qux" not in caption and "wee" not in caption
  # 0.15 of 2000, four standard deviations of 16 either way.
  assert 236 <= described <= 364


def test_held_out_names_never_occur():
  lexicon = load_lexicon("pictographs")
  generator = random.Random(8)
  checked = 0
  for entry in lexicon.classes:
    held_out = set(entry.names) - set(entry.captioned)
    templates = captions.CAPTION_TEMPLATES
    forbidden = {text.replace("{}", x) for text in templates for x in held_out}
    allowed = {
      text.replace("{}", x) for text in templates for x in entry.captioned
    }
    checked += len(held_out)
    for _ in range(60):
      caption = captions.sample_caption(generator, entry.captioned)
      assert caption in allowed
      assert caption not in forbidden - allowed
  assert checked > 20


def test_braces_in_a_name_stay_braces():
  generator = random.Random(9)
  for _ in range(50):
    caption = captions.sample_caption(generator, ["{weird} {0}"])
    assert "{weird} {0}" in caption


def test_captions_depend_on_the_generator_alone():
  first, again, other = (
    [captions.sample_caption(random.Random(s), NAMES) for s in seeds]
    for seeds in (range(20), range(20), range(20, 40))
  )
  assert first == again != other


def test_official_names_are_drawn_once_and_for_all():
  # Golden: a change would rename the classes of every published table.
  drawn = [captions.draw_official_name("abcdefg", i) for i in range(12)]
  assert "".join(drawn) == "dgccgeebefea"
  assert drawn == [captions.draw_official_name("abcdefg", i) for i in range(12)]


def test_official_names_are_drawn_evenly():
  counts = collections.Counter(
    captions.draw_official_name("abcd", index) for index in range(2000)
  )
  chi_square = sum((counts[x] - 500) ** 2 / 500 for x in "abcd")
  assert chi_square < 16.3  # 3 degrees of freedom at 0.001
