"""Records declared once: NamedTuples whose annotations carry the rules.

    class Options(NamedTuple):
      neighbors: Count = 4
      keep: Annotated[str, Rule(choices=("largest", "all"))] = "largest"

`read` makes such a record of a mapping from a config or a file, or raises a
ValueError that names the value, the rule and what was given. A default needs to
keep no rule; `raw` marks one that is in the form of a mapping, to be read. A
record may have a method `check(self, where)` for rules between its fields.
"""

import functools
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar

from s3_jax.messages import nearest

__all__ = [
  "Count",
  "Field",
  "Fraction",
  "Given",
  "Inline",
  "NonNegative",
  "Rule",
  "Share",
  "Where",
  "Whole",
  "Words",
  "alternatives",
  "as_field",
  "base_of",
  "fields_of",
  "flat_fields",
  "is_record",
  "raw",
  "read",
  "read_value",
  "rows_of",
  "words",
]

T = TypeVar("T")
Choices = Collection[str] | Callable[[], Collection[str]]
_REQUIRED = object()


class Where:
  """Where a value lies, and the words for what is wrong with it.

  Subclasses say the same in the words of other files.

  Attributes:
    path: such as `config.spec` or `results.methods[3]`.
    mapping: the rule for what must be a mapping and is none.
    listing: the same for a list.
    closed: whether a key that is no field is an error, or is left alone.
  """

  mapping = "must be of type dict"
  listing = "must be of type list or tuple"
  closed = True

  def __init__(self, path: str = "config"):
    self.path = path

  def at(self, key: str | int) -> "Where":
    """Returns where a field or an entry of this value lies."""
    inner = f"[{key}]" if isinstance(key, int) else f".{key}"
    return type(self)(f"{self.path}{inner}")

  def refuse(self, rule: str, value: Any) -> NoReturn:
    """Raises the error of a value that breaks a rule."""
    raise ValueError(f"`{self.path}` {rule}, got {value!r:.80}.")

  def refuse_absent(self, key: str, given: Mapping[str, Any]) -> NoReturn:
    """Raises the error of a field that has no default and is not there."""
    del given
    raise ValueError(f"`{self.at(key).path}` must be set, and is absent.")

  def refuse_unknown(self, keys: Collection[str]) -> NoReturn:
    """Raises the error of keys that are no fields."""
    names = [f"`{self.at(key).path}`" for key in keys]
    raise ValueError(f"{nearest(names)}: unknown field, nothing reads it.")


class Rule(NamedTuple):
  """What a value must be beside its type.

  Attributes:
    says: the rule in words, for any value that breaks it or has another type;
      without them the type, `minimum` or `choices` is named.
    test: whether a value of the right type keeps the rule.
    minimum: of a number.
    choices: of a text, or of a list's texts; a function where a table may
      still grow.
    given: the type in the mapping, where the record has another one.
    read: from the given value to the record's; refuses through `where`.
    flag: the type that a command line reads, where the default's is too narrow.
  """

  says: str = ""
  test: Callable[[Any], bool] | None = None
  minimum: float | None = None
  choices: Choices | None = None
  given: Any = None
  read: Callable[[Any, Where], Any] | None = None
  flag: type | None = None


class _Mark(NamedTuple):
  name: str


Inline = Annotated[T, _Mark("inline")]
"""A record whose fields lie among those of the record around it."""

Given = Annotated[dict[str, Any], _Mark("given")]
"""The whole mapping, as it was given."""

Count = Annotated[int, Rule(minimum=1)]
Whole = Annotated[int, Rule(minimum=0)]
NonNegative = Annotated[float, Rule(minimum=0.0)]
Share = Annotated[float, Rule("must be in (0, 1]", lambda x: 0 < x <= 1)]
Fraction = Annotated[float, Rule("must be in [0, 1]", lambda x: 0 <= x <= 1)]


class _Raw(NamedTuple):
  value: Any


def raw(default: Any) -> Any:
  """Marks a default that is in the form of a mapping, and is read."""
  return _Raw(default)


def _now(choices: Any) -> Any:
  return choices() if callable(choices) else choices


