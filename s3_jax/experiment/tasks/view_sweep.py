"""The task "view_sweep": how spaces adapt, chosen on the validation split."""

import csv
import io
import itertools
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from jax.tree_util import Partial
from tqdm import tqdm

from s3_jax.data.datasets import DATASETS
from s3_jax.evaluation.classification import Scoring
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  load_checkpoint,
)
from s3_jax.experiment.embedder import VIEW_SHARD, Embedder, ViewOptions
from s3_jax.experiment.methods.images import Method, prepare_methods
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  embed_vertices,
)
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.methods.views import (
  SHIFTS,
  Adaptation,
  anchored_scorer,
  ts3_scorer,
)
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import CacheDir, Dtype, Folder, Settings
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.fields import Count, Inline, Rule, Whole, raw, words
from s3_jax.files import atomic_write

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
Rates = Annotated[tuple[float, ...], _RATE]
Fractions = Annotated[tuple[float, ...], _FRACTION]
Steps = Annotated[tuple[int, ...], _STEPS]
Anchors = Annotated[tuple[float, ...], _ANCHOR]


class ViewSweep(NamedTuple):
  """The settings of a sweep over ways to adapt."""

  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]  # its metric is that of s3_anchored
  dataset: Annotated[str, Rule(choices=DATASETS)] = "validation"
  data_dir: Folder = raw("")
  layout: str = "auto"
  partial: bool = False
  # Of TS3.
  metrics: Annotated[tuple[str, ...], words(METRICS)] = METRICS[:3]
  learning_rates: Rates = (0.0, 0.001, 0.0025, 0.005, 0.01)
  steps: Steps = (1,)
  confident_fractions: Fractions = (0.1, 0.3)
  shifts: Annotated[tuple[str, ...], words(SHIFTS)] = SHIFTS
  # Of s3_anchored.
  anchored_fractions: Fractions = (0.1, 0.2, 0.3, 0.5, 1.0)
  anchors: Anchors = (1.0, 2.0, 4.0)
  views: Count = 64
  augmix: bool = False
  seed: Whole = 0
  dtype: Dtype = "bfloat16"  # of the products; sums are float32
  batch_size: Count = 64  # views
  cache_dir: CacheDir = raw("")  # default: the user's cache folder

  @property
  def choices(self) -> tuple[Adaptation, ...]:
    """The ways to adapt that are tried."""
    return tuple(
      Adaptation(rate, 0.01, steps, fraction, shift)
      for shift, fraction, steps, rate in itertools.product(
        self.shifts, self.confident_fractions, self.steps, self.learning_rates
      )
    )

  @property
  def anchored(self) -> tuple[tuple[float, float], ...]:
    """The shares of the views, each with each anchor."""
    return tuple(itertools.product(self.anchored_fractions, self.anchors))

  @property
  def view_options(self) -> ViewOptions:
    """How the views are made."""
    return ViewOptions(self.views, self.augmix, self.seed)


class ViewRow(NamedTuple):
  """One way to use the views and what it gave; None where nothing is meant."""

  method: str  # "ts3" or "s3_anchored"
  metric: str
  confident_fraction: float
  learning_rate: float | None
  steps: int | None
  shift: str | None
  anchor: float | None
  top1: float


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep over ways to adapt."""
  sweep = settings.read(ViewSweep)
  return lambda folder: run_view_sweep(sweep, folder)


def run_view_sweep(sweep: ViewSweep, folder: pathlib.Path) -> list[ViewRow]:
  """Scores every way to adapt on one data set, from one pass over its views."""
  (data,), _ = find_sets(
    sweep.cache_dir,
    (sweep.dataset,),
    data_dir=sweep.data_dir,
    layout=sweep.layout,
    lexicon="",
    partial=sweep.partial,
    skip_absent=False,
  )
  clip = load_checkpoint(sweep.model)
  embedder = Embedder(clip, sweep.dtype, sweep.batch_size, 0, sweep.cache_dir)
  if data.spec.split != "validation" or data.spec.family != "embedded":
    tell(
      f"{data.spec.title} is a test set: these numbers describe the choices,"
      " and must not make them.\n"
    )
  template = data.spec.template
  texts = MethodTexts(data.classes, template, (template,), files={}, seed=0)
  (prepared,) = prepare_methods({"ts3": Method(concepts)}, texts)
  embedded = embedder.texts(prepared.prompts)
  table = embed_vertices(
    prepared.vertices, prepared.prompts, embedded.embeddings
  )
  logit_scale = float(clip.params["logit_scale"])
  total = len(data.opened.records)
  options = sweep.options

  def scoring(scorer: Partial) -> Scoring:
    return Scoring(
      scorer,
      classes=len(data.classes),
      batch_size=min(VIEW_SHARD, total),
      logit_scale=logit_scale,
    )

  scorings = {
    ViewRow(
      "ts3",
      metric,
      adaptation.confident_fraction,
      adaptation.learning_rate,
      adaptation.steps,
      adaptation.shift,
      None,
      0.0,
    ): scoring(
      ts3_scorer(
        table, options._replace(metric=metric), adaptation, logit_scale
      )
    )
    for metric in sweep.metrics
    for adaptation in sweep.choices
  }
  scorings |= {
    ViewRow(
      "s3_anchored", options.metric, share, None, None, None, anchor, 0.0
    ): scoring(
      anchored_scorer(
        table, options, logit_scale, confident_fraction=share, anchor=anchor
      )
    )
    for share, anchor in sweep.anchored
  }
  counters = {"images_decoded": 0, "tower_batches": 0}
  shards = embedder.views(data.spec, data.opened, sweep.view_options, counters)
  with tqdm(
    total=total * len(scorings), unit="image", desc="adapt", disable=None
  ) as bar:
    for shard in shards:
      for each in scorings.values():
        each.add(shard.embeddings[shard.good], shard.labels[shard.good])
        bar.update(int(shard.good.sum()))
  rows = [
    row._replace(top1=each.result().top1) for row, each in scorings.items()
  ]
  rows.sort(key=lambda row: -row.top1)
  images = f"{total} {data.spec.split} images, {sweep.views} views each"
  _write(rows, folder, images)
  return rows


def _write(rows: list[ViewRow], folder: pathlib.Path, images: str) -> None:
  lines = [
    f"Top-1 (%) on the {images}.",
    "",
    "| " + " | ".join(ViewRow._fields) + " |",
    "|" + "---|" * len(ViewRow._fields),
    *(
      "| "
      + " | ".join("-" if cell is None else str(cell) for cell in row[:-1])
      + f" | {100 * row.top1:.1f} |"
      for row in rows
    ),
  ]
  atomic_write(folder / "view_sweep.md", "\n".join(lines) + "\n")
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="\n").writerows([ViewRow._fields, *rows])
  atomic_write(folder / "view_sweep.csv", buffer.getvalue())
  tell("\n".join(lines[:14]) + f"\n... {folder}/view_sweep.md\n")
