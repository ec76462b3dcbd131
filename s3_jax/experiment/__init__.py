"""The composition root: a config in, an experiment's files out.

The only reader of a ConfigDict. A config names its task; the task's settings
are read whole, and unread fields refused, before anything is computed.
"""

import ctypes
import datetime
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import ml_collections

from s3_jax.experiment import evaluate, sweep, train
from s3_jax.experiment.settings import Settings

# What a config's `task` may be: a reader of its settings, which returns the
# work itself as a function of the workdir.
TASKS: dict[str, Callable[[Settings], Callable[[pathlib.Path], Any]]] = {
  "evaluate": evaluate.read_settings,
  "sweep": sweep.read_settings,
  "train": train.read_settings,
}


def run(config: ml_collections.ConfigDict, workdir: str | None = None) -> Any:
  """Runs the experiment that a config describes.

  Args:
    config: its `task` chooses one of TASKS, whose fields the rest must be.
    workdir: folder of the results; by default a new one under `runs/`.

  Returns:
    What the task returns.

  Raises:
    ValueError: for a setting, file or data set that breaks a rule.
    OSError: if the workdir cannot be written.
  """
  task = _read(config)
  if workdir is None:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = f"runs/{config.task}-{stamp}"
  folder = pathlib.Path(workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise ValueError(
      f"`workdir` must be a folder that can be written, got {workdir!r}:"
      f" {error.strerror}."
    ) from error
  _keep_freed_memory()
  return task(folder)


def dry_run(config: ml_collections.ConfigDict) -> None:
  """Reads and checks every setting of a config without computing anything.

  Args:
    config: as for `run`.

  Raises:
    ValueError: naming the first field that breaks a rule.
  """
  _read(config)


def _read(
  config: ml_collections.ConfigDict,
) -> Callable[[pathlib.Path], Any]:
  settings = Settings(config.to_dict())
  name = settings.take("task", str, choices=tuple(TASKS))
  task = TASKS[name](settings)
  settings.finish()
  return task


def _keep_freed_memory() -> None:
  """Tells glibc to keep freed memory; elsewhere does nothing.

  XLA on CPU frees and allocates its large buffers at every call. Returned to
  the kernel each time, they come back as page faults, which took three
  quarters of a memory-bound step's time (docs/TRAINING.md).
  """
  if not sys.platform.startswith("linux"):
    return
  library = ctypes.CDLL(None)
  if not hasattr(library, "mallopt"):
    return
  trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
  library.mallopt(mmap_max, 0)
  library.mallopt(trim_threshold, 2**31 - 1)
  library.mallopt(top_pad, 2**29)
