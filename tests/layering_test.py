"""Who may import whom: the table of docs/ARCHITECTURE.md, read from the code.

A room is a module or a subpackage directly under `s3_jax`. Imports are read
from the syntax tree, so those inside functions count as well.
"""

import ast
import graphlib
import pathlib
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Rule(NamedTuple):
  """What the modules of one room may import beside the standard library."""

  rooms: tuple[str, ...] = ()
  third_party: tuple[str, ...] = ()
  inside_functions: tuple[str, ...] = ()  # third party, never at the top


COMMON = ("jax", "numpy", "jaxtyping")
NUMPY = ("numpy", "jaxtyping")
CORE = ("embeddings", "topology", "space", "point_to_space", "zero_shot")
LIBRARY = (
  *CORE,
  "adaptation",
  "files",
  "messages",
  "fields",
  "extras",
  "colors",
  "resampling",
  "progress",
  "sharding",
  "hosts",
  "clip",
  "lexicon",
  "data",
  "segmentation",
  "storage",
  "evaluation",
  "named_classes",
  "results",
  "training",
)
RULES = {
  "files": Rule(),
  "messages": Rule(),
  "extras": Rule(),
  "fields": Rule(("messages",)),
  "colors": Rule((), (*COMMON, "PIL")),
  "resampling": Rule((), (*NUMPY, "PIL"), ("numba",)),
  "progress": Rule(("messages",), ("tqdm",)),
  "sharding": Rule((), COMMON),
  "hosts": Rule(("progress",), COMMON),
  "embeddings": Rule((), COMMON),
  "topology": Rule(("messages",), COMMON),
  "space": Rule((*CORE[:2], "files", "messages"), COMMON, ("safetensors",)),
  "point_to_space": Rule(CORE[:3], COMMON),
  "zero_shot": Rule(CORE[:4], COMMON),
  "adaptation": Rule(CORE, (*COMMON, "optax")),
  "clip": Rule(
    ("embeddings", "files", "messages", "colors", "resampling", "hosts"),
    (*COMMON, "flax", "msgpack", "safetensors", "tokenizers", "ftfy", "PIL"),
    ("sentencepiece", "huggingface_hub"),
  ),
  "lexicon": Rule(
    ("messages", "fields", "extras", "progress"),
    (),
    ("openai", "httpx2", "httpcore2", "yaml"),
  ),
  "data": Rule(
    ("files", "colors", "resampling", "extras", "hosts", "lexicon"),
    (*COMMON, "PIL"),
    (
      *("tensorflow_datasets", "grain", "matplotlib", "cv2", "scipy"),
      *("pyarrow", "simplejpeg"),
    ),
  ),
  "evaluation": Rule((*CORE, "sharding"), COMMON),
  "segmentation": Rule(
    (*CORE, "messages", "extras", "clip", "sharding", "evaluation"),
    COMMON,
    ("cv2",),
  ),
  "storage": Rule(("files", "messages", "clip"), COMMON),
  "named_classes": Rule(
    (*CORE, "messages", "clip", "lexicon", "data", "storage", "evaluation"),
    (*COMMON, "PIL"),
  ),
  "results": Rule(
    ("files", "messages", "fields", "extras", "evaluation", "segmentation"),
    NUMPY,
    ("matplotlib", "jinja2"),
  ),
  "training": Rule(
    (*CORE, "files", "fields", "hosts", "clip", "lexicon", "data"),
    (*COMMON, "optax"),
  ),
  "integrations": Rule(
    (
      *("space", "point_to_space", "zero_shot", "messages"),
      *("clip", "data", "evaluation", "storage", "lexicon", "named_classes"),
    ),
    (*COMMON, "flax"),
    ("scenic", "sklearn"),
  ),
  "experiment": Rule(
    (*LIBRARY, "__init__"), (*COMMON, "ml_collections", "absl")
  ),
  # The facade, the two entry points, and the experiments.
  "__init__": Rule(LIBRARY),
  "command": Rule(
    ("experiment", "fields", "messages"), ("ml_collections", "absl")
  ),
  "__main__": Rule(
    ("experiment", "command", "files", "messages"),
    ("jax", "ml_collections", "absl"),
  ),
  "launch": Rule(),
  "main": Rule(("experiment", "__main__"), ("jax", "ml_collections", "absl")),
  "configs": Rule(("experiment",), ("ml_collections",)),
}

