"""The task "sweep": how spaces are cut and scored."""

import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from s3_jax import hosts
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.measurement import Tables, score_plan
from s3_jax.experiment.methods.images import Method, MethodPlan, Scorers
from s3_jax.experiment.methods.prompts import (
  concepts,
  concepts_with_descriptors,
  concepts_with_wrong_ones,
)
from s3_jax.experiment.methods.spaces import (
  TWO_WITNESSES,
  SpaceOptions,
  count_removed,
)
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings, read_templates
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.experiment.tasks.sweep import open_sweep, read_run, write_choices
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


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep."""
  texts = settings.words("texts", tuple(TEXTS))
  made = {name: TEXTS[name] for name in texts}
  made[POLLUTED] = concepts_with_wrong_ones
  choices = read_choices(settings, tuple(made))
  benchmark = read_run(
    settings,
    {key: row.method(made[row.texts]) for key, row in choices.items()},
    lexicon=settings.take("lexicon", str, default=""),
    templates=read_templates(settings),
  )
  return lambda folder: run_sweep(benchmark, choices, folder)


def read_choices(settings: Settings, texts: Sequence[str]) -> dict[str, Row]:
  """Reads what a sweep tries on each of some texts, each with each."""
  scales = settings.take("scales", (list, tuple))
  gaps = settings.take("min_gaps", (list, tuple))
  for gap in gaps:
    if not _is_number(gap):
      raise ValueError(
        f"`config.min_gaps` must hold numbers >= 0, got {gap!r}."
      )
  pairs: list[tuple[Any, float | None]] = []
  for scale in scales:
    if scale in WITH_GAP:
      pairs += [(scale, float(gap)) for gap in gaps]
    elif scale is None or _is_number(scale):
      pairs.append((scale if scale is None else float(scale), None))
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
  metrics = settings.words("metrics", tuple(POINT_TO_SPACE))
  rows = [
    Row(name, metric, k, scale, gap)
    for (scale, gap), name, metric in itertools.product(pairs, texts, metrics)
    for k in (neighbors if metric == "local_center" else (None,))
  ]
  return {row.key: row for row in rows}


def _is_number(value: Any) -> bool:
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and 0 <= value < math.inf


def run_sweep(
  benchmark: Benchmark, choices: Mapping[str, Row], folder: pathlib.Path
) -> list[Row]:
  """Scores every choice on one data set; writes sweep.md and sweep.csv."""
  opened = open_sweep(benchmark, folder)
  session, embedder, data = opened.run.session, opened.run.embedder, opened.data
  has_wrong_ones = any(entry.polluted for entry in data.classes)
  rows = score_choices(
    choices,
    [
      each
      for each in opened.plan
      if has_wrong_ones or choices[each.name].texts != POLLUTED
    ],
    opened.tables,
    opened.test_set,
    right=[len(entry.names) for entry in data.classes],
    logit_scale=embedder.logit_scale,
    mesh=embedder.devices,
    timings=session.timings,
  )
  split = data.spec.split
  return write_rows(session, rows, f"{opened.test_set.labels.size} {split}")


def score_choices(
  choices: Mapping[str, Row],
  plan: Sequence[MethodPlan],
  tables: Tables,
  test_set: EmbeddedImages,
  *,
  right: Sequence[int],
  logit_scale: float,
  mesh: Mesh,
  timings: dict[str, float],
) -> list[Row]:
  """Scores every choice on one data set; the best comes first."""
  spaces: dict[tuple[Any, ...], list[MethodPlan]] = {}
  for each in plan:
    row = choices[each.name]
    spaces.setdefault((row.scale, row.min_gap), []).append(each)
  rows, polluted = [], {}
  for of_space in hosts.progress_bar(
    list(spaces.values()), desc="sweep", unit="space"
  ):
    # Spaces of other choices would only take memory.
    scorers = Scorers(of_space[0].method.options)
    results = score_plan(
      of_space,
      tables,
      test_set,
      scorers,
      classes=len(right),
      logit_scale=logit_scale,
      mesh=mesh,
      timings=timings,
    )
    for each in of_space:
      row, top1 = choices[each.name], results[each.name].top1
      table = tables[each.method.vertices]
      kept = np.asarray(scorers.core(each.method, table).space.mask)
      if row.texts == POLLUTED:
        polluted[row] = (top1, *count_removed(right, table.mask, kept))
      else:
        cut = float(np.mean(kept.sum(1) < table.mask.sum(1)))
        rows.append(row._replace(classes_cut=cut, clean=top1))
  scored = [
    Row(*row[:7], *polluted.get(Row(POLLUTED, *row[1:5]), row[7:]))
    for row in rows
  ]
  return sorted(scored, key=lambda row: (-row.clean, -(row.polluted or 0.0)))


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
