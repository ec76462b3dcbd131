"""The page of the task "serve", the only one with a script.

What the script shows came from a person or a model: it becomes text, never
markup, and the page's policy allows no other script.
"""

from collections.abc import Sequence
from pathlib import Path

from s3_jax.results.templating import render

__all__ = ["POLICY", "SCRIPT", "read_script", "render_serve_page"]

SCRIPT = "/serve.js"
"""Where the page looks for its script."""

POLICY = (
  "default-src 'none'; script-src 'self'; connect-src 'self';"
  " img-src blob:; style-src 'unsafe-inline'; base-uri 'none';"
  " form-action 'none'"
)
"""What the page may fetch: its own script, and answers from where it came."""


def render_serve_page(
  *, token: str, model: str, facts: Sequence[str], max_bytes: int
) -> str:
  """Writes the page.

  Args:
    token: what the script sends with every question.
    model: name of the checkpoint.
    facts: what else a reader should know, a sentence each.
    max_bytes: of a picture.
  """
  return render(
    "serve.html",
    {
      "policy": POLICY,
      "script": SCRIPT,
      "token": token,
      "model": model,
      "facts": facts,
      "max_bytes": max_bytes,
    },
  )


def read_script() -> str:
  """Reads the script of the page."""
  path = Path(__file__).parent / "templates" / "serve.js"
  return path.read_text("utf-8")
