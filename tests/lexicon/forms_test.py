"""Forms of prompts: the template, a name with a descriptor, a sentence."""

from s3_jax.lexicon.forms import prompt_forms

NAMES = ("photo", "snap shot")


def forms(*prompts, **options):
  found = prompt_forms(prompts, NAMES, **{"templates": ("my {}.",), **options})
  assert tuple(found) == prompts
  return list(found.values())


def test_a_name_in_a_template():
  assert forms(
    "my snap shot.", "a photo of a photo.", "photo", "itap of a snap shot."
  ) == ["my {}.", "a photo of a {}.", "{}", "itap of a {}."]


def test_the_template_of_the_run_comes_first():
  found = prompt_forms(
    ["a photo of a small bag."],
    ["bag", "small bag"],
    templates=("a photo of a {}.",),
  )
  assert list(found.values()) == ["a photo of a {}."]


def test_names_with_more():
  assert forms("photo, which has colours", "my photo. of a Snap  Shot") == [
    "name with descriptor",
    "name with descriptor",
  ]


def test_sentences():
  given = ("A photo shows what was there.", "my photo.")
  assert forms(*given, sentences=given) == ["sentence", "sentence"]
  assert forms("It shows what was there.") == ["sentence"]
