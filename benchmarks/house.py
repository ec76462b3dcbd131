"""How large the house is: lines, imports, and the longest chain of them.

  python benchmarks/house.py
  python benchmarks/house.py --run

Prints the figures of docs/ARCHITECTURE.md as a Markdown table, read from the
files alone. Lines are those of Python files. Code lines are neither blank nor
comments nor parts of docstrings. The longest chain is the longest path of
modules of which each imports the next when it is loaded or when it is called.

`--run` runs a benchmark on four drawn images and lists the files of its way:
those of the rooms named below in which a function is called, and which of them
get the config, what reads it, or a record that was read from it.
"""

import ast
import functools
import io
import pathlib
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("evaluation", "results", "storage", "segmentation")
_NO_CODE = (
  *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT),
  *(tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING),
)


def tell(text: str) -> None:
  """Writes a line."""
  sys.stdout.write(text + "\n")


def docstring_lines(tree: ast.AST) -> set[int]:
  """Returns the numbers of the lines that docstrings take."""
  lines: set[int] = set()
  for node in ast.walk(tree):
    is_constant = isinstance(node, ast.Expr) and isinstance(
      node.value, ast.Constant
    )
    if is_constant and isinstance(node.value.value, str):
      lines.update(range(node.lineno, (node.end_lineno or 0) + 1))
  return lines


def import_lines(tree: ast.AST) -> set[int]:
  """Returns the numbers of the lines that import statements take."""
  lines: set[int] = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import | ast.ImportFrom):
      lines.update(range(node.lineno, (node.end_lineno or 0) + 1))
  return lines


def count(files: Iterable[pathlib.Path]) -> tuple[int, int, int, int]:
  """Counts files, lines, lines of code and lines of imports."""
  number = lines = code = imports = 0
  for file in files:
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    coded = {
      line
      for token in tokenize.generate_tokens(io.StringIO(text).readline)
      if token.type not in _NO_CODE
      for line in range(token.start[0], token.end[0] + 1)
    }
    number += 1
    lines += text.count("\n")
    code += len(coded - docstring_lines(tree))
    imports += len(import_lines(tree))
  return number, lines, code, imports


def modules() -> dict[str, pathlib.Path]:
  """Lists the modules of the package by their dotted names."""
  found = {}
  for file in sorted((ROOT / "s3_jax").rglob("*.py")):
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    found[".".join(parts)] = file
  return found


def imported(file: pathlib.Path, known: Iterable[str]) -> Iterator[str]:
  """Names the modules of the package that a file imports, wherever it does."""
  for node in ast.walk(ast.parse(file.read_text("utf-8"))):
    if isinstance(node, ast.ImportFrom) and node.module:
      names = [f"{node.module}.{alias.name}" for alias in node.names]
      for name in names:
        # `from a.b import c` names a module `a.b.c` or a thing inside `a.b`.
        target = name if name in known else node.module
        if target in known:
          yield target
    elif isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names if alias.name in known)


def longest_chain() -> list[str]:
  """Finds the longest path of imports between modules."""
  known = modules()
  graph = {
    name: sorted(set(imported(file, known)) - {name})
    for name, file in known.items()
  }

  @functools.cache
  def path(name: str) -> tuple[str, ...]:
    return (
      name,
      *max((path(each) for each in graph[name]), key=len, default=()),
    )

  sys.setrecursionlimit(10_000)
  return list(max(map(path, known), key=len))


SETTINGS = ("ConfigDict", "Settings", "Benchmark", "ViewSettings")
"""Types of a config, of what reads it, and of the records of a run."""
PARTS = ("SpaceOptions", "CheckpointSource", "Session", "Given")


def run_files() -> tuple[list[str], set[str]]:
  """Runs a small benchmark; lists its files, and those that get settings."""
  import numpy as np
  from PIL import Image

  sys.path.insert(0, str(ROOT))
  from configs import own_images
  from s3_jax import experiment

  wanted = {*SETTINGS, *PARTS}
  entered: set[str] = set()
  seen: set[str] = set()

  def look(frame: Any, event: str, _: Any) -> None:
    name = frame.f_code.co_filename
    room = name.rpartition("/s3_jax/")[2].split("/")[0]
    # Templates have frames of their own.
    is_ours = room in ("experiment", *ROOMS) and name.endswith(".py")
    if event != "call" or not is_ours:
      return
    entered.add(name)
    count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
    for each in frame.f_code.co_varnames[:count]:
      if type(frame.f_locals.get(each)).__name__ in wanted:
        seen.add(name)

  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    random = np.random.default_rng(0)
    for index in range(4):
      path = root / "images" / ("cat", "dog")[index % 2] / f"{index}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      pixels = random.integers(0, 255, (40, 40, 3), np.uint8)
      Image.fromarray(pixels).save(path)
    config = own_images.get_config()
    config.model = "s3_jax/pictographs"
    config.data_dir = str(root / "images")
    config.cache_dir = str(root / "cache")
    config.methods = ("class_name", "s3")
    sys.setprofile(look)
    try:
      experiment.run(config, str(root / "run"))
    finally:
      sys.setprofile(None)
  return sorted(entered), seen


def main() -> None:
  """Prints the table, or the files."""
  if "--run" in sys.argv:
    files, given = run_files()
    tell(f"{len(files)} files, {len(given)} of them (*) get settings:")
    for name in files:
      inside = pathlib.Path(name).relative_to(ROOT / "s3_jax")
      tell(f"{'*' if name in given else ' '} {inside}")
    return
  package = ROOT / "s3_jax"
  parts = {
    "s3_jax": package.rglob("*.py"),
    "experiment": (package / "experiment").rglob("*.py"),
    " + ".join(ROOMS): (
      file for room in ROOMS for file in (package / room).rglob("*.py")
    ),
    "configs": (ROOT / "configs").glob("*.py"),
    "tests": (ROOT / "tests").rglob("*.py"),
  }
  tell("| | files | lines | code lines | import lines |")
  tell("|---|---|---|---|---|")
  for name, files in parts.items():
    number, lines, code, imports = count(files)
    share = 100 * imports / lines
    tell(f"| {name} | {number} | {lines:,} | {code:,} | {share:.1f} % |")
  chain = longest_chain()
  tell(f"\nLongest chain of imports: {len(chain)} modules")
  tell(" > ".join(name.removeprefix("s3_jax.") for name in chain))


if __name__ == "__main__":
  main()
