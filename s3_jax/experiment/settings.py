"""Reads a config's fields into plain values, naming whatever is wrong."""

import math
import pathlib
import secrets
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import ml_collections
from ml_collections import config_dict

from s3_jax.fields import (
  Field,
  Rule,
  Where,
  alternatives,
  as_field,
  base_of,
  fields_of,
  flat_fields,
  is_record,
  read,
)
from s3_jax.files import default_cache_dir
from s3_jax.lexicon.prompts import fill_template
from s3_jax.messages import nearest

T = TypeVar("T")
_REQUIRED = object()


def _read_templates(values: tuple[Any, ...], where: Where) -> tuple[str, ...]:
  for template in values:
    if not isinstance(template, str):
      where.refuse("must hold texts with one {}", template)
    fill_template(template, "")
  return values


def _read_template(value: str, where: Where) -> str:
  del where  # the message names the template
  fill_template(value, "")
  return value


def _read_cache_dir(value: str, where: Where) -> pathlib.Path:
  del where
  return pathlib.Path(value) if value else default_cache_dir()


def _read_folder(value: str, where: Where) -> pathlib.Path | None:
  del where
  return pathlib.Path(value).expanduser() if value else None


# Fields that many tasks have. What stands for a default in a config, such as
# "" for the user's cache folder, is said beside the field.
Dtype = Annotated[str, Rule(choices=("float32", "bfloat16"))]
Template = Annotated[str, Rule(read=_read_template)]
Templates = Annotated[tuple[str, ...], Rule(given=tuple, read=_read_templates)]
CacheDir = Annotated[pathlib.Path, Rule(given=str, read=_read_cache_dir)]
Folder = Annotated[pathlib.Path | None, Rule(given=str, read=_read_folder)]
Sources = str | tuple[Any, ...]
"""Images or classes: a text, or several."""


def make_config(
  task: str,
  record: type,
  *,
  leave_out: Collection[str] = (),
  **values: Any,
) -> ml_collections.ConfigDict:
  """Returns a config with the fields of a task and their defaults, unlocked.

  Args:
    task: a key of TASKS.
    record: the task's settings.
    leave_out: fields that the config does not show.
    **values: fields whose value is not the default.
  """
  config = ml_collections.ConfigDict({"task": task})
  for field in flat_fields(record):
    if field.name not in leave_out:
      value = values.pop(field.name, field.default)
      config[field.name] = _config_value(field, value)
  config.update(values)
  return config


def check_sets(one: str, several: tuple[str, ...], where: Where) -> None:
  """Refuses a run that names no data set, or names them in two fields."""
  if one and several:
    where.at("dataset").refuse("must be left out beside `datasets`", one)
  if not one and not several:
    where.refuse_absent("dataset", {})


def check_baseline(baseline: str, methods: Collection[str]) -> None:
  """Refuses a baseline that is not run."""
  if baseline not in methods:
    raise ValueError(
      f"`config.methods` must hold the baseline {baseline!r:.40}, got"
      f" {nearest(methods)}: add it, or let `config.baseline` name one of"
      " these."
    )


def _config_value(field: Field, value: Any) -> Any:
  """Returns what a config holds for a field, so that a flag may set it."""
  hint = field.hint if field.rule.given is None else field.rule.given
  base = base_of(hint)
  if is_record(base):
    return _section(fields_of(base), value)
  if base is dict and isinstance(value, dict):
    _, inner = typing.get_args(hint)
    each = [as_field(name, inner, None) for name in value]
    return _section(each, value)
  kind = _flag_type(hint) if field.default is None else field.rule.flag
  if kind is None:
    return value
  return config_dict.FieldReference(value, field_type=kind)


