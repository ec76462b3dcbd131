"""The task "view_sweep": how spaces adapt to the views of an image."""

import itertools
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from s3_jax.adaptation.options import PREDICTIONS
from s3_jax.experiment.methods.prompts import concepts, official_name
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.methods.view_scores import ViewSettings, score_views
from s3_jax.experiment.methods.views import (
  SHIFTS,
  Adaptation,
  ViewMethod,
  anchored,
  of_cores,
  of_names,
  steered,
  ts3_with,
  voting,
)
from s3_jax.experiment.settings import Dtype, Settings
from s3_jax.experiment.tasks.sweep import SweepData, open_sweep, write_choices
from s3_jax.fields import Count, Inline, Rule, Whole, words

FAMILIES = ("ts3", "sts", "zero", "s3_anchored")

METRICS = ("local_center", "soft_local_center", "center", "mean_similarity")
"""Metrics with a gradient almost everywhere and for every view."""


def _numbers(
  interval: str, fits: Callable[[float], bool], kind: type = float
) -> Rule:
  """Returns the rule of numbers in an interval, at least one."""
  allowed = (int,) if kind is int else (int, float)
  return Rule(
    f"must hold {kind.__name__}s in {interval}",
    lambda values: (
      bool(values)
      and all(type(value) in allowed and fits(value) for value in values)
    ),
    given=tuple,
    read=lambda values, where: tuple(map(kind, values)),
  )


# A learning rate may be 0, and then nothing adapts.
_RATE = _numbers("[0, 1]", lambda x: 0 <= x <= 1)
_FRACTION = _numbers("(0, 1]", lambda x: 0 < x <= 1)
_STEPS = _numbers("(0, 100]", lambda x: 0 < x <= 100, int)
_ANCHOR = _numbers("(0, 1000]", lambda x: 0 < x <= 1000)
_RANK = _numbers("[0, 4096]", lambda x: 0 <= x <= 4096, int)
Rates = Annotated[tuple[float, ...], _RATE]
Fractions = Annotated[tuple[float, ...], _FRACTION]
Steps = Annotated[tuple[int, ...], _STEPS]
Anchors = Annotated[tuple[float, ...], _ANCHOR]
Ranks = Annotated[tuple[int, ...], _RANK]


class ViewRow(NamedTuple):
  """One way to use the views and what it gave; None where nothing is meant."""

  method: str  # "ts3", "sts", "sts_s3", "zero", "zero_s3" or "s3_anchored"
  metric: str | None
  confident_fraction: float
  learning_rate: float | None
  steps: int | None
  shift: str | None
  anchor: float | None
  rank: int | None = None
  predict: str | None = None
  top1: float = 0.0

  @property
  def key(self) -> str:
    """The name of its method."""
    return " ".join(map(str, self[:-1]))


