"""What results say of precision, and that it is true."""

import ast
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s3_jax
from s3_jax.clip.transformer import contract
from s3_jax.experiment.machine.environment import describe_environment
from s3_jax.results.schema import validate_results

# Rooms whose products the statement is about.
ROOMS = (
  "adaptation",
  "clip",
  "embeddings",
  "evaluation",
  "point_to_space",
  "space",
  "topology",
  "zero_shot",
)
PRODUCTS = (
  "conv_general_dilated",
  "dot",
  "dot_general",
  "einsum",
  "inner",
  "matmul",
  "tensordot",
  "vdot",
)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_statement(monkeypatch, dtype):
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  described = json.loads(json.dumps(describe_environment(dtype)))
  assert described["tower_matmul"] == dtype
  assert described["tower_precision"].startswith(f"products of {dtype}")
  assert ("HIGHEST" in described["tower_precision"]) == (dtype == "float32")
  assert described["core_matmul"] == "float32, precision HIGHEST"
  assert described["default_matmul_precision"] is None
  assert described["xla_flags"] is None


def test_what_the_user_set_is_stated(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_one=1 --xla_two")
  with jax.default_matmul_precision("tensorfloat32"):
    described = describe_environment("float32")
  assert described["xla_flags"] == "--xla_one=1 --xla_two"
  assert described["default_matmul_precision"] == "tensorfloat32"


def products(source: str):
  """Yields the products of jax arrays with their stated precision."""
  for node in ast.walk(ast.parse(source)):
    if not isinstance(node, ast.Call):
      continue
    module, _, name = ast.unparse(node.func).rpartition(".")
    if name in PRODUCTS and module in ("jnp", "lax", "jax.lax"):
      yield node.lineno, {keyword.arg for keyword in node.keywords}


def test_every_product_states_its_precision():
  root = pathlib.Path(s3_jax.__file__).parent
  found = 0
  for file in root.rglob("*.py"):
    if file.relative_to(root).with_suffix("").parts[0] not in ROOMS:
      continue
    for line, stated in products(file.read_text("utf-8")):
      found += 1
      # bfloat16 operands have one precision; their sums state theirs.
      assert stated & {"precision", "preferred_element_type"}, (file, line)
  assert found > 20


@pytest.mark.parametrize("word", ["bfloat16", "highest"])
def test_the_default_changes_no_product_of_the_towers(word):
  x = jnp.ones((2, 3), jnp.float32)

  def program(dtype):
    function = lambda a, b: contract("ij,kj->ik", a, b, dtype=dtype)
    return str(jax.make_jaxpr(function)(x, x))

  expected = [program(dtype) for dtype in ("float32", "bfloat16")]
  assert "HIGHEST" in expected[0]
  with jax.default_matmul_precision(word):
    assert program("float32") == expected[0]


@pytest.fixture
def results():
  """The least that results hold, with the environment of this process."""
  method = {"top1": 0.5, "top5": 1.0, "mean_per_class": 0.5, "ece": 0.1}
  return {
    "schema": 2,
    "seed": 0,
    "config": {},
    "environment": describe_environment("float32"),
    "model": {"name": "m", "spec": {}, "sha256": "0"},
    "texts": {},
    "timings": {},
    "counters": {"images_decoded": 1, "tower_batches": 1, "cache": "cold"},
    "datasets": [
      {
        "name": "d",
        "split": "test",
        "classes": 2,
        "examples": 4,
        "bad_examples": [],
      }
    ],
    "methods": [
      {"dataset": "d", "name": "m", "n": 4, "ci95": [0.1, 0.9], **method}
    ],
    "comparisons": [],
  }


def test_older_files_lack_the_statement(results):
  validate_results(results)
  for key in ("tower_precision", "default_matmul_precision", "xla_flags"):
    del results["environment"][key]
    validate_results(results)
  results["environment"] = {}
  validate_results(results)


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("tower_precision", None),
    ("tower_matmul", ""),
    ("core_matmul", 3),
    ("xla_flags", ["--a"]),
    ("default_matmul_precision", np.float32(2)),
  ],
)
def test_a_statement_is_a_text(results, key, value):
  results["environment"][key] = value
  with pytest.raises(ValueError, match=f"results.environment.{key}"):
    validate_results(results)
