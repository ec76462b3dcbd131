"""What `s3-jax`, `s3-jax TASK --help` and `s3-jax --completion` print."""

import textwrap
from typing import Any

from absl import flags

from s3_jax.command import catalog
from s3_jax.command.arguments import SHARED, load_config
from s3_jax.command.fields import TaskField, read_fields

_WIDTH = 80
_INDENT = 24


def task_list() -> str:
  """Lists the tasks in groups, one line each."""
  lines = [
    "usage: s3-jax TASK [WORDS] [--field=value ...]",
    "       s3-jax TASK --help     the fields of a task, and examples",
    "       s3-jax --completion    a completion for bash and zsh",
    "",
    "In a checkout, `python main.py --config=configs/TASK.py"
    " --config.field=value` is the same.",
  ]
  for title, names in catalog.GROUPS.items():
    lines += ["", title]
    for name in names:
      first = catalog.about(name).partition("\n")[0]
      lines.append(_entry(name, first))
  lines += ["", "Start here", *_commands("demo", 1), *_commands("predict", 1)]
  return "\n".join(lines)


def task_help(name: str, config: str) -> str:
  """Describes a task: what it does, its fields, flags and examples.

  Args:
    name: of a packaged config, or "" for a file of one's own.
    config: its file, with what may follow a colon.

  Raises:
    ValueError: if the file gives no config.
  """
  loaded = load_config(config)
  if loaded is None:
    raise ValueError(
      f"`--config` must be a file with a function get_config, got {config!r}."
    )
  task = read_fields(loaded)
  words = " ".join(f"[{word.upper()}]" for word in task.takes)
  usage = f"s3-jax {name}" if name else f"s3-jax --config={config}"
  lines = [f"usage: {usage} {words} [--field=value ...]".replace("  ", " ")]
  if name:
    lines += ["", catalog.about(name).partition("\n")[0]]
  lines += ["", "Fields, with their defaults (a list is written a,b)"]
  shown = {field.alike or key: field for key, field in task.fields.items()}
  for key, field in shown.items():
    kind = f" ({field.kind})" if field.kind else ""
    key += ".NAME" if field.alike else _default(field)
    lines.append(_entry(f"--{key}", f"{field.about}{kind}"))
  lines += ["", "Flags of every task"]
  for key in SHARED:
    lines.append(_entry(f"--{key}", flags.FLAGS[key].help or ""))
  if name:
    lines += ["", "Examples", *_commands(name, 3)]
  return "\n".join(lines)


def completion() -> str:
  """Writes a completion of tasks, fields and files, for bash and zsh."""
  cases = []
  for name in catalog.names():
    loaded = load_config(str(catalog.config_file(name)))
    keys = (*(read_fields(loaded).fields if loaded else ()), *SHARED)
    options = " ".join(f"--{key}=" for key in keys)
    cases.append(f'    {name}) words="{options} --help" ;;')
  names = " ".join(catalog.names())
  return "\n".join(
    (
      "# s3-jax --completion > FILE, then `source FILE` in ~/.bashrc; in zsh",
      "# after `autoload -U bashcompinit && bashcompinit`.",
      "_s3_jax() {",
      '  local word="${COMP_WORDS[COMP_CWORD]}" words=""',
      '  case "${COMP_WORDS[1]%%:*}" in',
      *cases,
      "  esac",
      f'  [ "$COMP_CWORD" -eq 1 ] && words="{names} --help"',
      '  case "$word" in',
      '    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
      '    *) [ "$COMP_CWORD" -eq 1 ] &&'
      ' COMPREPLY=($(compgen -W "$words" -- "$word")) ||'
      ' COMPREPLY=($(compgen -f -- "$word")) ;;',
      "  esac",
      "}",
      "complete -o nospace -o filenames -F _s3_jax s3-jax",
    )
  )


def _commands(name: str, count: int) -> list[str]:
  lines = catalog.examples(name)[:count]
  return [f"  s3-jax {name} {words}".rstrip() for words in lines]


def _default(field: TaskField) -> str:
  value: Any = field.default
  if isinstance(value, tuple):
    shown = ",".join(map(str, value[:3])) + (",…" if len(value) > 3 else "")
    return f"={shown}" if value else ""
  return "" if value in ("", None) else f"={value}"


def _entry(left: str, right: str) -> str:
  """Writes two columns; a long left one has the right one below it."""
  wrapped = textwrap.wrap(right, _WIDTH - _INDENT, break_on_hyphens=False)
  space = " " * _INDENT
  if len(left) + 4 > _INDENT:
    head, rest = f"  {left}", wrapped
  else:
    head, rest = f"  {left}".ljust(_INDENT) + "".join(wrapped[:1]), wrapped[1:]
  return "\n".join((head.rstrip(), *(space + line for line in rest if line)))
