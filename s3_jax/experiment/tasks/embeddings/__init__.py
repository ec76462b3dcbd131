"""The task "embeddings": runs without any tower.

Images and texts come from files. From there on a run is a benchmark run, of
those methods whose vertices are the texts of a class.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.experiment.measurement import (
  Outcome,
  Tables,
  describe_core,
  score_plan,
  write_outcomes,
)
from s3_jax.experiment.methods.images import (
  METHODS,
  Method,
  MethodPlan,
  Scorers,
)
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  official_name,
  random_name,
)
from s3_jax.experiment.methods.spaces import (
  SpaceOptions,
  read_space_options,
)
from s3_jax.experiment.methods.views import VIEW_METHODS
from s3_jax.experiment.rows import sha256_of
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.benchmark.settings import (
  check_baseline,
  read_own_methods,
)
from s3_jax.experiment.tasks.embeddings.input import (
  EmbeddedInput,
  EmbeddingSource,
  load_input,
  read_source,
)
from s3_jax.lexicon.vertices import Vertices, drawn_indices
from s3_jax.messages import nearest
from s3_jax.storage.text_tables import pad_texts

Locations = Callable[[Sequence[Sequence[int]], int], Sequence[Sequence[int]]]
"""From the texts of each class, and a seed, to those that a method takes."""

# The `vertices` of methods that make do with the texts of a class as they are.
TEXTS: dict[Callable[[MethodTexts], Vertices], Locations] = {
  official_name: lambda rows, seed: [of_class[:1] for of_class in rows],
  random_name: lambda rows, seed: [
    (of_class[index],)
    for of_class, index in zip(
      rows, drawn_indices([len(each) for each in rows], seed=seed), strict=True
    )
  ],
  concepts: lambda rows, seed: rows,
}
RUNNABLE = {
  name: method for name, method in METHODS.items() if method.vertices in TEXTS
}


class EmbeddingRun(NamedTuple):
  """The settings of a run on embeddings, read and checked."""

  source: EmbeddingSource
  methods: dict[str, Method]
  baseline: str
  options: SpaceOptions
  logit_scale: float  # natural logarithm
  mesh: int
  model_axis: int
  strict: bool
  seed: int
  config: dict[str, Any]  # as given, for the results


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a run on embeddings."""
  run = EmbeddingRun(
    config=settings.everything,
    source=read_source(settings),
    methods=_read_methods(settings),
    baseline=settings.take("baseline", str, default="class_name"),
    options=read_space_options(settings),
    logit_scale=read_logit_scale(settings),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    model_axis=settings.take("model_axis", int, default=1, minimum=1),
    strict=settings.take("strict", bool, default=False),
    seed=settings.take("seed", int, minimum=0),
  )
  check_baseline(run.baseline, run.methods)
  return lambda folder: run_embeddings(run, folder)


def _read_methods(settings: Settings) -> dict[str, Method]:
  own = read_own_methods(settings)
  names = settings.words("methods")
  known = {*own, *METHODS, *VIEW_METHODS}
  runnable: dict[str, Method] = {}
  for name in (*names, *own):
    method = own.get(name) or RUNNABLE.get(name)
    if isinstance(method, Method) and method.vertices in TEXTS:
      runnable[name] = method
    else:
      why = " needs a tower" if name in known else " is no method"
      near = nearest(RUNNABLE, name if name not in known else "")
      raise ValueError(
        "`config.methods` must hold those that need no tower, got"
        f" {name!r:.40}, which{why}: {near}."
      )
  return runnable


def read_logit_scale(settings: Settings) -> float:
  """Reads the factor of scores in probabilities, as checkpoints store it."""
  factor = settings.take("logit_scale", float, default=100.0)
  if factor <= 0:
    raise ValueError(f"`config.logit_scale` must be > 0, got {factor}.")
  return math.log(factor)


def run_embeddings(run: EmbeddingRun, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on the embeddings and writes the result files."""
  session = Session(
    folder,
    config=run.config,
    seed=run.seed,
    mesh=run.mesh,
    model_axis=run.model_axis,
  )
  session.count(images_decoded=0, tower_batches=0, text_tower_batches=0)
  with session.timed("load"):
    given = hosts.raise_on_all(lambda: load_input(run.source))
    hosts.agree(
      {
        "the sha256 of the embeddings": given.model["sha256"],
        "the classes": list(given.class_names),
      }
    )
  for line in given.lines:
    session.log(line)
  tables = make_tables(given, run.seed)
  plan = [
    MethodPlan(name, method, (), _named(tables[method.vertices].texts), ())
    for name, method in run.methods.items()
  ]
  scorers = Scorers(run.options)
  results = score_plan(
    plan,
    tables,
    given.test_set,
    scorers,
    classes=len(given.class_names),
    logit_scale=run.logit_scale,
    mesh=session.devices,
    timings=session.timings,
  )
  texts = {
    **given.facts,
    "methods": {
      each.name: {
        "sha256": sha256_of(each.prompts),
        "distinct": len(each.prompts),
      }
      for each in plan
    },
    **describe_core(
      plan, tables, scorers, title=given.test_set.spec.title, log=session.log
    ),
  }
  outcome = Outcome(
    _dataset_row(given), given.class_names, given.test_set, results, texts
  )
  return session.close(
    lambda: write_outcomes(
      session,
      [outcome],
      model=given.model,
      baseline=run.baseline,
      seed=run.seed,
    ),
    bad=given.missing,
    strict=run.strict,
    what="name of a class without a vector",
  )


def make_tables(given: EmbeddedInput, seed: int) -> Tables:
  """Makes the table of texts of every kind of method."""
  return {
    vertices: given.table
    if vertices is concepts
    else pad_texts(given.texts, rows=indices(given.rows, seed))
    for vertices, indices in TEXTS.items()
  }


def _named(texts: Sequence[Sequence[str]]) -> tuple[str, ...]:
  return tuple(dict.fromkeys(text for of_class in texts for text in of_class))


def _dataset_row(given: EmbeddedInput) -> dict[str, Any]:
  spec, images = given.test_set.spec, given.test_set.embeddings
  return {
    "name": spec.name,
    "title": spec.title,
    "split": spec.split,
    "family": spec.family,
    "classes": len(given.class_names),
    "examples": len(images),
    "published_examples": spec.examples,
    "layout": "embeddings",
    "found": f"{len(images):,} embeddings of images",
    "bad_examples": [],
  }
