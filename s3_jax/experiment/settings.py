"""Reads a config's fields into plain values, naming whatever is wrong."""

import pathlib
import secrets
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from s3_jax.lexicon.given_classes import ClassList, read_classes
from s3_jax.lexicon.prompts import fill_template
from s3_jax.messages import nearest

T = TypeVar("T")


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


def _read_classes(source: Any, where: Where) -> ClassList:
  del where  # every message names `config.classes`
  return read_classes(source, "`config.classes`")


def _are_seeds(values: tuple[Any, ...]) -> bool:
  whole = all(type(seed) is int and seed >= 0 for seed in values)
  return bool(values) and whole and len(set(values)) == len(values)


# Fields that many tasks have. What stands for a default in a config, such as
# "" for the user's cache folder, is said beside the field.
Dtype = Annotated[str, Rule(choices=("float32", "bfloat16"))]
Template = Annotated[str, Rule(read=_read_template)]
Templates = Annotated[tuple[str, ...], Rule(given=tuple, read=_read_templates)]
CacheDir = Annotated[pathlib.Path, Rule(given=str, read=_read_cache_dir)]
Folder = Annotated[pathlib.Path | None, Rule(given=str, read=_read_folder)]
Seeds = Annotated[
  tuple[int, ...],
  Rule(
    "must hold different whole numbers >= 0, at least one",
    _are_seeds,
    given=tuple,
  ),
]
Sources = str | tuple[Any, ...]
"""Images or classes: a text, or several."""
Classes = Annotated[ClassList, Rule(given=Sources, read=_read_classes)]


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
    leave_out: fields that the config does not show unless they have a value.
    **values: fields whose value is not the default.
  """
  config = ml_collections.ConfigDict({"task": task})
  for field in flat_fields(record):
    if field.name in values or field.name not in leave_out:
      if field.required and field.name not in values:
        raise TypeError(f"`{field.name}` has no default: give it a value.")
      value = values.pop(field.name, field.default)
      config[field.name] = _config_value(field, value)
  config.update(values)
  return config


def check_sets(run: Any, fields: Sequence[str], where: Where) -> None:
  """Refuses a run whose data sets stand in none of some fields, or in two."""
  given = [field for field in fields if getattr(run, field)]
  if not given:
    where.refuse_absent(fields[0], {})
  if len(given) > 1:
    where.at(given[1]).refuse(
      f"must be left out beside `{given[0]}`", getattr(run, given[1])
    )


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
  items = enumerate(value) if isinstance(value, list | tuple) else ()
  for key, item in value.items() if isinstance(value, dict) else items:
    _refuse_nul(item, where.at(key))


class Settings:
  """A config's fields, read as records, and which of them were never read.

  Attributes:
    everything: the fields as given.
  """

  def __init__(
    self, fields: Mapping[str, Any], methods: Mapping[str, Any] | None = None
  ):
    self.everything = dict(fields)
    self._known: set[str] = set()
    self._methods = dict(methods or {})

  def read(self, record: type[T]) -> T:
    """Reads the fields of a record, and marks them as read."""
    _refuse_nul(self.everything, Where())
    self._known |= {field.name for field in flat_fields(record)}
    return read(record, self.everything, partial=True)

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
    if unknown := [each for each in self.everything if each not in self._known]:
      Where().refuse_unknown(unknown)


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
