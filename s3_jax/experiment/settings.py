"""Reads a config's fields into plain values, naming whatever is wrong."""

import math
import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

from s3_jax.files import default_cache_dir
from s3_jax.lexicon.prompts import fill_template
from s3_jax.messages import nearest

_REQUIRED = object()


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
    self._fields = dict(fields)
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
    if name not in self._fields:
      if default is _REQUIRED:
        raise ValueError(f"`{label}` must be set, and is absent.")
      return default
    value = self._fields.pop(name)
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
    if self._fields:
      names = [f"`{self.where}.{name}`" for name in self._fields]
      raise ValueError(f"{nearest(names)}: unknown field, nothing reads it.")


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
