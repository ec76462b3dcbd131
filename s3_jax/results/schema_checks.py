"""Rules for single values of a results mapping, with one form of message."""

from collections.abc import Collection, Sequence
from typing import Any

from s3_jax.messages import nearest

__all__ = ["between", "interval", "keys", "listed", "rows", "text", "whole"]


def keys(entry: Any, required: Sequence[str], where: str) -> None:
  """Refuses what is no mapping or lacks a key."""
  if not isinstance(entry, dict):
    raise ValueError(f"`{where}` must be a mapping, got {entry!r}.")
  for key in required:
    if key not in entry:
      raise ValueError(
        f"`{where}` must have the key {key!r}, got "
        f"{', '.join(sorted(entry)) or 'none'}."
      )


def rows(value: Any, where: str) -> list[tuple[str, Any]]:
  """Returns the entries of a list, each with its place for messages."""
  if not isinstance(value, list):
    raise ValueError(f"`{where}` must be a list, got {value!r}.")
  return [(f"{where}[{i}]", entry) for i, entry in enumerate(value)]


def text(value: Any, where: str) -> None:
  """Refuses what is no text, or an empty one."""
  if not isinstance(value, str) or not value:
    raise ValueError(f"`{where}` must be a non-empty text, got {value!r}.")


def listed(value: Any, names: Collection[str], where: str) -> None:
  """Refuses a text that is none of the names."""
  if not isinstance(value, str) or value not in names:
    raise ValueError(
      f"`{where}` must be one of {nearest(sorted(names), value)}, got"
      f" {value!r:.80}."
    )


def whole(value: Any, where: str, *, low: int = 0) -> None:
  """Refuses what is no whole number, or one below `low`."""
  if isinstance(value, bool) or not isinstance(value, int) or value < low:
    raise ValueError(
      f"`{where}` must be a whole number >= {low}, got {value!r}."
    )


def between(value: Any, low: int, where: str) -> None:
  """Refuses what is no number in [low, 1]."""
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if not number or not low <= value <= 1:
    raise ValueError(f"`{where}` must be in [{low}, 1], got {value!r}.")


def interval(value: Any, low: int, where: str) -> None:
  """Refuses what is no ordered pair of numbers in [low, 1]."""
  if not isinstance(value, list) or len(value) != 2:
    raise ValueError(f"`{where}` must be [low, high], got {value!r}.")
  for end in value:
    between(end, low, where)
  if value[0] > value[1]:
    raise ValueError(f"`{where}` must have low <= high, got {value!r}.")
