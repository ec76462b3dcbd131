"""What a benchmark run will do: its prompts, and what they cost."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from s3_jax.experiment.costs import (
  WORTH_SAYING,
  describe_costs,
  describe_methods,
  image_cost,
  text_cost,
)
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.methods.images import (
  METHODS,
  MethodPlan,
  prepare_methods,
)
from s3_jax.experiment.methods.prompts import MethodTexts, drawn_by_jax
from s3_jax.experiment.methods.view_scores import view_options
from s3_jax.experiment.methods.views import ViewMethod
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.session import Session
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.lexicon.given_classes import shared_texts
from s3_jax.lexicon.matching import finder
from s3_jax.lexicon.reading import ALIASES, ClassTexts, read_class_texts
from s3_jax.lexicon.vertices import drawn_indices
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.results.results_index import looked_into
from s3_jax.storage.text_tables import TextTable


def plan_methods(
  benchmark: Benchmark, data: BenchmarkSet, log: RunLog
) -> tuple[MethodPlan, ...]:
  """Makes the prompts of every method on one data set."""
  _check_figure_classes(benchmark.figure_classes, data)
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
    files[kind] = read.texts if kind == "cupl" else _without_names(read)
    log(
      f"{data.spec.title}, {path}: texts for {read.matched} of"
      f" {len(names)} classes; {len(read.unmatched)} of its names match none"
      + (f" ({', '.join(read.unmatched[:3])} ...)." if read.unmatched else ".")
    )
  shared = shared_texts([entry.names for entry in data.classes])
  if shared:
    text, labels = shared[0]
    log(
      f"{data.spec.title}: names that several classes share: {len(shared)},"
      f" such as {text!r} of the classes {', '.join(map(str, labels))}; equal"
      " scores go to the class that comes first."
    )
  return prepare_methods(
    benchmark.methods,
    MethodTexts(
      classes=data.classes,
      template=data.spec.template,
      templates=benchmark.templates or (data.spec.template,),
      files=files,
      seed=benchmark.seed,
      name_template=benchmark.template,
      # As the published rows of these sets and of the others were drawn.
      draw=drawn_by_jax if data.spec.family == "embedded" else drawn_indices,
    ),
  )


def _check_figure_classes(labels: Sequence[Any], data: BenchmarkSet) -> None:
  for label in labels:
    if type(label) is not int or not 0 <= label < len(data.classes):
      raise ValueError(
        "`config.figure_classes` must be class indices in"
        f" 0..{len(data.classes) - 1}, got {label!r:.40}."
      )


def _without_names(read: ClassTexts) -> tuple[tuple[str, ...], ...]:
  """Leaves classes without descriptors empty: a name does not describe itself.

  The method then takes the bare name, and not "cat, which has cat".
  """
  return tuple(
    () if label in read.without_texts else texts
    for label, texts in enumerate(read.texts)
  )


def _aliases(data: BenchmarkSet) -> Mapping[str, int | str]:
  """Published spellings, as labels of this data set."""
  known = ALIASES.get(data.spec.lexicon, {})
  if not data.spec.subset:
    # A table of the user's may call its classes by other names.
    find = finder([entry.name for entry in data.classes], {})
    return {
      spelling: target
      for spelling, target in known.items()
      if isinstance(target, int) or find(target)
    }
  indices = {entry.label: index for index, entry in enumerate(data.classes)}
  return {
    spelling: indices[target]
    for spelling, target in known.items()
    if isinstance(target, int) and target in indices
  }


def announce(
  benchmark: Benchmark,
  session: Session,
  embedder: Embedder,
  found: Sequence[BenchmarkSet],
  plans: Sequence[Sequence[MethodPlan]],
) -> None:
  """Says what is about to happen, and what embedding will cost."""
  for data, plan in zip(found, plans, strict=True):
    session.log(
      f"{data.spec.title}: {len(data.opened.records):,} images,"
      f" {len(data.classes)} classes, {len(plan)} methods,"
      f" {len(_distinct([plan])):,} texts; {data.opened.found}."
    )
  with session.timed("estimate"):
    looked_up = embedder.look_up(_distinct(plans))
  costs = [text_cost(session, embedder, looked_up)]
  sets = [(data.spec, data.opened, None) for data in found]
  costs.append(image_cost(session, embedder, "images", sets))
  if any(looks_at_views(plan) for plan in plans):
    sets = [
      (data.spec, data.opened, options)
      for data in found
      for options in view_options(benchmark.views, data.spec)
    ]
    costs.append(image_cost(session, embedder, "views", sets))
  if not any(cost.missing for cost in costs):
    session.log("The cache has every embedding.")
    return
  notes = ()
  if any((cost.seconds or 0.0) >= WORTH_SAYING for cost in costs):
    notes = describe_methods(
      looked_up,
      _by_method(plans),
      _cheaper(benchmark, plans),
      views=any(cost.what == "views" and cost.missing for cost in costs),
    )
  session.log(
    f"{describe_costs(costs, notes)} A run that is stopped goes on from there."
  )


def _by_method(
  plans: Sequence[Sequence[MethodPlan]],
) -> dict[str, list[str]]:
  """Collects the texts of each method over all data sets."""
  texts: dict[str, list[str]] = {}
  for each in itertools.chain.from_iterable(plans):
    texts.setdefault(each.name, []).extend(each.prompts)
  return texts


def _cheaper(
  benchmark: Benchmark, plans: Sequence[Sequence[MethodPlan]]
) -> tuple[str, ...]:
  """Names methods that would do, if the user has asked for more."""
  names = {each.name for plan in plans for each in plan}
  cheaper = looked_into(benchmark.methods, benchmark.baseline)
  return cheaper if set(cheaper) <= METHODS.keys() & names else ()


def embed_plans(
  embedder: Embedder, plans: Sequence[Sequence[MethodPlan]]
) -> EmbeddedTexts:
  """Embeds the texts of all methods and data sets, each distinct one once."""
  return embedder.texts(_distinct(plans))


def make_tables(
  plan: Sequence[MethodPlan], texts: EmbeddedTexts, *, by_form: bool = True
) -> dict[Callable[..., Any], TextTable]:
  """Makes the table of texts of every kind of method."""
  made = {each.method.vertices: each for each in plan}
  return {
    vertices: embed_vertices(
      each.vertices,
      each.prompts,
      texts.of(each.prompts),
      each.forms if by_form else None,
    )
    for vertices, each in made.items()
  }


def _distinct(plans: Sequence[Sequence[MethodPlan]]) -> tuple[str, ...]:
  lists = dict.fromkeys(each.prompts for plan in plans for each in plan)
  return tuple(dict.fromkeys(prompt for each in lists for prompt in each))


def looks_at_views(plan: Sequence[MethodPlan]) -> bool:
  """Says whether a method of a plan needs the views of each image."""
  return any(isinstance(each.method, ViewMethod) for each in plan)
