"""The task "benchmark": every method on one data set, or on a suite of them."""

import pathlib
from collections.abc import Callable
from typing import Any

from s3_jax import hosts
from s3_jax.experiment import checkpoint
from s3_jax.experiment.measurement import (
  Outcome,
  built_spaces,
  describe_core,
  score_plan,
  write_outcomes,
)
from s3_jax.experiment.methods.images import MethodPlan, Scorers
from s3_jax.experiment.methods.streams import stream_orders
from s3_jax.experiment.methods.view_scores import score_views
from s3_jax.experiment.methods.views import ViewMethod
from s3_jax.experiment.rows import dataset_row
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.benchmark.opening import (
  OpenRun,
  embed_images,
  open_run,
)
from s3_jax.experiment.tasks.benchmark.plan import looks_at_views, make_tables
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.experiment.tasks.benchmark.settings import Benchmark, read_benchmark
from s3_jax.experiment.tasks.embeddings.output import write_embedded
from s3_jax.files import texts_sha256


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a benchmark run."""
  benchmark = read_benchmark(settings)
  return lambda folder: run_benchmark(benchmark, folder)


def run_benchmark(benchmark: Benchmark, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files."""
  run = open_run(benchmark, folder)
  session, plans = run.session, run.plans
  scorers = [Scorers(benchmark.options) for _ in plans]
  outcomes = [
    # Data sets of the same texts share their spaces.
    _measure(benchmark, run, data, plan, scorers[plans.index(plan)])
    for data, plan in zip(run.found, plans, strict=True)
  ]
  decoded = sum(each.test_set.images_decoded for each in outcomes)
  session.rate("images_per_second", decoded, "embed_images")
  session.rate("texts_per_second", run.texts.computed, "embed_text")
  return session.close(
    lambda: write_outcomes(
      session,
      outcomes,
      model=checkpoint.describe_model(run.embedder.clip),
      baseline=benchmark.baseline,
      seed=benchmark.seed,
      figure_classes=benchmark.figure_classes,
      diagnosis=benchmark.diagnosis,
    ),
    bad=sum(len(outcome.test_set.bad) for outcome in outcomes),
    strict=benchmark.strict,
  )


def _measure(
  benchmark: Benchmark,
  run: OpenRun,
  data: BenchmarkSet,
  plan: tuple[MethodPlan, ...],
  scorers: Scorers,
) -> Outcome:
  """Runs every method on one data set."""
  session, embedder, texts = run.session, run.embedder, run.texts
  tables = make_tables(plan, texts)
  test_set = embed_images(run, data)
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
    session,
    plan,
    tables,
    test_set,
    scorers,
    classes=len(data.classes),
    logit_scale=embedder.logit_scale,
    order_seeds=benchmark.order_seeds,
  )
  if looks_at_views(plan):
    results |= score_views(
      session,
      [each for each in plan if isinstance(each.method, ViewMethod)],
      tables,
      embedder,
      data,
      test_set,
      benchmark.views,
      benchmark.options,
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
  orders = stream_orders(plan, benchmark.order_seeds)
  return Outcome(row, names, test_set, results, described, spaces, orders)
