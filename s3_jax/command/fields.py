"""The fields of a task, as a person may set them: from the task's record."""

import ast
import inspect
import io
import textwrap
import tokenize
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from s3_jax.experiment import TASKS, Common
from s3_jax.experiment.settings import Settings
from s3_jax.fields import (
  Field,
  alternatives,
  as_field,
  base_of,
  fields_of,
  is_record,
)
from s3_jax.messages import nearest

_MANY = 50  # choices that are shown; of the zoo there are more
_WORDS = {
  bool: "True or False",
  int: "whole number",
  float: "number",
  str: "text",
  tuple: "a,b",
  dict: "fields of its own",
  type(None): "None",
}


class TaskField(NamedTuple):
  """One field.

  Attributes:
    default: of the config, as a flag would set it.
    kind: what it may be: a type, a bound, or the choices.
    about: one line, the comment beside the field.
    texts: whether, where it is a list, it holds texts only.
    alike: the mapping whose values are all described alike; "" of other fields.
  """

  default: Any
  kind: str
  about: str
  texts: bool
  alike: str = ""


class TaskFields(NamedTuple):
  """The fields of a config by their names, dots between the levels."""

  fields: dict[str, TaskField]
  takes: tuple[str, ...]


class _Found(Exception):
  """Carries a task's record out of its reader."""


class _Asked(Settings):
  """Settings that stop a reader at its first question."""

  def read(self, record: type) -> Any:
    """Hands the record out."""
    raise _Found(record)


def read_fields(config: ConfigDict) -> TaskFields:
  """Returns what is known of a config's fields.

  Args:
    config: with its defaults. A field of it that its task does not know has no
      line.
  """
  task = TASKS.get(str(config.get("task")))
  described: dict[str, tuple[Field, str]] = {}
  if task is not None:
    try:
      task.read(_Asked({}))
    except _Found as found:
      described = dict(_describe(found.args[0]))
  described |= dict(_describe(Common))
  values = dict(_flat(config))
  order = [name for name in described if name in values]  # a config has none
  fields = {}
  for name in dict.fromkeys((*order, *values)):
    mapping = name.rpartition(".")[0]
    if name not in described and mapping in described:
      field, line = described[mapping]
      made = _task_field(values[name], _inner(field), line)
      fields[name] = made._replace(alike=mapping)
    elif name != "task":
      field, line = described.get(name, (None, ""))
      fields[name] = _task_field(values[name], field, line)
  return TaskFields(fields, () if task is None else task.takes)


def _flat(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
  for name in config:
    value = config[name]
    if isinstance(value, ConfigDict):
      yield from _flat(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", value


def _describe(
  record: type, prefix: str = ""
) -> Iterator[tuple[str, tuple[Field, str]]]:
  """Yields the fields of a record and of those in it, each with its line."""
  lines = comments_of(record)
  for field in fields_of(record):
    if field.mark == "inline":
      yield from _describe(field.hint, prefix)
    elif not field.mark:
      name = f"{prefix}{field.name}"
      yield name, (field, lines.get(field.name, ""))
      if is_record(base := _given(field)):
        yield from _describe(base, f"{name}.")


def comments_of(record: type) -> dict[str, str]:
  """Returns the comments of a record's fields: behind them, or above.

  Args:
    record: a NamedTuple; without its source there are none.
  """
  try:
    text = textwrap.dedent(inspect.getsource(record))
  except (OSError, TypeError):
    return {}
  behind: dict[int, str] = {}
  above: dict[int, str] = {}
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      alone = not token.line[: token.start[1]].strip()
      (above if alone else behind)[token.start[0]] = token.string[1:].strip()
  found = {}
  (body,) = ast.parse(text).body
  for node in getattr(body, "body", ()):
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
      first = node.lineno
      while first - 1 in above:
        first -= 1
      rows = range(first, (node.end_lineno or node.lineno) + 1)
      parts = [(above | behind).get(row, "") for row in rows]
      line = " ".join(filter(None, parts)).removesuffix(".")
      if first in above and line[1:2].islower():  # a sentence, as it is above
        line = line[0].lower() + line[1:]
      found[node.target.id] = line
  return found


def _given(field: Field) -> Any:
  hint = field.hint if field.rule.given is None else field.rule.given
  return base_of(hint)


def _inner(field: Field) -> Field:
  """Returns the field that each value of a mapping is."""
  values = typing.get_args(field.hint)[1:]
  return as_field(field.name, values[0] if values else Any, None)


def _task_field(default: Any, field: Field | None, line: str) -> TaskField:
  if field is None:
    return TaskField(default, type(default).__name__, line, texts=False)
  hint = field.hint if field.rule.given is None else field.rule.given
  held = typing.get_args(field.hint)
  texts = base_of(field.hint) is dict or (bool(held) and held[0] is str)
  return TaskField(default, _kind(field, hint), line, texts)


def _kind(field: Field, hint: Any) -> str:
  """Says what a field may be."""
  choices = field.rule.choices
  choices = choices() if callable(choices) else choices
  if choices is not None:
    names = [choice for choice in choices if choice]
    text = ", ".join(names) if len(names) <= _MANY else nearest(names)
    return f"a,b of {text}" if _given(field) is tuple else text
  names = [_WORDS.get(base_of(each), "") for each in alternatives(hint)]
  text = " or ".join(dict.fromkeys(filter(None, names)))
  if field.rule.minimum is not None:
    text += f" >= {field.rule.minimum:g}"
  return text or field.rule.says.removeprefix("must be ")
