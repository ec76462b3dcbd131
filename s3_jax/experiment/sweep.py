"""The task "sweep": hyper-parameters of S3, chosen on the validation split."""

import itertools
import math
import pathlib
import sys
from collections.abc import Callable
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
from s3_jax.experiment.embedding import (
  Embedder,
  embed_prompts,
  embed_test_set,
)
from s3_jax.experiment.evaluate import count_pruned
from s3_jax.experiment.methods import (
  SpaceOptions,
  build_spaces,
  gather_texts,
  space_scorer,
)
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.files import atomic_write
from s3_jax.lexicon.prompts import fill_template
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.point_to_space import POINT_TO_SPACE

_HEAD = (
  "metric",
  "neighbors",
  "scale",
  "min_gap",
  "clean",
  "polluted",
  "wrong removed",
  "right removed",
)


class Sweep(NamedTuple):
  """The settings of a sweep, read and checked."""

  model: CheckpointSource
  lexicon: str
  split: str
  template: str
  metrics: tuple[str, ...]
  neighbors: tuple[int, ...]
  scales: tuple[tuple[str | float | None, float], ...]  # scale, min_gap
  dtype: str
  batch_size: int
  cache_dir: pathlib.Path


class Row(NamedTuple):
  """One choice of hyper-parameters and what it gave."""

  metric: str
  neighbors: int | None
  scale: str | float | None
  min_gap: float | None
  clean: float  # top-1 on the clean table
  polluted: float  # top-1 on the polluted table
  wrong_removed: int
  wrong_total: int
  right_removed: int
  right_total: int


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep.

  Args:
    settings: of a config whose task is "sweep".

  Returns:
    The sweep, as a function of the workdir; it returns the rows.
  """
  scales = settings.take("scales", (list, tuple))
  gaps = settings.take("min_gaps", (list, tuple))
  for gap in gaps:
    if not _is_number(gap):
      raise ValueError(
        f"`config.min_gaps` must hold numbers >= 0, got {gap!r}."
      )
  pairs = []
  for scale in scales:
    if scale == "gap":
      pairs += [("gap", float(gap)) for gap in gaps]
    elif scale is None or _is_number(scale):
      pairs.append((scale if scale is None else float(scale), 0.0))
    else:
      raise ValueError(
        f'`config.scales` must hold "gap", numbers >= 0 or None, got {scale!r}.'
      )
  neighbors = tuple(settings.take("neighbors", (list, tuple)))
  counts = all(type(k) is int and k >= 1 for k in neighbors)
  if not pairs or not neighbors or not counts:
    raise ValueError(
      "`config.neighbors` and `config.scales` must hold at least one value,"
      " neighbors whole numbers >= 1, got"
      f" {neighbors} and {tuple(scales)}."
    )
  sweep = Sweep(
    model=read_checkpoint(settings, "model"),
    lexicon=settings.take("lexicon", str),
    split=settings.take("split", str, choices=("validation",)),
    template=settings.take("template", str),
    metrics=settings.words("metrics", tuple(POINT_TO_SPACE)),
    neighbors=neighbors,
    scales=tuple(pairs),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    cache_dir=read_cache_dir(settings),
  )
  fill_template(sweep.template, "")
  return lambda folder: run_sweep(sweep, folder)


def _is_number(value: Any) -> bool:
  real = isinstance(value, int | float) and not isinstance(value, bool)
  return real and 0 <= value < math.inf


def run_sweep(sweep: Sweep, folder: pathlib.Path) -> list[Row]:
  """Scores every choice on the validation split; writes sweep.md, sweep.csv.

  Args:
    sweep: the settings.
    folder: an existing folder.

  Returns:
    The rows, best on the clean table first (ties: better on the polluted one,
    then the order of the config).
  """
  lexicon, clip = load_lexicon(sweep.lexicon), load_checkpoint(sweep.model)
  embedder = Embedder(clip, sweep.dtype, sweep.batch_size, 0, sweep.cache_dir)
  texts, _ = gather_texts(
    lexicon,
    lambda prompts: embed_prompts(embedder, prompts).embeddings,
    template=sweep.template,
    templates=(sweep.template,),
  )
  images = embed_test_set(embedder, DATASETS[sweep.split])

  def accuracy(space, metric, neighbors):
    return evaluate_scores(
      space_scorer(space, metric, neighbors=neighbors),
      images.embeddings,
      images.labels,
      classes=len(lexicon.classes),
      batch_size=900,
      logit_scale=float(clip.params["logit_scale"]),
    ).top1

  choices = [
    (metric, k)
    for metric in sweep.metrics
    for k in (sweep.neighbors if metric == "local_center" else (None,))
  ]
  rows = []
  pairs = list(itertools.product(sweep.scales, choices))
  for (scale, min_gap), (metric, neighbors) in tqdm(
    pairs, unit="choice", disable=None
  ):
    options = SpaceOptions(
      metric, neighbors or 1, scale, "largest", 0.5, min_gap
    )
    spaces = build_spaces(texts, options)
    rows.append(
      Row(
        metric,
        neighbors,
        scale,
        min_gap if scale == "gap" else None,
        accuracy(spaces.names_core, metric, neighbors or 1),
        accuracy(spaces.polluted_core, metric, neighbors or 1),
        **count_pruned(texts, spaces),
      )
    )
  rows.sort(key=lambda row: (-row.clean, -row.polluted))
  _write(rows, folder, int(np.asarray(images.labels).size))
  return rows


def _cells(row: Row) -> list[str]:
  return [
    row.metric,
    "-" if row.neighbors is None else str(row.neighbors),
    "all" if row.scale is None else str(row.scale),
    "-" if row.min_gap is None else f"{row.min_gap:.2f}",
    f"{100 * row.clean:.1f}",
    f"{100 * row.polluted:.1f}",
    f"{row.wrong_removed} of {row.wrong_total}",
    f"{row.right_removed} of {row.right_total}",
  ]


def _write(rows: list[Row], folder: pathlib.Path, images: int) -> None:
  cells = [_cells(row) for row in rows]
  markdown = [
    f"Top-1 (%) on the {images} validation images.",
    "",
    "| " + " | ".join(_HEAD) + " |",
    "|" + "---|" * len(_HEAD),
    *("| " + " | ".join(line) + " |" for line in cells),
  ]
  atomic_write(folder / "sweep.md", "\n".join(markdown) + "\n")
  csv = [",".join(Row._fields)] + [
    ",".join("" if value is None else str(value) for value in row)
    for row in rows
  ]
  atomic_write(folder / "sweep.csv", "\n".join(csv) + "\n")
  sys.stdout.write("\n".join(markdown[:12]) + f"\n... {folder}/sweep.md\n")
