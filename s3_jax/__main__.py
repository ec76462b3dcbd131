"""Runs one experiment: `python -m s3_jax`, or `python main.py` in a checkout.

Exit codes: 0 when every asked result exists; 2 for bad input, with one line on
stderr; 134 in a run of several processes after one was lost; anything else is a
bug.
"""

import os
import pathlib
import sys
import traceback
import warnings
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

_PACKAGE = pathlib.Path(__file__).resolve().parent
# In a wheel the experiments lie inside the package, in a checkout beside it.
_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
_DEMO = next(
  (str(folder / "demo.py") for folder in _CONFIGS if folder.is_dir()), None
)

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,  # the demo: `_parse_flags` sets it, where it can refuse a field
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
  from s3_jax.experiment import cluster, platforms

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
    )
    status = cluster.LOST
  except KeyboardInterrupt:
    sys.stderr.write("\ns3_jax: stopped; the same command goes on from here.\n")
    status = 130
  except Exception:
    if not joined:
      raise
    # Python's own end would wait for peers that wait for this process.
    traceback.print_exc()
    status = 1
  if joined:
    cluster.leave(status)
  sys.exit(status)


def _describe(error: Exception) -> str:
  """Words an error; the system's own begin with a number."""
  if isinstance(error, OSError) and error.strerror and error.filename:
    return f"{error.filename} cannot be read or written: {error.strerror}."
  return str(error)


def _join() -> bool:
  """Joins the other processes of the run, where there are any."""
  from s3_jax.experiment import cluster

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


def _show_warning(message, category, filename, lineno, file=None, line=None):
  del category, filename, lineno, file, line
  sys.stderr.write(f"s3_jax: {message}\n")


def _parse_flags(argv: list[str]) -> list[str]:
  try:
    flags.set_default(_CONFIG, _DEMO)
    return flags.FLAGS(argv)
  except flags.Error as error:
    _refuse(str(error))
  except Exception as error:  # a config is the user's own program
    if "--debug" in argv:
      raise
    _refuse(
      "`--config` must be a file that can be run, and `--config.x` one of its"
      f" fields, got {type(error).__name__}: {error}"
    )


def _refuse(reason: str) -> NoReturn:
  _say(reason)
  sys.exit(2)


def _say(text: str) -> None:
  sys.stderr.write(f"s3_jax: {' '.join(text.split())}\n")


def run_main() -> None:
  """Parses the flags and runs."""
  app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
  run_main()
