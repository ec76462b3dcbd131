"""The public names keep one form."""

import inspect
import re

import pytest

import s3_jax

NAMES = list(s3_jax.__all__)
OBJECTS = {name: getattr(s3_jax, name) for name in NAMES}
TYPES = {n: o for n, o in OBJECTS.items() if inspect.isclass(o)}
FUNCTIONS = {n: o for n, o in OBJECTS.items() if callable(o) and n not in TYPES}
CONSTANTS = {
  n: o for n, o in OBJECTS.items() if n not in TYPES and n not in FUNCTIONS
}


def _breaches(name, function):
  """Lists what is wrong with the form of one public function."""
  parameters = inspect.signature(function).parameters
  for position, p in enumerate(parameters.values()):
    where = f"{name}({p.name})"
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
      yield f"{where}: takes anything"
    if p.kind == p.POSITIONAL_OR_KEYWORD and p.default is not p.empty:
      yield f"{where}: an option that is not keyword-only"
    if p.name == "key" and position:
      yield f"{where}: must be the first argument"
    if p.name in ("rng", "seed_key", "prng_key"):
      yield f"{where}: is called key"
    if p.annotation is p.empty:
      yield f"{where}: has no annotation"
    if isinstance(p.default, list | dict | set):
      yield f"{where}: has a mutable default"
  text = inspect.getdoc(function) or ""
  if not re.match(r"[A-Z][^\n]*\.(\n\n|$)", text):
    yield f"{name}: does not begin with one sentence on one line"
  if "Returns:" not in text and "Yields:" not in text:
    yield f"{name}: does not say what it returns"
  _, _, arguments = text.partition("Args:")
  arguments, _, _ = arguments.partition("Returns:")
  for parameter in parameters:
    if not re.search(rf"^ +{parameter}: ", arguments, flags=re.MULTILINE):
      yield f"{name}({parameter}): is not under Args"


def test_names_are_few_sorted_and_there():
  assert sorted(set(NAMES)) == NAMES
  assert len(NAMES) <= 52
  assert not [name for name in NAMES if name.startswith("_")]


def test_nothing_public_is_missing_from_the_list():
  public = {
    name
    for name, value in vars(s3_jax).items()
    if not name.startswith("_") and not inspect.ismodule(value)
  }
  assert public == set(NAMES)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_the_form(name):
  assert not list(_breaches(name, FUNCTIONS[name]))


@pytest.mark.parametrize("name", TYPES)
def test_type_is_documented(name):
  kind = TYPES[name]
  text = kind.__doc__ or ""
  assert text and not text.startswith(f"{name}(")  # not namedtuple's own
  source = inspect.getsource(kind)
  for field in getattr(kind, "_fields", ()):
    in_docstring = re.search(rf"^ +{field}: ", text, flags=re.MULTILINE)
    in_comment = re.search(rf"^ +{field}: .*#", source, flags=re.MULTILINE)
    assert in_docstring or in_comment, f"{name}.{field}"


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_is_named_by_the_facade(name):
  assert re.search(rf"\b{name}\b", s3_jax.__doc__ or "")


@pytest.mark.parametrize("name", s3_jax.POINT_TO_SPACE)
def test_metrics_share_one_signature(name):
  metric = s3_jax.POINT_TO_SPACE[name]
  parameters = list(inspect.signature(metric).parameters.values())
  assert [p.name for p in parameters[:2]] == ["embeddings", "space"]
  assert all(p.kind == p.KEYWORD_ONLY for p in parameters[2:])
  assert not list(_breaches(name, metric))


def test_a_wrong_function_is_caught():
  def wrong(points, key, metric="cosine", *more, rng=None, sizes=[], **rest):  # noqa: B006
    del points, key, metric, more, rng, sizes, rest

  wrong.__doc__ = "computes something"
  found = " ".join(_breaches("wrong", wrong))
  for expected in (
    "wrong(key): must be the first",
    "wrong(metric): an option that is not keyword-only",
    "wrong(more): takes anything",
    "wrong(rest): takes anything",
    "wrong(rng): is called key",
    "wrong(sizes): has a mutable default",
    "wrong(points): has no annotation",
    "wrong: does not begin",
    "wrong: does not say what it returns",
    "wrong(points): is not under Args",
  ):
    assert expected in found
