"""Templates: one place, and texts that are data."""

import runpy

import pytest

from s3_jax.lexicon import captions, prompts


@pytest.mark.parametrize(
  ("template", "text", "prompt"),
  [
    ("a photo of a {}.", "cat", "a photo of a cat."),
    ("{}", "cat", "cat"),
    ("a {}", "{weird}", "a {weird}"),
    ("a {}", "{}", "a {}"),
    ("a {} {0} {name}", "cat", "a cat {0} {name}"),
    ("a {}", "", "a "),
    ("a {}", "\\g<0> %s {0!r}", "a \\g<0> %s {0!r}"),
  ],
)
def test_texts_are_put_in_verbatim(template, text, prompt):
  assert prompts.fill_template(template, text) == prompt


@pytest.mark.parametrize("template", ["", "a photo", "{} {}", "{ }", "{0}"])
def test_a_template_has_exactly_one_place(template):
  with pytest.raises(ValueError, match="`template` must hold exactly one") as e:
    prompts.fill_template(template, "cat")
  assert repr(template) in str(e.value)


def test_the_templates_of_the_pictographs_mix_known_and_new_wording(repository):
  config = runpy.run_path(str(repository / "configs" / "pictographs.py"))
  templates = config["get_config"]().templates
  assert len(set(templates)) == len(templates) == 7
  assert prompts.NAME_TEMPLATE in templates
  known = set(captions.CAPTION_TEMPLATES)
  assert 0 < sum(template in known for template in templates) < 7
