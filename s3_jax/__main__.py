"""Runs one experiment: `s3-jax TASK`, or `python main.py --config=FILE`.

Exit codes: 0 when every asked result exists; 2 for bad input, with one line on
stderr; 130 after an interrupt; 134 in a run of several processes after one was
lost; anything else is a bug.
"""

import functools
import json
import os
import pathlib
import re
import runpy
import signal
import sys
import traceback
import warnings
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from s3_jax.command.arguments import Request, read_request
from s3_jax.messages import MAX_LINE, nearest, one_line

_STOPPED = 130  # 128 + SIGINT, as shells count
_AGAIN = 3.0  # seconds after which an interrupt that was swallowed is repeated

_short_names = False  # whether fields were named without `config.`

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "File of the experiment; its fields are set with --config.x.y=value.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder for the results; a new one under runs/ by default."
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of bad input.")
_PLATFORM = flags.DEFINE_enum(
  "platform",
  None,
  ["cpu", "gpu", "tpu"],
  "Platform that must be there; JAX's choice by default.",
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator_address",
  None,
  "host:port of process 0 of a run of several processes, or 'auto' to let JAX"
  " find all of it; by default what Slurm, Open MPI or a TPU pod says.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "How many processes run this command.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Number of this process, from 0.", lower_bound=0
)
_INITIALIZATION_TIMEOUT = flags.DEFINE_integer(
  "initialization_timeout",
  180,
  "Seconds in which all processes must have joined.",
  lower_bound=1,
)
_HEARTBEAT_TIMEOUT = flags.DEFINE_integer(
  "heartbeat_timeout",
  60,
  "Seconds without a sign of life after which a process counts as lost.",
  lower_bound=5,
)


def main(argv: list[str]) -> None:
  """Runs the experiment that the flags describe."""
  if len(argv) > 1:
    _refuse(f"arguments must be --flags, got {argv[1]!r}.")

  from s3_jax import experiment
  from s3_jax.experiment.machine import cluster, platforms

  logging.set_verbosity(logging.WARNING)
  warnings.showwarning = _show_warning
  joined = False
  try:
    joined = _join()
    if _PLATFORM.value:
      platforms.require_platform(_PLATFORM.value)
    elif experiment.computes(_CONFIG.value):
      platforms.check_fallback()
    experiment.run(_CONFIG.value, _WORKDIR.value)
    status = 0
  except (ValueError, OSError) as error:
    if _DEBUG.value:
      if not joined:
        raise
      traceback.print_exc()
    _say(_describe(error))
    status = 2
  except experiment.LostPeer as error:
    _say(
      f"{error}. Finished shards are in {_cache()}; the same command goes on"
      " from them."
      if experiment.resumes(_CONFIG.value)
      else f"{error}. {_what_remains('').capitalize()}."
    )
    status = cluster.LOST
  except KeyboardInterrupt:
    _quiet_interrupts()
    sys.stderr.write("\n")
    _say(f"stopped; {_what_remains(experiment.resumes(_CONFIG.value))}.")
    status = _STOPPED
  except BaseException as error:
    # A library in Rust "panics", which Python's `Exception` does not cover.
    if type(error).__name__ == "PanicException" and not _DEBUG.value:
      _say(
        f"a library gave up on a file or a text ({type(error).__module__}:"
        f" {error}); --debug shows where."
      )
      sys.exit(2)
    if not joined or not isinstance(error, Exception):
      raise
    # Python's own end would wait for peers that wait for this process.
    traceback.print_exc()
    status = 1
  if joined:
    cluster.leave(status)
  sys.exit(status)


def _join() -> bool:
  """Joins the other processes of the run, where there are any."""
  from s3_jax.experiment.machine import cluster

  found = cluster.find_cluster(
    os.environ,
    coordinator_address=_COORDINATOR.value,
    num_processes=_NUM_PROCESSES.value,
    process_id=_PROCESS_ID.value,
  )
  if found is None:
    return False
  cluster.join(
    found,
    initialization_timeout=_INITIALIZATION_TIMEOUT.value,
    heartbeat_timeout=_HEARTBEAT_TIMEOUT.value,
    shards=_cache(),
  )
  return True


def _cache() -> str:
  """Says where finished shards are kept."""
  from s3_jax.files import default_cache_dir

  return str(_CONFIG.value.get("cache_dir", "") or default_cache_dir())


def _what_remains(resumes: str) -> str:
  """Says what a run that was stopped leaves to the next one."""
  if resumes == "nothing":
    return "it keeps nothing"
  if resumes == "cache":
    return f"the same command goes on from here, with what is in {_cache()}"
  if resumes and _WORKDIR.value:
    return f"the same command goes on from here, with {_WORKDIR.value}"
  if resumes:
    return (
      "the same command goes on from here if --workdir names this run's folder"
      " under runs/"
    )
  return "its results are not complete, and the same command starts anew"


def _quiet_interrupts() -> None:
  """Lets what follows an interrupt be done in peace."""
  if signal.getsignal(signal.SIGINT) is _interrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number, frame) -> NoReturn:
  del number, frame
  # Python swallows what is raised inside a callback of its garbage collection,
  # of which JAX has one.
  signal.setitimer(signal.ITIMER_REAL, _AGAIN)
  raise KeyboardInterrupt


def _show_warning(message, category, filename, lineno, file=None, line=None):
  del category, filename, lineno, file, line
  _say(str(message))


