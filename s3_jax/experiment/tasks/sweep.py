"""The task "sweep": hyper-parameters of S3, chosen on the validation split."""

import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from s3_jax.data.datasets import DATASETS
from s3_jax.evaluation.classification import evaluate_scores
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  load_checkpoint,
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
  CacheDir,
  Dtype,
  Folder,
  Settings,
  Templates,
)
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.fields import Count, Inline, Rule, Where, raw, words
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


def _is_number(value: Any) -> bool:
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and 0 <= value < math.inf


def _read_scales(scales: tuple[Any, ...], where: Where) -> tuple[Any, ...]:
  for scale in scales:
    if not (scale is None or scale in WITH_GAP or _is_number(scale)):
      where.refuse(
        'must hold "two_witnesses", "gap", numbers >= 0 or None', scale
      )
  return tuple(float(each) if _is_number(each) else each for each in scales)


def _read_gaps(gaps: tuple[Any, ...], where: Where) -> tuple[float, ...]:
  for gap in gaps:
    if not _is_number(gap):
      where.refuse("must hold numbers >= 0", gap)
  return tuple(map(float, gaps))


class Choices(NamedTuple):
  """What a sweep tries, each with each."""

  metrics: Annotated[tuple[str, ...], words(POINT_TO_SPACE)]
  neighbors: tuple[Any, ...]
  scales: Annotated[tuple[Any, ...], Rule(read=_read_scales)]
  # Of the scale rules that have one.
  min_gaps: Annotated[tuple[float, ...], Rule(given=tuple, read=_read_gaps)]

  @property
  def rules(self) -> tuple[tuple[str | float | None, float], ...]:
    """Each scale rule with each gap that it may have."""
    return tuple(
      (scale, gap)
      for scale in self.scales
      for gap in (self.min_gaps if scale in WITH_GAP else (0.0,))
    )

  def check(self, where: Where) -> None:
    """Refuses a sweep that tries nothing."""
    counts = all(type(k) is int and k >= 1 for k in self.neighbors)
    if not self.rules or not self.neighbors or not counts:
      raise ValueError(
        f"`{where.path}.neighbors` and `{where.path}.scales` must hold at least"
        " one value, neighbors whole numbers >= 1, got"
        f" {self.neighbors} and {self.scales}."
      )


class Sweep(NamedTuple):
  """The settings of a sweep."""

  model: Inline[CheckpointSource]
  choices: Inline[Choices]
  dataset: Annotated[str, Rule(choices=DATASETS)] = "validation"
  data_dir: Folder = raw("")
  layout: str = "auto"
  lexicon: str = ""  # a table in place of the data set's own
  partial: bool = False
  templates: Templates = ()  # default: the data set's own
  # "concepts_x_descriptors" as well.
  texts: Annotated[tuple[str, ...], words(TEXTS)] = ("concepts",)
  dtype: Dtype = "float32"
  batch_size: Count = 100
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


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
  sweep = settings.read(Sweep)
  return lambda folder: run_sweep(sweep, folder)


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
    total=len(clean) * len(choices.rules) * len(metrics),
    unit="choice",
    disable=None,
  ) as bar:
    for name, (scale, min_gap) in itertools.product(clean, choices.rules):
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
