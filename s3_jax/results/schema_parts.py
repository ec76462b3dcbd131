"""Those parts of `results.json` that not every run has, checked."""

from collections.abc import Callable, Mapping
from typing import Any

from s3_jax.results import schema_checks as check

__all__ = ["PARTS", "check_parts"]

_Measured = set[tuple[str, str]]
"""The pairs (data set, method) that a run has measured."""

_PRUNING_KEYS = ("wrong_total", "wrong_removed", "right_total", "right_removed")
_PUBLISHED_TEXTS = ("dataset", "method", "model", "source")
_EXPECTED = ("published", "tolerance", "measured")
_PAIR_KEYS = (
  "label",
  "name",
  "predicted",
  "predicted_name",
  "count",
  "share",
)


def check_parts(results: Mapping[str, Any], measured: _Measured) -> None:
  """Checks the optional parts that a results mapping has."""
  for key, check_part in PARTS.items():
    if key in results:
      check_part(results[key], f"results.{key}", measured)


def _pruning(pruning: Any, where: str, measured: _Measured) -> None:
  del measured
  check.keys(pruning, _PRUNING_KEYS, where)
  for key in _PRUNING_KEYS:
    check.whole(pruning[key], f"{where}.{key}")
  for kind in ("wrong", "right"):
    removed, total = pruning[f"{kind}_removed"], pruning[f"{kind}_total"]
    if removed > total:
      raise ValueError(
        f"`{where}.{kind}_removed` must be <= {total}, got {removed}."
      )


def _published(published: Any, where: str, measured: _Measured) -> None:
  del measured  # published figures also exist for sets that were not run
  for location, entry in check.rows(published, where):
    measure = "miou" if "miou" in entry else "top1"
    check.keys(entry, (*_PUBLISHED_TEXTS, measure, "kind"), location)
    for key in _PUBLISHED_TEXTS:
      check.text(entry[key], f"{location}.{key}")
    check.between(entry[measure], 0, f"{location}.{measure}")
    check.listed(entry["kind"], ("published",), f"{location}.kind")


def _expectations(expectations: Any, where: str, measured: _Measured) -> None:
  for location, entry in check.rows(expectations, where):
    _measured_pair(entry, location, measured)
    check.keys(entry, (*_EXPECTED, "met", "source"), location)
    for key in _EXPECTED:
      check.between(entry[key], 0, f"{location}.{key}")
    check.text(entry["source"], f"{location}.source")
    if entry["met"] is not None and not isinstance(entry["met"], bool):
      raise ValueError(
        f"`{location}.met` must be true, false or null, got {entry['met']!r}."
      )
    if not isinstance(entry.get("note", ""), str):
      raise ValueError(
        f"`{location}.note` must be a text, got {entry['note']!r}."
      )


def _confusions(confusions: Any, where: str, measured: _Measured) -> None:
  for location, entry in check.rows(confusions, where):
    _measured_pair(entry, location, measured)
    check.keys(entry, ("pairs",), location)
    for inner, pair in check.rows(entry["pairs"], f"{location}.pairs"):
      check.keys(pair, _PAIR_KEYS, inner)
      for key in ("label", "predicted"):
        check.whole(pair[key], f"{inner}.{key}")
      for key in ("name", "predicted_name"):
        check.text(pair[key], f"{inner}.{key}")
      check.whole(pair["count"], f"{inner}.count", low=1)
      check.between(pair["share"], 0, f"{inner}.share")


def _intervals(intervals: Any, where: str, measured: _Measured) -> None:
  del measured
  check.keys(intervals, (), where)
  for key, value in intervals.items():
    check.text(value, f"{where}.{key}")


def _reliability(reliability: Any, where: str, measured: _Measured) -> None:
  for location, entry in check.rows(reliability, where):
    _measured_pair(entry, location, measured)
    check.keys(entry, ("bins",), location)
    for inner, part in check.rows(entry["bins"], f"{location}.bins"):
      check.keys(part, ("low", "high", "n", "accuracy", "confidence"), inner)
      check.whole(part["n"], f"{inner}.n")
      for key in ("low", "high"):
        check.between(part[key], 0, f"{inner}.{key}")
      for key in ("accuracy", "confidence"):
        # Without images there is nothing to average.
        if part[key] is not None or part["n"]:
          check.between(part[key], 0, f"{inner}.{key}")


def _skipped(skipped: Any, where: str, measured: _Measured) -> None:
  names = {dataset for dataset, _ in measured}
  for location, entry in check.rows(skipped, where):
    check.keys(entry, ("dataset", "reason"), location)
    for key in ("dataset", "reason"):
      check.text(entry[key], f"{location}.{key}")
    if entry["dataset"] in names:
      raise ValueError(
        f"`{location}.dataset` must not be a data set that was measured, got "
        f"{entry['dataset']!r}."
      )


def _measured_pair(entry: Any, where: str, measured: _Measured) -> None:
  check.keys(entry, ("dataset", "method"), where)
  for key in ("dataset", "method"):
    check.text(entry[key], f"{where}.{key}")
  pair = (entry["dataset"], entry["method"])
  if pair not in measured:
    raise ValueError(
      f"`{where}` must name a measured data set and method, got {pair}."
    )


PARTS: dict[str, Callable[[Any, str, _Measured], None]] = {
  "confusions": _confusions,
  "expectations": _expectations,
  "intervals": _intervals,
  "pruning": _pruning,
  "published": _published,
  "reliability": _reliability,
  "skipped": _skipped,
}
