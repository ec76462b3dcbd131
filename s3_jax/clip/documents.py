"""JSON settings files, read so that an error names file, key and value."""

import json
import math
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, NoReturn


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
    got = json.dumps(self.values[key]) if key in self.values else "nothing"
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
      self.fail(key, "must be a whole number >= 1")
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
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and math.isfinite(value)


def is_count(value: Any) -> bool:
  """Whether a JSON value is a whole number >= 1."""
  return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def parse_object(text: bytes, where: object) -> dict[str, Any]:
  """Parses a JSON object in which no key may come twice.

  Args:
    text: the object, in UTF-8.
    where: what it was read from, for messages.

  Returns:
    The object.

  Raises:
    ValueError: no JSON, no object, or a repeated key at any depth.
  """
  document = parse_json(text, where)
  if not isinstance(document, dict):
    raise ValueError(f"{where} must hold an object, got {document!r:.40}.")
  return document


def parse_json(text: bytes, where: object) -> Any:
  """Parses JSON in which no key of an object may come twice.

  Args:
    text: in UTF-8.
    where: what it was read from, for messages.

  Returns:
    The value.

  Raises:
    ValueError: no JSON, or a repeated key at any depth.
  """

  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
      if key in result:
        raise ValueError(f"the key {key!r} twice")
      result[key] = value
    return result

  try:
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=unique)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{where} must hold JSON, got: {error}.") from error


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    text = path.read_bytes()
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  return parse_object(text, path)
