"""The task "embeddings": runs without any tower.

Images and texts come from files. From there on a run is a benchmark run, of
those methods whose vertices are the texts of a class.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

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
)
from s3_jax.experiment.methods.streams import (
  STREAM_METHODS,
  StreamMethod,
  stream_orders,
)
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Seeds, Settings, check_baseline
from s3_jax.experiment.tasks.benchmark.settings import (
  all_methods,
  read_own_methods,
)
from s3_jax.experiment.tasks.embeddings.input import (
  EmbeddedInput,
  EmbeddingSource,
  load_input,
)
from s3_jax.fields import (
  Count,
  Given,
  Inline,
  Rule,
  Where,
  Whole,
  Words,
  raw,
  read_value,
)
from s3_jax.files import texts_sha256
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
  name: method
  for name, method in (METHODS | STREAM_METHODS).items()
  if method.vertices in TEXTS
}


def _runnable(name: str, method: Any, where: Where) -> Method | StreamMethod:
  """Returns a method that needs no tower, or refuses another one."""
  if isinstance(method, Method | StreamMethod) and method.vertices in TEXTS:
    return method
  known = method is not None or name in all_methods()
  why = "needs a tower" if known else "is no method"
  raise ValueError(
    f"`{where.path}` must hold those that need no tower, got {name!r:.40},"
    f" which {why}: {nearest(RUNNABLE, '' if known else name)}."
  )


def _read_methods(
  names: tuple[Any, ...], where: Where
) -> dict[str, Method | StreamMethod]:
  names = read_value(Words, names, where)
  return {name: _runnable(name, RUNNABLE.get(name), where) for name in names}


def _read_logit_scale(factor: float, where: Where) -> float:
  """Reads the factor of scores in probabilities, as checkpoints store it."""
  if factor <= 0:
    where.refuse("must be > 0", factor)
  return math.log(factor)


LogitScale = Annotated[float, Rule(read=_read_logit_scale)]


class EmbeddingRun(NamedTuple):
  """The settings of a run on embeddings."""

  config: Given
  source: Inline[EmbeddingSource]
  options: Inline[SpaceOptions]
  # Rows of the table, in its order.
  methods: Annotated[
    dict[str, Method | StreamMethod], Rule(given=tuple, read=_read_methods)
  ]
  baseline: str = "class_name"  # the method that the others are compared with
  logit_scale: LogitScale = raw(100.0)  # CLIP's; here its natural logarithm
  mesh: Whole = 0  # devices of each process that are used; 0 for all
  model_axis: Count = 1  # of them share the classes; the rest share images
  strict: bool = False  # True: a name without a vector makes the run fail
  # Of the order in which images arrive, for methods that learn from those
  # before one; each further seed gives further rows.
  order_seeds: Seeds = (0,)
  seed: Whole = 0  # of drawn names and of the bootstrap


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a run on embeddings."""
  run = settings.read(EmbeddingRun)
  where = Where("config.methods")
  own = {
    name: _runnable(name, method, where)
    for name, method in read_own_methods(settings).items()
  }
  run = run._replace(methods={**run.methods, **own})
  check_baseline(run.baseline, run.methods)
  return lambda folder: run_embeddings(run, folder)


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
    session,
    plan,
    tables,
    given.test_set,
    scorers,
    classes=len(given.class_names),
    logit_scale=run.logit_scale,
    order_seeds=run.order_seeds,
  )
  texts = {
    **given.facts,
    "methods": {
      each.name: {
        "sha256": texts_sha256(each.prompts),
        "distinct": len(each.prompts),
      }
      for each in plan
    },
    **describe_core(
      plan, tables, scorers, title=given.test_set.spec.title, log=session.log
    ),
  }
  outcome = Outcome(
    _dataset_row(given),
    given.class_names,
    given.test_set,
    results,
    texts,
    orders=stream_orders(plan, run.order_seeds),
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
