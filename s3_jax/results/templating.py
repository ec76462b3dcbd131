"""HTML pages from the templates beside this file.

Every page is a single file without scripts, fonts or pictures from outside, and
tells the browser to fetch none. All texts pass the templates' escaping: class
names, file names and what a language model wrote are shown as they are.
"""

import base64
import functools
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
  environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
  return environment


def _finalize(value: Any) -> Any:
  """Drops control and direction-changing characters before the escaping."""
  plain = isinstance(value, str) and not hasattr(value, "__html__")
  return clean(value) if plain else value
