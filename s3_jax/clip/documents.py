"""Small files of a checkpoint: settings in JSON, read under a bound.

An error names file, key and value, in one line of bounded length, whatever the
file holds.
"""

import json
import math
import os
import pathlib
import stat
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from s3_jax.files import LFS_POINTER_BYTES, is_lfs_pointer

_SETTINGS_BYTES = 1 << 22  # real ones have some kilobytes
# Brackets and commas of a document: bounds the memory that parsing takes, about
# a hundred bytes each.
_MOST_VALUES = 1 << 20
_LARGEST = 2**31 - 1  # what a size may be at most
_SHOWN = 60  # letters of a value in a message


class Document:
  """A JSON object and where it came from.

  Attributes:
    path: the file.
    values: the object.
    prefix: of the keys in messages, such as `text_config.`.
  """

  def __init__(
    self,
    path: pathlib.Path,
    *,
    values: dict[str, Any] | None = None,
    prefix: str = "",
  ):
    self.path = path
    self.prefix = prefix
    self.values = _read(path) if values is None else values

  def section(
    self, key: str, defaults: Mapping[str, Any] | None = None
  ) -> "Document":
    """Returns an inner object, `defaults` filled in; absent, it is empty."""
    # Old files hold a second copy under this name, which wins as a whole.
    values = self.values.get(f"{key}_dict") or self.values.get(key) or {}
    if not isinstance(values, dict):
      self.fail(key, "must be an object")
    merged = {**(defaults or {}), **values}
    return Document(self.path, values=merged, prefix=f"{self.prefix}{key}.")

  def fail(self, key: str, rule: str) -> NoReturn:
    """Raises a ValueError that names file, key, rule and value."""
    got = _as_json(self.values[key]) if key in self.values else "nothing"
    key = key if key.isprintable() and len(key) < _SHOWN else shown(key)
    raise ValueError(f"{self.path}: {self.prefix}{key} {rule}, got {got}.")

  def get(self, key: str, default: Any = None) -> Any:
    """Returns a value, `default` where the key is absent."""
    return self.values.get(key, default)

  def require(self, key: str, value: Any, *, default: Any = None) -> None:
    """Refuses any value but one; absent, the key counts as `default`."""
    if self.get(key, default) != value:
      self.fail(key, f"must be {json.dumps(value)}")

  def only(self, known: Collection[str]) -> None:
    """Refuses keys that are not known, unless they switch something off."""
    for key, value in self.values.items():
      if key not in known and value not in (None, False):
        self.fail(key, "is not supported")

  def choice(self, key: str, choices: Collection[str]) -> str:
    """Returns one of some words."""
    value = self.get(key)
    if value not in tuple(choices):
      self.fail(key, f"must be {' or '.join(choices)}")
    return value

  def count(self, key: str, *, default: Any = None) -> int:
    """Returns a whole number >= 1."""
    value = self.get(key, default)
    if not is_count(value):
      self.fail(key, "must be a whole number >= 1, below 2^31")
    return value

  def positive(self, key: str) -> float:
    """Returns a number > 0."""
    value = self.get(key)
    if not is_number(value) or value <= 0:
      self.fail(key, "must be a number > 0")
    return float(value)

  def square(self, key: str) -> int:
    """Returns the pixels of both sides, in any of the ways to write them."""
    value = self.get(key)
    if isinstance(value, dict) and sorted(value) == ["height", "width"]:
      value = [value["height"], value["width"]]
    sides: list[Any] = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or sides[0] != sides[1] or not is_count(sides[0]):
      self.fail(key, "must be one number of pixels for rows and columns")
    return sides[0]

  def three(
    self, key: str, *, positive: bool = False
  ) -> tuple[float, float, float]:
    """Returns one number a colour."""
    value = self.get(key)
    good = isinstance(value, list) and len(value) == 3
    good = good and all(map(is_number, value))
    if not good or (positive and min(value) <= 0):
      rule = "three numbers > 0" if positive else "three numbers"
      self.fail(key, f"must be {rule}")
    red, green, blue = map(float, value)
    return red, green, blue


