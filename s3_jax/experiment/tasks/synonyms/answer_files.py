"""A model's answers, one file each: kept as they come, read again later."""

import hashlib
import json
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from s3_jax.fields import Where, read
from s3_jax.files import safe_name, write_json

_SCHEMA = 1


class _Anywhere(Where):
  """The place of an answer, whose other keys are left alone."""

  closed = False


class _Reply(NamedTuple):
  """What came back."""

  text: str
  model: str
  problem: str


class _Answer(NamedTuple):
  """What stands in the file of an answer."""

  key: str
  job: str
  labels: tuple[int, ...]
  names: tuple
  request: dict
  reply: _Reply
  host: str
  date: str


def read_answers(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Reads the answers of a folder, in the order in which they came.

  A file that was altered or is of another version is passed over with a
  warning; its question will be asked again.
  """
  records = []
  for path in sorted(folder.glob("*.json"), key=_number):
    record = _read(path)
    if record is None:
      warnings.warn(
        f"{path.name!r} in {str(folder)!r} is no answer as it was written,"
        " and is passed over.",
        stacklevel=2,
      )
    else:
      records.append(record)
  return records


def answer_writer(
  folder: pathlib.Path, **origin: str
) -> Callable[[dict[str, Any]], dict[str, Any]]:
  """Returns the function that keeps one answer for good."""
  number = max(map(_number, folder.glob("*.json")), default=-1)

  def write(record: dict[str, Any]) -> dict[str, Any]:
    nonlocal number
    number += 1
    record = {"schema": _SCHEMA, **record, **origin}
    sealed = {**record, "sha256": _seal(record)}
    name = safe_name(number, f"{record['names'][0]} {record['key'][:12]}")
    # In ASCII, so that a lone surrogate in an answer can be written at all.
    write_json(folder / f"{name}.json", sealed)
    return record

  return write


def _number(path: pathlib.Path) -> int:
  match = re.match(r"[0-9]{1,9}(?=-)", path.name)
  return int(match[0]) if match else -1


def _seal(record: Mapping[str, Any]) -> str:
  text = json.dumps(record, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _read(path: pathlib.Path) -> dict[str, Any] | None:
  try:
    record = json.loads(path.read_bytes())
    intact = record.pop("sha256") == _seal(record)
    read(_Answer, record, _Anywhere())
  except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
    return None
  return record if intact and record.get("schema") == _SCHEMA else None
