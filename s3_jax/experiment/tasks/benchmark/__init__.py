"""The task "benchmark": every method on one data set, or on a suite of them."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from s3_jax import hosts
from s3_jax.data.records import timeless_part
from s3_jax.experiment import checkpoint
from s3_jax.experiment.contents import know_images
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.measurement import (
  Outcome,
  built_spaces,
  describe_core,
  score_plan,
  write_outcomes,
)
from s3_jax.experiment.methods.images import MethodPlan, Scorers
from s3_jax.experiment.methods.view_scores import score_views
from s3_jax.experiment.methods.views import ViewMethod
from s3_jax.experiment.rows import dataset_row
from s3_jax.experiment.run_log import RunLog, log_bad
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings, require_writable
from s3_jax.experiment.tasks.benchmark.plan import (
  announce,
  embed_plans,
  looks_at_views,
  make_tables,
  plan_methods,
)
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet, find_sets
from s3_jax.experiment.tasks.benchmark.settings import Benchmark, read_benchmark
from s3_jax.experiment.tasks.embeddings.output import write_embedded
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.files import texts_sha256


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a benchmark run."""
  benchmark = read_benchmark(settings)
  return lambda folder: run_benchmark(benchmark, folder)


def run_benchmark(benchmark: Benchmark, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files."""
  session = Session(
    folder,
    config=benchmark.config,
    seed=benchmark.seed,
    dtype=benchmark.dtype,
    mesh=benchmark.mesh,
    model_axis=benchmark.model_axis,
  )
  with session.timed("load"):
    embedder, found, skipped, plans = hosts.raise_on_all(
      lambda: _prepare(benchmark, session.log)
    )
    _agree(embedder, found, plans)
    # By their bytes, which every process must see alike.
    found = tuple(
      data._replace(
        opened=know_images(
          embedder.cache_dir, data.opened, name=data.spec.title, labelled=True
        )
      )
      for data in found
    )
  session.skip(skipped)
  with session.timed("estimate"):
    announce(embedder, found, plans, benchmark.views, session.log)
  with session.timed("embed_text"):
    texts = embed_plans(embedder, plans)
  session.count(
    images_decoded=0,
    tower_batches=0,
    text_tower_batches=texts.tower_batches,
  )
  scorers = [Scorers(benchmark.options) for _ in plans]
  outcomes = [
    # Data sets of the same texts share their spaces.
    _measure(
      benchmark,
      session,
      embedder,
      data,
      plan,
      texts,
      scorers[plans.index(plan)],
    )
    for data, plan in zip(found, plans, strict=True)
  ]
  decoded = sum(each.test_set.images_decoded for each in outcomes)
  session.rate("images_per_second", decoded, "embed_images")
  session.rate("texts_per_second", texts.computed, "embed_text")
  return session.close(
    lambda: write_outcomes(
      session,
      outcomes,
      model=checkpoint.describe_model(embedder.clip),
      baseline=benchmark.baseline,
      seed=benchmark.seed,
      figure_classes=benchmark.figure_classes,
    ),
    bad=sum(len(outcome.test_set.bad) for outcome in outcomes),
    strict=benchmark.strict,
  )


def _prepare(
  benchmark: Benchmark, log: RunLog
) -> tuple[
  Embedder,
  tuple[BenchmarkSet, ...],
  tuple[tuple[str, str], ...],
  list[tuple[MethodPlan, ...]],
]:
  """Finds the data sets, loads the checkpoint and makes all prompts."""
  require_writable(benchmark.cache_dir, "config.cache_dir")
  # Before a checkpoint is fetched for data that are not there.
  found, skipped = find_sets(
    benchmark.cache_dir,
    benchmark.names,
    data_dir=benchmark.data_dir,
    layout=benchmark.layout,
    lexicon=benchmark.lexicon,
    partial=benchmark.partial,
    skip_absent=benchmark.skip_absent,
  )
  embedder = Embedder(
    checkpoint.load_checkpoint(benchmark.model),
    benchmark.dtype,
    benchmark.batch_size,
    benchmark.mesh,
    benchmark.cache_dir,
    benchmark.max_pixels,
    benchmark.model_axis,
  )
  plans = [plan_methods(benchmark, data, log) for data in found]
  return embedder, found, skipped, plans


def _agree(
  embedder: Embedder,
  found: Sequence[BenchmarkSet],
  plans: Sequence[tuple[MethodPlan, ...]],
) -> None:
  """Refuses processes that read different files."""
  facts: dict[str, Any] = {**checkpoint.checkpoint_facts(embedder.clip)}
  facts["the data sets found"] = [data.spec.name for data in found]
  for data, plan in zip(found, plans, strict=True):
    title = data.spec.title
    facts[f"the images of {title} (names, labels, sizes)"] = timeless_part(
      data.opened.fingerprint
    )
    texts = tuple(prompt for prepared in plan for prompt in prepared.prompts)
    facts[f"the texts of {title}"] = texts_sha256(texts)
  hosts.agree(facts)


def _measure(
  benchmark: Benchmark,
  session: Session,
  embedder: Embedder,
  data: BenchmarkSet,
  plan: tuple[MethodPlan, ...],
  texts: EmbeddedTexts,
  scorers: Scorers,
) -> Outcome:
  """Runs every method on one data set."""
  title = data.spec.title
  tables = make_tables(plan, texts)
  with session.timed("embed_images"):
    test_set = embedder.images(data.spec, data.opened)
  session.count(
    images_decoded=test_set.images_decoded,
    tower_batches=test_set.tower_batches,
  )
  log_bad(session.log, title, test_set.bad, len(data.opened.records))
  if benchmark.write_embeddings:
    hosts.first_only(
      lambda: write_embedded(
        session.folder / "embeddings",
        data,
        test_set,
        plan,
        texts,
        session.log,
      )
    )
  results = score_plan(
    plan,
    tables,
    test_set,
    scorers,
    classes=len(data.classes),
    logit_scale=embedder.logit_scale,
    mesh=embedder.devices,
    timings=session.timings,
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
      session.timings,
      session.counters,
    )
  described = {
    "lexicon_sha256": data.lexicon_sha256,
    "methods": {
      each.name: {
        "sha256": texts_sha256(each.prompts),
        "distinct": len(each.prompts),
        **texts.describe(each.prompts),
      }
      for each in plan
    },
    **describe_core(
      plan, tables, scorers, title=data.spec.title, log=session.log
    ),
  }
  names = tuple(entry.names[0] for entry in data.classes)
  row = dataset_row(
    data.spec, data.opened, test_set.bad, classes=len(data.classes)
  )
  spaces = built_spaces(data.classes, tables, scorers)
  return Outcome(row, names, test_set, results, described, spaces)