def _section(
  fields: Iterable[Field], values: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(
    {
      field.name: _config_value(field, values.get(field.name, field.default))
      for field in fields
    }
  )


def _flag_type(hint: Any) -> type:
  """Returns the type that a flag reads for a field that may be None."""
  kinds = [kind for kind in alternatives(hint) if kind is not type(None)]
  return base_of(kinds[0]) if len(kinds) == 1 else object


def _refuse_nul(value: Any, where: Where) -> None:
  """Refuses a character that ends names in the system's own calls."""
  if isinstance(value, str) and "\0" in value:
    where.refuse("must not hold a NUL character", value)
  if isinstance(value, dict):
    for key, item in value.items():
      _refuse_nul(item, where.at(key))


class Settings:
  """Hands out a config's fields one by one and knows which were never read.

  Attributes:
    everything: the fields as given.
    where: prefix of the field names in messages, such as `config.spec`.
  """

  def __init__(
    self,
    fields: Mapping[str, Any],
    where: str = "config",
    methods: Mapping[str, Any] | None = None,
  ):
    self.everything = dict(fields)
    self.where = where
    self._read: set[str] = set()
    self._methods = dict(methods or {})

  def take(
    self,
    name: str,
    kind: type | tuple[type, ...],
    *,
    default: Any = _REQUIRED,
    minimum: float | int | None = None,
    choices: tuple[str, ...] | None = None,
  ) -> Any:
    """Returns a field and marks it as read."""
    label = f"{self.where}.{name}"
    self._read.add(name)
    if name not in self.everything:
      if default is _REQUIRED:
        raise ValueError(f"`{label}` must be set, and is absent.")
      return default
    value = self.everything[name]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if float in kinds and isinstance(value, int) and int not in kinds:
      value = float(value) if not isinstance(value, bool) else value
    if not isinstance(value, kinds) or (
      isinstance(value, bool) and bool not in kinds
    ):
      words = " or ".join(each.__name__ for each in kinds)
      raise ValueError(f"`{label}` must be of type {words}, got {value!r}.")
    if isinstance(value, str) and "\0" in value:
      raise ValueError(
        f"`{label}` must not hold a NUL character, got {value!r:.80}."
      )
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f"`{label}` must be finite, got {value!r}.")
    if minimum is not None and not isinstance(value, str) and value < minimum:
      raise ValueError(f"`{label}` must be >= {minimum}, got {value!r}.")
    if choices is not None and isinstance(value, str) and value not in choices:
      raise ValueError(
        f"`{label}` must be one of {nearest(choices, value)}, got"
        f" {value!r:.80}."
      )
    return value

  def read(self, record: type[T]) -> T:
    """Reads the fields of a record, and marks them as read."""
    where = Where(self.where)
    _refuse_nul(self.everything, where)
    self._read |= {field.name for field in flat_fields(record)}
    return read(record, self.everything, where, partial=True)

  def words(
    self, name: str, choices: tuple[str, ...] | None = None
  ) -> tuple[str, ...]:
    """Returns a field that is a list of different strings, at least one."""
    values = tuple(self.take(name, (list, tuple)))
    label = f"{self.where}.{name}"
    if not values:
      raise ValueError(f"`{label}` must hold at least one entry, got none.")
    for position, value in enumerate(values):
      if not isinstance(value, str) or (choices and value not in choices):
        rule = f"one of {nearest(choices, value)}" if choices else "strings"
        raise ValueError(f"`{label}` must hold {rule}, got {value!r:.80}.")
      if value in values[:position]:
        raise ValueError(f"`{label}` must not repeat {value!r}.")
    return values

  def section(self, name: str) -> "Settings":
    """Returns the reader of a nested group of fields."""
    section = self.take(name, dict)
    return Settings(section, f"{self.where}.{name}")

  def own_methods(self) -> dict[str, Any]:
    """Returns the methods that the caller of `run` gave, and marks them."""
    methods, self._methods = self._methods, {}
    return methods

  def finish(self) -> None:
    """Refuses fields and methods that nobody read."""
    if self._methods:
      raise ValueError(
        f"`methods` must be given to a task that has methods of one's own, got"
        f" {', '.join(self._methods)} for another."
      )
    if unknown := [each for each in self.everything if each not in self._read]:
      Where(self.where).refuse_unknown(unknown)


def require_writable(folder: pathlib.Path, label: str) -> None:
  """Makes a folder, or refuses one that cannot be written."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".writable-{secrets.token_hex(4)}"
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise ValueError(
      f"`{label}` must be a folder that can be written, got {str(folder)!r}:"
      f" {error.strerror}."
    ) from error


def read_cache_dir(settings: Settings) -> pathlib.Path:
  """Returns `cache_dir`, or the user's cache folder where it is empty."""
  folder = settings.take("cache_dir", str, default="")
  return pathlib.Path(folder) if folder else default_cache_dir()


def read_templates(settings: Settings) -> tuple[str, ...]:
  """Returns `templates`, or none where the data set's own are wanted."""
  templates = tuple(settings.take("templates", (list, tuple), default=()))
  for template in templates:
    if not isinstance(template, str):
      raise ValueError(
        f"`{settings.where}.templates` must hold texts with one {{}}, got"
        f" {template!r}."
      )
    fill_template(template, "")
  return templates
