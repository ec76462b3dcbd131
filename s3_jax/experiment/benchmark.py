"""The task "benchmark": every method on one data set, or on a suite of them."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from s3_jax import hosts
from s3_jax.clip import Clip
from s3_jax.data.records import timeless_part
from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.schema import SCHEMA
from s3_jax.evaluation.statistics import INTERVALS
from s3_jax.experiment import checkpoint
from s3_jax.experiment.benchmark_methods import (
  Prepared,
  Scorers,
  concepts,
  embed_vertices,
)
from s3_jax.experiment.benchmark_plan import (
  announce,
  looks_at_views,
  plan_methods,
)
from s3_jax.experiment.benchmark_report import write_benchmark
from s3_jax.experiment.benchmark_sets import BenchmarkSet, find_sets
from s3_jax.experiment.benchmark_settings import Benchmark, read_benchmark
from s3_jax.experiment.embedding import (
  Embedder,
  TestSet,
  embed_test_set,
  know_contents,
)
from s3_jax.experiment.environment import CompileClock, describe_environment
from s3_jax.experiment.narration import Narrator, say_bad, timed
from s3_jax.experiment.rows import comparison_rows, method_rows
from s3_jax.experiment.scoring import score_images
from s3_jax.experiment.settings import Settings, require_writable
from s3_jax.experiment.text_embedding import embed_prompts
from s3_jax.experiment.view_methods import ViewMethod
from s3_jax.experiment.view_scores import score_views
from s3_jax.sharding import local_mesh

# Compared with each other, beside every method with the baseline.
_PAIRS = (
  ("s3", "synonyms_mean"),
  ("s3", "templates_80"),
  ("s3_descriptors", "s3"),
  ("ts3", "s3"),
  ("ts3", "tps"),
  ("ts3", "tps_synonyms"),
  ("ts3", "mta"),
  ("ts3", "s3_view_average"),
  ("s3_anchored", "s3"),
  ("s3_anchored", "ts3"),
)


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
  benchmark = read_benchmark(settings)
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
  with timed(timings, "load"):
    embedder, found, skipped, plans = hosts.together(
      lambda: _prepare(benchmark, say)
    )
    _agree(embedder, found, plans)
    # By their bytes, which every process must see alike.
    found = tuple(
      data._replace(opened=know_contents(embedder, data.spec, data.opened))
      for data in found
    )
  clip = embedder.clip
  for name, reason in skipped:
    say(f"Skipped {name}: {reason}")
  with timed(timings, "estimate"):
    announce(embedder, found, plans, benchmark.views, say)
  counters = {"images_decoded": 0, "tower_batches": 0, "text_tower_batches": 0}
  outcomes = [
    _measure(benchmark, embedder, data, plan, timings, counters, say)
    for data, plan in zip(found, plans, strict=True)
  ]
  decoded = sum(each.test_set.images_decoded for each in outcomes)
  if decoded:
    timings["images_per_second"] = decoded / timings["embed_images"]
  if counters["text_tower_batches"]:
    texts = sum(each.texts["embedded_now"] for each in outcomes)
    timings["texts_per_second"] = texts / timings["embed_text"]
  timings["compile"] = clock.seconds()
  measured = {
    (outcome.data.spec.name, name): result
    for outcome in outcomes
    for name, result in outcome.results.items()
  }
  results = hosts.first_only(
    lambda: _write(
      benchmark,
      clip,
      outcomes,
      skipped,
      measured,
      counters,
      timings,
      folder,
      say,
    )
  )
  bad = sum(len(outcome.test_set.bad) for outcome in outcomes)
  if bad and benchmark.strict:
    raise ValueError(
      "`config.strict` allows no bad image, got"
      f" {bad}: {folder / 'results.json'} lists them."
    )
  return results


def _prepare(
  benchmark: Benchmark, say: Narrator
) -> tuple[
  Embedder,
  tuple[BenchmarkSet, ...],
  tuple[tuple[str, str], ...],
  list[tuple[Prepared, ...]],
]:
  """Loads the checkpoint, finds the data sets and makes all prompts."""
  # Refuses too many devices before any work.
  local_mesh(benchmark.mesh, model=benchmark.model_axis)
  require_writable(benchmark.cache_dir, "config.cache_dir")
  embedder = Embedder(
    checkpoint.load_checkpoint(benchmark.model),
    benchmark.dtype,
    benchmark.batch_size,
    benchmark.mesh,
    benchmark.cache_dir,
    benchmark.max_pixels,
    benchmark.model_axis,
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
  plans = [plan_methods(benchmark, data, say) for data in found]
  return embedder, found, skipped, plans


def _agree(
  embedder: Embedder,
  found: Sequence[BenchmarkSet],
  plans: Sequence[tuple[Prepared, ...]],
) -> None:
  """Refuses processes that read different files."""
  facts: dict[str, Any] = {"the checkpoint's sha256": embedder.clip.sha256}
  facts["the data sets found"] = [data.spec.name for data in found]
  for data, plan in zip(found, plans, strict=True):
    title = data.spec.title
    facts[f"the images of {title} (names, labels, sizes)"] = timeless_part(
      data.opened.fingerprint
    )
    texts = tuple(prompt for prepared in plan for prompt in prepared.prompts)
    facts[f"the texts of {title}"] = _sha256(texts)
  hosts.agree(facts)


def _write(
  benchmark: Benchmark,
  clip: Clip,
  outcomes: Sequence[Outcome],
  skipped: Sequence[tuple[str, str]],
  measured: dict[tuple[str, str], ClassificationResult],
  counters: dict[str, int],
  timings: dict[str, float],
  folder: pathlib.Path,
  say: Narrator,
) -> dict[str, Any]:
  """Puts the results together and writes them."""
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
  return write_benchmark(
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
  for prepared in plan:
    if prepared.method.vertices in tables:
      continue
    with timed(timings, "embed_text"):
      embedded = embed_prompts(
        embedder, prepared.prompts, progress=f"{title}: {prepared.name}"
      )
    counters["text_tower_batches"] += embedded.tower_batches
    now += embedded.computed
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
  say_bad(say, title, test_set.bad, len(data.opened.records))
  scorers, results = Scorers(benchmark.options), {}
  bar = tqdm(
    plan,
    desc=f"score {title}",
    leave=False,
    disable=None if hosts.is_first() else True,
  )
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
      results[prepared.name] = score_images(
        scorer,
        test_set,
        embedder,
        classes=len(data.classes),
        per_class=not callable(prepared.method.metric),
      )
  if looks_at_views(plan):
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


def _all_texts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
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
