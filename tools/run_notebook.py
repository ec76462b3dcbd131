"""Runs a notebook from top to bottom and stores what its cells give.

  python -m tools.run_notebook docs/tour.ipynb [OTHER.ipynb]

The result takes the notebook's place, or that of OTHER.ipynb. No Jupyter is
needed: a cell gives its printed lines, its open figures, and the value of its
last line. A figure's label (`plt.figure("...")`) is stored as its text, for
readers who cannot see it.
"""

import ast
import base64
import contextlib
import copy
import io
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

os.environ["MPLBACKEND"] = "Agg"

Notebook = dict[str, Any]
_DOTS_PER_INCH = 90
_COLORS = 128


def run_notebook(notebook: Notebook) -> Notebook:
  """Returns a copy of a notebook (nbformat 4) with the outputs of a new run."""
  notebook = copy.deepcopy(notebook)
  names: dict[str, Any] = {"__name__": "__main__"}
  count = 0
  for cell in notebook["cells"]:
    if cell["cell_type"] == "code":
      count += 1
      cell["execution_count"] = count
      cell["outputs"] = list(_run_cell("".join(cell["source"]), count, names))
  return notebook


def _run_cell(
  source: str, count: int, names: dict[str, Any]
) -> Iterator[dict[str, Any]]:
  place = f"cell {count}"
  body = ast.parse(source, place).body
  last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
  printed, value = io.StringIO(), None
  with contextlib.redirect_stdout(printed):
    exec(compile(ast.Module(body, []), place, "exec"), names)
    if isinstance(last, ast.Expr):
      value = eval(compile(ast.Expression(last.value), place, "eval"), names)
  if printed.getvalue():
    text = _lines(printed.getvalue())
    yield {"output_type": "stream", "name": "stdout", "text": text}
  for label, picture in _figures():
    data = {"image/png": picture, "text/plain": [label]}
    yield {"output_type": "display_data", "metadata": {}, "data": data}
  if value is not None:
    yield {
      "output_type": "execute_result",
      "execution_count": count,
      "metadata": {},
      "data": {"text/plain": _lines(repr(value))},
    }


def _lines(text: str) -> list[str]:
  return text.splitlines(keepends=True)


def _figures() -> Iterator[tuple[str, str]]:
  """Closes all open figures; gives their labels and PNG files, in base64."""
  import matplotlib.pyplot as plt
  from PIL import Image

  for number in plt.get_fignums():
    figure, drawn = plt.figure(number), io.BytesIO()
    figure.savefig(drawn, dpi=_DOTS_PER_INCH, bbox_inches="tight")
    stored = io.BytesIO()
    # A palette takes a quarter of the bytes, and the repository keeps them all.
    picture = Image.open(drawn).convert("RGB").quantize(_COLORS)
    picture.save(stored, "PNG", optimize=True)
    yield (
      str(figure.get_label()),
      base64.b64encode(stored.getvalue()).decode("ascii"),
    )
    plt.close(figure)


def main(arguments: list[str]) -> int:
  """Runs the notebook that a command line names."""
  from s3_jax.files import write_json

  if len(arguments) not in (1, 2):
    print(__doc__, file=sys.stderr)  # noqa: T201
    return 2
  source = pathlib.Path(arguments[0])
  notebook = run_notebook(json.loads(source.read_text("utf-8")))
  write_json(pathlib.Path(arguments[-1]), notebook, ascii=False)
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
