"""The settings of a benchmark run, read and checked."""

import pathlib
from collections.abc import Collection
from typing import Any, NamedTuple

from s3_jax.data.datasets import DATASETS
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.readers import READERS
from s3_jax.experiment import checkpoint
from s3_jax.experiment.methods.images import METHODS, NEED_FILES, Method
from s3_jax.experiment.methods.prompts import concepts
from s3_jax.experiment.methods.spaces import SpaceOptions, read_space_options
from s3_jax.experiment.methods.view_scores import (
  ViewSettings,
  read_view_settings,
)
from s3_jax.experiment.methods.views import VIEW_METHODS, ViewMethod
from s3_jax.experiment.settings import (
  Settings,
  read_cache_dir,
  read_templates,
)
from s3_jax.experiment.tasks.benchmark.sets import OWN
from s3_jax.lexicon.prompts import fill_template
from s3_jax.messages import nearest

EMBEDDED = tuple(
  name for name, spec in DATASETS.items() if spec.family == "embedded"
)
FILES = ("cupl", "dclip", "waffle")
"""Methods whose texts may come from a file of the user's."""


class Benchmark(NamedTuple):
  """The settings of a benchmark run, read and checked."""

  model: checkpoint.CheckpointSource
  views: ViewSettings
  datasets: tuple[str, ...]
  skip_absent: bool  # of a suite
  data_dir: pathlib.Path | None
  layout: str
  lexicon: str  # "" for the data set's own
  partial: bool
  strict: bool
  methods: dict[str, Method | ViewMethod]
  baseline: str
  template: str  # of each name alone; "" where `templates` are
  templates: tuple[str, ...]  # () for the data set's own
  files: dict[str, str]
  options: SpaceOptions
  dtype: str
  batch_size: int
  mesh: int
  model_axis: int
  max_pixels: int
  cache_dir: pathlib.Path
  write_embeddings: bool
  figure_classes: tuple[int, ...]  # of the first data set
  seed: int
  config: dict[str, Any]  # as given, for the results


def read_benchmark(settings: Settings) -> Benchmark:
  """Reads the settings of a benchmark run."""
  known = (*DATASETS, OWN)
  suite = "datasets" in settings.everything
  if suite:
    datasets = settings.words("datasets", known)
  elif "test_sets" in settings.everything:
    datasets = settings.words("test_sets", EMBEDDED)
  else:
    datasets = (settings.take("dataset", str, choices=known),)
  data_dir = settings.take("data_dir", str, default="")
  own = read_own_methods(settings)
  known_methods = {**METHODS, **VIEW_METHODS}
  methods = settings.words("methods", tuple(known_methods))
  benchmark = Benchmark(
    config=settings.everything,
    model=checkpoint.read_checkpoint(settings, "model"),
    views=read_view_settings(settings),
    datasets=datasets,
    skip_absent=suite,
    data_dir=pathlib.Path(data_dir) if data_dir else None,
    layout=settings.take(
      "layout", str, default="auto", choices=("auto", *READERS)
    ),
    lexicon=settings.take("lexicon", str, default=""),
    partial=settings.take("partial", bool, default=False),
    strict=settings.take("strict", bool, default=False),
    methods={**{name: known_methods[name] for name in methods}, **own},
    baseline=settings.take("baseline", str, default="class_name"),
    template=settings.take("template", str, default=""),
    templates=read_templates(settings),
    files={
      name: path
      for name in FILES
      if (path := settings.take(f"{name}_file", str, default=""))
    },
    options=read_space_options(settings),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    model_axis=settings.take("model_axis", int, default=1, minimum=1),
    max_pixels=settings.take("max_pixels", int, default=MAX_PIXELS, minimum=1),
    cache_dir=read_cache_dir(settings),
    write_embeddings=settings.take("write_embeddings", bool, default=False),
    figure_classes=tuple(
      settings.take("figure_classes", (list, tuple), default=())
    ),
    seed=settings.take("seed", int, minimum=0),
  )
  check_baseline(benchmark.baseline, benchmark.methods)
  if benchmark.template:
    fill_template(benchmark.template, "")
  if "templates" in benchmark.methods and not benchmark.templates:
    raise ValueError(
      "`config.templates` must hold at least one template when"
      " `config.methods` holds 'templates', got none."
    )
  for name in NEED_FILES:
    if name in benchmark.methods and name not in benchmark.files:
      raise ValueError(
        f"`config.{name}_file` must name your file of texts when"
        f" `config.methods` holds {name!r}, and is not set."
      )
  return benchmark


def read_own_methods(settings: Settings) -> dict[str, Method | ViewMethod]:
  """Reads the methods that the caller of `run` gave; a function is a metric."""
  own = {
    name: method
    if isinstance(method, Method | ViewMethod)
    else Method(concepts, method, core=True)
    for name, method in settings.own_methods().items()
  }
  taken = [name for name in own if name in METHODS or name in VIEW_METHODS]
  if taken:
    raise ValueError(
      f"`methods` must have keys of their own, got {taken[0]!r}, which is a"
      " method of this package: choose another key."
    )
  return own


def check_baseline(baseline: str, methods: Collection[str]) -> None:
  """Refuses a baseline that is not run."""
  if baseline not in methods:
    raise ValueError(
      f"`config.methods` must hold the baseline {baseline!r:.40}, got"
      f" {nearest(methods)}: add it, or let `config.baseline` name one of"
      " these."
    )
