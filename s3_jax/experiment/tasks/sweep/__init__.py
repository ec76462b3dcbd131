"""Sweeps: methods made of choices, each with each, and scored like any other.

A sweep begins as a benchmark run does, so it goes on from what the cache has
and runs in several processes. It ends in one table, the best choice first.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from s3_jax.data.datasets import DATASETS
from s3_jax.experiment.checkpoint import CheckpointSource
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.measurement import Tables
from s3_jax.experiment.methods.images import Method, MethodPlan
from s3_jax.experiment.methods.views import ViewMethod
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import CacheDir, Folder
from s3_jax.experiment.tasks.benchmark.opening import (
  OpenRun,
  embed_images,
  open_run,
)
from s3_jax.experiment.tasks.benchmark.plan import make_tables
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.fields import Given, Inline, Rule, raw
from s3_jax.files import atomic_write
from s3_jax.results.renderers import csv_lines

_Row = TypeVar("_Row", bound=Any)  # a NamedTuple

_SHOWN = 12
"""Lines of the table that the terminal shows."""


class SweepData(NamedTuple):
  """The fields that all sweeps over a data set have."""

  config: Given
  model: Inline[CheckpointSource]
  # One data set; a choice is made on validation images.
  dataset: Annotated[str, Rule(choices=DATASETS)] = "validation"
  data_dir: Folder = raw("")  # docs/DATASETS.md shows what may lie there
  layout: str = "auto"  # "auto", or the one reader to try
  partial: bool = False  # True: another number of images is accepted
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


class OpenSweep(NamedTuple):
  """A sweep over one data set, whose texts and images are embedded."""

  run: OpenRun
  data: BenchmarkSet
  plan: tuple[MethodPlan, ...]
  tables: Tables
  test_set: EmbeddedImages


def open_sweep(
  given: SweepData,
  methods: Mapping[str, Method | ViewMethod],
  folder: pathlib.Path,
  **fields: Any,
) -> OpenSweep:
  """Begins a benchmark run of the methods, and warns of test images."""
  benchmark = Benchmark(methods=dict(methods), **given._asdict(), **fields)
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
