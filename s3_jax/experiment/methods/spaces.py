"""The methods of a run by name: texts in, a scoring function out.

Rows that use one vector a class come from `zero_shot`; rows that use all texts
of a class score a `SynonymousSpace` through a point-to-space metric.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from s3_jax.fields import Count, NonNegative, Rule, Share, Where
from s3_jax.lexicon.prompts import fill_template
from s3_jax.lexicon.synonyms import (
  Lexicon,
  most_frequent_names,
  texts_of_classes,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import (
  Evidence,
  SynonymousSpace,
  attach_complex,
  build_space,
  weigh_texts,
)
from s3_jax.storage.text_tables import TextTable, pad_classes
from s3_jax.zero_shot import (
  name_classifier,
  random_synonym_classifier,
  template_classifier,
  zero_shot_scores,
)

TWO_WITNESSES = "two_witnesses"
"""The scale rule that looks at all classes; the others are `build_space`'s."""


Scale = str | float | tuple[str, float] | None
"""A scale rule: TWO_WITNESSES, or one of `build_space`."""


def _read_scale(scale: Any, where: Where) -> Scale:
  """Also reads numbers and None as a command line gives them: as words."""
  if scale in (TWO_WITNESSES, "gap", None):
    return scale
  if scale == "None":
    return None
  if isinstance(scale, tuple):
    return _read_share(scale, where)
  try:
    number = float(scale)
  except ValueError:
    number = math.nan
  if not (math.isfinite(number) and number >= 0):
    where.refuse(
      'must be "two_witnesses", "gap", ("quantile", q), ("coverage", p), a'
      " number >= 0 or None",
      scale,
    )
  return number


def _read_share(scale: tuple[Any, ...], where: Where) -> tuple[str, float]:
  """Reads a scale rule that comes with a share of deaths or texts."""
  rule, share = scale if len(scale) == 2 else ("", 0)
  is_number = isinstance(share, int | float) and not isinstance(share, bool)
  is_share = is_number and 0 <= share <= 1 and (share or rule == "quantile")
  if rule not in ("quantile", "coverage") or not is_share:
    where.refuse(
      'must be ("quantile", q) with q in [0, 1] or ("coverage", p) with p in'
      " (0, 1]",
      scale,
    )
  return rule, float(share)


class SpaceOptions(NamedTuple):
  """How spaces are pruned and scored."""

  metric: Annotated[str, Rule(choices=POINT_TO_SPACE)]
  neighbors: Count = 4
  scale: Annotated[
    Scale, Rule(given=str | int | float | tuple | None, read=_read_scale)
  ] = TWO_WITNESSES
  keep: Annotated[str, Rule(choices=("largest", "label", "all"))] = "largest"
  min_fraction: Share = 0.5
  min_gap: NonNegative = 0.05


class Texts(NamedTuple):
  """All that the methods of one run know of the classes."""

  class_name: Float[np.ndarray, "classes dim"]
  best_name: Float[np.ndarray, "classes dim"]
  templates: Float[np.ndarray, "classes templates dim"]
  names: TextTable  # the official name and its synonyms
  polluted: TextTable  # the same and the wrong entries


class Spaces(NamedTuple):
  """The four spaces of a run: with and without the core, clean and polluted."""

  names_all: SynonymousSpace
  names_core: SynonymousSpace
  polluted_all: SynonymousSpace
  polluted_core: SynonymousSpace


def gather_texts(
  lexicon: Lexicon,
  embed: Callable[[Sequence[str]], np.ndarray],
  *,
  template: str,
  templates: Sequence[str],
) -> tuple[Texts, tuple[str, ...]]:
  """Embeds every prompt that the methods need, each once."""
  official = [entry.names[0] for entry in lexicon.classes]
  clean = texts_of_classes(lexicon)
  polluted = texts_of_classes(lexicon, polluted=True)
  prompts = [
    fill_template(template, text) for texts in polluted for text in texts
  ] + [fill_template(each, name) for name in official for each in templates]
  distinct = tuple(dict.fromkeys(prompts))
  embeddings = embed(distinct)
  index = {prompt: row for row, prompt in enumerate(distinct)}

  def rows(each: str, names: Sequence[str]) -> np.ndarray:
    return embeddings[[index[fill_template(each, name)] for name in names]]

  def table(texts: tuple[tuple[str, ...], ...]) -> TextTable:
    return pad_classes(texts, [rows(template, names) for names in texts])

  return (
    Texts(
      class_name=rows(template, official),
      best_name=rows(template, most_frequent_names(lexicon)),
      templates=np.stack([rows(each, official) for each in templates], axis=1),
      names=table(clean),
      polluted=table(polluted),
    ),
    distinct,
  )


