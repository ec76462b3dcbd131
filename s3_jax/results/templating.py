"""HTML pages from the templates beside this file.

All pages share the style sheet `templates/style.css`, which stands inside each:
a page is a single file without scripts, fonts or pictures from outside, and
tells the browser to fetch none. All texts pass the templates' escaping: class
names, file names and what a language model wrote are shown as they are.
"""

import base64
import functools
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3_jax.messages import visible
from s3_jax.results.escaping import clean

__all__ = ["render"]


def render(template: str, context: Mapping[str, Any]) -> str:
  """Fills a template."""
  return _environment().get_template(template).render(context) + "\n"


@functools.cache
def _environment():
  import jinja2

  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_finalize,
  )
  environment.filters["visible"] = visible
  environment.filters["breakable"] = _breakable
  environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
  return environment


def _finalize(value: Any) -> Any:
  """Drops control and direction-changing characters before the escaping."""
  plain = isinstance(value, str) and not hasattr(value, "__html__")
  return clean(value) if plain else value


_LONG = re.compile(r"(\S{17,})")
_ENDS = re.compile(r"(?<=[/\\_.:,;=-])(?=\w)")
_WORD = 32
"""Characters of a word that still fits on a telephone."""


class _Html(str):
  """A text that is HTML already."""

  def __html__(self) -> str:
    return self


def _breakable(text: str) -> _Html:
  """Says where a long name may go on in the next line: between its words.

  Those of file names and keys end at a slash, an underscore and the like. What
  is longer than any word, such as a digest, is cut into equal parts.
  """
  return _Html(
    "".join(
      "<wbr>".join(map(html.escape, _cut(part) if index % 2 else [part]))
      for index, part in enumerate(_LONG.split(clean(text)))
    )
  )


def _cut(name: str) -> list[str]:
  """Cuts a name into parts that stay whole, short words together."""
  parts = [""]
  for word in _ENDS.split(name):
    for start in range(0, len(word), _WORD):
      piece = word[start : start + _WORD]
      if len(parts[-1]) + len(piece) > _WORD // 2:
        parts.append("")
      parts[-1] += piece
  return [part for part in parts if part]
