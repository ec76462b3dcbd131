"""What a results mapping must hold, and how its absence is reported."""

import copy
import json
import math
from typing import NamedTuple

import numpy as np
import pytest

from s3_jax.results.schema import plain, read_results, validate_results
from tests.results.sample_results import make_everything

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
  "schema": 2,
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
    (("schema",), 1, "`results.schema` must be 2, got 1: .* run .* again"),
    (("texts",), {"datasets": {"x": {}}}, "one of plain, got 'x'"),
    (("texts",), {"datasets": {"plain": {}}}, "must have the key 'methods'"),
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


EVERYTHING = make_everything()[0]


def test_all_parts_pass():
  validate_results(EVERYTHING)


@pytest.mark.parametrize(
  "part",
  ["confusions", "expectations", "published", "reliability", "skipped"],
)
def test_each_part_is_optional_and_a_list(part):
  validate_results({k: v for k, v in EVERYTHING.items() if k != part})
  with pytest.raises(ValueError, match=f"`results.{part}` must be a list"):
    validate_results(EVERYTHING | {part: {}})
  validate_results(EVERYTHING | {part: []})
  for key in EVERYTHING[part][0]:
    if key == "note":
      continue
    entry = {k: v for k, v in EVERYTHING[part][0].items() if k != key}
    with pytest.raises(ValueError, match=f"must have the key '{key}'"):
      validate_results(EVERYTHING | {part: [entry]})


@pytest.mark.parametrize(
  ("part", "change", "message"),
  [
    ("published", {"kind": "measured"}, r"published\[0\].kind` must be one of"),
    ("published", {"top1": 44.27}, r"top1` must be in \[0, 1\], got 44.27"),
    ("published", {"source": ""}, "source` must be a non-empty text"),
    ("expectations", {"met": 1}, "met` must be true, false or null, got 1"),
    ("expectations", {"note": None}, "note` must be a text, got None"),
    ("expectations", {"method": "x"}, r"method, got \('plain', 'x'\)"),
    ("expectations", {"dataset": []}, "dataset` must be a non-empty text"),
    ("expectations", {"measured": -0.1}, r"must be in \[0, 1\], got -0.1"),
    ("skipped", {"dataset": "plain"}, "must not be a data set that was"),
    ("skipped", {"reason": ""}, "reason` must be a non-empty text"),
    ("confusions", {"dataset": "x"}, "must name a measured data set"),
    ("confusions", {"pairs": 3}, r"confusions\[0\].pairs` must be a list"),
    ("confusions", {"pairs": [{}]}, r"pairs\[0\]` must have the key 'label'"),
    ("reliability", {"bins": [{}]}, r"bins\[0\]` must have the key 'low'"),
  ],
)
def test_every_broken_part_is_named(part, change, message):
  entry = EVERYTHING[part][0] | change
  with pytest.raises(ValueError, match=message):
    validate_results(EVERYTHING | {part: [entry]})


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"count": 0}, "whole number >= 1, got 0"),
    ({"share": 1.5}, "got 1.5"),
    ({"label": -1}, "whole number >= 0, got -1"),
    ({"name": 3}, "non-empty text, got 3"),
  ],
)
def test_every_broken_pair_is_named(change, message):
  entry = EVERYTHING["confusions"][0]
  pair = entry["pairs"][0] | change
  with pytest.raises(ValueError, match=message):
    validate_results(EVERYTHING | {"confusions": [entry | {"pairs": [pair]}]})


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"n": 0, "accuracy": None, "confidence": None}, None),
    ({"accuracy": None}, "accuracy` must be in"),
    ({"high": 1.1}, "high` must be in"),
    ({"n": 1.0}, "whole number >= 0"),
  ],
)
def test_every_broken_bin_is_named(change, message):
  row = EVERYTHING["reliability"][0]
  bin_ = {"low": 0.0, "high": 0.1, "n": 3, "accuracy": 0.5, "confidence": 0.1}
  results = EVERYTHING | {"reliability": [row | {"bins": [bin_ | change]}]}
  if message is None:
    validate_results(results)
  else:
    with pytest.raises(ValueError, match=message):
      validate_results(results)


def test_words_on_intervals_are_a_mapping_of_texts():
  for value, message in (([], "must be a mapping"), ({"a": 1}, "got 1")):
    with pytest.raises(ValueError, match=message):
      validate_results(EVERYTHING | {"intervals": value})


def test_the_bootstrap_interval_is_optional_and_checked():
  path = ("methods", 0, "bootstrap_ci95")
  validate_results(with_change(path, [0.3, 0.7]))
  with pytest.raises(ValueError, match="bootstrap_ci95` must have low <= high"):
    validate_results(with_change(path, [0.7, 0.3]))


def test_lone_surrogates_are_written_out():
  assert plain({"a\udcff": ["\ud800"]}) == {"a\\udcff": ["\\ud800"]}


def test_results_are_read_from_a_file_and_from_its_folder(tmp_path):
  path = tmp_path / "results.json"
  path.write_text(json.dumps(RESULTS), "utf-8")
  assert read_results(path) == read_results(tmp_path) == RESULTS


def test_older_and_newer_files_are_read(tmp_path):
  path = tmp_path / "results.json"
  older = {k: v for k, v in RESULTS.items() if k != "pruning"}
  for results in (older, RESULTS | {"of_the_future": [1]}):
    path.write_text(json.dumps(results), "utf-8")
    assert read_results(path) == results


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "got a file that is not JSON"),
    (b"{", "got a file that is not JSON"),
    (b"\xff", "not UTF-8"),
    (b"[]", "must hold the results of a run: `results` must be a mapping"),
    (b"{}", "must have the key 'schema'"),
    (b"[" * 100_000, "got a file that is not JSON"),
    (json.dumps(RESULTS | {"schema": 1}).encode(), "must be 2, got 1"),
    (json.dumps(RESULTS | {"seed": math.nan}).encode(), "seed` must be finite"),
    (
      json.dumps(with_change(("comparisons", 0, "a"), [])).encode(),
      "a` must be a non-empty text",
    ),
  ],
)
def test_files_that_hold_no_results_are_refused(tmp_path, content, message):
  path = tmp_path / "results.json"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as caught:
    read_results(path)
  assert str(path) in str(caught.value)


def test_absent_files_are_refused(tmp_path):
  for path in (tmp_path, tmp_path / "none" / "results.json"):
    with pytest.raises(ValueError, match="a folder that holds one: No such"):
      read_results(path)