# Modules that need a heavy library to define a class. They may import it at
# the top, and in turn are themselves imported inside functions only.
DEFERRED = {
  "s3_jax.data.benchmark_builders",
  "s3_jax.data.emoji_builder",
  "s3_jax.data.pictograph_builder",
  "s3_jax.data.segmentation_builders",
  "s3_jax.data.stored_builder",
  "s3_jax.integrations.sklearn",
  "s3_jax.lexicon.transport",
}


class Import(NamedTuple):
  """One imported name, e.g. `s3_jax.clip.towers` or `PIL.Image`."""

  name: str
  line: int
  inside_function: bool


def read_imports(source: str, module: str, *, package: bool) -> list[Import]:
  """Lists what a module imports; a computed name appears as `?`."""
  found = []
  anchor = module.split(".") if package else module.split(".")[:-1]

  def visit(node: ast.AST, inside: bool) -> None:
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      up = anchor[: len(anchor) - node.level + 1] if node.level else []
      base = ".".join([*up, *([node.module] if node.module else [])])
      names = [f"{base}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
      ("import_module", "__import__")
    ):
      known = node.args and isinstance(node.args[0], ast.Constant)
      names = [str(node.args[0].value) if known else "?"]
    else:
      names = []
    found.extend(Import(name, node.lineno, inside) for name in names)
    inside |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for child in ast.iter_child_nodes(node):
      visit(child, inside)

  visit(ast.parse(source), False)
  return found


def breaches(
  source: str, module: str, *, package: bool = False
) -> Iterator[str]:
  """Yields one line for each import that the table forbids."""
  room = room_of(module)
  rule = RULES[room]
  for name, line, inside in read_imports(source, module, package=package):
    root = name.split(".")[0]
    where = f"{module}:{line} ({room}) imports {name}"
    if root in sys.stdlib_module_names:
      continue
    if root == "s3_jax":
      target = room_of(name)
      if target != room and target not in rule.rooms:
        yield f"{where}: {room} may not know {target}"
      if not (inside or module in DEFERRED) and any(
        name == deferred or name.startswith(f"{deferred}.")
        for deferred in DEFERRED
      ):
        yield f"{where}: only inside functions"
    elif root in rule.inside_functions:
      if not inside and module not in DEFERRED:
        yield f"{where}: only inside functions"
    elif root not in rule.third_party:
      yield f"{where}: {root} is not among {room}'s libraries"
    if any(part.startswith("_") for part in name.split(".")[1:]) and (
      root != "s3_jax"
    ):
      yield f"{where}: private"


def room_of(module: str) -> str:
  """Room of a dotted name; a bare `s3_jax` or its names are the facade's."""
  parts = module.split(".")
  if parts[0] != "s3_jax":
    return parts[0]
  return parts[1] if len(parts) > 1 and parts[1] in RULES else "__init__"


def _modules() -> dict[str, pathlib.Path]:
  files = [
    *sorted((ROOT / "s3_jax").rglob("*.py")),
    *sorted((ROOT / "configs").glob("*.py")),
    *ROOT.glob("main.py"),
  ]
  modules = {}
  for file in files:
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
      parts = parts[:-1]
    modules[".".join(parts)] = file
  return modules


MODULES = _modules()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
  file = MODULES[module]
  room = (*module.split("."), "__init__")[1 if module[:6] == "s3_jax" else 0]
  assert room in RULES, f"{room} needs a row in the table"
  wrong = list(
    breaches(
      file.read_text("utf-8"), module, package=file.name == "__init__.py"
    )
  )
  assert not wrong, "\n".join(wrong)


