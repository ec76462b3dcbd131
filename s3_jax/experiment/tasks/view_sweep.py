"""The task "view_sweep": how spaces adapt, chosen on the validation split."""

import csv
import io
import itertools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import Partial
from tqdm import tqdm

from s3_jax.data.datasets import DATASETS
from s3_jax.evaluation.classification import Scoring
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  load_checkpoint,
  read_checkpoint,
)
from s3_jax.experiment.embedder import VIEW_SHARD, Embedder, ViewOptions
from s3_jax.experiment.methods.images import Method, prepare_methods
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  embed_vertices,
)
from s3_jax.experiment.methods.spaces import SpaceOptions, read_space_options
from s3_jax.experiment.methods.views import (
  Adaptation,
  anchored_scorer,
  ts3_scorer,
)
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.files import atomic_write

METRICS = ("local_center", "soft_local_center", "center", "mean_similarity")
"""Metrics with a gradient almost everywhere and for every view."""


class ViewSweep(NamedTuple):
  """The settings of a sweep over ways to adapt, read and checked."""

  model: CheckpointSource
  dataset: str
  data_dir: pathlib.Path | None
  layout: str
  partial: bool
  options: SpaceOptions
  metrics: tuple[str, ...]
  choices: tuple[Adaptation, ...]
  anchored: tuple[tuple[float, float], ...]  # share of the views, anchor
  views: ViewOptions
  dtype: str
  batch_size: int
  cache_dir: pathlib.Path


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
  data_dir = settings.take("data_dir", str, default="")
  sweep = ViewSweep(
    model=read_checkpoint(settings, "model"),
    dataset=settings.take("dataset", str, choices=tuple(DATASETS)),
    data_dir=pathlib.Path(data_dir) if data_dir else None,
    layout=settings.take("layout", str, default="auto"),
    partial=settings.take("partial", bool, default=False),
    options=read_space_options(settings),
    metrics=settings.words("metrics", METRICS),
    choices=tuple(
      Adaptation(rate, 0.01, steps, fraction, shift)
      for shift, fraction, steps, rate in itertools.product(
        settings.words("shifts", ("per_class", "shared")),
        _numbers(settings, "confident_fractions", 0.0, 1.0),
        _numbers(settings, "steps", 0, 100, kind=int),
        _numbers(settings, "learning_rates", -1.0, 1.0),
      )
    ),
    anchored=tuple(
      itertools.product(
        _numbers(settings, "anchored_fractions", 0.0, 1.0),
        _numbers(settings, "anchors", 0.0, 1000.0),
      )
    ),
    views=ViewOptions(
      settings.take("views", int, default=64, minimum=1),
      settings.take("augmix", bool, default=False),
      settings.take("seed", int, default=0, minimum=0),
    ),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    cache_dir=read_cache_dir(settings),
  )
  return lambda folder: run_view_sweep(sweep, folder)


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
  shards = embedder.views(data.spec, data.opened, sweep.views, counters)
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
  images = f"{total} {data.spec.split} images, {sweep.views.views} views each"
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
