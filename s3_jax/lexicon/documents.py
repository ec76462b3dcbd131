r"""Text files and what stands in them: lines, JSON, YAML, Python's own lists.

A byte order mark is no part of a text. A line ends where an editor ends it, at
"\n" or "\r"; U+2028, U+0085 and their like are characters of a name.
"""

import ast
import json
import os
import pathlib
import re
from typing import Any

MAX_BYTES = 1 << 28
"""Larger files hold no list of classes, and are not read."""

_MAX_DEPTH = 8  # of YAML


def read_text(path: str | os.PathLike[str]) -> str:
  """Reads a text file."""
  path = pathlib.Path(path)
  try:
    size = path.stat().st_size
    if size > MAX_BYTES:
      raise ValueError(
        f"{path} must be at most {MAX_BYTES >> 20} MiB to be read, got"
        f" {size >> 20}."
      )
    return path.read_bytes().decode("utf-8-sig")
  except OSError as error:
    raise ValueError(f"{path} must be readable: {error.strerror}.") from error
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} must be UTF-8, got: {error}; save it as UTF-8."
    ) from error


def split_lines(text: str) -> list[str]:
  """Splits a text into lines, at line breaks alone."""
  lines = re.split(r"\r\n|\n|\r", text)
  return lines if lines[-1] else lines[:-1]


def parse_json(text: str, where: str) -> Any:
  """Parses JSON, in which no object may have a key twice."""
  repeated: list[str] = []

  def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in items:
      if key in value:
        repeated.append(key)
      value[key] = item
    return value

  try:
    value = json.loads(text, object_pairs_hook=pairs)
  except RecursionError as error:
    raise ValueError(f"{where} must be JSON, got: too deep.") from error
  except ValueError as error:
    raise ValueError(f"{where} must be JSON, got: {error}.") from error
  if repeated:
    raise ValueError(
      f"{where} must name each class once, got {min(repeated)!r:.80} twice."
    )
  return value


def parse_yaml(text: str, where: str) -> Any:
  """Parses YAML to texts, lists and objects: nothing is made of its types.

  "no", "1.0" and "2012-01-01" are the texts that they look like. Anchors, tags
  and several documents are refused.
  """
  import yaml

  # Events, not a tree: a parser in C that recursed would end the process.
  loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
  top: list[Any] = []
  stack: list[Any] = [top]
  keys: list[str | None] = [None]
  try:
    for event in yaml.parse(text, Loader=loader):
      if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise ValueError(f"{where} must use no anchors (&, *): write it out.")
      if isinstance(event, yaml.ScalarEvent):
        _put(stack, keys, event.value, where)
      elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
        is_list = isinstance(event, yaml.SequenceStartEvent)
        value: Any = [] if is_list else {}
        _put(stack, keys, value, where)
        stack.append(value)
        keys.append(None)
        if len(stack) > _MAX_DEPTH:
          raise ValueError(f"{where} must be YAML, got: too deep.")
      elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
        stack.pop()
        keys.pop()
  except yaml.YAMLError as error:
    words = " ".join(str(error).split())
    raise ValueError(f"{where} must be YAML, got: {words:.120}.") from error
  if len(top) != 1:
    raise ValueError(f"{where} must hold one document, got {len(top)}.")
  return top[0]


def _put(
  stack: list[Any], keys: list[str | None], value: Any, where: str
) -> None:
  """Adds a value to the innermost list or object; of the latter a key first."""
  inside = stack[-1]
  if isinstance(inside, list):
    inside.append(value)
  elif keys[-1] is not None:
    inside[keys[-1]] = value
    keys[-1] = None
  elif not isinstance(value, str):
    raise ValueError(f"{where} must have texts as keys, got {value!r:.40}.")
  elif value in inside:
    raise ValueError(f"{where} must name each class once, got {value!r} twice.")
  else:
    keys[-1] = value


def parse_brackets(text: str, where: str) -> Any:
  """Parses a list or an object that was written as JSON or as Python."""
  try:
    return parse_json(text, where)
  except ValueError as error:
    if "must name each class once" in str(error):
      raise
  try:
    return ast.literal_eval(text.strip())
  except (ValueError, SyntaxError, MemoryError, RecursionError):
    pass
  lines = [line for line in split_lines(text) if line.strip()]
  if len(lines) > 1 and all(line.lstrip()[0] in "[{" for line in lines):
    return [
      parse_json(line, f"{where}, line {number}")
      for number, line in enumerate(lines, 1)
    ]
  raise ValueError(
    f"{where}: what begins with a bracket must be a list or an object in JSON"
    f" or Python, got {text.strip()!r:.60}: put names between quotes, or leave"
    " the brackets out."
  )
