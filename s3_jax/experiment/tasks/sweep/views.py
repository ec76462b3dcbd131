"""The task "view_sweep": how spaces adapt to the views of an image."""

import itertools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from s3_jax.experiment.methods.prompts import concepts
from s3_jax.experiment.methods.spaces import read_space_options
from s3_jax.experiment.methods.view_scores import ViewSettings, score_views
from s3_jax.experiment.methods.views import (
  Adaptation,
  ViewMethod,
  anchored,
  ts3_with,
)
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.experiment.tasks.sweep import open_sweep, read_run, write_choices

METRICS = ("local_center", "soft_local_center", "center", "mean_similarity")
"""Metrics with a gradient almost everywhere and for every view."""


class ViewRow(NamedTuple):
  """One way to use the views and what it gave; None where nothing is meant."""

  method: str  # "ts3" or "s3_anchored"
  metric: str
  confident_fraction: float
  learning_rate: float | None
  steps: int | None
  shift: str | None
  anchor: float | None
  top1: float = 0.0


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep over ways to adapt."""
  options = read_space_options(settings)
  rows: dict[ViewRow, ViewMethod] = {}
  for metric, shift, fraction, steps, rate in itertools.product(
    settings.words("metrics", METRICS),
    settings.words("shifts", ("per_class", "shared")),
    _numbers(settings, "confident_fractions", 0.0, 1.0),
    _numbers(settings, "steps", 0, 100, kind=int),
    _numbers(settings, "learning_rates", -1.0, 1.0),
  ):
    row = ViewRow("ts3", metric, fraction, rate, steps, shift, None)
    adaptation = Adaptation(rate, 0.01, steps, fraction, shift)
    rows[row] = ViewMethod(concepts, ts3_with(metric, adaptation))
  for share, anchor in itertools.product(
    _numbers(settings, "anchored_fractions", 0.0, 1.0),
    _numbers(settings, "anchors", 0.0, 1000.0),
  ):
    row = ViewRow(
      "s3_anchored", options.metric, share, None, None, None, anchor
    )
    rows[row] = ViewMethod(concepts, anchored(share, anchor))
  views = ViewSettings(
    settings.take("views", int, default=64, minimum=1),
    "always" if settings.take("augmix", bool, default=False) else "never",
    (settings.take("seed", int, default=0, minimum=0),),
    Adaptation(),
  )
  named = {" ".join(map(str, row[:-1])): row for row in rows}
  methods = {name: rows[row] for name, row in named.items()}
  benchmark = read_run(settings, methods, options=options, views=views)
  return lambda folder: run_view_sweep(benchmark, named, folder)


def _numbers(
  settings: Settings,
  name: str,
  above: float | int,
  most: float | int,
  *,
  kind: type = float,
) -> tuple[Any, ...]:
  """Reads a list of numbers in (above, most]; rates may be 0."""
  values = tuple(settings.take(name, (list, tuple)))
  allowed = (int,) if kind is int else (int, float)
  right = all(
    type(value) in allowed and above < value <= most for value in values
  )
  if not values or not right or (name == "learning_rates" and min(values) < 0):
    rule = f"in [0, {most}]" if above < 0 else f"in ({above}, {most}]"
    raise ValueError(
      f"`config.{name}` must hold {kind.__name__}s {rule}, got {values}."
    )
  return tuple(kind(value) for value in values)


def run_view_sweep(
  benchmark: Benchmark, rows: Mapping[str, ViewRow], folder: pathlib.Path
) -> list[ViewRow]:
  """Scores every way to adapt on one data set, from one pass over its views."""
  opened = open_sweep(benchmark, folder)
  session, data = opened.run.session, opened.data
  results = score_views(
    opened.plan,
    opened.tables,
    opened.run.embedder,
    data,
    opened.test_set,
    benchmark.views,
    benchmark.options,
    session.timings,
    session.counters,
  )
  scored = [row._replace(top1=results[name].top1) for name, row in rows.items()]
  scored.sort(key=lambda row: -row.top1)
  heading = (
    f"Top-1 (%) on the {len(data.opened.records)} {data.spec.split} images,"
    f" {benchmark.views.views} views each."
  )
  return write_choices(session, "view_sweep", heading, scored, _cells)


def _cells(row: ViewRow) -> dict[str, str]:
  shown = {
    name: "-" if value is None else str(value)
    for name, value in row._asdict().items()
  }
  return {**shown, "top1": f"{100 * row.top1:.1f}"}
