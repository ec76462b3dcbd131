"""From a person's words to absl's flags.

    predict a.jpg b.jpg --top=3  ->  --config=FILE --config.top=3, with
                                     images = ("a.jpg", "b.jpg")

The first word is the task, or `--config` names a file. What follows are fields
of the config, with or without `config.` before their names, flags of absl, and
plain words for the fields that the task takes them for.
"""

import ast
import os
import pathlib
import runpy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from s3_jax.command.catalog import config_file, names
from s3_jax.command.fields import TaskFields, read_fields
from s3_jax.messages import nearest

SHARED = (
  "workdir",
  "platform",
  "debug",
  "coordinator_address",
  "num_processes",
  "process_id",
  "initialization_timeout",
  "heartbeat_timeout",
)
"""Flags of every task."""

_HELP = ("h", "?", "help")


class Request(NamedTuple):
  """What a command line asks for.

  Attributes:
    argv: for absl, the program's name first.
    name: of the packaged config, as its task is called here; else "".
    config: the value of `--config`.
    several: fields whose values no flag can carry.
    wants: "run", "list", "help" or "completion".
  """

  argv: list[str]
  name: str
  config: str
  several: dict[str, tuple[str, ...]]
  wants: str


def read_request(argv: Sequence[str], *, default: str = "") -> Request:
  """Turns a command line into flags.

  Args:
    argv: as a shell gives it, the program's name first.
    default: the packaged config of a command line that names none.

  Returns:
    The request; flags that are no config's and none of absl's among them, for
    absl to refuse.

  Raises:
    ValueError: for a task, a field or a word that is none.
  """
  program, *words = argv
  stop = words.index("--") if "--" in words else len(words)
  shown = [
    w.lstrip("-").partition("=")[0] for w in words[:stop] if w[:1] == "-"
  ]
  wants = "help" if any(word in _HELP for word in shown) else "run"
  if "completion" in shown:
    wants = "completion"
  if wants != "run":
    known = (*_HELP, "completion")
    words = [w for w in words if w.lstrip("-") not in known or w[:1] != "-"]
  name, config, words = _find_config(words, default if wants == "run" else "")
  if not config:
    if not words or wants != "run":
      wants = "list" if wants != "completion" else wants
      return Request([program], "", "", {}, wants)
    raise ValueError(
      f"a task must come first, got {words[0]!r:.80}: `s3-jax` lists the tasks."
    )
  loaded = load_config(config)
  argv = [program, f"--config={config}"]
  if loaded is None or wants != "run":  # absl says what is wrong with the file
    return Request([*argv, *words], name, config, {}, wants)
  task = read_fields(loaded)
  plain: list[str] = []
  rest = iter(words)
  for word in rest:
    if word == "--":
      plain += rest
    elif word[:1] != "-" or word == "-":
      plain.append(word)
    else:
      argv += _flag(word, rest, task, name)
  several = {}
  set_by = {word.partition("=")[0] for word in argv}
  for field, values in _share_out(plain, task, name or config):
    first, *others = values
    if f"--config.{field}" in set_by:
      raise ValueError(
        f"`--{field}` must be given once, got {first!r:.80} beside it: a plain"
        " word is the same field."
      )
    if others:
      several[field] = values
    else:
      argv.append(f"--config.{field}={_as_list(first, task, field)}")
  return Request(argv, name, config, several, wants)


def _find_config(words: list[str], default: str) -> tuple[str, str, list[str]]:
  """Finds which config is meant; returns it and what else was said."""
  of_flags = [index for index, w in enumerate(words) if _is_config(w)]
  if of_flags:
    index = of_flags[-1]  # the last one counts, as of all flags
    _, has_value, value = words[index].partition("=")
    if not has_value:
      value = words[index + 1] if index + 1 < len(words) else ""
    if not value:
      raise ValueError(
        "`--config` must name a config or its file, got nothing: --config=FILE."
      )
    used = {i + 1 for i in of_flags if "=" not in words[i]} | {*of_flags}
    rest = [word for i, word in enumerate(words) if i not in used]
    stem, colon, argument = value.partition(":")
    if stem in names() and not pathlib.Path(stem).is_file():
      return stem, f"{config_file(stem)}{colon}{argument}", rest
    return "", value, rest
  for index, word in enumerate(words):
    if word[:1] != "-" and not (index and _takes_word(words[index - 1])):
      stem, colon, argument = word.partition(":")
      config = f"{config_file(stem)}{colon}{argument}"
      return stem, config, words[:index] + words[index + 1 :]
  if default:
    return default, str(config_file(default)), words
  return "", "", words


