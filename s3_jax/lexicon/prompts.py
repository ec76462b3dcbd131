"""Templates, and how a text is put into one.

A template is a string with one `{}`. Texts are data: they are put in by
`str.replace`, never by `str.format`, so braces in a name stay braces.
"""

from collections.abc import Sequence

NAME_TEMPLATE = "a photo of a {}."

# The seven templates of the embedded world. The wording mixes phrases that
# its training captions use with phrases that they never do.
PICTOGRAPH_TEMPLATES = (
  "a photo of a {}.",
  "a picture of a {}.",
  "a drawing of a {}.",
  "an icon of a {}.",
  "a small {}.",
  "the {}.",
  "a clean rendering of a {}.",
)


def fill_template(template: str, text: str) -> str:
  """Puts a text into a template.

  Args:
    template: a string with exactly one `{}`.
    text: what replaces it, verbatim.

  Returns:
    The prompt.

  Raises:
    ValueError: if the template does not hold exactly one `{}`.
  """
  if template.count("{}") != 1:
    raise ValueError(
      f"`template` must hold exactly one {{}}, got {template!r}."
    )
  return template.replace("{}", text)


def fill_templates(
  templates: Sequence[str], texts: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
  """Fills every template with every text: one tuple of prompts a text."""
  return tuple(
    tuple(fill_template(template, text) for template in templates)
    for text in texts
  )
