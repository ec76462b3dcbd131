"""Which prompts make which vertex of a class."""

import pytest

from s3_jax.lexicon import vertices
from s3_jax.lexicon.synonyms import ClassEntry

SOFA = ClassEntry(
  0, "sofa", ("couch",), ("soft cushions", "long seat."), (), (), None
)
CUP = ClassEntry(1, "tea_cup", (), (), (), (), None)
TEMPLATES = ("a {}.", "the {}")


def test_a_name_is_a_vertex_and_templates_are_its_prompts():
  table = vertices.concept_vertices(
    [SOFA.names, CUP.names, ("a {} b",)], TEMPLATES
  )
  assert table == (
    (("a sofa.", "the sofa"), ("a couch.", "the couch")),
    (("a tea cup.", "the tea cup"),),
    (("a a {} b.", "the a {} b"),),
  )


def test_descriptors_multiply_the_vertices_and_not_the_templates():
  table = vertices.concept_descriptor_vertices((SOFA, CUP), TEMPLATES)
  assert table[0] == (
    ("a sofa.", "the sofa"),
    ("a couch.", "the couch"),
    ("a sofa. soft cushions.", "the sofa soft cushions."),
    ("a sofa. long seat.", "the sofa long seat."),
    ("a couch. soft cushions.", "the couch soft cushions."),
    ("a couch. long seat.", "the couch long seat."),
  )
  assert table[1] == (("a tea cup.", "the tea cup"),)
  joined = vertices.concept_descriptor_vertices((SOFA,), ("{}",), joiner=": ")
  assert joined[0][2] == ("sofa: soft cushions.",)


@pytest.mark.parametrize(
  ("descriptor", "text"),
  [
    ("a long neck", "swan, which is a long neck"),
    ("an orange beak", "swan, which is an orange beak"),
    ("used for swimming", "swan, which is used for swimming"),
    ("has wings", "swan, which has wings"),
    ("often white", "swan, which often white"),
    ("may hiss", "swan, which may hiss"),
    ("white feathers", "swan, which has white feathers"),
  ],
)
def test_dclips_rule(descriptor, text):
  assert vertices.described("swan", descriptor) == text


def test_a_class_without_descriptors_keeps_its_name():
  table = vertices.descriptor_prompts(
    ("sofa", "cup"), [("soft cushions", "legs"), ()]
  )
  assert table == (
    (("sofa, which has soft cushions",), ("sofa, which has legs",)),
    (("cup",),),
  )


def test_sentences_are_taken_as_they_are_and_once():
  table = vertices.sentence_vertices([("One.", "Two.", "One."), ("Three.",)])
  assert table == ((("One.", "Two."),), (("Three.",),))


def test_pooling_keeps_each_prompt_once():
  one = ((("a", "b"),), (("c",),))
  two = ((("b",), ("d",)), (("c",),))
  assert vertices.pooled(one, two) == ((("a", "b", "d"),), (("c",),))


def test_nonsense_is_drawn_by_seed():
  words = ("red", "feather", "long")
  drawn = vertices.waffle_texts(words, pairs=3, seed=1)
  assert drawn == vertices.waffle_texts(words[::-1], pairs=3, seed=1)
  assert drawn != vertices.waffle_texts(words, pairs=3, seed=2)
  assert len(drawn) == 6
  for meant, noise in zip(drawn[::2], drawn[1::2], strict=True):
    assert set(meant.split()) <= set(words)
    assert [*map(len, meant.split())] == [*map(len, noise.split())]
    assert noise != meant