def _is_config(word: str) -> bool:
  return word[:1] == "-" and word.lstrip("-").partition("=")[0] == "config"


def _takes_word(word: str) -> bool:
  """Says whether a flag of absl has its value in the next word."""
  key = word.lstrip("-")
  known = flags.FLAGS
  return word[:1] == "-" and key in known and not known[key].boolean


def load_config(config: str) -> ConfigDict | None:
  """Runs a config's file; None where that fails, or gives something else."""
  path, *argument = config.split(":", 1)
  try:
    loaded = runpy.run_path(path)["get_config"](*argument)
  except Exception:  # anything, as a config is a program
    return None
  return loaded if isinstance(loaded, ConfigDict) else None


def _flag(
  word: str, rest: Iterator[str], task: TaskFields, name: str
) -> list[str]:
  """Returns a flag as absl takes it; its value may be the next word."""
  key, has_value, value = word.lstrip("-").partition("=")
  known = flags.FLAGS
  if key in known or (key[:2] == "no" and key[2:] in known and not has_value):
    return [word, _next_word(word, rest)] if _takes_word(word) else [word]
  field = key.removeprefix("config.")
  if field not in task.fields:
    if key != field:
      return [word]
    if key[:2] == "no" and not has_value and _is_bool(task, key[2:]):
      return [f"--config.{key[2:]}=False"]
    raise ValueError(
      f"{name or 'the config'} has no field or flag `--{key:.60}`; it may be"
      f" {nearest((*task.fields, *SHARED), key)}; --help shows all."
    )
  if not has_value:
    value = "True" if _is_bool(task, field) else _next_word(word, rest)
  return [f"--config.{field}={_as_list(value, task, field)}"]


def _next_word(word: str, rest: Iterator[str]) -> str:
  value = next(rest, None)
  if value is None or value[:2] == "--":
    got = "nothing" if value is None else f"{value!r:.80}"
    raise ValueError(
      f"`{word:.80}` must have its value behind it, got {got}; with `=` between"
      " them it may be anything."
    )
  return value


def _is_bool(task: TaskFields, field: str) -> bool:
  return field in task.fields and isinstance(task.fields[field].default, bool)


def _as_list(value: str, task: TaskFields, field: str) -> str:
  """Writes `a,b` as absl reads a tuple, where the field is a list."""
  about = task.fields[field]
  if not isinstance(about.default, tuple) or value.lstrip()[:1] in ("(", "["):
    return value
  parts = [part.strip() for part in value.split(",")]
  parts = parts[:-1] if not parts[-1] else parts
  # A comma may belong to a file's name, or to a template: each has its "{}".
  cuts_template = "{}" in value and not all("{}" in part for part in parts)
  if cuts_template or os.path.exists(value):
    parts = [value]
  read = str if about.texts else _literal
  return repr(tuple(map(read, parts)))


def _literal(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def _share_out(
  words: Sequence[str], task: TaskFields, name: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
  """Gives plain words to the fields that take them."""
  left = list(words)
  for field in task.takes:
    if not left:
      return
    if field.endswith("..."):
      yield field[:-3], tuple(left)
      left = []
    else:
      yield field, (left.pop(0),)
  if left:
    takes = " ".join(field.upper() for field in task.takes)
    raise ValueError(
      f"{name} takes {takes or 'no plain words'}, got {left[0]!r:.80} beside"
      " them: a field is set with --field=value."
    )
