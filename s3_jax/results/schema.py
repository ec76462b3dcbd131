"""What `results.json` holds (schema 2): checked when written and when read.

docs/RESULT_FILES.md describes every key.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s3_jax.results import schema_checks as check
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.schema_parts import PARTS, check_parts

__all__ = ["SCHEMA", "plain", "read_results", "validate_results"]

SCHEMA = 2
"""2: `center` and `nearest_point` score the core in every run, and `texts` and
`datasets` have one shape."""

_MAPPINGS = ("config", "environment", "model", "texts", "timings", "counters")
_LISTS = ("datasets", "methods", "comparisons")
_REQUIRED = ("schema", "seed", *_MAPPINGS, *_LISTS)
_DATASET_KEYS = ("name", "split", "classes", "examples", "bad_examples")
_METHOD_KEYS = ("dataset", "name", "n", "ci95")
_MEASURES = ("top1", "top5", "mean_per_class", "ece")
# An entry has these where pixels were labelled, and the others where images.
_PIXEL_MEASURES = ("miou", "pixel_accuracy")
_PIXEL_KEYS = (*_PIXEL_MEASURES, "per_class_iou")
_COMPARISON_KEYS = ("dataset", "a", "b", "delta", "ci95", "p_value")
_MODEL_KEYS = ("name", "spec", "sha256")
# Absent in files of older versions, the towers' where none ran; the last two
# may be null.
_PRECISION_KEYS = ("tower_matmul", "tower_precision", "core_matmul")
_NULLABLE_KEYS = ("default_matmul_precision", "xla_flags")
_COUNTERS = ("images_decoded", "tower_batches")


def plain(value: Any, where: str = "results") -> Any:
  """Turns numpy values, tuples and NamedTuples into what JSON knows."""
  if isinstance(value, np.generic | np.ndarray):
    value = value.tolist()
  if isinstance(value, Mapping):
    for key in value:
      if not isinstance(key, str):
        raise ValueError(f"keys of `{where}` must be strings, got {key!r}.")
    return {
      valid_unicode(key): plain(item, f"{where}.{key}")
      for key, item in value.items()
    }
  as_dict = getattr(value, "_asdict", None)
  if isinstance(value, tuple) and as_dict is not None:
    return plain(as_dict(), where)
  if isinstance(value, list | tuple):
    return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"`{where}` must be finite, got {value}.")
  if isinstance(value, str):
    return valid_unicode(value)
  if value is None or isinstance(value, bool | int | float):
    return value
  raise ValueError(
    f"`{where}` must be made of numbers, texts, lists and mappings, got "
    f"{type(value).__name__}."
  )


def validate_results(results: Mapping[str, Any]) -> None:
  """Checks a results mapping against schema 2.

  Fractions must lie in [0, 1] (differences in [-1, 1]), intervals must be
  ordered, every method and comparison must name a listed data set, and no
  (data set, method) may occur twice.
  """
  tree = plain(results)
  _check(tree)
  unknown = sorted(set(tree) - set(_REQUIRED) - set(PARTS))
  if unknown:
    raise ValueError(f"`results` must have no other keys, got {unknown[0]!r}.")


def read_results(path: Path) -> dict[str, Any]:
  """Reads the results of a run, of this version or of an older one.

  Parts that an older version did not write are absent; keys that a newer one
  added within the schema are kept and not looked at.
  """
  file = path / "results.json" if path.is_dir() else path
  try:
    text = file.read_text("utf-8-sig")
  except OSError as error:
    raise ValueError(
      f"{str(file)!r} must be a results.json or a folder that holds one:"
      f" {error.strerror}."
    ) from error
  except UnicodeDecodeError:
    raise ValueError(
      f"{str(file)!r} must be a results.json, got a file that is not UTF-8."
    ) from None
  try:
    tree = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{str(file)!r} must be a results.json, got a file that is not JSON:"
      f" {error}."
    ) from None
  try:
    tree = plain(tree)
    _check(tree)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{str(file)!r} must hold the results of a run: {error}"
    ) from None
  return tree


def _check(tree: Any) -> None:
  check.keys(tree, _REQUIRED, "results")
  if tree["schema"] != SCHEMA:
    raise ValueError(
      f"`results.schema` must be {SCHEMA}, got {tree['schema']!r:.40}: keys of"
      " another schema mean something else; run the experiment again with this"
      " version."
    )
  check.whole(tree["seed"], "results.seed")
  for key in _MAPPINGS:
    check.keys(tree[key], (), f"results.{key}")
  for key in _LISTS:
    check.rows(tree[key], f"results.{key}")
  check.keys(tree["model"], _MODEL_KEYS, "results.model")
  _check_environment(tree["environment"])
  _check_counters(tree["counters"])
  datasets = _check_datasets(tree["datasets"])
  _check_texts(tree["texts"], datasets)
  methods = _check_methods(tree["methods"], datasets)
  _check_comparisons(tree["comparisons"], methods)
  check_parts(tree, methods)


def _check_environment(environment: Mapping[str, Any]) -> None:
  for key in (*_PRECISION_KEYS, *_NULLABLE_KEYS):
    value = environment.get(key)
    if key in environment and not (value is None and key in _NULLABLE_KEYS):
      check.text(value, f"results.environment.{key}")


def _check_counters(counters: Any) -> None:
  check.keys(counters, (*_COUNTERS, "cache"), "results.counters")
  for key in _COUNTERS:
    check.whole(counters[key], f"results.counters.{key}")
  if counters["cache"] not in ("cold", "warm"):
    raise ValueError(
      '`results.counters.cache` must be "cold" or "warm", got '
      f"{counters['cache']!r}."
    )


def _check_datasets(datasets: Sequence[Any]) -> set[str]:
  names: set[str] = set()
  for i, entry in enumerate(datasets):
    where = f"results.datasets[{i}]"
    check.keys(entry, _DATASET_KEYS, where)
    check.text(entry["name"], f"{where}.name")
    if entry["name"] in names:
      raise ValueError(
        f"`{where}.name` must be unique, got {entry['name']!r} again."
      )
    names.add(entry["name"])
    check.whole(entry["classes"], f"{where}.classes", low=1)
    check.whole(entry["examples"], f"{where}.examples", low=1)
    bad_examples = check.rows(entry["bad_examples"], f"{where}.bad_examples")
    for location, bad in bad_examples:
      check.keys(bad, ("file", "reason"), location)
      for key in ("file", "reason"):
        check.text(bad[key], f"{location}.{key}")
  if not names:
    raise ValueError("`results.datasets` must hold a data set, got none.")
  return names


def _check_texts(texts: Mapping[str, Any], datasets: set[str]) -> None:
  by_set = texts.get("datasets", {})
  check.keys(by_set, (), "results.texts.datasets")
  for name, facts in by_set.items():
    check.listed(name, datasets, "results.texts.datasets")
    check.keys(facts, ("methods",), f"results.texts.datasets.{name}")


def _check_methods(
  methods: Sequence[Any], datasets: set[str]
) -> set[tuple[str, str]]:
  seen: set[tuple[str, str]] = set()
  for i, entry in enumerate(methods):
    where = f"results.methods[{i}]"
    check.keys(entry, _METHOD_KEYS, where)
    check.text(entry["name"], f"{where}.name")
    check.listed(entry["dataset"], datasets, f"{where}.dataset")
    check.whole(entry["n"], f"{where}.n", low=1)
    of_pixels = "miou" in entry
    check.keys(entry, _PIXEL_KEYS if of_pixels else _MEASURES, where)
    for key in _PIXEL_MEASURES if of_pixels else _MEASURES:
      check.between(entry[key], 0, f"{where}.{key}")
    if of_pixels:
      for location, iou in check.rows(
        entry["per_class_iou"], f"{where}.per_class_iou"
      ):
        if iou is not None:  # a class that is nowhere has none
          check.between(iou, 0, location)
    for key in ("ci95", "bootstrap_ci95", "pixel_accuracy_ci95"):
      if key in entry:
        check.interval(entry[key], 0, f"{where}.{key}")
    pair = (entry["dataset"], entry["name"])
    if pair in seen:
      raise ValueError(f"`{where}` must be unique, got {pair} again.")
    seen.add(pair)
  if not seen:
    raise ValueError("`results.methods` must hold a method, got none.")
  return seen


def _check_comparisons(
  comparisons: Sequence[Any], methods: set[tuple[str, str]]
) -> None:
  for i, entry in enumerate(comparisons):
    where = f"results.comparisons[{i}]"
    check.keys(entry, _COMPARISON_KEYS, where)
    for key in ("dataset", "a", "b"):
      check.text(entry[key], f"{where}.{key}")
    for side in ("a", "b"):
      if (entry["dataset"], entry[side]) not in methods:
        raise ValueError(
          f"`{where}.{side}` must be a method measured on "
          f"{entry['dataset']!r}, got {entry[side]!r}."
        )
    check.between(entry["delta"], -1, f"{where}.delta")
    check.between(entry["p_value"], 0, f"{where}.p_value")
    check.interval(entry["ci95"], -1, f"{where}.ci95")
