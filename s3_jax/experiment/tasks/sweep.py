"""The task "sweep": hyper-parameters of S3, chosen on the validation split."""

import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from s3_jax.data.datasets import DATASETS
from s3_jax.evaluation.classification import evaluate_scores
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  load_checkpoint,
  read_checkpoint,
)
from s3_jax.experiment.embedder import EmbeddedImages, Embedder
from s3_jax.experiment.methods.images import (
  Method,
  prepare_methods,
)
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  concepts_with_descriptors,
  concepts_with_wrong_ones,
  embed_vertices,
)
from s3_jax.experiment.methods.spaces import (
  TWO_WITNESSES,
  SpaceOptions,
  build_core,
  count_removed,
  space_scorer,
)
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import (
  Settings,
  read_cache_dir,
  read_templates,
)
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.files import atomic_write
from s3_jax.lexicon.vertices import Vertices
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace
from s3_jax.storage.text_tables import TextTable

# What the spaces may be made of.
TEXTS = {
  "concepts": concepts,
  "concepts_x_descriptors": concepts_with_descriptors,
}


WITH_GAP = (TWO_WITNESSES, "gap")
"""The scale rules that `min_gaps` belongs to."""


class Choices(NamedTuple):
  """What a sweep tries, each with each."""

  metrics: tuple[str, ...]
  neighbors: tuple[int, ...]
  scales: tuple[tuple[str | float | None, float], ...]  # scale, min_gap


class Sweep(NamedTuple):
  """The settings of a sweep, read and checked."""

  model: CheckpointSource
  dataset: str
  data_dir: pathlib.Path | None
  layout: str
  lexicon: str  # "" for the data set's own
  partial: bool
  templates: tuple[str, ...]  # () for the data set's own
  texts: tuple[str, ...]
  choices: Choices
  dtype: str
  batch_size: int
  cache_dir: pathlib.Path


