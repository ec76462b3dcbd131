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
from s3_jax.extras import require
from s3_jax.fields import Rule
from s3_jax.hosts import LostPeer as LostPeer

Work = Callable[[pathlib.Path], Any]


class Task(NamedTuple):
  """What a config may ask for.

  Attributes:
    read: a reader of its settings, which returns the work itself as a function
      of the workdir.
    resumes: what a run that was stopped leaves for the next one: shards in the
      "cache", files of its "workdir", or "" where it starts anew.
    shared: whether the processes of a run share its work out.
    computes: whether it needs JAX's devices.
    takes: fields that plain words of a command line fill, in order; one that
      ends in "..." takes all that are left.
    extra: a key of EXTRAS without which it cannot work, "" for none.
  """

  read: Callable[[Settings], Work]
  resumes: str = ""
  shared: bool = False
  computes: bool = True
  takes: tuple[str, ...] = ()
  extra: str = ""


_DATA = ("data_dir",)
# By what a config's `task` is called.
TASKS: dict[str, Task] = {
  "benchmark": Task(
    benchmark.read_settings, "cache", shared=True, takes=_DATA, extra="data"
  ),
  "check_data": Task(check_data.read_settings, computes=False, takes=_DATA),
  "compare": Task(compare.read_settings, computes=False, takes=("results...",)),
  "convert": Task(convert.read_settings, takes=("source", "to")),
  # Without a tower there is nothing to keep.
  "embeddings": Task(
    embeddings.read_settings,
    shared=True,
    takes=("images", "texts"),
    extra="figures",
  ),
  "embeddings_sweep": Task(
    embedded.read_settings, shared=True, takes=("images", "texts")
  ),
  # As configs of the demo called it.
  "evaluate": Task(
    benchmark.read_settings, "cache", shared=True, takes=_DATA, extra="data"
  ),
  "evidence": Task(evidence.read_settings, takes=_DATA),
  "export": Task(export.read_settings, takes=("classes",), extra="export"),
  "gallery": Task(gallery.read_settings, extra="figures"),
  "lexicon_report": Task(lexicon_report.read_settings, takes=("tables...",)),
  "models": Task(models.read_settings, computes=False, takes=("contains",)),
  "predict": Task(predict.read_settings, takes=("images...",)),
  "prepare_data": Task(
    prepare_data.read_settings, computes=False, takes=("dataset",), extra="data"
  ),
  "segment": Task(
    segment.read_settings, takes=("images...",), extra="segmentation"
  ),
  "segmentation": Task(
    segmentation.read_settings,
    "cache",
    shared=True,
    takes=_DATA,
    extra="segmentation",
  ),
  "sweep": Task(
    spaces.read_settings, "cache", shared=True, takes=_DATA, extra="data"
  ),
  "synonyms": Task(
    synonyms.read_settings, "workdir", computes=False, takes=("classes",)
  ),
  "train": Task(train.read_settings, "workdir", extra="figures"),
  "verify": Task(verify.read_settings, takes=("model",)),
  "view_sweep": Task(views.read_settings, "cache", shared=True, extra="data"),
}


class Common(NamedTuple):
  """The fields of every task."""

  task: Annotated[str, Rule(choices=TASKS)]
  compilation_cache_dir: ProgramFolder = ""  # keeps compiled programs


def computes(config: ml_collections.ConfigDict) -> bool:
  """Says whether an experiment needs JAX's devices.

  Args:
    config: as for `run`.

  Returns:
    False for tasks that only read, list or download.
  """
  task = TASKS.get(str(config.get("task")))
  return task is None or task.computes


def resumes(
  config: ml_collections.ConfigDict | Mapping[str, Any] | None,
) -> str:
  """Says where a stopped run has left what the next one goes on from."""
  task = TASKS.get(str(config.get("task"))) if config is not None else None
  return "" if task is None else task.resumes


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
    ValueError: for a setting, file or data set that breaks a rule, or for a
      library that is not installed.
    OSError: if the workdir cannot be written.
    LostPeer: in a run of several processes, when one of them has ended.
  """
  task, programs = hosts.raise_on_all(lambda: _prepare(config, methods))
  _agree(config, methods or {})
  is_new = workdir is None
  if workdir is None:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    workdir = f"runs/{config.task}-{stamp}"
  folder = pathlib.Path(hosts.gather_json(workdir)[0])
  hosts.first_only(lambda: require_writable(folder, "workdir"))
  with contextlib.ExitStack() as stack:
    stack.enter_context(patient_streams())
    hosts.raise_on_all(lambda: stack.enter_context(kept_programs(programs)))
    if is_new:
      stack.callback(_remove_empty, folder)
    return task(folder)


def _remove_empty(folder: pathlib.Path) -> None:
  """Removes a folder in which a run has left nothing."""
  with contextlib.suppress(OSError):
    folder.rmdir()


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
  if not TASKS[config.task].shared:
    known = ", ".join(name for name, task in TASKS.items() if task.shared)
    raise ValueError(
      f"`config.task` must be one of {known} in a run of"
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


def _prepare(
  config: ml_collections.ConfigDict, methods: Mapping[str, Any] | None
) -> tuple[Work, str]:
  """Reads the settings, and refuses a task whose libraries are not there."""
  prepared = _read(config, methods)
  if extra := TASKS[config.task].extra:
    require(extra, by=f"The task {config.task!r}")
  return prepared


def _read(
  config: ml_collections.ConfigDict, methods: Mapping[str, Any] | None = None
) -> tuple[Work, str]:
  settings = Settings(config.to_dict(), methods=methods)
  name, programs = settings.read(Common)
  work = TASKS[name].read(settings)
  settings.finish()
  return work, programs
