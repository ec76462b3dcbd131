"""The composition root: a config in, an experiment's files out.

The only reader of a ConfigDict. A config names its task; the task's settings
are read whole, and unread fields refused, before anything is computed.
"""

import contextlib
import datetime
import importlib.metadata
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import ml_collections

import s3_jax
from s3_jax import hosts
from s3_jax.experiment.machine.compiled_programs import (
  ProgramFolder,
  kept_programs,
)
from s3_jax.experiment.machine.environment import git_commit
from s3_jax.experiment.settings import Settings, require_writable
from s3_jax.experiment.tasks import (
  benchmark,
  check_data,
  compare,
  convert,
  embeddings,
  evidence,
  export,
  gallery,
  lexicon_report,
  models,
  predict,
  prepare_data,
  segment,
  segmentation,
  synonyms,
  train,
  verify,
)
from s3_jax.experiment.tasks.sweep import embedded, spaces, views
from s3_jax.experiment.workdir import patient_streams
from s3_jax.fields import Rule
from s3_jax.hosts import LostPeer as LostPeer

# What a config's `task` may be: a reader of its settings, which returns the
# work itself as a function of the workdir.
TASKS: dict[str, Callable[[Settings], Callable[[pathlib.Path], Any]]] = {
  "benchmark": benchmark.read_settings,
  "check_data": check_data.read_settings,
  "compare": compare.read_settings,
  "convert": convert.read_settings,
  "embeddings": embeddings.read_settings,
  "embeddings_sweep": embedded.read_settings,
  "evaluate": benchmark.read_settings,  # as configs of the demo called it
  "evidence": evidence.read_settings,
  "export": export.read_settings,
  "gallery": gallery.read_settings,
  "lexicon_report": lexicon_report.read_settings,
  "models": models.read_settings,
  "predict": predict.read_settings,
  "prepare_data": prepare_data.read_settings,
  "segment": segment.read_settings,
  "segmentation": segmentation.read_settings,
  "sweep": spaces.read_settings,
  "synonyms": synonyms.read_settings,
  "train": train.read_settings,
  "verify": verify.read_settings,
  "view_sweep": views.read_settings,
}


class Common(NamedTuple):
  """The fields of every task."""

  task: Annotated[str, Rule(choices=TASKS)]
  compilation_cache_dir: ProgramFolder = ""


# Those that share their work out over the processes of a run.
SHARED_TASKS = (
  *("benchmark", "embeddings", "evaluate", "segmentation"),
  *("embeddings_sweep", "sweep", "view_sweep"),
)

# What a run that was stopped leaves for the next one: shards in the cache, or
# files of its workdir. Every other task starts anew.
RESUMES = {
  "benchmark": "cache",
  "evaluate": "cache",
  "segmentation": "cache",
  "sweep": "cache",
  "view_sweep": "cache",
  "synonyms": "workdir",
  "train": "workdir",
}

# Those that leave the devices alone.
_IDLE_TASKS = ("check_data", "compare", "models", "prepare_data", "synonyms")


def computes(config: ml_collections.ConfigDict) -> bool:
  """Says whether an experiment needs JAX's devices.

  Args:
    config: as for `run`.

  Returns:
    False for tasks that only read, list or download.
  """
  return config.get("task") not in _IDLE_TASKS


def run(
  config: ml_collections.ConfigDict,
  workdir: str | None = None,
  *,
  methods: Mapping[str, Any] | None = None,
) -> Any:
  """Runs the experiment that a config describes.

  Args:
    config: its `task` chooses one of TASKS, whose fields the rest must be;
      `compilation_cache_dir` is a field of every task.
    workdir: folder of the results; by default a new one under `runs/`.
    methods: of a benchmark run, beside those that the config names: key of the
      results -> a function (embeddings f32[..., dim], space) -> f32[...,
      classes], as in `POINT_TO_SPACE`, that scores the core of the concepts, or
      a `methods.images.Method` that also says which texts it wants.

  Returns:
    What the task returns.

  Raises:
    ValueError: for a setting, file or data set that breaks a rule.
    OSError: if the workdir cannot be written.
    LostPeer: in a run of several processes, when one of them has ended.
  """
  task, programs = hosts.raise_on_all(lambda: _read(config, methods))
  _agree(config, methods or {})
  if workdir is None:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = f"runs/{config.task}-{stamp}"
  folder = pathlib.Path(hosts.gather_json(workdir)[0])
  hosts.first_only(lambda: require_writable(folder, "workdir"))
  with contextlib.ExitStack() as stack:
    stack.enter_context(patient_streams())
    hosts.raise_on_all(lambda: stack.enter_context(kept_programs(programs)))
    return task(folder)


def _agree(
  config: ml_collections.ConfigDict, methods: Mapping[str, Any]
) -> None:
  """Refuses processes that do not run the same thing."""
  if hosts.count() == 1:
    return
  facts: dict[str, Any] = {
    f"`config.{name}`": value for name, value in config.to_dict().items()
  }
  for package in ("jax", "jaxlib", "numpy"):
    facts[f"the version of {package}"] = importlib.metadata.version(package)
  facts["the version of s3_jax"] = s3_jax.__version__
  facts["the commit of s3_jax"] = git_commit()
  facts["the keys of `methods`"] = list(methods)
  hosts.agree(facts)
  if config.task not in SHARED_TASKS:
    raise ValueError(
      f"`config.task` must be one of {', '.join(SHARED_TASKS)} in a run of"
      f" several processes, got {config.task!r}: start it in one."
    )


def dry_run(config: ml_collections.ConfigDict) -> None:
  """Reads and checks every setting of a config without computing anything.

  Args:
    config: as for `run`.

  Raises:
    ValueError: naming the first field that breaks a rule.
  """
  _read(config)


def _read(
  config: ml_collections.ConfigDict, methods: Mapping[str, Any] | None = None
) -> tuple[Callable[[pathlib.Path], Any], str]:
  settings = Settings(config.to_dict(), methods=methods)
  name, programs = settings.read(Common)
  task = TASKS[name](settings)
  settings.finish()
  return task, programs
