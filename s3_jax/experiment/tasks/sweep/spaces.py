"""The task "sweep": how spaces are cut and scored."""

import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax import hosts
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.measurement import Tables, score_plan
from s3_jax.experiment.methods.images import Method, MethodPlan, Scorers
from s3_jax.experiment.methods.prompts import (
  concepts,
  concepts_with_descriptors,
  concepts_with_wrong_ones,
)
from s3_jax.experiment.methods.spaces import SpaceOptions, count_removed
from s3_jax.experiment.methods.view_scores import ViewSettings
from s3_jax.experiment.methods.views import Adaptation
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Dtype, Settings, Templates
from s3_jax.experiment.tasks.sweep import SweepData, open_sweep, write_choices
from s3_jax.fields import Count, Inline, Rule, Where, words
from s3_jax.named_classes.cores import TWO_WITNESSES
from s3_jax.point_to_space import POINT_TO_SPACE

# What the spaces may be made of.
TEXTS = {
  "concepts": concepts,
  "concepts_x_descriptors": concepts_with_descriptors,
}
POLLUTED = "polluted"

WITH_GAP = (TWO_WITNESSES, "gap")
"""The scale rules that `min_gaps` belongs to."""


class Row(NamedTuple):
  """One choice of hyper-parameters and what it gave.

  The last five are None for a lexicon without entries known to be wrong.
  """

  texts: str
  metric: str
  neighbors: int | None
  scale: str | float | None
  min_gap: float | None
  classes_cut: float = 0.0  # share of those whose core leaves a text out
  clean: float = 0.0  # top-1 on the table
  polluted: float | None = None  # top-1 on the table with wrong entries
  wrong_removed: int | None = None
  wrong_total: int | None = None
  right_removed: int | None = None
  right_total: int | None = None

  @property
  def key(self) -> str:
    """The name of its method."""
    return " ".join(map(str, self[:5]))

  def method(self, vertices: Callable[..., Any]) -> Method:
    """Makes its method."""
    options = SpaceOptions(
      metric=self.metric,
      neighbors=self.neighbors or 1,
      scale=self.scale,
      keep="largest",
      min_fraction=0.5,
      min_gap=self.min_gap or 0.0,
    )
    return Method(vertices, None, core=True, options=options)


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

  # Point-to-space metrics to try.
  metrics: Annotated[tuple[str, ...], words(POINT_TO_SPACE)]
  neighbors: tuple[Any, ...]  # numbers of texts that local_center averages
  # Scale rules and lengths to try.
  scales: Annotated[tuple[Any, ...], Rule(read=_read_scales)]
  # Of the scale rules that have one.
  min_gaps: Annotated[tuple[float, ...], Rule(given=tuple, read=_read_gaps)]

  @property
  def rules(self) -> tuple[tuple[str | float | None, float | None], ...]:
    """Each scale rule with each gap that it may have."""
    return tuple(
      (scale, gap)
      for scale in self.scales
      for gap in (self.min_gaps if scale in WITH_GAP else (None,))
    )

  def rows(self, *texts: str) -> dict[str, "Row"]:
    """Lists the choices for some texts, by the names of their methods."""
    rows = [
      Row(name, metric, k, scale, gap)
      for name, (scale, gap), metric in itertools.product(
        texts, self.rules, self.metrics
      )
      for k in (self.neighbors if metric == "local_center" else (None,))
    ]
    return {row.key: row for row in rows}

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

  data: Inline[SweepData]
  choices: Inline[Choices]
  lexicon: str = ""  # a table in place of the data set's own
  templates: Templates = ()  # default: the data set's own
  # "concepts_x_descriptors" as well.
  texts: Annotated[tuple[str, ...], words(TEXTS)] = ("concepts",)
  dtype: Dtype = "float32"  # of the towers' matrix products
  batch_size: Count = 100  # images


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep."""
  sweep = settings.read(Sweep)
  return lambda folder: run_sweep(sweep, folder)


def run_sweep(sweep: Sweep, folder: pathlib.Path) -> list[Row]:
  """Scores every choice on one data set; writes sweep.md and sweep.csv."""
  made = {name: TEXTS[name] for name in sweep.texts}
  made[POLLUTED] = concepts_with_wrong_ones
  choices = sweep.choices.rows(*made)
  opened = open_sweep(
    sweep.data,
    {key: row.method(made[row.texts]) for key, row in choices.items()},
    folder,
    views=ViewSettings(Adaptation()),
    options=SpaceOptions("center"),  # each method has its own
    lexicon=sweep.lexicon,
    templates=sweep.templates,
    dtype=sweep.dtype,
    batch_size=sweep.batch_size,
  )
  session, embedder, data = opened.run.session, opened.run.embedder, opened.data
  has_wrong_ones = any(entry.polluted for entry in data.classes)
  rows = score_choices(
    session,
    choices,
    [
      each
      for each in opened.plan
      if has_wrong_ones or choices[each.name].texts != POLLUTED
    ],
    opened.tables,
    opened.test_set,
    right=[len(entry.concepts) for entry in data.classes],
    logit_scale=embedder.logit_scale,
  )
  split = data.spec.split
  return write_rows(session, rows, f"{opened.test_set.labels.size} {split}")


def score_choices(
  session: Session,
  choices: Mapping[str, Row],
  plan: Sequence[MethodPlan],
  tables: Tables,
  test_set: EmbeddedImages,
  *,
  right: Sequence[int],
  logit_scale: float,
) -> list[Row]:
  """Scores every choice on one data set; the best comes first."""
  spaces: dict[tuple[Any, ...], list[MethodPlan]] = {}
  for each in plan:
    row = choices[each.name]
    spaces.setdefault((row.scale, row.min_gap), []).append(each)
  clean, polluted = {}, {}
  for of_space in hosts.progress_bar(
    list(spaces.values()), desc="sweep", unit="space"
  ):
    # Spaces of other choices would only take memory.
    scorers = Scorers(of_space[0].method.options)
    results = score_plan(
      session,
      of_space,
      tables,
      test_set,
      scorers,
      classes=len(right),
      logit_scale=logit_scale,
    )
    for each in of_space:
      row, top1 = choices[each.name], results[each.name].top1
      table = tables[each.method.vertices]
      kept = np.asarray(scorers.core(each.method, table).space.mask)
      if row.texts == POLLUTED:
        polluted[row] = (top1, *count_removed(right, table.mask, kept))
      else:
        cut = float(np.mean(kept.sum(1) < table.mask.sum(1)))
        clean[row] = (cut, top1)
  nothing = (None,) * 5
  rows = [
    Row(*row[:5], *clean[row], *polluted.get(Row(POLLUTED, *row[1:5]), nothing))
    for row in choices.values()
    if row in clean
  ]
  # Of equal ones the first that was asked for.
  return sorted(rows, key=lambda row: (-row.clean, -(row.polluted or 0.0)))


def write_rows(session: Session, rows: list[Row], images: str) -> list[Row]:
  """Writes sweep.md and sweep.csv."""
  heading = (
    f"Top-1 (%) on the {images} images; classes cut (%): those whose core"
    " leaves a text out."
  )
  return write_choices(session, "sweep", heading, rows, _cells)


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
