"""What kind of text a prompt is: its form.

Texts of one form lie near each other whatever they name, so that texts are best
compared within a form. The form of a name in a template is the template.
"""

from collections.abc import Iterable, Sequence

from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import comparison_key
from s3_jax.lexicon.templates import IMAGENET_7, IMAGENET_80

__all__ = ["NAME_WITH_DESCRIPTOR", "SENTENCE", "prompt_forms"]

NAME_WITH_DESCRIPTOR = "name with descriptor"
SENTENCE = "sentence"


def prompt_forms(
  prompts: Sequence[str],
  names: Sequence[str],
  *,
  templates: Iterable[str],
  sentences: Iterable[str] = (),
) -> dict[str, str]:
  """Says of which form each prompt of a class is.

  Args:
    prompts: of the class.
    names: of the class.
    templates: that the run puts names into, beside CLIP's.
    sentences: of the class, as a file of sentences gives them.

  Returns:
    Of each prompt: a template; `SENTENCE` for one of `sentences` or a text
    without any of the names; else `NAME_WITH_DESCRIPTOR`.
  """
  known: dict[str, str] = {}
  _fill(known, (*templates, NAME_TEMPLATE, "{}"), names)
  if any(prompt not in known for prompt in prompts):
    _fill(known, (*IMAGENET_80, *IMAGENET_7), names)
  given = set(sentences)
  keys = [comparison_key(name) for name in names]

  def form(prompt: str) -> str:
    if prompt in given:
      return SENTENCE
    if prompt in known:
      return known[prompt]
    text = comparison_key(prompt)
    return (
      NAME_WITH_DESCRIPTOR if any(key in text for key in keys) else SENTENCE
    )

  return {prompt: form(prompt) for prompt in prompts}


def _fill(
  known: dict[str, str], templates: Iterable[str], names: Sequence[str]
) -> None:
  for template in templates:
    for name in names:
      known.setdefault(fill_template(template, name), template)