def method_prompts(
  lexicon: Lexicon, *, template: str, templates: Sequence[str]
) -> dict[str, tuple[str, ...]]:
  """Lists the distinct prompts of every method, in the order of the classes."""

  def filled(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fill_template(template, t) for t in texts))

  official = [entry.names[0] for entry in lexicon.classes]
  names = filled(t for texts in texts_of_classes(lexicon) for t in texts)
  polluted = texts_of_classes(lexicon, polluted=True)
  every = filled(text for texts in polluted for text in texts)
  several = [fill_template(t, name) for name in official for t in templates]
  of_names = ("random_synonym", "synonyms_mean", "synonyms_nearest")
  return {
    "class_name": filled(official),
    "best_name": filled(most_frequent_names(lexicon)),
    "templates": tuple(dict.fromkeys(several)),
    **dict.fromkeys((*of_names, "local_center"), names),
    **dict.fromkeys(("polluted_all", "polluted_core"), every),
  }


class Core(NamedTuple):
  """Spaces of kept texts, without a complex, and what spoke for them.

  Attributes:
    space: the spaces.
    evidence: what the two witnesses said; None under another rule.
  """

  space: SynonymousSpace
  evidence: Evidence | None


def cut_core(table: TextTable, options: SpaceOptions) -> Core:
  """Builds spaces and cuts their cores out."""
  rule: Any = {
    "keep": options.keep,
    "min_fraction": options.min_fraction,
    "min_gap": options.min_gap,
  }
  if options.scale != TWO_WITNESSES:
    return Core(
      build_space(table.embeddings, table.mask, scale=options.scale, **rule),
      None,
    )
  evidence = weigh_texts(
    table.embeddings,
    table.mask,
    forms=table.forms,
    official=table.official,
    **rule,
  )
  return Core(build_space(table.embeddings, evidence.kept), evidence)


def build_core(table: TextTable, options: SpaceOptions) -> SynonymousSpace:
  """Builds the spaces of `cut_core` where nobody asks why."""
  return cut_core(table, options).space


def build_spaces(texts: Texts, options: SpaceOptions) -> Spaces:
  """Builds the run's four spaces."""

  def all_of(table: TextTable) -> SynonymousSpace:
    return build_space(table.embeddings, table.mask, scale=None, keep="all")

  return Spaces(
    names_all=all_of(texts.names),
    names_core=build_core(texts.names, options),
    polluted_all=all_of(texts.polluted),
    polluted_core=build_core(texts.polluted, options),
  )


def _score_classifier(
  classifier: Float[Array, "classes dim"],
  embeddings: Float[Array, "batch dim"],
) -> Float[Array, "batch classes"]:
  return zero_shot_scores(embeddings, classifier)


@functools.cache
def _metric(name: str, neighbors: int | None) -> Callable[..., Any]:
  """One function object a metric, so that its scoring compiles once."""
  options = {} if neighbors is None else {"neighbors": neighbors}

  def score(space, embeddings):
    return POINT_TO_SPACE[name](embeddings, space, **options)

  return score


def space_scorer(
  space: SynonymousSpace, metric: str, *, neighbors: int
) -> Partial:
  """Binds a metric of POINT_TO_SPACE to a space."""
  if metric in ("simplex_center", "complex") and space.simplices is None:
    space = attach_complex(space)
  local = metric == "local_center"
  return Partial(_metric(metric, neighbors if local else None), space)


def classifier_scorer(classifier: Float[Array, "classes dim"]) -> Partial:
  """Binds a zero-shot classifier."""
  return Partial(_score_classifier, classifier)


class MethodInputs(NamedTuple):
  """What a method may use."""

  texts: Texts
  spaces: Spaces
  options: SpaceOptions
  seed: int


def _space_method(space: str, metric: str | None = None):
  def method(inputs: MethodInputs) -> Partial:
    return space_scorer(
      getattr(inputs.spaces, space),
      metric or inputs.options.metric,
      neighbors=inputs.options.neighbors,
    )

  return method


# Keys of the results and of `config.methods`, in the order of the table.
METHODS: dict[str, Callable[[MethodInputs], Partial]] = {
  "class_name": lambda inputs: classifier_scorer(
    name_classifier(inputs.texts.class_name)
  ),
  "best_name": lambda inputs: classifier_scorer(
    name_classifier(inputs.texts.best_name)
  ),
  "templates": lambda inputs: classifier_scorer(
    template_classifier(inputs.texts.templates)
  ),
  "random_synonym": lambda inputs: classifier_scorer(
    random_synonym_classifier(
      jax.random.key(inputs.seed),
      inputs.texts.names.embeddings,
      inputs.texts.names.mask,
    )
  ),
  "synonyms_mean": _space_method("names_all", "center"),
  "synonyms_nearest": _space_method("names_all", "nearest_point"),
  "local_center": _space_method("names_core", "local_center"),
  "polluted_all": _space_method("polluted_all"),
  "polluted_core": _space_method("polluted_core"),
}
