"""What kind of text a prompt is: its form.

Texts of one form lie near each other whatever they name, so that texts are best
compared within a form. The form of a name in a template is the template.
"""

from collections.abc import Iterable, Iterator, Sequence

from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.spelling import comparison_key
from s3_jax.lexicon.templates import IMAGENET_7, IMAGENET_80

NAME_WITH_DESCRIPTOR = "name with descriptor"
SENTENCE = "sentence"

_CLIP = frozenset((*IMAGENET_80, *IMAGENET_7))


def prompt_forms(
  prompts: Sequence[str],
  names: Sequence[str],
  *,
  templates: Iterable[str],
  sentences: Iterable[str] = (),
) -> dict[str, str]:
  """Says of which form each prompt of a class is."""
  first = frozenset((*templates, NAME_TEMPLATE, "{}"))
  given = set(sentences)
  keys = [comparison_key(name) for name in names]

  def form(prompt: str) -> str:
    if prompt in given:
      return SENTENCE
    found = list(_without(names, prompt))
    # "a photo of a small {}." may also be a small one in "a photo of a {}.".
    for known in (first, _CLIP):
      for template in found:
        if template in known:
          return template
    text = comparison_key(prompt)
    return (
      NAME_WITH_DESCRIPTOR if any(key in text for key in keys) else SENTENCE
    )

  return {prompt: form(prompt) for prompt in prompts}


def _without(names: Sequence[str], prompt: str) -> Iterator[str]:
  """Takes a name out of a prompt, at each place where it stands."""
  for name in names:
    index = prompt.find(name)
    while index >= 0:
      yield f"{prompt[:index]}{{}}{prompt[index + len(name) :]}"
      index = prompt.find(name, index + 1)
