"""The task "evaluate": every method on every test set, in one table."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from s3_jax import hosts
from s3_jax.clip import Clip
from s3_jax.data.datasets import DATASETS
from s3_jax.data.records import OpenedDataset
from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.statistics import INTERVALS
from s3_jax.experiment import checkpoint
from s3_jax.experiment.embedder import EmbeddedImages, Embedder
from s3_jax.experiment.figures import draw_spaces
from s3_jax.experiment.machine.environment import (
  CompileClock,
  describe_environment,
)
from s3_jax.experiment.methods.spaces import (
  METHODS,
  TWO_WITNESSES,
  MethodInputs,
  SpaceOptions,
  Spaces,
  Texts,
  build_spaces,
  gather_texts,
  method_prompts,
)
from s3_jax.experiment.rows import (
  class_rows,
  comparison_rows,
  dataset_row,
  method_rows,
  sha256_of,
  texts_part,
)
from s3_jax.experiment.run_log import RunLog, log_bad, timed
from s3_jax.experiment.scoring import score_images
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.tasks.benchmark.sets import find_test_set
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import Lexicon, load_lexicon, shared_names
from s3_jax.messages import nearest
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.results.report import format_table, write_report
from s3_jax.results.schema import SCHEMA
from s3_jax.sharding import local_mesh

_EMBEDDED = tuple(
  name for name, spec in DATASETS.items() if spec.family == "embedded"
)
# Compared with each other, beside every method with the baseline.
_PAIRS = (("local_center", "synonyms_mean"), ("polluted_core", "polluted_all"))


class Evaluation(NamedTuple):
  """The settings of an evaluation, read and checked."""

  model: checkpoint.CheckpointSource
  lexicon: str
  test_sets: tuple[str, ...]
  methods: tuple[str, ...]
  baseline: str
  template: str
  templates: tuple[str, ...]
  options: SpaceOptions
  dtype: str
  batch_size: int
  mesh: int
  model_axis: int
  cache_dir: pathlib.Path
  figure_classes: tuple[int, ...]
  seed: int
  config: dict[str, Any]  # as given, for the results


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of an evaluation."""
  evaluation = Evaluation(
    config=settings.everything,
    model=checkpoint.read_checkpoint(settings, "model"),
    lexicon=settings.take("lexicon", str, default="pictographs"),
    test_sets=settings.words("test_sets", _EMBEDDED),
    methods=settings.words("methods", tuple(METHODS)),
    baseline=settings.take(
      "baseline", str, default="class_name", choices=tuple(METHODS)
    ),
    template=settings.take("template", str, default=NAME_TEMPLATE),
    templates=settings.words("templates"),
    options=read_space_options(settings),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    model_axis=settings.take("model_axis", int, default=1, minimum=1),
    cache_dir=read_cache_dir(settings),
    figure_classes=tuple(settings.take("figure_classes", (list, tuple))),
    seed=settings.take("seed", int, minimum=0),
  )
  for template in (evaluation.template, *evaluation.templates):
    fill_template(template, "")
  if evaluation.baseline not in evaluation.methods:
    raise ValueError(
      "`config.methods` must hold the baseline"
      f" {evaluation.baseline!r}, got {nearest(evaluation.methods)}."
    )
  return lambda folder: evaluate(evaluation, folder)


def read_space_options(settings: Settings) -> SpaceOptions:
  """Reads how spaces are pruned and scored."""
  kinds = (str, int, float, tuple, list, type(None))
  scale = _read_scale(settings.take("scale", kinds))
  fraction = settings.take("min_fraction", float, default=0.5)
  if not 0 < fraction <= 1:
    raise ValueError(
      f"`config.min_fraction` must be in (0, 1], got {fraction}."
    )
  return SpaceOptions(
    metric=settings.take("metric", str, choices=tuple(POINT_TO_SPACE)),
    neighbors=settings.take("neighbors", int, minimum=1),
    scale=scale,
    keep=settings.take("keep", str, choices=("largest", "label", "all")),
    min_fraction=fraction,
    min_gap=settings.take("min_gap", float, default=0.05, minimum=0.0),
  )


