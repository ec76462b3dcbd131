"""From the texts of a data set to vertices, and from vertices to a table.

A method's `vertices` is one of the functions here, or of the same signature:
from what is known of the classes to the prompts of every vertex of each class.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from s3_jax.lexicon.forms import prompt_forms
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.synonyms import ClassEntry, most_frequent_names
from s3_jax.lexicon.templates import IMAGENET_80
from s3_jax.lexicon.vertices import (
  Vertices,
  as_given,
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
from s3_jax.named_classes.vertices import Forms
from s3_jax.zero_shot import draw_texts

WAFFLE_PAIRS = 15


class MethodTexts(NamedTuple):
  """What the methods of one data set may make prompts of.

  Attributes:
    classes: of the lexicon, in label order.
    template: of the data set (CoOp's).
    templates: of the config, or the data set's.
    files: "cupl", "dclip", "waffle" -> the user's texts of each class.
    seed: of what is drawn.
    name_template: of the config's `template`, for every name that stands alone;
      "" where it has none.
    draw: how a text of each class is drawn, from their numbers and the seed.
  """

  classes: tuple[ClassEntry, ...]
  template: str
  templates: tuple[str, ...]
  files: Mapping[str, tuple[tuple[str, ...], ...]]
  seed: int
  name_template: str = ""
  draw: Callable[..., Sequence[int]] = drawn_indices

  @property
  def names(self) -> tuple[str, ...]:
    """The official name of each class, underscores as blanks."""
    return tuple(entry.names[0] for entry in self.classes)

  def in_templates(self, names: Sequence[Sequence[str]]) -> Vertices:
    """Makes a vertex of every name, in the templates of spaces."""
    return concept_vertices(names, self.space_templates)

  @property
  def space_templates(self) -> tuple[str, ...]:
    """The templates whose mean is the vertex of a name."""
    return (self.name_template,) if self.name_template else self.templates

  def forms(self, vertices: Vertices) -> Forms:
    """Says of which form the prompts of each class are."""
    sentences = self.files.get("cupl") or ((),) * len(self.classes)
    templates = (*self.templates, self.template, *self.space_templates)
    return tuple(
      prompt_forms(
        distinct_prompts([(of_class,)]),
        # A wrong entry has the form of the names beside which it stands.
        (*entry.names, *entry.polluted),
        templates=templates,
        sentences=given,
      )
      for of_class, entry, given in zip(
        vertices, self.classes, sentences, strict=True
      )
    )


def names_in(*templates: str) -> Callable[[MethodTexts], Vertices]:
  """Makes prompts of the official names alone, one vertex a class."""

  def vertices(texts: MethodTexts) -> Vertices:
    chosen = templates or (texts.template,)
    return concept_vertices([(name,) for name in texts.names], chosen)

  return vertices


def official_name(texts: MethodTexts) -> Vertices:
  """Makes one vertex of the official name, by default in CLIP's template."""
  template = texts.name_template or NAME_TEMPLATE
  return concept_vertices([(name,) for name in texts.names], (template,))


def best_name(texts: MethodTexts) -> Vertices:
  """Makes one vertex of the name that training captions use most."""
  return texts.in_templates(
    [(name,) for name in most_frequent_names(texts.classes)]
  )


def official_name_in_templates(texts: MethodTexts) -> Vertices:
  """Makes one vertex of the official name in the config's templates."""
  return concept_vertices([(name,) for name in texts.names], texts.templates)


def random_name(texts: MethodTexts) -> Vertices:
  """Makes one vertex of a name or synonym that is drawn by seed."""
  drawn = texts.draw(
    [len(entry.names) for entry in texts.classes], seed=texts.seed
  )
  return texts.in_templates(
    [
      (entry.names[index],)
      for entry, index in zip(texts.classes, drawn, strict=True)
    ]
  )


def drawn_by_jax(counts: Sequence[int], *, seed: int) -> tuple[int, ...]:
  """Draws one text of every class as `random_synonym_classifier` does."""
  mask = np.arange(max(counts)) < np.array(counts)[:, None]
  return tuple(draw_texts(jax.random.key(seed), mask).tolist())


def concepts(texts: MethodTexts) -> Vertices:
  """Makes a vertex of every name and synonym."""
  return texts.in_templates([entry.names for entry in texts.classes])


def concepts_with_wrong_ones(texts: MethodTexts) -> Vertices:
  """Makes a vertex of every name, and of every entry known to be wrong."""
  return texts.in_templates(
    [(*entry.names, *entry.polluted) for entry in texts.classes]
  )


def concepts_with_descriptors(texts: MethodTexts) -> Vertices:
  """Makes vertices of names, and of names with descriptors."""
  return concept_descriptor_vertices(texts.classes, texts.space_templates)


def descriptors(texts: MethodTexts) -> Vertices:
  """Makes a vertex of the official name with each descriptor, as DCLIP does."""
  return descriptor_prompts(
    texts.names, [entry.descriptors for entry in texts.classes]
  )


def templates_with_descriptors(texts: MethodTexts) -> Vertices:
  """Makes one vertex of CLIP's 80 templates and the descriptors."""
  with_descriptors = descriptor_prompts(
    texts.names,
    [entry.descriptors for entry in texts.classes],
    spellings=as_given,  # each counts once among the templates
  )
  return pooled(names_in(*IMAGENET_80)(texts), with_descriptors)


def cupl(texts: MethodTexts) -> Vertices:
  """Makes one vertex of the user's sentences of each class."""
  return sentence_vertices(texts.files["cupl"])


def dclip(texts: MethodTexts) -> Vertices:
  """Makes a vertex of the official name with each descriptor of the user's."""
  return descriptor_prompts(
    texts.names, texts.files["dclip"], spellings=as_given
  )


def waffle(texts: MethodTexts) -> Vertices:
  """Makes vertices of the official name with words that mean nothing."""
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