class ViewSweep(NamedTuple):
  """The settings of a sweep over ways to adapt."""

  data: Inline[SweepData]
  options: Inline[SpaceOptions]  # its metric is that of all but TS3
  # Ways to try: also "sts" and "zero", each on names and on spaces.
  families: Annotated[tuple[str, ...], words(FAMILIES)] = ("ts3", "s3_anchored")
  # Of TS3: metrics to try.
  metrics: Annotated[tuple[str, ...], words(METRICS)] = METRICS[:3]
  learning_rates: Rates = (0.0, 0.001, 0.0025, 0.005, 0.01)  # of TS3 and STS
  steps: Steps = (1,)  # of TS3 and STS
  # Of TS3, STS and ZERO: shares of the views.
  confident_fractions: Fractions = (0.1, 0.3)
  # Of TS3: each class by itself, or all alike.
  shifts: Annotated[tuple[str, ...], words(SHIFTS)] = SHIFTS
  ranks: Ranks = (0,)  # of STS: directions; 0: by Gavish and Donoho's rule
  # Of STS: the views that predict.
  predictions: Annotated[tuple[str, ...], words(PREDICTIONS)] = PREDICTIONS
  # Of s3_anchored: shares of the views.
  anchored_fractions: Fractions = (0.1, 0.2, 0.3, 0.5, 1.0)
  # Of s3_anchored: weight of the original against the views' mean.
  anchors: Anchors = (1.0, 2.0, 4.0)
  views: Count = 64  # of an image, itself included
  augmix: bool = False  # True: AugMix beside crop and flip
  seed: Whole = 0  # of the views
  dtype: Dtype = "bfloat16"  # of the products; sums are float32
  batch_size: Count = 64  # views

  def methods(self) -> dict[ViewRow, ViewMethod]:
    """Makes the methods of all choices, each with each."""
    made = {}
    metric = self.options.metric
    steps = tuple(
      itertools.product(
        self.confident_fractions, self.steps, self.learning_rates
      )
    )
    spaces = (("", official_name, of_names), ("_s3", concepts, of_cores))
    if "ts3" in self.families:
      for name, shift, (share, count, rate) in itertools.product(
        self.metrics, self.shifts, steps
      ):
        row = ViewRow("ts3", name, share, rate, count, shift, None)
        adaptation = Adaptation(rate, 0.01, count, share, shift)
        made[row] = ViewMethod(concepts, ts3_with(name, adaptation))
    if "sts" in self.families:
      for kind, (share, count, rate), rank, predict in itertools.product(
        spaces, steps, self.ranks, self.predictions
      ):
        form, texts, place = kind
        shown = metric if form else None
        row = ViewRow(
          f"sts{form}", shown, share, rate, count, "shared", None, rank, predict
        )
        adaptation = Adaptation(rate, 0.01, count, share, "shared")
        scorer = steered(
          place, rank=rank or None, predict=predict, adaptation=adaptation
        )
        made[row] = ViewMethod(texts, scorer)
    if "zero" in self.families:
      for (form, texts, place), share in itertools.product(
        spaces, self.confident_fractions
      ):
        shown = metric if form else None
        row = ViewRow(f"zero{form}", shown, share, None, None, None, None)
        made[row] = ViewMethod(texts, voting(place, share))
    if "s3_anchored" in self.families:
      for share, anchor in itertools.product(
        self.anchored_fractions, self.anchors
      ):
        row = ViewRow("s3_anchored", metric, share, None, None, None, anchor)
        made[row] = ViewMethod(concepts, anchored(share, anchor))
    return made


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep over ways to adapt."""
  sweep = settings.read(ViewSweep)
  return lambda folder: run_view_sweep(sweep, folder)


def run_view_sweep(sweep: ViewSweep, folder: pathlib.Path) -> list[ViewRow]:
  """Scores every way to adapt on one data set, from one pass over its views."""
  methods = sweep.methods()
  views = ViewSettings(
    Adaptation(),
    sweep.views,
    "always" if sweep.augmix else "never",
    (sweep.seed,),
  )
  opened = open_sweep(
    sweep.data,
    {row.key: method for row, method in methods.items()},
    folder,
    views=views,
    options=sweep.options,
    dtype=sweep.dtype,
    batch_size=sweep.batch_size,
  )
  session, data = opened.run.session, opened.data
  results = score_views(
    session,
    opened.plan,
    opened.tables,
    opened.run.embedder,
    data,
    opened.test_set,
    views,
    sweep.options,
  )
  rows = [row._replace(top1=results[row.key].top1) for row in methods]
  rows.sort(key=lambda row: -row.top1)
  heading = (
    f"Top-1 (%) on the {len(data.opened.records)} {data.spec.split} images,"
    f" {sweep.views} views each."
  )
  return write_choices(session, "view_sweep", heading, rows, _cells)


def _cells(row: ViewRow) -> dict[str, str]:
  shown = {
    name: "-" if value is None else str(value)
    for name, value in row._asdict().items()
  }
  return {**shown, "top1": f"{100 * row.top1:.1f}"}