def _read_scale(
  scale: str | float | int | tuple | list | None,
) -> str | float | tuple[str, float] | None:
  """Also reads numbers and None as a command line gives them: as words."""
  if scale in (TWO_WITNESSES, "gap", None):
    return scale
  if scale == "None":
    return None
  if isinstance(scale, tuple | list):
    return _read_share(scale)
  try:
    number = float(scale)
  except ValueError:
    number = float("nan")
  if not (np.isfinite(number) and number >= 0):
    raise ValueError(
      '`config.scale` must be "two_witnesses", "gap", ("quantile", q),'
      f' ("coverage", p), a number >= 0 or None, got {scale!r}.'
    )
  return number


def _read_share(scale: tuple | list) -> tuple[str, float]:
  """Reads a scale rule that comes with a share of deaths or texts."""
  rule, share = scale if len(scale) == 2 else ("", 0)
  is_number = isinstance(share, int | float) and not isinstance(share, bool)
  is_share = is_number and 0 <= share <= 1 and (share or rule == "quantile")
  if rule not in ("quantile", "coverage") or not is_share:
    raise ValueError(
      '`config.scale` must be ("quantile", q) with q in [0, 1] or ("coverage",'
      f" p) with p in (0, 1], got {scale!r}."
    )
  return rule, float(share)


def evaluate(evaluation: Evaluation, folder: pathlib.Path) -> dict[str, Any]:
  """Runs an evaluation and writes its result files and figures."""
  clock, timings = CompileClock(), {}
  log = RunLog(folder / "log.txt")

  with timed(timings, "load"):
    lexicon, embedder = hosts.raise_on_all(lambda: _prepare(evaluation))
    clip = embedder.clip
    hosts.agree(
      {
        **checkpoint.checkpoint_facts(clip),
        "the lexicon's sha256": lexicon.sha256,
      }
    )
  for text, classes in shared_names(lexicon):
    log(f"Classes {classes} share the text {text!r}.")

  made: list[EmbeddedTexts] = []

  def embed(prompts):
    made.append(embedder.texts(prompts))
    return made[-1].embeddings

  with timed(timings, "embed_text"):
    texts, prompts = gather_texts(
      lexicon,
      embed,
      template=evaluation.template,
      templates=evaluation.templates,
    )
  log(f"{clip.spec.name}: {len(prompts)} distinct prompts.")
  [embedded] = made
  text_batches = embedded.tower_batches
  with timed(timings, "build_space"):
    spaces = build_spaces(texts, evaluation.options)
    jax.block_until_ready(spaces)
  with timed(timings, "embed_images"):
    specs = [DATASETS[name] for name in evaluation.test_sets]
    opened = hosts.raise_on_all(
      lambda: [find_test_set(embedder.cache_dir, spec) for spec in specs]
    )
    test_sets = [
      embedder.images(spec, images)
      for spec, images in zip(specs, opened, strict=True)
    ]
  for test_set in test_sets:
    spec = test_set.spec
    log_bad(log, spec.title, test_set.bad, spec.examples)
  inputs = MethodInputs(texts, spaces, evaluation.options, evaluation.seed)
  with timed(timings, "score"):
    measured = {
      (test_set.spec.name, method): score_images(
        METHODS[method](inputs),
        test_set,
        classes=len(lexicon.classes),
        per_class=True,
        logit_scale=embedder.logit_scale,
        mesh=embedder.devices,
      )
      for test_set in test_sets
      for method in evaluation.methods
    }
  decoded = sum(test_set.images_decoded for test_set in test_sets)
  tower_batches = sum(test_set.tower_batches for test_set in test_sets)
  warm = not (decoded or tower_batches or text_batches)
  if decoded:
    timings["images_per_second"] = decoded / timings["embed_images"]
  timings["compile"] = clock.seconds()

  def write() -> dict[str, Any]:
    report = _Report(evaluation, lexicon, clip, texts, embedded, spaces, opened)
    counters = {
      "images_decoded": decoded,
      "tower_batches": tower_batches,
      "text_tower_batches": text_batches,
      "cache": "warm" if warm else "cold",
    }
    return _write(report, test_sets, measured, counters, timings, folder, log)

  return hosts.first_only(write)


class _Report(NamedTuple):
  """What results say of a run beside what it measured."""

  evaluation: Evaluation
  lexicon: Lexicon
  clip: Clip
  texts: Texts
  embedded: EmbeddedTexts
  spaces: Spaces
  opened: Sequence[OpenedDataset]