def is_number(value: Any) -> bool:
  """Whether a JSON value is a finite number."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  try:
    return math.isfinite(value)
  except OverflowError:  # a whole number that no float holds
    return False


def is_count(value: Any) -> bool:
  """Whether a JSON value is a whole number >= 1 that can be a size."""
  whole = isinstance(value, int) and not isinstance(value, bool)
  return whole and 1 <= value <= _LARGEST


def shown(value: Any) -> str:
  """Shows a value of a file in a message: short, printable, in little time.

  Containers are counted, not walked: they may hold each other many times over,
  and then their `repr` has no end.
  """
  if value is None or isinstance(value, bool | float):
    return repr(value)
  if isinstance(value, int):
    small = abs(value) < 2**64
    return repr(value) if small else f"a number of {value.bit_length()} bits"
  if isinstance(value, str | bytes):
    text = repr(value[:_SHOWN])
    if len(text) > 80:  # escaped control characters are longer
      text = f"{text[:80]}..."
    return text if len(value) <= _SHOWN else f"{text.removesuffix('...')}..."
  if isinstance(value, tuple | list):
    kind = type(value).__name__
    plain = all(type(entry) in (int, float, str) for entry in value[:6])
    if plain and len(value) <= 6:
      inner = ", ".join(shown(entry)[:20] for entry in value)
      return f"[{inner}]"
    return f"a {kind} of {len(value)}"
  if isinstance(value, Mapping):
    return f"a dictionary of {len(value)}"
  return type(value).__name__


def _as_json(value: Any) -> str:
  """Shows a value as the file has it, cut short."""
  try:
    text = json.dumps(value)
  except (RecursionError, ValueError):  # too deep, or too long a number
    return shown(value)
  return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."


def check_file(path: pathlib.Path, *, limit: int | None = None) -> None:
  """Refuses what cannot be the file that a checkpoint needs."""
  if "\0" in str(path):
    raise ValueError(
      f"{shown(str(path))} must be a file name, got a zero byte."
    )
  try:
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
      kind = "a folder" if stat.S_ISDIR(state.st_mode) else "something else"
      raise ValueError(f"{path} must be a readable file, got {kind}.")
    with open(path, "rb") as file:
      first = file.read(LFS_POINTER_BYTES)
  except (OSError, UnicodeError) as error:
    raise _unreadable(path, error) from error
  if is_lfs_pointer(first):
    raise ValueError(
      f"{path} must be the file itself, got a pointer of Git LFS to it; run"
      " `git lfs pull` in that clone, or download the file."
    )
  if limit is not None and state.st_size > limit:
    raise ValueError(
      f"{path} must have at most {limit} bytes, got {state.st_size}."
    )


def read_content(path: pathlib.Path, *, limit: int) -> bytes:
  """Reads a small file."""
  check_file(path, limit=limit)
  try:
    with open(path, "rb") as file:
      # `limit` alone would take so much memory before it is needed.
      return file.read(min(limit, os.fstat(file.fileno()).st_size))
  except OSError as error:
    raise _unreadable(path, error) from error


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
  reason = getattr(error, "strerror", None) or "a name that no file can have"
  return ValueError(f"{path} must be a readable file, got: {reason}.")


def parse_object(
  text: bytes, where: object, *, most: int = _MOST_VALUES
) -> dict[str, Any]:
  """Parses a JSON object in which no key may come twice."""
  document = parse_json(text, where, most=most)
  if not isinstance(document, dict):
    raise ValueError(f"{where} must hold an object, got {shown(document)}.")
  return document


def parse_json(text: bytes, where: object, *, most: int = _MOST_VALUES) -> Any:
  """Parses JSON in which no key of an object may come twice."""
  if (values := sum(map(text.count, (b",", b"[", b"{")))) > most:
    raise ValueError(f"{where} must hold at most {most} values, got {values}.")

  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
      if key in result:
        raise _RepeatedKey(key)
      result[key] = value
    return result

  try:
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=unique)
  except _RepeatedKey as error:
    reason = f"the key {shown(error.args[0])} twice"
  except json.JSONDecodeError as error:
    reason = f"{error.msg.lower()} at line {error.lineno}"
  except UnicodeDecodeError as error:
    reason = f"the byte {error.object[error.start]:#04x}, which is no UTF-8"
  except RecursionError:
    reason = "brackets in each other, too deep"
  except ValueError:  # Python's bound of a number's digits
    reason = "a number of too many digits"
  raise ValueError(f"{where} must hold JSON, got: {reason}.")


class _RepeatedKey(Exception):
  """A JSON object has a key twice."""


def _read(path: pathlib.Path) -> dict[str, Any]:
  return parse_object(read_content(path, limit=_SETTINGS_BYTES), path)