class Row(NamedTuple):
  """One choice of hyper-parameters and what it gave.

  The last five are None for a lexicon without entries known to be wrong.
  """

  texts: str
  metric: str
  neighbors: int | None
  scale: str | float | None
  min_gap: float | None
  classes_cut: float  # share of the classes of which the core leaves a text out
  clean: float  # top-1 on the table
  polluted: float | None  # top-1 on the table with wrong entries
  wrong_removed: int | None
  wrong_total: int | None
  right_removed: int | None
  right_total: int | None


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep."""
  data_dir = settings.take("data_dir", str, default="")
  sweep = Sweep(
    model=read_checkpoint(settings, "model"),
    dataset=settings.take("dataset", str, choices=tuple(DATASETS)),
    data_dir=pathlib.Path(data_dir) if data_dir else None,
    layout=settings.take("layout", str, default="auto"),
    lexicon=settings.take("lexicon", str, default=""),
    partial=settings.take("partial", bool, default=False),
    templates=read_templates(settings),
    texts=settings.words("texts", tuple(TEXTS)),
    choices=read_choices(settings),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    cache_dir=read_cache_dir(settings),
  )
  return lambda folder: run_sweep(sweep, folder)


def read_choices(settings: Settings) -> Choices:
  """Reads what a sweep tries."""
  scales = settings.take("scales", (list, tuple))
  gaps = settings.take("min_gaps", (list, tuple))
  for gap in gaps:
    if not _is_number(gap):
      raise ValueError(
        f"`config.min_gaps` must hold numbers >= 0, got {gap!r}."
      )
  pairs = []
  for scale in scales:
    if scale in WITH_GAP:
      pairs += [(scale, float(gap)) for gap in gaps]
    elif scale is None or _is_number(scale):
      pairs.append((scale if scale is None else float(scale), 0.0))
    else:
      raise ValueError(
        '`config.scales` must hold "two_witnesses", "gap", numbers >= 0 or'
        f" None, got {scale!r}."
      )
  neighbors = tuple(settings.take("neighbors", (list, tuple)))
  counts = all(type(k) is int and k >= 1 for k in neighbors)
  if not pairs or not neighbors or not counts:
    raise ValueError(
      "`config.neighbors` and `config.scales` must hold at least one value,"
      " neighbors whole numbers >= 1, got"
      f" {neighbors} and {tuple(scales)}."
    )
  return Choices(
    metrics=settings.words("metrics", tuple(POINT_TO_SPACE)),
    neighbors=neighbors,
    scales=tuple(pairs),
  )


def _is_number(value: Any) -> bool:
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and 0 <= value < math.inf


def run_sweep(sweep: Sweep, folder: pathlib.Path) -> list[Row]:
  """Scores every choice on one data set; writes sweep.md and sweep.csv."""
  (data,), _ = find_sets(
    sweep.cache_dir,
    (sweep.dataset,),
    data_dir=sweep.data_dir,
    layout=sweep.layout,
    lexicon=sweep.lexicon,
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
  texts = MethodTexts(
    data.classes,
    data.spec.template,
    sweep.templates or (data.spec.template,),
    files={},
    seed=0,
  )
  clean = {name: _embed(embedder, TEXTS[name], texts) for name in sweep.texts}
  polluted = None
  if any(entry.polluted for entry in data.classes):
    polluted = _embed(embedder, concepts_with_wrong_ones, texts)
  images = embedder.images(data.spec, data.opened)
  rows = score_choices(
    sweep.choices,
    clean,
    images,
    classes=len(data.classes),
    logit_scale=embedder.logit_scale,
    polluted=polluted,
    right=[len(entry.names) for entry in data.classes],
  )
  write_sweep(rows, folder, f"{images.labels.size} {data.spec.split} images")
  return rows


def score_choices(
  choices: Choices,
  clean: Mapping[str, TextTable],
  images: EmbeddedImages,
  *,
  classes: int,
  logit_scale: float,
  polluted: TextTable | None = None,
  right: Sequence[int] = (),
) -> list[Row]:
  """Scores every choice on one data set."""

  def accuracy(space, metric, neighbors):
    return evaluate_scores(
      space_scorer(space, metric, neighbors=neighbors),
      images.embeddings,
      images.labels,
      classes=classes,
      batch_size=900,
      logit_scale=logit_scale,
    ).top1

  metrics = [
    (metric, k)
    for metric in choices.metrics
    for k in (choices.neighbors if metric == "local_center" else (None,))
  ]
  rows = []
  with tqdm(
    total=len(clean) * len(choices.scales) * len(metrics),
    unit="choice",
    disable=None,
  ) as bar:
    for name, (scale, min_gap) in itertools.product(clean, choices.scales):
      space = _space(clean[name], scale, min_gap)
      cut = np.asarray(space.mask).sum(1) < clean[name].mask.sum(1)
      counts: tuple[int | None, ...] = (None,) * 4
      dirty = None
      if polluted is not None:
        dirty = _space(polluted, scale, min_gap)
        counts = count_removed(right, polluted.mask, dirty.mask)
      for metric, k in metrics:
        rows.append(
          Row(
            name,
            metric,
            k,
            scale,
            min_gap if scale in WITH_GAP else None,
            float(np.mean(cut)),
            accuracy(space, metric, k or 1),
            None if dirty is None else accuracy(dirty, metric, k or 1),
            *counts,
          )
        )
        bar.update()
  rows.sort(key=lambda row: (-row.clean, -(row.polluted or 0.0)))
  return rows


def _embed(
  embedder: Embedder,
  vertices: Callable[[MethodTexts], Vertices],
  texts: MethodTexts,
) -> TextTable:
  (prepared,) = prepare_methods({"sweep": Method(vertices)}, texts)
  embedded = embedder.texts(prepared.prompts)
  return embed_vertices(
    prepared.vertices, prepared.prompts, embedded.embeddings
  )


def _space(
  table: TextTable, scale: str | float | None, min_gap: float
) -> SynonymousSpace:
  options = SpaceOptions("center", 1, scale, "largest", 0.5, min_gap)
  return build_core(table, options)


def _cells(row: Row) -> dict[str, str]:
  cells = {
    "texts": row.texts,
    "metric": row.metric,
    "neighbors": "-" if row.neighbors is None else str(row.neighbors),
    "scale": "all" if row.scale is None else str(row.scale),
    "min_gap": "-" if row.min_gap is None else f"{row.min_gap:.2f}",
    "classes cut": f"{100 * row.classes_cut:.0f}",
    "clean": f"{100 * row.clean:.1f}",
  }
  if row.polluted is not None:
    cells["polluted"] = f"{100 * row.polluted:.1f}"
    cells["wrong removed"] = f"{row.wrong_removed} of {row.wrong_total}"
    cells["right removed"] = f"{row.right_removed} of {row.right_total}"
  return cells


def write_sweep(rows: list[Row], folder: pathlib.Path, images: str) -> None:
  """Writes sweep.md and sweep.csv, and shows the first rows."""
  table = [_cells(row) for row in rows]
  markdown = [
    f"Top-1 (%) on the {images}; classes cut (%): those whose core leaves a"
    " text out.",
    "",
    "| " + " | ".join(table[0]) + " |",
    "|" + "---|" * len(table[0]),
    *("| " + " | ".join(cells.values()) + " |" for cells in table),
  ]
  atomic_write(folder / "sweep.md", "\n".join(markdown) + "\n")
  csv = [",".join(Row._fields)] + [
    ",".join("" if value is None else str(value) for value in row)
    for row in rows
  ]
  atomic_write(folder / "sweep.csv", "\n".join(csv) + "\n")
  tell("\n".join(markdown[:12]) + f"\n... {folder}/sweep.md\n")
