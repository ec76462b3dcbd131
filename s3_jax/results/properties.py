"""Nested facts as a list that a person can read."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["NOTHING", "Property", "list_properties"]

NOTHING = "none"
"""What an empty value shows."""

_SHORT = 8
"""So many entries of a list stand on one line."""


class Property(NamedTuple):
  """One fact.

  Attributes:
    key: its name, that of the mapping around it in front.
    text: the value, or what a long list holds.
    items: the entries of a long list; empty otherwise.
  """

  key: str
  text: str
  items: tuple[str, ...]


def list_properties(values: Mapping[str, Any]) -> list[Property]:
  """Lists the facts of nested mappings and lists."""
  return list(_walk(values, ""))


def _walk(values: Mapping[str, Any], prefix: str) -> Iterator[Property]:
  for key, value in values.items():
    name = f"{prefix}{key}"
    if isinstance(value, Mapping) and value:
      yield from _walk(value, f"{name}.")
    elif isinstance(value, list) and not _is_short(value):
      yield Property(name, _describe(value), tuple(map(_show, value)))
    else:
      yield Property(name, _show(value), ())


def _is_short(values: Sequence[Any]) -> bool:
  flat = not any(isinstance(value, list | dict) for value in values)
  return flat and len(values) <= _SHORT


def _describe(values: Sequence[Any]) -> str:
  numbers = [
    value
    for value in values
    if isinstance(value, int | float) and not isinstance(value, bool)
  ]
  text = f"{len(values):,} entries"
  if values and len(numbers) == len(values):
    middle = statistics.median(numbers)
    text += f", {min(numbers):g} to {max(numbers):g}, median {middle:g}"
  return text


def _show(value: Any) -> str:
  if isinstance(value, list):
    return ", ".join(map(_show, value)) or NOTHING
  if isinstance(value, Mapping):
    pairs = (f"{key}: {_show(inner)}" for key, inner in value.items())
    return "; ".join(pairs) or NOTHING
  if value is None or value == "":
    return NOTHING
  if isinstance(value, bool):
    return "yes" if value else "no"
  return str(value)
