"""What an endpoint says when it refuses: its own words, and what it names.

There is no one form of errors: an object or a list; `error`, `detail`,
`message` or a bare text; the setting in `param`, in a path, or in the words.
"""

import json
import re
from typing import Any

from s3_jax.lexicon.answers import clean_text

_WORDS = (
  "error",
  "errors",
  "message",
  "msg",
  "detail",
  "details",
  "error_description",
  "description",
  "title",
  "reason",
)
_NAMES = ("param", "parameter", "field", "loc", "path", "property")
_FORMAT = re.compile(r"format|schema|json_object|structured", re.IGNORECASE)
_DEPTH = 6
_ITEMS = 3  # of a list


def error_words(body: bytes) -> tuple[str, frozenset[str]]:
  """Reads the body of an error."""
  text = body.decode("utf-8", "replace")
  try:
    value = json.loads(text)
  except (ValueError, RecursionError):
    return clean_text(re.sub(r"<[^<>]{0,200}>", " ", text)), frozenset()
  words = list(dict.fromkeys(_words(value, 0)))
  return clean_text("; ".join(words) or text), frozenset(_names(value, 0))


def refused_setting(
  words: str, names: frozenset[str], sent: frozenset[str]
) -> str:
  """Says which setting an endpoint refuses: what can be left out next time."""
  if names & {"response_format", "json_schema", "schema"}:
    return "format"
  for setting in sorted(sent & names):
    return setting
  if _FORMAT.search(words):
    return "format"
  for setting in sorted(sent):
    if re.search(rf"(?<![^\W_]){setting}s?(?![^\W_])", words, re.IGNORECASE):
      return setting
  return "format"


def _words(value: Any, depth: int) -> list[str]:
  """Collects the texts under the usual keys, outermost first."""
  if isinstance(value, str):
    return [value] if value.strip() else []
  if depth == _DEPTH or not isinstance(value, dict | list):
    return []
  if isinstance(value, list):
    parts = value[:_ITEMS]
  else:
    parts = [value[key] for key in _WORDS if key in value]
  found = [text for part in parts for text in _words(part, depth + 1)]
  if isinstance(value, dict) and found and (names := _own_names(value)):
    found[-1] += f" ({'.'.join(names)})"
  return found


def _own_names(value: dict[Any, Any]) -> list[str]:
  given = next((value[key] for key in _NAMES if value.get(key)), [])
  parts = given if isinstance(given, list) else [given]
  return [part for part in parts if isinstance(part, str)]


def _names(value: Any, depth: int) -> set[str]:
  if depth == _DEPTH or not isinstance(value, dict | list):
    return set()
  parts = list(value.values()) if isinstance(value, dict) else value
  found = set(_own_names(value)) if isinstance(value, dict) else set()
  found = {part for name in found for part in re.split(r"[./\[\]]+", name)}
  return found.union(*(_names(part, depth + 1) for part in parts[:50]))
