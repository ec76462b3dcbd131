"""Records are read from mappings: types, rules, messages, nesting."""

import math
from typing import Annotated, Any, NamedTuple

import pytest

from s3_jax.fields import (
  Count,
  Fraction,
  Given,
  Inline,
  NonNegative,
  Rule,
  Share,
  Where,
  Words,
  flat_fields,
  raw,
  read,
  read_value,
  words,
)


class Size(NamedTuple):
  width: Count
  height: Count = 2

  def check(self, where: Where) -> None:
    if self.height > self.width:
      where.at("height").refuse(f"must be <= {self.width}", self.height)


class Spot(NamedTuple):
  x: float = 0.0
  y: NonNegative = 1.5


def _split(value, where):
  if not value:
    where.refuse("must name a folder", value)
  return tuple(value.split("/"))


class Picture(NamedTuple):
  name: str
  size: Size
  spot: Inline[Spot]
  everything: Given
  kind: Annotated[str, Rule(choices=("a", "b"))] = ""
  parts: tuple[Size, ...] = ()
  weights: dict[str, Fraction | None] = {}
  limit: int | None = None
  folder: Annotated[tuple[str, ...], Rule(given=str, read=_split)] = raw("a/b")


LEAST = {"name": "n", "size": {"width": 3}}


def test_a_record_is_made_of_a_mapping_and_its_defaults():
  picture = read(Picture, LEAST)
  assert picture == Picture(
    "n", Size(3, 2), Spot(0.0, 1.5), LEAST, folder=("a", "b")
  )
  assert picture.everything is LEAST
  given = {
    **LEAST,
    "x": 2,
    "kind": "b",
    "parts": [{"width": 2}, {"width": 5, "height": 5}],
    "weights": {"u": 1, "v": None},
    "limit": 3,
    "folder": "c",
  }
  assert read(Picture, given) == Picture(
    name="n",
    size=Size(3, 2),
    spot=Spot(2.0, 1.5),
    everything=given,
    kind="b",
    parts=(Size(2, 2), Size(5, 5)),
    weights={"u": 1.0, "v": None},
    limit=3,
    folder=("c",),
  )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"name": ...}, "`config.name` must be set, and is absent."),
    ({"name": 3}, "`config.name` must be of type str, got 3."),
    ({"size": 3}, "`config.size` must be of type dict, got 3."),
    ({"size": {}}, "`config.size.width` must be set, and is absent."),
    ({"size": {"width": 0}}, "`config.size.width` must be >= 1, got 0."),
    (
      {"size": {"width": 1, "height": 2}},
      "`config.size.height` must be <= 1, got 2.",
    ),
    (
      {"size": {"width": 2, "hight": 1}},
      "`config.size.hight`: unknown field, nothing reads it.",
    ),
    ({"y": -1}, "`config.y` must be >= 0.0, got -1.0."),
    ({"kind": "c"}, "`config.kind` must be one of a, b, got 'c'."),
    ({"parts": 3}, "`config.parts` must be of type list or tuple, got 3."),
    ({"parts": (3,)}, "`config.parts[0]` must be of type dict, got 3."),
    (
      {"parts": ({"width": 2}, {"width": "2"})},
      "`config.parts[1].width` must be of type int, got '2'.",
    ),
    ({"weights": {"u": 1.5}}, "`config.weights.u` must be in [0, 1], got 1.5."),
    ({"limit": "3"}, "`config.limit` must be of type int, got '3'"),
    ({"folder": ""}, "`config.folder` must name a folder, got ''."),
    ({"folder": 3}, "`config.folder` must be of type str, got 3."),
    ({"spot": {}}, "`config.spot`: unknown field, nothing reads it."),
    (
      {"a": 1, "b": 2},
      "`config.a`, `config.b`: unknown field, nothing reads it.",
    ),
  ],
)
def test_what_is_wrong_is_named(change, message):
  values = {k: v for k, v in {**LEAST, **change}.items() if v is not ...}
  with pytest.raises(ValueError) as caught:
    read(Picture, values)
  assert str(caught.value).startswith(message)


def test_other_records_may_read_the_other_keys():
  assert read(Spot, {"x": 1.0, "z": 2}, partial=True) == Spot(1.0, 1.5)
  with pytest.raises(ValueError, match="`there.z`: unknown field"):
    read(Spot, {"x": 1.0, "z": 2}, "there")


def test_the_keys_of_a_record():
  names = ["name", "size", "x", "y", "kind", "parts", "weights", "limit"]
  fields = flat_fields(Picture)
  assert [field.name for field in fields] == [*names, "folder"]
  assert [f.name for f in fields if f.required] == ["name", "size"]


