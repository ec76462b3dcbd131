"""Templates, and how a text is put into one.

A template is a string with one `{}`. Texts are data: they are put in by
`str.replace`, never by `str.format`, so braces in a name stay braces.
"""

NAME_TEMPLATE = "a photo of a {}."


def fill_template(template: str, text: str) -> str:
  """Puts a text into a template."""
  if template.count("{}") != 1:
    raise ValueError(
      f"`template` must hold exactly one {{}}, got {template!r}."
    )
  return template.replace("{}", text)
