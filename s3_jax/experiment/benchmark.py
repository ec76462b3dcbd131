"""The task "benchmark": every method on one data set, or on a suite of them."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from s3_jax.data.datasets import DATASETS
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.readers import READERS
from s3_jax.evaluation.classification import (
  ClassificationResult,
  evaluate_scores,
)
from s3_jax.evaluation.schema import SCHEMA
from s3_jax.evaluation.statistics import INTERVALS
from s3_jax.experiment import checkpoint
from s3_jax.experiment.benchmark_methods import (
  METHODS,
  NEED_FILES,
  Method,
  MethodTexts,
  Prepared,
  Scorers,
  concepts,
  embed_vertices,
  prepare_methods,
)
from s3_jax.experiment.benchmark_report import write_benchmark
from s3_jax.experiment.benchmark_sets import OWN, BenchmarkSet, find_sets
from s3_jax.experiment.embedding import (
  Embedder,
  TestSet,
  embed_test_set,
  images_layout,
)
from s3_jax.experiment.environment import CompileClock, describe_environment
from s3_jax.experiment.estimate import estimate
from s3_jax.experiment.evaluate import read_space_options
from s3_jax.experiment.methods import SpaceOptions
from s3_jax.experiment.narration import Narrator, spoken, timed
from s3_jax.experiment.rows import comparison_rows, method_rows
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.text_embedding import embed_prompts
from s3_jax.experiment.view_embedding import views_layout
from s3_jax.experiment.view_methods import VIEW_METHODS, ViewMethod
from s3_jax.experiment.view_scores import (
  ViewSettings,
  read_view_settings,
  score_views,
  view_options,
)
from s3_jax.lexicon.prompts import fill_template
from s3_jax.lexicon.reading import ALIASES, read_class_texts
from s3_jax.sharding import data_mesh

FILES = ("cupl", "dclip", "waffle")
# Compared with each other, beside every method with the baseline.
_PAIRS = (
  ("s3", "synonyms_mean"),
  ("s3", "templates_80"),
  ("s3_descriptors", "s3"),
  ("ts3", "s3"),
  ("ts3", "tps"),
  ("ts3", "mta"),
  ("ts3", "s3_view_average"),
)
SCORE_ROWS = 900
"""Images scored at once. The hulls' and complexes' temporaries grow with it."""


class Benchmark(NamedTuple):
  """The settings of a benchmark run, read and checked."""

  model: checkpoint.CheckpointSource
  views: ViewSettings
  datasets: tuple[str, ...]
  skip_absent: bool  # of a suite
  data_dir: pathlib.Path | None
  layout: str
  lexicon: str  # "" for the data set's own
  partial: bool
  strict: bool
  methods: dict[str, Method | ViewMethod]
  baseline: str
  templates: tuple[str, ...]  # () for the data set's own
  files: dict[str, str]
  options: SpaceOptions
  dtype: str
  batch_size: int
  mesh: int
  max_pixels: int
  cache_dir: pathlib.Path
  seed: int
  config: dict[str, Any]  # as given, for the results


class Outcome(NamedTuple):
  """What one data set gave.

  Attributes:
    data: the data set.
    test_set: its embedded images.
    results: of every method.
    texts: what results say of its texts.
  """

  data: BenchmarkSet
  test_set: TestSet
  results: dict[str, ClassificationResult]
  texts: dict[str, Any]


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a benchmark run.

  Args:
    settings: of a config whose task is "benchmark".

  Returns:
    The run, as a function of the workdir; it returns the results.
  """
  known = (*DATASETS, OWN)
  suite = "datasets" in settings.everything
  if suite:
    datasets = settings.words("datasets", known)
  else:
    datasets = (settings.take("dataset", str, choices=known),)
  data_dir = settings.take("data_dir", str, default="")
  own = {
    name: method
    if isinstance(method, Method | ViewMethod)
    else Method(concepts, method, core=True)
    for name, method in settings.own_methods().items()
  }
  known_methods = {**METHODS, **VIEW_METHODS}
  methods = settings.words("methods", tuple(known_methods))
  benchmark = Benchmark(
    config=settings.everything,
    model=checkpoint.read_checkpoint(settings, "model"),
    views=read_view_settings(settings),
    datasets=datasets,
    skip_absent=suite,
    data_dir=pathlib.Path(data_dir) if data_dir else None,
    layout=settings.take(
      "layout", str, default="auto", choices=("auto", *READERS)
    ),
    lexicon=settings.take("lexicon", str, default=""),
    partial=settings.take("partial", bool, default=False),
    strict=settings.take("strict", bool, default=False),
    methods={**{name: known_methods[name] for name in methods}, **own},
    baseline=settings.take("baseline", str, default="class_name"),
    templates=tuple(settings.take("templates", (list, tuple), default=())),
    files={
      name: path
      for name in FILES
      if (path := settings.take(f"{name}_file", str, default=""))
    },
    options=read_space_options(settings),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    max_pixels=settings.take("max_pixels", int, default=MAX_PIXELS, minimum=1),
    cache_dir=read_cache_dir(settings),
    seed=settings.take("seed", int, minimum=0),
  )
  for template in benchmark.templates:
    fill_template(template, "")
  if benchmark.baseline not in benchmark.methods:
    raise ValueError(
      "`config.methods` must hold the baseline"
      f" {benchmark.baseline!r}, got {', '.join(benchmark.methods)}."
    )
  for name in NEED_FILES:
    if name in benchmark.methods and name not in benchmark.files:
      raise ValueError(
        f"`config.{name}_file` must name your file of texts when"
        f" `config.methods` holds {name!r}, and is not set."
      )
  return lambda folder: run_benchmark(benchmark, folder)