def test_every_room_exists():
  rooms = {room_of(module) for module in MODULES}
  assert rooms == set(RULES)


def test_modules_have_no_cycle():
  graph = {}
  for module, file in MODULES.items():
    package = file.name == "__init__.py"
    names = read_imports(file.read_text("utf-8"), module, package=package)
    targets = set()
    for name, *_ in names:
      # `from a.b import c` names a module `a.b.c` or a thing inside `a.b`.
      parent = name.rpartition(".")[0]
      targets |= {name if name in MODULES else parent} & MODULES.keys()
    graph[module] = targets - {module}
  assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_table_has_no_cycle():
  graph = {room: rule.rooms for room, rule in RULES.items()}
  order = list(graphlib.TopologicalSorter(graph).static_order())
  assert set(order) == set(RULES)


def test_nothing_may_use_torch_or_tensorflow():
  allowed = {
    name
    for room, rule in RULES.items()
    for name in (*rule.third_party, *rule.inside_functions)
    # The one bridge to another framework.
    if (room, name) != ("integrations", "scenic")
  }
  assert not allowed & {"torch", "tensorflow", "scenic", "transformers"}


@pytest.mark.parametrize("room", [r for r in RULES if r != "configs"])
def test_architecture_page_names_the_room(room):
  page = (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
  rows = re.findall(r"^\| `([^|]*)` +\|", page, flags=re.MULTILINE)
  named = {name for row in rows for name in re.split(r"`, `", row)}
  aliases = {"__init__": "__init__.py", "__main__": "__main__.py"}
  aliases["main"] = "main.py"
  assert aliases.get(room, room) in named


WRONG = '''
"""A module of the room `space` that breaks every rule."""
import os, torch
import numpy as np
from s3_jax import topology, clip
from s3_jax.embeddings import l2_normalize
from s3_jax import load_clip
import jax._src.core
from . import point_to_space
from .data import pictograph_builder

class Space:
  import matplotlib.pyplot as plt

  def method(self):
    import tensorflow as tf
    from s3_jax.results import report

def by_name(name):
  import importlib
  importlib.import_module("grain.python")
  return importlib.import_module(name), __import__("flax")
'''


def test_a_wrong_module_is_caught():
  found = list(breaches(WRONG, "s3_jax.space"))
  caught = [re.search(r":(\d+) .* imports (\S+):", line) for line in found]
  assert [(int(m[1]), m[2]) for m in caught if m] == [
    (3, "torch"),
    (5, "s3_jax.clip"),
    (7, "s3_jax.load_clip"),
    (8, "jax._src.core"),
    (9, "s3_jax.point_to_space"),
    (10, "s3_jax.data.pictograph_builder"),
    (10, "s3_jax.data.pictograph_builder"),
    (13, "matplotlib.pyplot"),
    (16, "tensorflow"),
    (17, "s3_jax.results.report"),
    (21, "grain.python"),
    (22, "?"),
    (22, "flax"),
  ]


def test_heavy_libraries_wait_for_a_function():
  top = "import grain\n"
  inside = "def read():\n  import grain\n"
  assert len(list(breaches(top, "s3_jax.data.pipeline"))) == 1
  assert not list(breaches(inside, "s3_jax.data.pipeline"))
  assert not list(breaches(top, "s3_jax.data.pictograph_builder"))
  use = "from s3_jax.data import pictograph_builder\n"
  assert len(list(breaches(use, "s3_jax.data.pipeline"))) == 1
  late = "def prepare():\n" + textwrap.indent(use, "  ")
  assert not list(breaches(late, "s3_jax.data.pipeline"))


def test_relative_imports_are_resolved():
  source = "from . import towers\nfrom ..data import readers\n"
  in_module = read_imports(source, "s3_jax.clip.weights", package=False)
  assert [i.name for i in in_module] == [
    "s3_jax.clip.towers",
    "s3_jax.data.readers",
  ]
  in_package = read_imports("from . import towers", "s3_jax.clip", package=True)
  assert [i.name for i in in_package] == ["s3_jax.clip.towers"]