def _parse_flags(argv: list[str], default: str = "") -> list[str]:
  global _short_names
  try:
    request = read_request(argv, default=default)
    if request.wants != "run":
      _show(request)
  except ValueError as error:
    _refuse(str(error))
  _short_names = not any(word[:8] == "--config" for word in argv)
  sys.argv = argv = request.argv  # where ml_collections looks for fields
  try:
    rest = flags.FLAGS(argv)
    with _CONFIG.value.ignore_type():  # raises here where the file is absent
      for field, values in request.several.items():
        _CONFIG.value[field] = values
    return rest
  except Exception as error:  # a config is the user's own program
    if "--debug" in argv and not isinstance(error, flags.Error):
      raise
    _refuse(_flag_problem(argv, error))


def _show(request: Request) -> NoReturn:
  """Prints what was asked instead of a run."""
  from s3_jax.command import help

  if request.wants == "list":
    text = help.task_list()
  elif request.wants == "help":
    text = help.task_help(request.name, request.config)
  else:
    text = help.completion()
  sys.stdout.write(f"{text}\n")
  sys.exit(0)


def _flag_problem(argv: list[str], error: Exception) -> str:
  """Says which flag is wrong: in our words where Python's would be shown."""
  text = str(error)
  last = text.strip().splitlines()[-1] if text.strip() else ""
  given = [word.lstrip("-") for word in argv if word.startswith("-")]
  file = next(
    (word[7:] for word in reversed(given) if word[:7] == "config="), None
  )
  names = [word.partition("=")[0] for word in given if word[:7] == "config."]
  if "not available because" in text or "Failed loading config" in text:
    cause = error.__cause__ or error
    reason = getattr(cause, "strerror", None) or last.rpartition("] ")[2]
    if not pathlib.Path(str(file).partition(":")[0]).exists():
      reason = "there is no such file"
    return f"`--config` must be a file that can be run, got {file!r}: {reason}."
  if isinstance(error, AttributeError | KeyError) and names:
    wrong = [name for name in names if last.strip("\"'") in name.split(".")]
    name = (wrong or names)[0]
    return (
      f"`--{name}` must be a field of the config {file}, and is none"
      f"{_nearest_fields(name, file)}."
    )
  if found := re.match(r"flag --(config\.\S+?)=(.*?): ", text, re.DOTALL):
    return (
      f"`--{found[1]}` must be of the type that its field has, got"
      f" {found[2]!r:.80}."
    )
  if "Traceback (most recent" in text or not isinstance(error, flags.Error):
    kind = "" if isinstance(error, flags.Error) else f"{type(error).__name__}: "
    return (
      "`--config` must be a file whose `get_config` takes what follows a colon,"
      f" and each `--config.x` must fit its field, got {file} ({kind}{last})."
    )
  return text


def _nearest_fields(name: str, file: str | None) -> str:
  """Names the fields that may have been meant, where the config is known."""
  *groups, last = name.split(".")[1:]
  try:
    path, *argument = str(file).split(":", 1)
    fields = runpy.run_path(path)["get_config"](*argument)
    for group in groups:
      fields = fields[group]
    return f"; it may be {nearest(list(fields.keys()), last)}"
  except Exception:  # anything, as a config is a program
    return ""


def _describe(error: ValueError | OSError) -> str:
  """Puts an error into one line of ours, also where it has Python's words."""
  text = str(error)
  if isinstance(error, OSError):
    if error.strerror is None:
      return text
    names = [
      repr(os.fsdecode(name))
      for name in (error.filename, error.filename2)
      if isinstance(name, str | bytes)
    ]
    where = " and ".join(names) or "a file or folder"
    return f"{where} cannot be read or written: {error.strerror}."
  if isinstance(error, UnicodeError):
    return (
      f"a text must be UTF-8, and one is not ({text}): save its file as UTF-8;"
      " --debug shows which one."
    )
  if text.startswith("embedded null"):
    return "a path must not hold a NUL character; --debug shows which one does."
  if isinstance(error, json.JSONDecodeError):
    return f"a JSON file must be whole, got {text}; --debug shows which one."
  return text


def _refuse(reason: str) -> NoReturn:
  _say(reason)
  sys.exit(2)


def _say(text: str) -> None:
  if _short_names:  # as they were typed
    text = text.replace("`config.", "`--").replace("--config.", "--")
  line = one_line(text, most=MAX_LINE - len("s3_jax: "))
  encoding = sys.stderr.encoding or "utf-8"
  line = line.encode(encoding, "backslashreplace").decode(encoding)
  sys.stderr.write(f"s3_jax: {line}\n")


def run_main(default: str = "") -> None:
  """Parses the flags and runs.

  Args:
    default: the packaged config where a command line names none; without it
      the tasks are listed.
  """
  for stream in ("stdout", "stderr"):
    if getattr(sys, stream) is None:  # closed, as `2>&-` does
      nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
      setattr(sys, stream, nowhere)
  # A shell's background job ignores interrupts, and so Python.
  if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
  try:
    app.run(main, flags_parser=functools.partial(_parse_flags, default=default))
  except KeyboardInterrupt:
    _quiet_interrupts()
    _say("stopped before the run began.")
  except SystemExit as end:
    if end.code != _STOPPED:
      raise
  # Python's own end would meet threads of XLA that still work, and crash.
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(_STOPPED)


if __name__ == "__main__":
  run_main()
