"""From the words of a class to prompts: which texts make which vertex.

A class has vertices, and a vertex has prompts: its embedding is the
renormalised mean of theirs. Several templates make one vertex more stable and
never add vertices (METHOD of S3, ours); a classifier of one vector a class is a
table of one vertex a class.
"""

import random
import string
from collections.abc import Callable, Iterable, Sequence

from s3_jax.lexicon.prompts import fill_template
from s3_jax.lexicon.spelling import both_spellings, group_spellings
from s3_jax.lexicon.synonyms import ClassEntry

# classes -> vertices -> prompts
Vertices = tuple[tuple[tuple[str, ...], ...], ...]


def distinct_prompts(tables: Iterable[Vertices]) -> tuple[str, ...]:
  """Lists the prompts of tables, each once, in the order of their first use."""
  found: dict[str, None] = {}
  for vertices in tables:
    for of_class in vertices:
      for prompts in of_class:
        found |= dict.fromkeys(prompts)
  return tuple(found)


def concept_vertices(
  names: Sequence[Sequence[str]], templates: Sequence[str]
) -> Vertices:
  """Makes one vertex of every name of a class.

  The spellings of one name are one vertex, the mean of their prompts.
  """
  return tuple(
    tuple(
      _filled(templates, spellings) for spellings in group_spellings(of_class)
    )
    for of_class in names
  )


def concept_descriptor_vertices(
  classes: Sequence[ClassEntry],
  templates: Sequence[str],
  *,
  joiner: str = " ",
) -> Vertices:
  """Makes a vertex of every name, and of every name with every descriptor.

  References:
    S3 (arXiv 2412.04925): synonyms and visual descriptors joined in a
    template. The joiner and the plain names beside the pairs are ours.
  """

  def of_class(entry: ClassEntry) -> tuple[tuple[str, ...], ...]:
    names = [_filled(templates, spellings) for spellings in entry.concepts]
    pairs = (
      tuple(
        f"{prompt}{joiner}{spelling.rstrip('.')}."
        for prompt in prompts
        for spelling in both_spellings(descriptor)
      )
      for prompts in names
      for descriptor in entry.descriptors
    )
    return (*names, *pairs)

  return tuple(of_class(entry) for entry in classes)


def sentence_vertices(sentences: Sequence[Sequence[str]]) -> Vertices:
  """Makes one vertex of each class's sentences, taken as they are.

  References:
    CuPL (arXiv 2209.03320): every sentence normalised, the mean normalised.
  """
  return tuple((tuple(dict.fromkeys(texts)),) for texts in sentences)


def described(name: str, descriptor: str) -> str:
  """Joins a name and a descriptor as DCLIP does.

  References:
    DCLIP (arXiv 2210.07183), as TPS repeats its rule.
  """
  first = descriptor.lower()
  if first.startswith(("a", "used")):
    link = "which is"
  elif first.startswith(("has", "often", "typically", "may", "can")):
    link = "which"
  else:
    link = "which has"
  return f"{name}, {link} {descriptor}"


def descriptor_prompts(
  names: Sequence[str],
  descriptors: Sequence[Sequence[str]],
  *,
  spellings: Callable[[str], tuple[str, ...]] = both_spellings,
) -> Vertices:
  """Makes a vertex of every descriptor; a class without any keeps its name.

  References:
    DCLIP (arXiv 2210.07183), whose score is the mean over these vertices; the
    plain name for an empty list is ours, and so is the mean of American and
    British spelling where they differ.
  """
  return tuple(
    tuple(
      tuple(described(name, each) for each in spellings(text)) for text in texts
    )
    or ((name,),)
    for name, texts in zip(names, descriptors, strict=True)
  )


def as_given(text: str) -> tuple[str, ...]:
  """Takes a text as it is, as published numbers do."""
  return (text,)


def pooled(*tables: Vertices) -> Vertices:
  """Puts all prompts of a class into one vertex."""
  return tuple(
    (
      tuple(
        dict.fromkeys(
          prompt
          for vertices in of_class
          for prompts in vertices
          for prompt in prompts
        )
      ),
    )
    for of_class in zip(*tables, strict=True)
  )


def drawn_indices(counts: Sequence[int], *, seed: int) -> tuple[int, ...]:
  """Draws one text of every class."""
  draw = random.Random(seed)
  return tuple(draw.randrange(count) for count in counts)


def waffle_texts(
  vocabulary: Sequence[str], *, pairs: int, seed: int
) -> tuple[str, ...]:
  """Draws descriptors that mean nothing, the same ones for every class.

  Of each pair one is two words of the vocabulary, the other the same number of
  letters drawn at random.

  References:
    After WaffleCLIP (arXiv 2306.07282), which draws its words from another
    corpus; the drawing here is ours.
  """
  draw = random.Random(seed)
  words = sorted(set(vocabulary))
  texts = []
  for _ in range(pairs):
    chosen = [draw.choice(words) for _ in range(2)]
    noise = [
      "".join(draw.choice(string.ascii_lowercase) for _ in word)
      for word in chosen
    ]
    texts += [" ".join(chosen), " ".join(noise)]
  return tuple(texts)


def _filled(
  templates: Sequence[str], spellings: Iterable[str]
) -> tuple[str, ...]:
  return tuple(
    fill_template(template, spelling)
    for spelling in spellings
    for template in templates
  )