def words(choices: Choices | None = None, *, least: int = 1) -> Rule:
  """Returns the rule of a list of different texts, at least `least`."""

  def read_words(values: tuple[Any, ...], where: Where) -> tuple[str, ...]:
    known = _now(choices)
    if len(values) < least:
      raise ValueError(
        f"`{where.path}` must hold at least one entry, got none."
      )
    for index, value in enumerate(values):
      if not isinstance(value, str) or (
        known is not None and value not in known
      ):
        rule = f"one of {nearest(known, value)}" if known else "strings"
        where.refuse(f"must hold {rule}", value)
      if value in values[:index]:
        raise ValueError(f"`{where.path}` must not repeat {value!r}.")
    return values

  return Rule(given=tuple, read=read_words, choices=choices)


def rows_of(table: Callable[[], Mapping[str, Any]]) -> Rule:
  """Returns the rule of a list of keys, read as those rows of a table."""

  def read_rows(values: tuple[Any, ...], where: Where) -> dict[str, Any]:
    rows = table()
    keys = Annotated[tuple[str, ...], words(rows)]
    return {key: rows[key] for key in read_value(keys, values, where)}

  return Rule(given=tuple, read=read_rows, choices=table)


Words = Annotated[tuple[str, ...], words()]


class Field(NamedTuple):
  """A field of a record, taken apart."""

  name: str
  hint: Any
  rule: Rule
  default: Any
  is_raw: bool
  mark: str  # "inline", "given" or ""

  @property
  def required(self) -> bool:
    """Whether a mapping must have the field."""
    return self.default is _REQUIRED


@functools.cache
def fields_of(record: type) -> tuple[Field, ...]:
  """Returns the fields of a record, in its order."""
  hints = typing.get_type_hints(record, include_extras=True)
  defaults: dict[str, Any] = getattr(record, "_field_defaults", {})
  return tuple(
    as_field(name, hints[name], defaults.get(name, _REQUIRED))
    for name in getattr(record, "_fields", ())
  )


def as_field(name: str, hint: Any, default: Any) -> Field:
  """Takes an annotation apart."""
  rule, mark = Rule(), ""
  if typing.get_origin(hint) is Annotated:
    hint, *notes = typing.get_args(hint)
    rule = next((note for note in notes if isinstance(note, Rule)), rule)
    mark = next((note.name for note in notes if isinstance(note, _Mark)), "")
  if isinstance(default, _Raw):
    return Field(name, hint, rule, default.value, True, mark)
  return Field(name, hint, rule, default, False, mark)


def flat_fields(record: type) -> tuple[Field, ...]:
  """Returns what a mapping may hold: the fields, inline records taken apart."""
  found: dict[str, Field] = {}
  for field in fields_of(record):
    inner = flat_fields(field.hint) if field.mark == "inline" else (field,)
    # Two records may read one key, and the first says its default.
    found |= {each.name: each for each in inner if each.name not in found}
  return tuple(each for each in found.values() if not each.mark)


def read(
  record: type[T],
  values: Any,
  where: Where | str = "config",
  *,
  partial: bool = False,
) -> T:
  """Makes a record of a mapping.

  Args:
    record: the type of the record.
    values: the mapping.
    where: where it lies, for messages.
    partial: whether other records read other keys of the same mapping, so that
      none is unknown here.

  Raises:
    ValueError: for the first value that breaks a rule.
  """
  where = Where(where) if isinstance(where, str) else where
  if not isinstance(values, dict):
    where.refuse(where.mapping, values)
  content = {}
  for field in fields_of(record):
    if field.mark == "given":
      content[field.name] = values
    elif field.mark == "inline":
      content[field.name] = read(field.hint, values, where, partial=True)
    elif field.name in values:
      content[field.name] = _read_field(field, values[field.name], where)
    elif field.required:
      where.refuse_absent(field.name, values)
    elif field.is_raw:
      content[field.name] = _read_field(field, field.default, where)
    else:
      content[field.name] = field.default
  made: Any = record(**content)
  if where.closed and not partial:
    known = {field.name for field in flat_fields(record)}
    if unknown := [key for key in values if key not in known]:
      where.refuse_unknown(unknown)
  if hasattr(record, "check"):
    made.check(where)
  return made


