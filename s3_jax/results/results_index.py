"""A results mapping, looked up by data set and method."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from s3_jax.messages import nearest

__all__ = [
  "HEADLINE",
  "ResultsIndex",
  "differences_to",
  "headline",
  "index_results",
  "looked_into",
  "partial_sets",
]

HEADLINE = ("s3", "local_center")
"""The first of them that is run is looked into, beside the baseline."""


class ResultsIndex(NamedTuple):
  """A results mapping, looked up by (data set, method).

  Attributes:
    datasets: names, in the order of the results.
    methods: names, in the order of the results.
    entries: the entries of `methods`.
    differences: the entries of `comparisons` with the baseline as `b`, by
      (data set, the other method).
    others: all other entries of `comparisons`.
    baseline: what the methods are compared with.
    partial: test sets of which other images were counted than were published,
      with both numbers.
    streams: methods that depend on the order of the images, with its seed.
  """

  datasets: list[str]
  methods: list[str]
  entries: dict[tuple[str, str], Mapping[str, Any]]
  differences: dict[tuple[str, str], Mapping[str, Any]]
  others: list[Mapping[str, Any]]
  baseline: str
  partial: Mapping[str, tuple[int, int]]
  streams: Mapping[str, int]


def index_results(results: Mapping[str, Any], baseline: str) -> ResultsIndex:
  """Sorts the entries of a results mapping."""
  methods = list(dict.fromkeys(entry["name"] for entry in results["methods"]))
  if baseline not in methods:
    raise ValueError(
      f"`baseline` must be one of {nearest(methods, baseline)}, got"
      f" {baseline!r:.80}."
    )
  return ResultsIndex(
    datasets=[entry["name"] for entry in results["datasets"]],
    methods=methods,
    entries={(e["dataset"], e["name"]): e for e in results["methods"]},
    differences=differences_to(results, baseline),
    others=[e for e in results["comparisons"] if e["b"] != baseline],
    baseline=baseline,
    partial=partial_sets(results),
    streams={
      entry["name"]: entry["order_seed"]
      for entry in results["methods"]
      if entry.get("order_seed") is not None
    },
  )


def differences_to(
  results: Mapping[str, Any], baseline: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
  """Looks up the comparisons with a baseline by (data set, method)."""
  return {
    (entry["dataset"], entry["a"]): entry
    for entry in results["comparisons"]
    if entry["b"] == baseline
  }


def partial_sets(results: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
  """Looks up the test sets that were not measured as they were published."""
  partial = {}
  for entry in results["datasets"]:
    published = entry.get("published_examples", 0)
    if not published:  # one's own, or drawn here
      continue
    counted = entry["examples"] - len(entry["bad_examples"])
    if counted != published:
      partial[entry["name"]] = (counted, published)
  return partial


def headline(entry: Mapping[str, Any]) -> float:
  """Returns the measure of a method that tables show, a fraction.

  That is the mean IoU where pixels were labelled, else the top-1 accuracy.
  """
  return entry["miou"] if "miou" in entry else entry["top1"]


def looked_into(methods: Collection[str], baseline: str) -> tuple[str, ...]:
  """Names the methods whose errors a run shows: the baseline and one more."""
  ours = [name for name in HEADLINE if name in methods]
  chosen = (baseline, *(ours or list(methods)[-1:])[:1])
  return tuple(dict.fromkeys(chosen))