def _describe_texts(report: _Report, names: Sequence[str]) -> dict[str, Any]:
  """Says which texts gave the results; all test sets have the same."""
  evaluation, lexicon, _, texts, embedded, spaces, _ = report
  prompts = method_prompts(
    lexicon, template=evaluation.template, templates=evaluation.templates
  )
  methods = {
    method: {
      "sha256": sha256_of(prompts[method]),
      "distinct": len(prompts[method]),
      **embedded.describe(prompts[method]),
    }
    for method in evaluation.methods
  }
  facts = {
    "lexicon_sha256": lexicon.sha256,
    "methods": methods,
    "per_class": [len(of_class) for of_class in texts.names.texts],
    "core_per_class": np.asarray(spaces.names_core.mask).sum(1).tolist(),
  }
  return texts_part(dict.fromkeys(names, facts))


def _write(
  report: _Report,
  test_sets: Sequence[EmbeddedImages],
  measured: dict[tuple[str, str], ClassificationResult],
  counters: dict[str, Any],
  timings: dict[str, float],
  folder: pathlib.Path,
  log: RunLog,
) -> dict[str, Any]:
  """Puts the results together and writes all files."""
  evaluation, lexicon, clip, texts, _, spaces, _ = report
  results = {
    "schema": SCHEMA,
    "seed": evaluation.seed,
    "intervals": INTERVALS,
    "config": json.loads(json.dumps(evaluation.config)),
    "environment": describe_environment(evaluation.dtype),
    "model": checkpoint.describe_model(clip),
    "texts": _describe_texts(report, [each.spec.name for each in test_sets]),
    "datasets": [
      dataset_row(
        test_set.spec, images, test_set.bad, classes=test_set.spec.classes
      )
      for test_set, images in zip(test_sets, report.opened, strict=True)
    ],
    "methods": method_rows(measured, seed=evaluation.seed),
    "comparisons": comparison_rows(
      measured,
      baseline=evaluation.baseline,
      pairs=_PAIRS,
      seed=evaluation.seed,
    ),
    "pruning": count_pruned(texts, spaces),
    "counters": counters,
    "timings": {name: round(value, 3) for name, value in timings.items()},
  }
  figures = folder / "figures"
  figures.mkdir(exist_ok=True)
  if evaluation.figure_classes:
    draw_spaces(evaluation.figure_classes, texts, spaces, figures)
  write_report(
    results,
    folder,
    baseline=evaluation.baseline,
    per_class=class_rows(
      measured,
      dict.fromkeys(
        evaluation.test_sets, [entry.name for entry in lexicon.classes]
      ),
    ),
  )
  log(format_table(results, baseline=evaluation.baseline))
  log(f"Results, per-class table and figures: {folder}")
  return results


def _prepare(evaluation: Evaluation) -> tuple[Lexicon, Embedder]:
  """Loads the lexicon and the checkpoint, and checks the devices."""
  lexicon = load_lexicon(evaluation.lexicon)
  clip = checkpoint.load_checkpoint(evaluation.model)
  _check_classes(evaluation, lexicon)
  # Refuses too many devices before any work.
  local_mesh(evaluation.mesh, model=evaluation.model_axis)
  embedder = Embedder(
    clip,
    evaluation.dtype,
    evaluation.batch_size,
    evaluation.mesh,
    evaluation.cache_dir,
    model_axis=evaluation.model_axis,
  )
  return lexicon, embedder


def _check_classes(evaluation: Evaluation, lexicon: Lexicon) -> None:
  classes = len(lexicon.classes)
  for name in evaluation.test_sets:
    if DATASETS[name].classes != classes:
      raise ValueError(
        f"`config.lexicon` must have the {DATASETS[name].classes} classes of"
        f" {name!r}, got {classes}."
      )
  for label in evaluation.figure_classes:
    if not (isinstance(label, int) and 0 <= label < classes):
      raise ValueError(
        f"`config.figure_classes` must be class indices in 0..{classes - 1},"
        f" got {label!r}."
      )


def count_pruned(texts: Texts, spaces: Spaces) -> dict[str, int]:
  """Counts what the core of the polluted space removed, right and wrong."""
  mask = texts.polluted.mask
  columns = np.arange(mask.shape[1])
  right = mask & (columns < texts.names.mask.sum(1)[:, None])
  removed = mask & ~np.asarray(spaces.polluted_core.mask)
  wrong = mask & ~right
  return {
    "wrong_total": int(wrong.sum()),
    "wrong_removed": int((wrong & removed).sum()),
    "right_total": int(right.sum()),
    "right_removed": int((right & removed).sum()),
  }
