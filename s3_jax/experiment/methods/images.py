"""The methods of a benchmark run by name: prompts, pruning, metric.

Every method is the same three things: which prompts make which vertices of a
class, whether the Rips core is cut out of them, and the point-to-space metric
that scores images. A classifier of one vector a class is a space of one vertex.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax.tree_util import Partial

from s3_jax.experiment.methods import prompts
from s3_jax.experiment.methods.prompts import (
  Forms,
  MethodTexts,
  concepts,
  names_in,
)
from s3_jax.experiment.methods.spaces import (
  SpaceOptions,
  classifier_scorer,
  cut_core,
)
from s3_jax.lexicon.templates import IMAGENET_7, IMAGENET_80
from s3_jax.lexicon.vertices import Vertices, distinct_prompts
from s3_jax.named_classes.cores import Core, space_scorer
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.storage.text_tables import TextTable
from s3_jax.zero_shot import name_classifier


class Method(NamedTuple):
  """One row of a results table.

  Attributes:
    vertices: from the texts of a data set to the prompts of its vertices.
    metric: a name of POINT_TO_SPACE, or a function of the signature that its
      functions have; None for the config's `metric`.
    core: whether the space is pruned as the config's `scale` and `keep` say;
      if not, all vertices stay.
    options: in place of the config's; None for those.
    scale: the rule for the core in place of that of the options; None for that.
  """

  vertices: Callable[[MethodTexts], Vertices]
  metric: str | Callable[..., Any] | None = "center"
  core: bool = False
  options: SpaceOptions | None = None
  scale: str | None = None


# Keys of the results and of `config.methods`, in the order of the table. The
# eleven metrics all score one space, the core of the concepts; `s3` is the one
# among them that the config names.
METHODS: dict[str, Method] = {
  "class_name": Method(prompts.official_name),
  "best_name": Method(prompts.best_name),
  "templates": Method(prompts.official_name_in_templates),
  "dataset_template": Method(names_in()),
  "templates_7": Method(names_in(*IMAGENET_7)),
  "templates_80": Method(names_in(*IMAGENET_80)),
  "cupl": Method(prompts.cupl),
  "dclip": Method(prompts.dclip, "mean_similarity"),
  "waffle": Method(prompts.waffle, "mean_similarity"),
  "descriptors": Method(prompts.descriptors, "mean_similarity"),
  "templates_descriptors": Method(prompts.templates_with_descriptors),
  "random_synonym": Method(prompts.random_name),
  "synonyms_mean": Method(concepts),
  "synonyms_nearest": Method(concepts, "nearest_point"),
  **{name: Method(concepts, name, core=True) for name in POINT_TO_SPACE},
  "s3": Method(concepts, None, core=True),
  "s3_descriptors": Method(prompts.concepts_with_descriptors, None, core=True),
  "polluted_all": Method(prompts.concepts_with_wrong_ones, None),
  "polluted_core": Method(prompts.concepts_with_wrong_ones, None, core=True),
  "polluted_gap": Method(
    prompts.concepts_with_wrong_ones, None, core=True, scale="gap"
  ),
}
# Methods that cannot do without a file of the user's.
NEED_FILES = ("cupl", "dclip")


class MethodPlan(NamedTuple):
  """A method with its prompts, before anything is embedded.

  Attributes:
    name: key of the results.
    method: the method.
    vertices: its prompts.
    prompts: the distinct ones, in the order of their first use.
    forms: of the prompts of each class.
  """

  name: str
  method: Any  # Method or ViewMethod
  vertices: Vertices
  prompts: tuple[str, ...]
  forms: Forms


def prepare_methods(
  methods: Mapping[str, Any], texts: MethodTexts
) -> tuple[MethodPlan, ...]:
  """Makes the prompts of every method."""
  made: dict[Callable[[MethodTexts], Vertices], tuple[Any, ...]] = {}
  prepared = []
  for name, method in methods.items():
    if method.vertices not in made:
      vertices = _checked(name, method.vertices(texts), texts)
      distinct = distinct_prompts([vertices])
      made[method.vertices] = (vertices, distinct, texts.forms(vertices))
    prepared.append(MethodPlan(name, method, *made[method.vertices]))
  return tuple(prepared)


def _checked(name: str, vertices: Vertices, texts: MethodTexts) -> Vertices:
  if len(vertices) != len(texts.classes):
    raise ValueError(
      f"method {name!r} must make vertices for {len(texts.classes)} classes,"
      f" got {len(vertices)}."
    )
  for label, of_class in enumerate(vertices):
    if not of_class or not all(of_class):
      raise ValueError(
        f"method {name!r} must give every class a text, got none for class"
        f" {label} ({texts.names[label]!r})."
      )
  return vertices


class Scorers:
  """Makes the scoring function of each method, and each space once.

  Attributes:
    options: how spaces are pruned and scored, where a method does not say it.
  """

  def __init__(self, options: SpaceOptions):
    self.options = options
    self._cores: dict[Any, Core] = {}

  def scorer(self, prepared: MethodPlan, table: TextTable) -> Partial:
    """Returns f32[batch, dim] -> f32[batch, classes]."""
    method = prepared.method
    if table.mask.shape[1] == 1 and not callable(method.metric):
      return classifier_scorer(name_classifier(table.embeddings[:, 0]))
    space = self.core(method, table).space
    options = self._options_of(method)
    metric = method.metric or options.metric
    if callable(metric):
      return Partial(_swapped(metric), space)
    return space_scorer(space, metric, neighbors=options.neighbors)

  def core(self, method: Method, table: TextTable) -> Core:
    """Builds the spaces that a method scores."""
    vertices, options = self._space_of(method)
    if (vertices, options) not in self._cores:
      self._cores[vertices, options] = cut_core(table, options)
    return self._cores[vertices, options]

  def built(self, method: Method) -> Core | None:
    """Returns these spaces if some method has needed them."""
    return self._cores.get(self._space_of(method))

  def _options_of(self, method: Method) -> SpaceOptions:
    options = method.options or self.options
    return options._replace(scale=method.scale) if method.scale else options

  def _space_of(
    self, method: Method
  ) -> tuple[Callable[[MethodTexts], Vertices], SpaceOptions]:
    """Says what spaces depend on: methods that differ in nothing else share."""
    options = self._options_of(method)._replace(metric="", neighbors=0)
    if not method.core:
      options = options._replace(scale=None, keep="all")
    return method.vertices, options


@functools.cache
def _swapped(metric: Callable[..., Any]) -> Callable[..., Any]:
  def score(space, embeddings):
    return metric(embeddings, space)

  return score
