"""Spellings: forgiven in words, never in numbers, never between two classes."""

import pytest

from s3_jax.lexicon.matching import finder
from s3_jax.lexicon.spelling import is_number, loose_key, plain_key


@pytest.mark.parametrize(
  ("spelling", "names"),
  [
    ("-1", ["1", "2"]),
    ("+1", ["1", "2"]),
    ("1.0", ["10", "2"]),
    ("2.5", ["25", "3"]),
    ("1,5", ["15", "3"]),
    ("1/2", ["12", "3"]),
    ("1-2", ["12", "3"]),
    (".5", ["5", "3"]),
    ("1e-5", ["1e5", "3"]),
    ("(1)", ["1", "2"]),
    ("#1", ["1", "2"]),
    ("50%", ["50", "2"]),
    ("²", ["2", "3"]),
    ("grade -1", ["grade 1"]),
    ("v 2.5", ["v 25"]),
    ("C#", ["C++", "Java"]),
    ("C", ["C++", "C#"]),
    ("A+", ["A", "B"]),
    ("!!!", ["1", "2"]),
    ("", ["1"]),
  ],
)
def test_other_names_are_not_found(spelling, names):
  assert finder(names, {})(spelling) == ()


@pytest.mark.parametrize(
  ("spelling", "name"),
  [
    ("-1", "-1"),
    ("2.50", "2.50"),
    ("１", "1"),
    ("C#", "c#"),
    ("sea-lion", "Sea_Lion"),
    ("St Bernard", "st. bernard"),
    ("F_16A B", "F-16A/B"),
    ("DC3", "DC-3"),
    ("Bugatti Veyron 16.4 2009", "2009 Bugatti Veyron 16.4"),
    ("$$$", "$$$"),
  ],
)
def test_the_same_name_is_found(spelling, name):
  assert finder(["other", name], {})(spelling) == (1,)


def test_a_looser_spelling_of_two_classes_names_none():
  find = finder(["pull-ups", "pull/ups"], {})
  assert find("pullups") == ()
  assert find("Pull-Ups") == (0,)
  # Two classes of one name are another matter: both have it.
  assert finder(["missile", "missile"], {})("Missile") == (0, 1)


def test_keys():
  assert plain_key(" Sea__Lion ") == "sea lion"
  assert loose_key("Model 2.5-b") == "model2.5b"
  assert loose_key("707-320") == loose_key("-1") == loose_key("1e5") == ""
  assert [is_number(t) for t in ("7", "-1", "2.", ".5", "1e3", "1e", "x")] == [
    *(True, True, True, True, True, False, False)
  ]
