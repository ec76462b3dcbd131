"""Reading a config's fields: every rule, and fields that nobody reads."""

import pathlib

import pytest

from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.files import default_cache_dir


@pytest.mark.parametrize(
  ("value", "kind", "read"),
  [
    (3, int, 3),
    ("a", str, "a"),
    (2.5, float, 2.5),
    (3, float, 3.0),
    (True, bool, True),
    ((1, 2), (list, tuple), (1, 2)),
    ([], (list, tuple), []),
    (None, (str, type(None)), None),
    ({"a": 1}, dict, {"a": 1}),
    (3, (str, int, float), 3),
  ],
)
def test_a_field_of_the_right_type_is_returned(value, kind, read):
  settings = Settings({"field": value})
  taken = settings.take("field", kind)
  assert taken == read and type(taken) is type(read)
  settings.finish()


@pytest.mark.parametrize(
  ("value", "kind", "words"),
  [
    (True, int, "int"),
    (False, float, "float"),
    (True, (str, int), "str or int"),
    (2.0, int, "int"),
    ("3", int, "int"),
    (3, str, "str"),
    (None, str, "str"),
    ("3", float, "float"),
    ("ab", (list, tuple), "list or tuple"),
    (1, bool, "bool"),
  ],
)
def test_another_type_is_refused(value, kind, words):
  with pytest.raises(ValueError) as caught:
    Settings({"field": value}).take("field", kind)
  assert str(caught.value) == (
    f"`config.field` must be of type {words}, got {value!r}."
  )


@pytest.mark.parametrize(
  ("value", "minimum", "fine"),
  [
    (1, 1, True),
    (0, 1, False),
    (-1, 0, False),
    (0.0, 0.0, True),
    (-1e-9, 0.0, False),
    (float("nan"), 0.0, False),
    (float("inf"), 0.0, False),
  ],
)
def test_numbers_have_a_minimum(value, minimum, fine):
  settings = Settings({"field": value})
  kind = type(value)
  if fine:
    assert settings.take("field", kind, minimum=minimum) == value
  else:
    with pytest.raises(ValueError, match=f"`config.field` must be .*{value}"):
      settings.take("field", kind, minimum=minimum)


def test_words_are_chosen_from_a_list():
  settings = Settings({"field": "c", "other": 3})
  with pytest.raises(ValueError, match="`config.field` .* a, b, got 'c'"):
    settings.take("field", str, choices=("a", "b"))
  assert settings.take("other", (str, int), choices=("a",)) == 3


def test_an_absent_field_is_its_default_or_an_error():
  settings = Settings({})
  assert settings.take("field", int, default=5) == 5
  assert settings.take("field", int, default=None) is None
  with pytest.raises(ValueError, match="`config.field` must be set"):
    settings.take("field", int)


@pytest.mark.parametrize("values", [("a",), ["b", "a"], ("a", "b", "c")])
def test_lists_of_words(values):
  assert Settings({"x": values}).words("x") == tuple(values)
  assert Settings({"x": values}).words("x", ("a", "b", "c")) == tuple(values)


@pytest.mark.parametrize(
  ("values", "rule"),
  [
    ((), "`config.x` must hold at least one entry"),
    ("a", "`config.x` must be of type list or tuple, got 'a'"),
    (("a", "d"), "`config.x` must hold one of a, b, got 'd'"),
    (("a", 3), "`config.x` must hold one of a, b, got 3"),
    (("a", "b", "a"), "`config.x` must not repeat 'a'"),
  ],
)
def test_faulty_lists_of_words(values, rule):
  with pytest.raises(ValueError, match=rule):
    Settings({"x": values}).words("x", ("a", "b"))


def test_words_of_any_kind_are_strings():
  with pytest.raises(ValueError, match="`config.x` must hold strings, got 3"):
    Settings({"x": ("a", 3)}).words("x")


def test_unread_fields_are_named():
  settings = Settings({"a": 1, "b": 2, "c": 3})
  settings.take("b", int)
  with pytest.raises(ValueError) as caught:
    settings.finish()
  message = str(caught.value)
  assert "`config.a`" in message and "`config.c`" in message
  assert "`config.b`" not in message


def test_sections_have_their_own_names():
  settings = Settings({"spec": {"size": 0, "stray": 1}})
  section = settings.section("spec")
  settings.finish()
  with pytest.raises(ValueError, match="`config.spec.size` must be >= 1"):
    section.take("size", int, minimum=1)
  with pytest.raises(ValueError, match="`config.spec.stray`"):
    section.finish()
  with pytest.raises(ValueError, match="`config.spec` must be of type dict"):
    Settings({"spec": 3}).section("spec")


def test_the_given_fields_are_kept_and_not_changed():
  fields = {"a": 1, "b": 2}
  settings = Settings(fields)
  settings.take("a", int)
  assert settings.everything == fields == {"a": 1, "b": 2}


def test_the_cache_folder():
  assert read_cache_dir(Settings({})) == default_cache_dir()
  assert read_cache_dir(Settings({"cache_dir": ""})) == default_cache_dir()
  given = read_cache_dir(Settings({"cache_dir": "some/where"}))
  assert given == pathlib.Path("some/where")
