"""A config's fields: read once for all, made into a config, with defaults."""

import pathlib
from typing import Annotated, NamedTuple

import pytest

from s3_jax.experiment.settings import (
  CacheDir,
  Dtype,
  Folder,
  Settings,
  Template,
  Templates,
  make_config,
)
from s3_jax.fields import Inline, Rule, Where, Whole, raw, read_value
from s3_jax.files import default_cache_dir


class Size(NamedTuple):
  width: int = 3
  depth: int | None = None


class Light(NamedTuple):
  lamps: Whole = 2
  colour: str = ""


class Room(NamedTuple):
  name: str
  light: Inline[Light]
  size: Size = raw({})
  heat: Annotated[float | None, Rule(flag=object)] = 0.5
  names: tuple[str, ...] = ("a", "b")
  weights: dict[str, float | None] = {}


def test_unread_fields_are_named():
  settings = Settings({"lamps": 1, "stray": 2, "other": 3})
  assert settings.read(Light) == Light(1, "")
  with pytest.raises(ValueError) as caught:
    settings.finish()
  assert str(caught.value) == (
    "`config.stray`, `config.other`: unknown field, nothing reads it."
  )


def test_several_records_may_read_the_same_fields():
  settings = Settings({"lamps": 1, "width": 2})
  assert settings.read(Light) == Light(1, "") == settings.read(Light)
  assert settings.read(Size) == Size(2)
  settings.finish()


def test_methods_must_be_wanted():
  settings = Settings({}, methods={"mine": print})
  with pytest.raises(ValueError, match="`methods` must be given to a task"):
    settings.finish()
  assert settings.own_methods() == {"mine": print}
  settings.finish()


@pytest.mark.parametrize(
  ("fields", "name"),
  [
    ({"colour": "a\0b"}, "config.colour"),
    ({"lamps": 1, "size": {"x": "\0"}}, "config.size.x"),
    ({"names": ["a", "b\0"]}, "config.names[1]"),
  ],
)
def test_texts_hold_no_nul_character(fields, name):
  with pytest.raises(ValueError) as caught:
    Settings(fields).read(Light)
  assert str(caught.value).startswith(
    f"`{name}` must not hold a NUL character, got '"
  )


def test_the_given_fields_are_kept_and_not_changed():
  fields = {"lamps": 1, "names": ["x"]}
  settings = Settings(fields)
  settings.read(Light)
  assert settings.everything == fields == {"lamps": 1, "names": ["x"]}


def test_the_cache_folder():
  where = Where("x")
  assert read_value(CacheDir, "", where) == default_cache_dir()
  given = read_value(CacheDir, "some/where", where)
  assert given == pathlib.Path("some/where")
  assert read_value(Folder, "", where) is None
  assert read_value(Folder, "a", where) == pathlib.Path("a")


@pytest.mark.parametrize(
  ("hint", "value", "rule"),
  [
    (Templates, ("a {}.", 3), "`x` must hold texts with one {}, got 3."),
    (Templates, "a {}.", "`x` must be of type list or tuple, got 'a {}.'."),
    (Templates, ("a cat",), "`template` must hold exactly one {}, got 'a cat'"),
    (Template, "a {} {}", "`template` must hold exactly one {}, got 'a {} {}'"),
    (Dtype, "f32", "`x` must be one of float32, bfloat16, got 'f32'."),
  ],
)
def test_fields_of_many_tasks(hint, value, rule):
  with pytest.raises(ValueError) as caught:
    read_value(hint, value, Where("x"))
  assert str(caught.value).startswith(rule)


def test_a_config_has_all_fields_and_their_defaults():
  config = make_config(
    "build", Room, leave_out=("colour",), name="hall", weights={"u": None}
  ).lock()
  assert config.to_dict() == {
    "task": "build",
    "name": "hall",
    "lamps": 2,
    "size": {"width": 3, "depth": None},
    "heat": 0.5,
    "names": ("a", "b"),
    "weights": {"u": None},
  }
  # What may be None has a type nevertheless, for the command line.
  assert config.size.get_type("depth") is int
  assert config.weights.get_type("u") is float
  assert config.get_type("heat") is object
  config.heat = None
  config.size.depth = 4
  with pytest.raises(TypeError):
    config.size.depth = "deep"
  shown = make_config("build", Room, leave_out=("colour",), name="", colour="")
  assert shown.colour == ""
