"""docs/tour.ipynb says what a new run of it says, and its prose agrees."""

import base64
import io
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tools.run_notebook import run_notebook

TOUR = "docs/tour.ipynb"
TABLE = "table"  # the cell that prints it
NEAR = 0.5  # points of accuracy between two computers: four of 900 images


@pytest.fixture(scope="module")
def stored(repository) -> dict:
  return json.loads((repository / TOUR).read_text("utf-8"))


def _code(notebook: dict) -> dict[str, dict]:
  return {c["id"]: c for c in notebook["cells"] if c["cell_type"] == "code"}


def _text(cell: dict) -> str:
  """What a cell printed, and the value of its last line."""
  parts = []
  for output in cell["outputs"]:
    if output["output_type"] != "display_data":
      parts += output.get("text") or output["data"]["text/plain"]
  return "".join(parts)


def _pictures(cell: dict) -> list[tuple[str, tuple[int, int]]]:
  found = []
  for output in cell["outputs"]:
    if output["output_type"] == "display_data":
      data = base64.b64decode(output["data"]["image/png"])
      picture = Image.open(io.BytesIO(data))
      found.append((*output["data"]["text/plain"], picture.size))
  return found


def _table(notebook: dict) -> dict[str, dict[str, float]]:
  heads, *rows = _text(_code(notebook)[TABLE]).splitlines()
  columns = re.split(r"  +", heads)[1:]
  cells = [re.split(r"  +", row) for row in rows]
  return {
    name: dict(zip(columns, map(float, values), strict=True))
    for name, *values in cells
  }


def test_a_new_run_says_what_is_stored(repository, stored, tmp_path):
  again = tmp_path / "again.ipynb"
  done = subprocess.run(
    [sys.executable, "-m", "tools.run_notebook", TOUR, str(again)],
    cwd=repository,
    env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    capture_output=True,
    text=True,
    timeout=900,
    check=False,
  )
  assert not done.returncode, done.stderr
  new = json.loads(again.read_text("utf-8"))
  assert [c["id"] for c in new["cells"]] == [c["id"] for c in stored["cells"]]
  for name, cell in _code(stored).items():
    found = _code(new)[name]
    assert found["source"] == cell["source"]
    assert _pictures(found) == _pictures(cell)
    if name != TABLE:
      assert _text(found) == _text(cell), name
  for name, row in _table(stored).items():
    for column, value in row.items():
      assert abs(_table(new)[name][column] - value) <= NEAR, (name, column)


def test_what_the_text_says_of_words_stands_in_the_outputs(stored):
  code = _code(stored)
  cows = eval(_text(code["one"]))
  assert list(cows)[0] == "heifer"
  assert sorted(cows.values())[:3] == [0, 0, 0] and cows["heifer"] == 0
  assert sorted(cows.values())[3:] == [9, 9, 9, 10]
  assert "heifer leaves out: cattle, bovine\n" in _text(code["left-out"])
  # The same counts as docs/RESULTS.md, which another program made.
  assert _text(code["noisy"]).splitlines() == [
    "wrong names left out: 224 of 270",
    "right names left out: 51 of 575",
  ]
  assert _text(code["classify"]).strip() == (
    "heifer, jet, brolly, nimbus, die, hedera"
  )
  assert _text(code["own"]).startswith("900 of 900 answers are the same\n")


def test_what_the_text_says_of_the_table_is_there(stored):
  table = _table(stored)
  values = {f"{value:.1f}" for row in table.values() for value in row.values()}
  (prose,) = (c for c in stored["cells"] if c["id"] == "table-after")
  introduction, _, claims = "".join(prose["source"]).partition("\n- ")
  quoted = re.findall(r"\d+\.\d", claims)
  assert len(quoted) >= 12 and set(quoted) <= values
  official, drawn, mean, soft, *core = table.values()
  core_mean, core_soft, core_local = core
  assert mean["plain"] - max(official["plain"], drawn["plain"]) > 10
  assert abs(core_local["plain"] - mean["plain"]) < 1
  assert core_local["outline"] < mean["outline"]
  for style in ("plain", "outline"):
    wrong = f"{style} + wrong"
    assert core_soft[style] < mean[style]
    assert mean[wrong] < mean[style]
    assert abs(core_mean[wrong] - core_mean[style]) < 1
    assert core_soft[wrong] - soft[wrong] > 5
  assert "1 point at 97 %" in introduction
  for half, share in re.findall(r"(\d) points? at (\d+) %", introduction):
    share = int(share) / 100
    deviation = np.sqrt(share * (1 - share) / 900)
    assert round(196 * deviation) == int(half)


def test_the_file_is_a_small_notebook_without_traces_of_a_computer(
  repository, stored
):
  path: pathlib.Path = repository / TOUR
  assert path.stat().st_size < 600_000
  assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
  assert set(stored["metadata"]) == {"kernelspec", "language_info"}
  names = [cell["id"] for cell in stored["cells"]]
  assert len(set(names)) == len(names)
  assert all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)
  assert all(not cell["metadata"] for cell in stored["cells"])
  cells = _code(stored).values()
  assert [c["execution_count"] for c in cells] == [*range(1, len(cells) + 1)]
  for cell in cells:
    for output in cell["outputs"]:
      picture = output.get("data", {}).get("image/png", "")
      assert len(base64.b64decode(picture)) < 60_000
      assert output["output_type"] in (
        *("stream", "display_data", "execute_result"),
      )
    text = "".join(cell["source"]) + _text(cell)
    assert not re.search(r"/(home|root|tmp|work|Users)/|0x[0-9a-f]{6}", text)
  assert len([p for cell in cells for p in _pictures(cell)]) == 4


def _notebook(*sources: str) -> dict:
  cells = [
    {"cell_type": "code", "source": [source], "outputs": ["old"]}
    for source in sources
  ]
  return {"cells": [{"cell_type": "markdown", "source": ["# 1"]}, *cells]}


def test_a_cell_gives_prints_figures_and_its_last_value():
  given = _notebook(
    "x = 6\nprint('six')",
    "import matplotlib.pyplot as plt\n"
    "plt.figure('a label', figsize=(1, 1)).add_axes((0, 0, 1, 1))\nx + 1",
    "None",
  )
  markdown, first, second, third = run_notebook(given)["cells"]
  assert markdown == given["cells"][0]
  assert first["outputs"] == [
    {"output_type": "stream", "name": "stdout", "text": ["six\n"]}
  ]
  assert _pictures(second)[0][0] == "a label"
  assert _text(second) == "7" and second["execution_count"] == 2
  assert third["outputs"] == []
  assert given["cells"][1]["outputs"] == ["old"]  # a copy was filled


def test_an_error_names_its_cell_and_stores_nothing(repository, tmp_path):
  path = tmp_path / "bad.ipynb"
  path.write_text(json.dumps(_notebook("1", "1 / 0")))
  before = path.read_bytes()
  done = subprocess.run(
    [sys.executable, "-m", "tools.run_notebook", str(path)],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode
  assert 'File "cell 2", line 1' in done.stderr
  assert "ZeroDivisionError" in done.stderr
  assert path.read_bytes() == before
