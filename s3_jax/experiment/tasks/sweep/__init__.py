"""Sweeps: methods made of choices, each with each, and scored like any other.

A sweep begins as a benchmark run does, so it goes on from what the cache has
and runs in several processes. It ends in one table, the best choice first.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from s3_jax.data.datasets import DATASETS
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.experiment.checkpoint import read_checkpoint
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.measurement import Tables
from s3_jax.experiment.methods.images import Method, MethodPlan
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.methods.view_scores import ViewSettings
from s3_jax.experiment.methods.views import Adaptation, ViewMethod
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.tasks.benchmark.opening import (
  OpenRun,
  embed_images,
  open_run,
)
from s3_jax.experiment.tasks.benchmark.plan import make_tables
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.files import atomic_write
from s3_jax.results.renderers import csv_lines

_Row = TypeVar("_Row", bound=Any)  # a NamedTuple

_SHOWN = 12
"""Lines of the table that the terminal shows."""

# For methods with options of their own, and those that look at no views.
_UNUSED_OPTIONS = SpaceOptions("center", 1, None, "all", 1.0, 0.0)
_UNUSED_VIEWS = ViewSettings(1, "never", (0,), Adaptation())


def read_run(
  settings: Settings,
  methods: Mapping[str, Method | ViewMethod],
  *,
  options: SpaceOptions = _UNUSED_OPTIONS,
  views: ViewSettings = _UNUSED_VIEWS,
  lexicon: str = "",
  templates: tuple[str, ...] = (),
) -> Benchmark:
  """Reads the fields that all sweeps over a data set have."""
  data_dir = settings.take("data_dir", str, default="")
  return Benchmark(
    config=settings.everything,
    model=read_checkpoint(settings, "model"),
    views=views,
    datasets=(settings.take("dataset", str, choices=tuple(DATASETS)),),
    skip_absent=False,
    data_dir=pathlib.Path(data_dir) if data_dir else None,
    layout=settings.take("layout", str, default="auto"),
    lexicon=lexicon,
    partial=settings.take("partial", bool, default=False),
    strict=False,
    methods=dict(methods),
    baseline="",
    template="",
    templates=templates,
    files={},
    options=options,
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    mesh=0,
    model_axis=1,
    max_pixels=MAX_PIXELS,
    cache_dir=read_cache_dir(settings),
    write_embeddings=False,
    figure_classes=(),
    seed=0,
  )


class OpenSweep(NamedTuple):
  """A sweep over one data set, whose texts and images are embedded."""

  run: OpenRun
  data: BenchmarkSet
  plan: tuple[MethodPlan, ...]
  tables: Tables
  test_set: EmbeddedImages


def open_sweep(benchmark: Benchmark, folder: pathlib.Path) -> OpenSweep:
  """Embeds what a sweep needs, and warns where it looks at test images."""
  run = open_run(benchmark, folder)
  (data,), (plan,) = run.found, run.plans
  if data.spec.split != "validation" or data.spec.family != "embedded":
    run.session.log(
      f"{data.spec.title} is a test set: these numbers describe the choices,"
      " and must not make them."
    )
  # The rule "two_witnesses" compares all texts of a sweep as of one form, which
  # those with descriptors are not in a benchmark run.
  tables = make_tables(plan, run.texts, by_form=False)
  return OpenSweep(run, data, plan, tables, embed_images(run, data))


def write_choices(
  session: Session,
  name: str,
  heading: str,
  rows: list[_Row],
  cells: Callable[[_Row], Mapping[str, str]],
) -> list[_Row]:
  """Writes NAME.md and NAME.csv, and shows the first rows."""

  def write() -> list[_Row]:
    table = [cells(row) for row in rows]
    lines = [
      heading,
      "",
      "| " + " | ".join(table[0]) + " |",
      "|" + "---|" * len(table[0]),
      *("| " + " | ".join(shown.values()) + " |" for shown in table),
    ]
    folder = session.folder
    atomic_write(folder / f"{name}.md", "\n".join(lines) + "\n")
    titles = list(rows[0]._asdict())
    atomic_write(folder / f"{name}.csv", csv_lines([titles, *rows]))
    session.log("\n".join(lines[:_SHOWN]) + f"\n... {folder}/{name}.md")
    return rows

  return session.close(write)