@pytest.mark.parametrize(
  ("value", "hint", "made"),
  [
    (3, int, 3),
    ("a", str, "a"),
    (2.5, float, 2.5),
    (3, float, 3.0),
    (True, bool, True),
    ([1, 2], tuple, (1, 2)),
    ([1, 2], tuple[float, ...], (1.0, 2.0)),
    (None, str | None, None),
    ({"a": 1}, dict, {"a": 1}),
    (3, str | int | float, 3),
    ({"b": (1,)}, Any, {"b": (1,)}),
  ],
)
def test_a_value_of_the_right_type_is_returned(value, hint, made):
  got = read_value(hint, value, Where("x"))
  assert got == made and type(got) is type(made)


@pytest.mark.parametrize(
  ("value", "hint", "kinds"),
  [
    (True, int, "int"),
    (False, float, "float"),
    (True, str | int, "str or int"),
    (2.0, int, "int"),
    ("3", int, "int"),
    (3, str, "str"),
    (None, str, "str"),
    ("3", float, "float"),
    ("ab", tuple, "list or tuple"),
    (1, bool, "bool"),
    (1, str | tuple[str, ...], "str or list or tuple"),
  ],
)
def test_another_type_is_refused(value, hint, kinds):
  with pytest.raises(ValueError) as caught:
    read_value(hint, value, Where("config.field"))
  assert str(caught.value) == (
    f"`config.field` must be of type {kinds}, got {value!r}."
  )


@pytest.mark.parametrize(
  ("value", "hint", "fine"),
  [
    (1, Count, True),
    (0, Count, False),
    (0.0, NonNegative, True),
    (-1e-9, NonNegative, False),
    (math.nan, NonNegative, False),
    (math.inf, float, False),
    (10**400, float, False),
    (0, Share, False),
    (1, Share, True),
    (1.1, Share, False),
    (math.nan, Share, False),
    ("0.5", Share, False),
  ],
)
def test_numbers_have_bounds(value, hint, fine):
  if fine:
    assert read_value(hint, value, Where("x")) == value
  else:
    with pytest.raises(ValueError, match="`x` must be "):
      read_value(hint, value, Where("x"))


def test_words_of_a_rule_stand_for_its_type_too():
  for value in (2, "a", True, math.nan):
    with pytest.raises(ValueError, match=r"^`x` must be in \[0, 1\], got "):
      read_value(Fraction, value, Where("x"))


@pytest.mark.parametrize("values", [("a",), ["b", "a"], ("a", "b", "c")])
def test_lists_of_words(values):
  three = Annotated[tuple[str, ...], words({"a": 1, "b": 2, "c": 3})]
  for hint in (Words, three):
    assert read_value(hint, values, Where("x")) == tuple(values)


@pytest.mark.parametrize(
  ("values", "rule"),
  [
    ((), "`x` must hold at least one entry, got none."),
    ("a", "`x` must be of type list or tuple, got 'a'."),
    (("a", "d"), "`x` must hold one of a, b, got 'd'."),
    (("a", 3), "`x` must hold one of a, b, got 3."),
    (("a", ["b"]), "`x` must hold one of a, b, got ['b']."),
    (("a", "b", "a"), "`x` must not repeat 'a'."),
  ],
)
def test_faulty_lists_of_words(values, rule):
  hint = Annotated[tuple[str, ...], words(("a", "b"))]
  with pytest.raises(ValueError) as caught:
    read_value(hint, values, Where("x"))
  assert str(caught.value) == rule


def test_words_of_any_kind_are_strings():
  with pytest.raises(ValueError, match="`x` must hold strings, got 3"):
    read_value(Words, ("a", 3), Where("x"))


def test_other_files_have_words_of_their_own():
  class InFile(Where):
    mapping = "must be an object"
    closed = False

    def refuse(self, rule, value):
      raise ValueError(f"file: {self.path} {rule}, got {value!r}.")

    def refuse_absent(self, key, given):
      raise ValueError(f"file: {self.path} lacks {key}.")

  assert read(Size, {"width": 2, "other": 1}, InFile("a")) == Size(2, 2)
  for values, message in (
    ([], "file: a must be an object, got []."),
    ({}, "file: a lacks width."),
    ({"width": 0}, "file: a.width must be >= 1, got 0."),
  ):
    with pytest.raises(ValueError) as caught:
      read(Size, values, InFile("a"))
    assert str(caught.value) == message
