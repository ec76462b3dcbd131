"""What a results mapping must hold, and how its absence is reported."""

import copy
import json
import math
from typing import NamedTuple

import numpy as np
import pytest

from s3_jax.evaluation.schema import plain, validate_results

METHOD = {
  "dataset": "plain",
  "name": "class_name",
  "top1": 0.5,
  "top5": 0.75,
  "mean_per_class": 0.5,
  "ece": 0.1,
  "ci95": [0.4, 0.6],
  "n": 4,
}
RESULTS = {
  "schema": 1,
  "config": {"seed": 0},
  "environment": {"jax": "0.10.2"},
  "model": {"name": "tiny", "spec": {}, "sha256": "ab"},
  "texts": {"sha256": "cd"},
  "datasets": [
    {
      "name": "plain",
      "split": "test",
      "classes": 2,
      "examples": 4,
      "bad_examples": [{"file": "x.png", "reason": "truncated"}],
    }
  ],
  "methods": [METHOD, METHOD | {"name": "center", "top1": 1.0}],
  "comparisons": [
    {
      "dataset": "plain",
      "a": "center",
      "b": "class_name",
      "delta": -0.5,
      "ci95": [-1.0, 0.0],
      "p_value": 0.5,
    }
  ],
  "timings": {"load": 1.0},
  "counters": {"images_decoded": 4, "tower_batches": 1, "cache": "cold"},
  "pruning": {
    "wrong_total": 3,
    "wrong_removed": 2,
    "right_total": 9,
    "right_removed": 0,
  },
  "seed": 0,
}


def test_a_complete_mapping_passes_and_is_left_alone():
  before = copy.deepcopy(RESULTS)
  validate_results(RESULTS)
  assert before == RESULTS
  validate_results({k: v for k, v in RESULTS.items() if k != "pruning"})


def with_change(path, value):
  """Sets (or, for `...`, deletes) one entry of a copy."""
  results = copy.deepcopy(RESULTS)
  node = results
  for step in path[:-1]:
    node = node[step]
  if value is ...:
    del node[path[-1]]
  else:
    node[path[-1]] = value
  return results


@pytest.mark.parametrize(
  "path",
  [
    *((key,) for key in RESULTS if key != "pruning"),
    *(("datasets", 0, key) for key in RESULTS["datasets"][0]),
    *(("methods", 1, key) for key in METHOD),
    *(("comparisons", 0, key) for key in RESULTS["comparisons"][0]),
    *(("counters", key) for key in RESULTS["counters"]),
    *(("pruning", key) for key in RESULTS["pruning"]),
    *(("model", key) for key in RESULTS["model"]),
    ("datasets", 0, "bad_examples", 0, "reason"),
  ],
)
def test_every_missing_key_is_named(path):
  with pytest.raises(ValueError, match=f"must have the key '{path[-1]}'"):
    validate_results(with_change(path, ...))


@pytest.mark.parametrize(
  ("path", "value", "message"),
  [
    (("schema",), 2, "`results.schema` must be 1, got 2"),
    (("extra",), 1, "no other keys, got 'extra'"),
    (("methods", 0, "top1"), 54.3, r"methods\[0\].top1` must be in \[0, 1\]"),
    (("methods", 0, "ece"), -0.1, "got -0.1"),
    (("methods", 0, "ece"), math.nan, r"methods\[0\].ece` must be finite"),
    (("methods", 0, "ece"), np.float32("inf"), "must be finite, got inf"),
    (("methods", 0, "ece"), None, "got None"),
    (("methods", 0, "ece"), True, "got True"),
    (("methods", 0, "n"), 0, "whole number >= 1, got 0"),
    (("methods", 0, "n"), 1.5, "whole number >= 1, got 1.5"),
    (("methods", 0, "ci95"), [0.6, 0.4], "low <= high"),
    (("methods", 0, "ci95"), [0.6], r"must be \[low, high\]"),
    (("methods", 0, "ci95"), [0.6, 1.1], "got 1.1"),
    (("methods", 0, "dataset"), "other", "one of plain, got 'other'"),
    (("methods", 0, "name"), "", "non-empty text"),
    (("methods", 1, "name"), "class_name", "must be unique"),
    (("methods",), [], "must hold a method"),
    (("methods",), {}, "must be a list"),
    (("datasets",), [], "must hold a data set"),
    (("datasets",), [RESULTS["datasets"][0]] * 2, "must be unique"),
    (("datasets", 0, "classes"), 0, "whole number >= 1"),
    (("datasets", 0, "bad_examples"), 3, "must be a list, got 3"),
    (("comparisons", 0, "a"), "none", "measured on 'plain', got 'none'"),
    (("comparisons", 0, "delta"), -1.2, r"must be in \[-1, 1\], got -1.2"),
    (("comparisons", 0, "p_value"), 1.01, "got 1.01"),
    (("counters", "cache"), "hot", '"cold" or "warm", got \'hot\''),
    (("counters", "tower_batches"), -1, "whole number >= 0"),
    (("pruning", "wrong_removed"), 4, "must be <= 3, got 4"),
    (("timings",), [1.0], "`results.timings` must be a mapping"),
    (("timings", "load"), object(), "got object"),
    (("config", 3), 1, "keys of `results.config` must be strings, got 3"),
    (("seed",), "0", "whole number"),
  ],
)
def test_every_broken_rule_is_named(path, value, message):
  with pytest.raises(ValueError, match=message):
    validate_results(with_change(path, value))


def test_numpy_and_named_tuples_become_json():
  class Pair(NamedTuple):
    low: np.float32
    high: tuple[int, ...]

  tree = {
    "a": np.float32(0.5),
    "b": np.arange(3),
    "c": Pair(np.float32(1.0), (1, 2)),
    "d": [None, True, "x", np.bool_(False)],
    "e": np.array(2),
  }
  got = plain(tree)
  assert json.loads(json.dumps(got, allow_nan=False)) == {
    "a": 0.5,
    "b": [0, 1, 2],
    "c": {"low": 1.0, "high": [1, 2]},
    "d": [None, True, "x", False],
    "e": 2,
  }


def test_an_array_with_nan_names_its_place():
  with pytest.raises(ValueError, match=r"`results.a\[1\]` must be finite"):
    plain({"a": np.array([0.0, np.nan])})