def _read_field(field: Field, value: Any, where: Where) -> Any:
  rule = field.rule
  if type(value) is type(field.default) and value == field.default:
    rule = rule._replace(choices=None)
  return _read_value(field.hint, rule, value, where.at(field.name))


def read_value(hint: Any, value: Any, where: Where) -> Any:
  """Makes a value of the type that an annotation names, under its rule."""
  field = as_field("", hint, _REQUIRED)
  return _read_value(field.hint, field.rule, value, where)


def _read_value(hint: Any, rule: Rule, value: Any, where: Where) -> Any:
  hint = hint if rule.given is None else rule.given
  if value is not None or type(None) not in alternatives(hint):
    value = _typed(hint, rule, value, where)
  if value is None:
    return value if rule.read is None else rule.read(value, where)
  is_number = isinstance(value, int | float)
  if rule.minimum is not None and is_number and value < rule.minimum:
    where.refuse(rule.says or f"must be >= {rule.minimum}", value)
  is_text = isinstance(value, str)
  choices = _now(rule.choices)
  if choices is not None and is_text and value not in choices:
    names = nearest(choices, value)
    where.refuse(rule.says or f"must be one of {names}", value)
  if rule.test is not None and not rule.test(value):
    where.refuse(rule.says, value)
  return value if rule.read is None else rule.read(value, where)


def _typed(hint: Any, rule: Rule, value: Any, where: Where) -> Any:
  """Refuses a value of another type, and reads what is inside a container."""
  kinds = tuple(k for k in alternatives(hint) if k is not type(None))
  fitting = [kind for kind in kinds if _fits(base_of(kind), value)]
  hint = (fitting or kinds)[0]
  if typing.get_origin(hint) is Annotated and (fitting or len(kinds) == 1):
    return read_value(hint, value, where)  # which has a rule of its own
  if not fitting:
    names = tuple(dict.fromkeys(n for kind in kinds for n in _names(kind)))
    others = {("dict",): where.mapping, ("list", "tuple"): where.listing}
    type_rule = others.get(names, f"must be of type {' or '.join(names)}")
    where.refuse(rule.says or type_rule, value)
  base, inner = base_of(hint), typing.get_args(hint)
  if is_record(base):
    return read(base, value, where)
  if base is tuple and not inner:
    return tuple(value)
  if base is tuple:
    items = enumerate(value)
    return tuple(read_value(inner[0], item, where.at(i)) for i, item in items)
  if base is dict and inner:
    items = value.items()
    return {k: read_value(inner[1], item, where.at(k)) for k, item in items}
  if base is float:
    value = _to_float(value)
    if not math.isfinite(value):
      where.refuse(rule.says or "must be finite", value)
  return value


def alternatives(hint: Any) -> tuple[Any, ...]:
  """Returns the types of a union, or the one type."""
  is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
  return typing.get_args(hint) if is_union else (hint,)


def is_record(hint: Any) -> bool:
  """Says whether a type is a record."""
  return isinstance(hint, type) and hasattr(hint, "_fields")


def base_of(hint: Any) -> Any:
  """Returns the class of a type, without its parameters and rules."""
  if typing.get_origin(hint) is Annotated:
    hint = typing.get_args(hint)[0]
  return typing.get_origin(hint) or hint


def _fits(base: Any, value: Any) -> bool:
  if base is Any:
    return True
  if isinstance(value, bool):  # which Python takes for a whole number
    return base is bool
  if is_record(base):
    return isinstance(value, dict)
  wider: dict[Any, Any] = {tuple: list | tuple, float: int | float}
  return isinstance(value, wider.get(base, base))


def _names(hint: Any) -> tuple[str, ...]:
  base = base_of(hint)
  if base is tuple:
    return ("list", "tuple")
  return ("dict",) if is_record(base) else (base.__name__,)


def _to_float(value: int | float) -> float:
  try:
    return float(value)
  except OverflowError:  # a whole number that no float holds
    return math.inf
