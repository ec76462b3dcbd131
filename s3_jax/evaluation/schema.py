"""What `results.json` holds (schema 1), checked before anything is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["SCHEMA", "plain", "validate_results"]

SCHEMA = 1

_MAPPINGS = ("config", "environment", "model", "texts", "timings", "counters")
_LISTS = ("datasets", "methods", "comparisons")
_OPTIONAL = ("pruning",)
_DATASET_KEYS = ("name", "split", "classes", "examples", "bad_examples")
_MEASURES = ("top1", "top5", "mean_per_class", "ece")
_METHOD_KEYS = ("dataset", "name", "n", "ci95", *_MEASURES)
_COMPARISON_KEYS = ("dataset", "a", "b", "delta", "ci95", "p_value")
_PRUNING_KEYS = ("wrong_total", "wrong_removed", "right_total", "right_removed")
_MODEL_KEYS = ("name", "spec", "sha256")
_COUNTERS = ("images_decoded", "tower_batches")


def plain(value: Any, where: str = "results") -> Any:
  """Turns numpy values, tuples and NamedTuples into what JSON knows.

  Args:
    value: nested mappings, sequences, numbers, strings, booleans, None.
    where: the path of `value`, for messages.

  Returns:
    The same in dict, list, int, float, str, bool and None.

  Raises:
    ValueError: for NaN or infinity, a key that is not a string, or any other
      type. JSON has no NaN; a figure that is not a number is a bug upstream.
  """
  if isinstance(value, np.generic | np.ndarray):
    value = value.tolist()
  if isinstance(value, Mapping):
    for key in value:
      if not isinstance(key, str):
        raise ValueError(f"keys of `{where}` must be strings, got {key!r}.")
    return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
  as_dict = getattr(value, "_asdict", None)
  if isinstance(value, tuple) and as_dict is not None:
    return plain(as_dict(), where)
  if isinstance(value, list | tuple):
    return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(f"`{where}` must be finite, got {value}.")
  if value is None or isinstance(value, str | bool | int | float):
    return value
  raise ValueError(
    f"`{where}` must be made of numbers, texts, lists and mappings, got "
    f"{type(value).__name__}."
  )


def validate_results(results: Mapping[str, Any]) -> None:
  """Checks a results mapping against schema 1.

  Fractions must lie in [0, 1] (differences in [-1, 1]), intervals must be
  ordered, every method and comparison must name a listed data set, and no
  (data set, method) may occur twice.

  Args:
    results: the mapping that becomes `results.json`.

  Raises:
    ValueError: naming the first entry that breaks a rule, the rule and the
      value.
  """
  tree = plain(results)
  required = ("schema", "seed", *_MAPPINGS, *_LISTS)
  _keys(tree, required, "results")
  unknown = sorted(set(tree) - set(required) - set(_OPTIONAL))
  if unknown:
    raise ValueError(f"`results` must have no other keys, got {unknown[0]!r}.")
  if tree["schema"] != SCHEMA:
    raise ValueError(
      f"`results.schema` must be {SCHEMA}, got {tree['schema']!r}."
    )
  _whole(tree["seed"], "results.seed")
  for key in _MAPPINGS:
    _keys(tree[key], (), f"results.{key}")
  for key in _LISTS:
    if not isinstance(tree[key], list):
      raise ValueError(f"`results.{key}` must be a list, got {tree[key]!r}.")
  _keys(tree["model"], _MODEL_KEYS, "results.model")
  _check_counters(tree["counters"])
  datasets = _check_datasets(tree["datasets"])
  methods = _check_methods(tree["methods"], datasets)
  _check_comparisons(tree["comparisons"], methods)
  if "pruning" in tree:
    _check_pruning(tree["pruning"])


def _check_counters(counters: Any) -> None:
  _keys(counters, (*_COUNTERS, "cache"), "results.counters")
  for key in _COUNTERS:
    _whole(counters[key], f"results.counters.{key}")
  if counters["cache"] not in ("cold", "warm"):
    raise ValueError(
      '`results.counters.cache` must be "cold" or "warm", got '
      f"{counters['cache']!r}."
    )


def _check_datasets(datasets: Sequence[Any]) -> set[str]:
  names: set[str] = set()
  for i, entry in enumerate(datasets):
    where = f"results.datasets[{i}]"
    _keys(entry, _DATASET_KEYS, where)
    _text(entry["name"], f"{where}.name")
    if entry["name"] in names:
      raise ValueError(
        f"`{where}.name` must be unique, got {entry['name']!r} again."
      )
    names.add(entry["name"])
    _whole(entry["classes"], f"{where}.classes", low=1)
    _whole(entry["examples"], f"{where}.examples", low=1)
    if not isinstance(entry["bad_examples"], list):
      raise ValueError(
        f"`{where}.bad_examples` must be a list, got {entry['bad_examples']!r}."
      )
    for j, bad in enumerate(entry["bad_examples"]):
      _keys(bad, ("file", "reason"), f"{where}.bad_examples[{j}]")
  if not names:
    raise ValueError("`results.datasets` must hold a data set, got none.")
  return names


def _check_methods(
  methods: Sequence[Any], datasets: set[str]
) -> set[tuple[str, str]]:
  seen: set[tuple[str, str]] = set()
  for i, entry in enumerate(methods):
    where = f"results.methods[{i}]"
    _keys(entry, _METHOD_KEYS, where)
    _text(entry["name"], f"{where}.name")
    _listed(entry["dataset"], datasets, f"{where}.dataset")
    _whole(entry["n"], f"{where}.n", low=1)
    for key in _MEASURES:
      _between(entry[key], 0, f"{where}.{key}")
    _interval(entry["ci95"], 0, f"{where}.ci95")
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
    _keys(entry, _COMPARISON_KEYS, where)
    for side in ("a", "b"):
      if (entry["dataset"], entry[side]) not in methods:
        raise ValueError(
          f"`{where}.{side}` must be a method measured on "
          f"{entry['dataset']!r}, got {entry[side]!r}."
        )
    _between(entry["delta"], -1, f"{where}.delta")
    _between(entry["p_value"], 0, f"{where}.p_value")
    _interval(entry["ci95"], -1, f"{where}.ci95")


def _check_pruning(pruning: Any) -> None:
  where = "results.pruning"
  _keys(pruning, _PRUNING_KEYS, where)
  for key in _PRUNING_KEYS:
    _whole(pruning[key], f"{where}.{key}")
  for kind in ("wrong", "right"):
    removed, total = pruning[f"{kind}_removed"], pruning[f"{kind}_total"]
    if removed > total:
      raise ValueError(
        f"`{where}.{kind}_removed` must be <= {total}, got {removed}."
      )


def _keys(entry: Any, required: Sequence[str], where: str) -> None:
  if not isinstance(entry, dict):
    raise ValueError(f"`{where}` must be a mapping, got {entry!r}.")
  for key in required:
    if key not in entry:
      raise ValueError(
        f"`{where}` must have the key {key!r}, got "
        f"{', '.join(sorted(entry)) or 'none'}."
      )


def _text(value: Any, where: str) -> None:
  if not isinstance(value, str) or not value:
    raise ValueError(f"`{where}` must be a non-empty text, got {value!r}.")


def _listed(value: Any, names: set[str], where: str) -> None:
  if value not in names:
    raise ValueError(
      f"`{where}` must be one of {', '.join(sorted(names))}, got {value!r}."
    )


def _whole(value: Any, where: str, *, low: int = 0) -> None:
  if isinstance(value, bool) or not isinstance(value, int) or value < low:
    raise ValueError(
      f"`{where}` must be a whole number >= {low}, got {value!r}."
    )


def _between(value: Any, low: int, where: str) -> None:
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if not number or not low <= value <= 1:
    raise ValueError(f"`{where}` must be in [{low}, 1], got {value!r}.")


def _interval(value: Any, low: int, where: str) -> None:
  if not isinstance(value, list) or len(value) != 2:
    raise ValueError(f"`{where}` must be [low, high], got {value!r}.")
  for end in value:
    _between(end, low, where)
  if value[0] > value[1]:
    raise ValueError(f"`{where}` must have low <= high, got {value!r}.")
