"""The methods of a benchmark run by name: prompts, pruning, metric.

Every method is the same three things: which prompts make which vertices of a
class, whether the Rips core is cut out of them, and the point-to-space metric
that scores images. A classifier of one vector a class is a space of one vertex.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32

from s3_jax.embeddings import MIN_SQUARED_MEAN
from s3_jax.experiment.methods.spaces import (
  Core,
  SpaceOptions,
  classifier_scorer,
  cut_core,
  space_scorer,
)
from s3_jax.lexicon.forms import prompt_forms
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.synonyms import ClassEntry
from s3_jax.lexicon.templates import IMAGENET_7, IMAGENET_80
from s3_jax.lexicon.vertices import (
  Vertices,
  concept_descriptor_vertices,
  concept_vertices,
  described,
  descriptor_prompts,
  distinct_prompts,
  drawn_indices,
  pooled,
  sentence_vertices,
  waffle_texts,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace
from s3_jax.storage.text_tables import TextTable, pad_classes
from s3_jax.zero_shot import name_classifier

WAFFLE_PAIRS = 15


Forms = tuple[Mapping[str, str], ...]
"""Of each class: prompt -> its form, as `prompt_forms` says."""


class MethodTexts(NamedTuple):
  """What the methods of one data set may make prompts of.

  Attributes:
    classes: of the lexicon, in label order.
    template: of the data set (CoOp's).
    templates: of the spaces' vertices.
    files: "cupl", "dclip", "waffle" -> the user's texts of each class.
    seed: of what is drawn.
  """

  classes: tuple[ClassEntry, ...]
  template: str
  templates: tuple[str, ...]
  files: Mapping[str, tuple[tuple[str, ...], ...]]
  seed: int

  @property
  def names(self) -> tuple[str, ...]:
    """The official name of each class, underscores as blanks."""
    return tuple(entry.names[0] for entry in self.classes)

  def forms(self, vertices: Vertices) -> Forms:
    """Says of which form the prompts of each class are."""
    sentences = self.files.get("cupl") or ((),) * len(self.classes)
    return tuple(
      prompt_forms(
        distinct_prompts([(of_class,)]),
        entry.names,
        templates=(*self.templates, self.template),
        sentences=given,
      )
      for of_class, entry, given in zip(
        vertices, self.classes, sentences, strict=True
      )
    )


class Method(NamedTuple):
  """One row of a results table.

  Attributes:
    vertices: from the texts of a data set to the prompts of its vertices.
    metric: a name of POINT_TO_SPACE, or a function of the signature that its
      functions have; None for the config's `metric`.
    core: whether the space is pruned as the config's `scale` and `keep` say;
      if not, all vertices stay.
  """

  vertices: Callable[[MethodTexts], Vertices]
  metric: str | Callable[..., Any] | None = "center"
  core: bool = False


def names_in(*templates: str) -> Callable[[MethodTexts], Vertices]:
  """Makes prompts of the official names alone, one vertex a class."""

  def vertices(texts: MethodTexts) -> Vertices:
    chosen = templates or (texts.template,)
    return concept_vertices([(name,) for name in texts.names], chosen)

  return vertices


def official_name(texts: MethodTexts) -> Vertices:
  """Makes one vertex of the official name, in CLIP's own template."""
  return concept_vertices([(name,) for name in texts.names], (NAME_TEMPLATE,))


def random_name(texts: MethodTexts) -> Vertices:
  """Makes one vertex of a name or synonym that is drawn by seed."""
  drawn = drawn_indices(
    [len(entry.names) for entry in texts.classes], seed=texts.seed
  )
  return concept_vertices(
    [
      (entry.names[index],)
      for entry, index in zip(texts.classes, drawn, strict=True)
    ],
    texts.templates,
  )


def concepts(texts: MethodTexts) -> Vertices:
  """Makes a vertex of every name and synonym."""
  return concept_vertices(
    [entry.names for entry in texts.classes], texts.templates
  )


def concepts_with_descriptors(texts: MethodTexts) -> Vertices:
  """Makes vertices of names, and of names with descriptors."""
  return concept_descriptor_vertices(texts.classes, texts.templates)


def _descriptors(texts: MethodTexts) -> Vertices:
  return descriptor_prompts(
    texts.names, [entry.descriptors for entry in texts.classes]
  )


def _templates_with_descriptors(texts: MethodTexts) -> Vertices:
  return pooled(names_in(*IMAGENET_80)(texts), _descriptors(texts))


def _cupl(texts: MethodTexts) -> Vertices:
  return sentence_vertices(texts.files["cupl"])


def _dclip(texts: MethodTexts) -> Vertices:
  return descriptor_prompts(texts.names, texts.files["dclip"])


def _waffle(texts: MethodTexts) -> Vertices:
  given = texts.files.get("waffle")
  if given is None:
    vocabulary = [
      word
      for entry in texts.classes
      for descriptor in entry.descriptors or entry.names
      for word in descriptor.lower().split()
      if word.isalpha()
    ]
    if not vocabulary:
      raise ValueError(
        "method 'waffle' must have words to draw from in the names or"
        " descriptors of the classes, got none: set `config.waffle_file`."
      )
    drawn = waffle_texts(vocabulary, pairs=WAFFLE_PAIRS, seed=texts.seed)
    given = (drawn,) * len(texts.classes)
  photos = [f"A photo of a {name}" for name in texts.names]
  return tuple(
    tuple((f"{described(photo, text)}.",) for text in of_class) or ((photo,),)
    for photo, of_class in zip(photos, given, strict=True)
  )


# Keys of the results and of `config.methods`, in the order of the table. The
# eleven metrics all score one space, the core of the concepts; `s3` is the one
# among them that the config names.
METHODS: dict[str, Method] = {
  "class_name": Method(official_name),
  "dataset_template": Method(names_in()),
  "templates_7": Method(names_in(*IMAGENET_7)),
  "templates_80": Method(names_in(*IMAGENET_80)),
  "cupl": Method(_cupl),
  "dclip": Method(_dclip, "mean_similarity"),
  "waffle": Method(_waffle, "mean_similarity"),
  "descriptors": Method(_descriptors, "mean_similarity"),
  "templates_descriptors": Method(_templates_with_descriptors),
  "random_synonym": Method(random_name),
  "synonyms_mean": Method(concepts),
  "synonyms_nearest": Method(concepts, "nearest_point"),
  **{name: Method(concepts, name, core=True) for name in POINT_TO_SPACE},
  "s3": Method(concepts, None, core=True),
  "s3_descriptors": Method(concepts_with_descriptors, None, core=True),
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


def embed_vertices(
  vertices: Vertices,
  prompts: Sequence[str],
  embeddings: Float32[np.ndarray, "prompts dim"],
  forms: Forms | None = None,
) -> TextTable:
  """Averages the prompts of every vertex and pads the classes."""
  index = {prompt: row for row, prompt in enumerate(prompts)}
  firsts = [[texts[0] for texts in of_class] for of_class in vertices]
  kinds, numbers = None, {}
  if forms is not None:
    kinds = [
      [numbers.setdefault(known[text], len(numbers)) for text in texts]
      for texts, known in zip(firsts, forms, strict=True)
    ]
  return pad_classes(
    firsts,
    [
      _means(
        embeddings, [[index[text] for text in texts] for texts in of_class]
      )
      for of_class in vertices
    ],
    kinds,
  )


def _means(
  embeddings: Float32[np.ndarray, "prompts dim"],
  vertices: Sequence[Sequence[int]],
) -> Float32[np.ndarray, "vertices dim"]:
  """Averages rows, as `template_mean` does, for lists of any lengths."""
  rows = np.concatenate([np.asarray(texts) for texts in vertices])
  lengths = np.array([len(texts) for texts in vertices])
  starts = np.cumsum(lengths) - lengths
  sums = np.add.reduceat(embeddings[rows].astype(np.float64), starts, axis=0)
  means = sums / lengths[:, None]
  squared = np.sum(np.square(means), axis=-1, keepdims=True)
  unit = means / np.sqrt(np.maximum(squared, MIN_SQUARED_MEAN))
  averaged = np.where(squared < MIN_SQUARED_MEAN, 0.0, unit)
  # One prompt needs no rounding twice.
  alone = lengths[:, None] == 1
  return np.where(alone, embeddings[rows[starts]], averaged).astype(np.float32)


class Scorers:
  """Makes the scoring function of each method, and each space once.

  Attributes:
    options: how spaces are pruned and scored.
    cores: (a method's `vertices`, pruned or not) -> what was built of them.
  """

  def __init__(self, options: SpaceOptions):
    self.options = options
    self.cores: dict[tuple[Callable[[MethodTexts], Vertices], bool], Core] = {}

  def scorer(self, prepared: MethodPlan, table: TextTable) -> Partial:
    """Returns f32[batch, dim] -> f32[batch, classes]."""
    method = prepared.method
    if table.mask.shape[1] == 1 and not callable(method.metric):
      return classifier_scorer(name_classifier(table.embeddings[:, 0]))
    space = self._space(method, table)
    metric = method.metric or self.options.metric
    if callable(metric):
      return Partial(_swapped(metric), space)
    return space_scorer(space, metric, neighbors=self.options.neighbors)

  def _space(self, method: Method, table: TextTable) -> SynonymousSpace:
    key = (method.vertices, method.core)
    if key not in self.cores:
      options = self.options
      if not method.core:
        options = options._replace(scale=None, keep="all")
      self.cores[key] = cut_core(table, options)
    return self.cores[key].space


@functools.cache
def _swapped(metric: Callable[..., Any]) -> Callable[..., Any]:
  def score(space, embeddings):
    return metric(embeddings, space)

  return score