def run_benchmark(benchmark: Benchmark, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files.

  Args:
    benchmark: the settings.
    folder: an existing folder.

  Returns:
    The results, as in results.json (schema 1).

  Raises:
    ValueError: for a data set that is absent or broken, and under `strict` for
      bad images, after everything is written.
  """
  clock, timings = CompileClock(), {}
  say = Narrator(folder / "log.txt")
  data_mesh(benchmark.mesh)  # refuses too many devices before any work
  with timed(timings, "load"):
    clip = checkpoint.load_checkpoint(benchmark.model)
    embedder = Embedder(
      clip,
      benchmark.dtype,
      benchmark.batch_size,
      benchmark.mesh,
      benchmark.cache_dir,
      benchmark.max_pixels,
    )
    found, skipped = find_sets(
      embedder,
      benchmark.datasets,
      data_dir=benchmark.data_dir,
      layout=benchmark.layout,
      lexicon=benchmark.lexicon,
      partial=benchmark.partial,
      skip_absent=benchmark.skip_absent,
    )
    plans = [_plan(benchmark, data, say) for data in found]
  for name, reason in skipped:
    say(f"Skipped {name}: {reason}")
  with timed(timings, "estimate"):
    _announce(embedder, found, plans, benchmark.views, say)
  counters = {"images_decoded": 0, "tower_batches": 0, "text_tower_batches": 0}
  outcomes = [
    _measure(benchmark, embedder, data, plan, timings, counters, say)
    for data, plan in zip(found, plans, strict=True)
  ]
  if counters["images_decoded"]:
    timings["images_per_second"] = (
      counters["images_decoded"] / timings["embed_images"]
    )
  if counters["text_tower_batches"]:
    texts = sum(each.texts["embedded_now"] for each in outcomes)
    timings["texts_per_second"] = texts / timings["embed_text"]
  timings["compile"] = clock.seconds()
  measured = {
    (outcome.data.spec.name, name): result
    for outcome in outcomes
    for name, result in outcome.results.items()
  }
  results = {
    "schema": SCHEMA,
    "seed": benchmark.seed,
    "intervals": INTERVALS,
    "config": json.loads(json.dumps(benchmark.config)),
    "environment": describe_environment(benchmark.dtype),
    "model": checkpoint.describe_model(clip),
    "texts": _all_texts(outcomes),
    "datasets": [_dataset_row(outcome) for outcome in outcomes],
    "skipped": [{"dataset": name, "reason": why} for name, why in skipped],
    "methods": method_rows(measured, seed=benchmark.seed),
    "comparisons": comparison_rows(
      measured,
      baseline=benchmark.baseline,
      pairs=_PAIRS,
      seed=benchmark.seed,
    ),
    "counters": {
      **counters,
      "cache": "cold" if any(counters.values()) else "warm",
    },
    "timings": {name: round(value, 3) for name, value in timings.items()},
  }
  results = write_benchmark(
    results,
    measured,
    {
      each.data.spec.name: [entry.names[0] for entry in each.data.classes]
      for each in outcomes
    },
    {each.data.spec.name: each.test_set for each in outcomes},
    folder,
    baseline=benchmark.baseline,
    say=say,
  )
  bad = sum(len(outcome.test_set.bad) for outcome in outcomes)
  if bad and benchmark.strict:
    raise ValueError(
      "`config.strict` allows no bad image, got"
      f" {bad}: {folder / 'results.json'} lists them."
    )
  return results


def _plan(
  benchmark: Benchmark, data: BenchmarkSet, say: Narrator
) -> tuple[Prepared, ...]:
  """Makes the prompts of every method on one data set."""
  names = [entry.name for entry in data.classes]
  files = {}
  for kind, path in benchmark.files.items():
    if kind not in benchmark.methods:
      continue
    read = read_class_texts(
      path,
      names,
      aliases=_aliases(data),
      empty="name",
    )
    files[kind] = read.texts
    say(
      f"{data.spec.title}, {path}: texts for {read.matched} of"
      f" {len(names)} classes; {len(read.unmatched)} of its names match none"
      + (f" ({', '.join(read.unmatched[:3])} ...)." if read.unmatched else ".")
    )
  return prepare_methods(
    benchmark.methods,
    MethodTexts(
      classes=data.classes,
      template=data.spec.template,
      templates=benchmark.templates or (data.spec.template,),
      files=files,
      seed=benchmark.seed,
    ),
  )


def _aliases(data: BenchmarkSet) -> Mapping[str, int | str]:
  """Published spellings, as labels of this data set."""
  known = ALIASES.get(data.spec.lexicon, {})
  if not data.spec.subset:
    return known
  places = {entry.label: place for place, entry in enumerate(data.classes)}
  return {
    spelling: places[target]
    for spelling, target in known.items()
    if isinstance(target, int) and target in places
  }


def _announce(
  embedder: Embedder,
  found: tuple[BenchmarkSet, ...],
  plans: list[tuple[Prepared, ...]],
  views: ViewSettings,
  say: Narrator,
) -> None:
  """Says what is about to happen and how long it will take."""
  for data, plan in zip(found, plans, strict=True):
    prompts = {prompt for prepared in plan for prompt in prepared.prompts}
    say(
      f"{data.spec.title}: {len(data.opened.records):,} images,"
      f" {len(data.classes)} classes, {len(plan)} methods,"
      f" {len(prompts):,} texts; {data.opened.found}."
    )
  lists = {
    prepared.prompts: None for plan in plans for prepared in plan
  }  # methods and data sets that share prompts count once
  layouts = [images_layout(embedder, data.spec, data.opened) for data in found]
  if any(_looks_at_views(plan) for plan in plans):
    layouts += [
      views_layout(embedder, data.spec, data.opened, options)
      for data in found
      for options in view_options(views, data.spec)
    ]
  left = estimate(embedder, list(lists), layouts)
  if left.texts or left.images:
    say(
      f"To embed: {left.images:,} images or views, {left.texts:,} texts: about"
      f" {spoken(left.seconds)}. A run that is stopped goes on from there."
    )
  else:
    say("The cache has every embedding.")


def _measure(
  benchmark: Benchmark,
  embedder: Embedder,
  data: BenchmarkSet,
  plan: tuple[Prepared, ...],
  timings: dict[str, float],
  counters: dict[str, int],
  say: Narrator,
) -> Outcome:
  """Runs every method on one data set."""
  title, now = data.spec.title, 0
  tables, described, truncated = {}, {}, {}
  with timed(timings, "embed_text"):
    for prepared in plan:
      if prepared.method.vertices in tables:
        continue
      embedded = embed_prompts(
        embedder, prepared.prompts, progress=f"{title}: {prepared.name}"
      )
      counters["text_tower_batches"] += embedded.tower_batches
      now += len(prepared.prompts) if embedded.tower_batches else 0
      tables[prepared.method.vertices] = embed_vertices(
        prepared.vertices, prepared.prompts, embedded.embeddings
      )
      truncated[prepared.method.vertices] = (
        embedder.clip.tokenize.count_truncated(prepared.prompts)
      )
  with timed(timings, "embed_images"):
    test_set = embed_test_set(embedder, data.spec, data.opened)
  counters["images_decoded"] += test_set.images_decoded
  counters["tower_batches"] += test_set.tower_batches
  if test_set.bad:
    file, reason = test_set.bad[0]
    say(
      f"{title}: {len(test_set.bad)} of {len(data.opened.records)} images are"
      f" bad and not counted; the first is {file}: {reason}."
    )
  scorers, results = Scorers(benchmark.options), {}
  bar = tqdm(plan, desc=f"score {title}", leave=False, disable=None)
  for prepared in bar:
    table = tables[prepared.method.vertices]
    described[prepared.name] = {
      "sha256": _sha256(prepared.prompts),
      "distinct": len(prepared.prompts),
      "truncated": truncated[prepared.method.vertices],
    }
    if isinstance(prepared.method, ViewMethod):
      continue
    with timed(timings, "build_space"):
      scorer = scorers.scorer(prepared, table)
    with timed(timings, "score"):
      results[prepared.name] = evaluate_scores(
        scorer,
        test_set.embeddings,
        test_set.labels,
        classes=len(data.classes),
        batch_size=SCORE_ROWS,
        logit_scale=float(embedder.clip.params["logit_scale"]),
      )
  if _looks_at_views(plan):
    results |= score_views(
      [each for each in plan if isinstance(each.method, ViewMethod)],
      tables,
      embedder,
      data,
      test_set,
      benchmark.views,
      benchmark.options,
      timings,
      counters,
    )
  texts = {
    "embedded_now": now,
    "lexicon_sha256": data.lexicon_sha256,
    "methods": described,
    **_core_counts(plan, scorers),
  }
  return Outcome(data, test_set, results, texts)


def _looks_at_views(plan: tuple[Prepared, ...]) -> bool:
  return any(isinstance(each.method, ViewMethod) for each in plan)


def _core_counts(
  plan: tuple[Prepared, ...], scorers: Scorers
) -> dict[str, list[int]]:
  """Counts each class's concepts before and after the core."""
  for prepared in plan:
    core = getattr(prepared.method, "core", False)
    if prepared.method.vertices is concepts and core:
      counts = [len(of_class) for of_class in prepared.vertices]
      space = scorers.spaces.get((concepts, True))
      # Classes of one text each need no space.
      kept = counts if space is None else np.asarray(space.mask).sum(1).tolist()
      return {"per_class": counts, "core_per_class": kept}
  return {}


def _sha256(texts: tuple[str, ...]) -> str:
  return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _all_texts(outcomes: list[Outcome]) -> dict[str, Any]:
  """Says which texts gave the results, data set by data set."""
  by_set = {}
  for outcome in outcomes:
    facts = {**outcome.texts}
    del facts["embedded_now"]
    by_set[outcome.data.spec.name] = facts
  hashes = [
    method["sha256"]
    for facts in by_set.values()
    for method in facts["methods"].values()
  ]
  return {"sha256": _sha256(tuple(hashes)), "datasets": by_set}


def _dataset_row(outcome: Outcome) -> dict[str, Any]:
  spec, opened = outcome.data.spec, outcome.data.opened
  return {
    "name": spec.name,
    "title": spec.title,
    "split": spec.split,
    "family": spec.family,
    "classes": len(outcome.data.classes),
    "examples": len(opened.records),
    "published_examples": spec.examples,
    "layout": opened.layout,
    "found": opened.found,
    "bad_examples": [
      {"file": file, "reason": reason} for file, reason in outcome.test_set.bad
    ],
  }
