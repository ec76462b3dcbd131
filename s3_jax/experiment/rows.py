"""Rows of a results file from what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec
from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.statistics import (
  bootstrap_interval,
  paired_comparison,
  wilson_interval,
)
from s3_jax.files import texts_sha256
from s3_jax.results.report import ClassRow

# (data set, method) -> what was measured
Measured = Mapping[tuple[str, str], ClassificationResult]


def dataset_row(
  spec: DatasetSpec,
  opened: OpenedDataset,
  bad: Sequence[tuple[str, str]],
  *,
  classes: int,
) -> dict[str, Any]:
  """Says what results say of a data set."""
  return {
    "name": spec.name,
    "title": spec.title,
    "split": spec.split,
    "family": spec.family,
    "classes": classes,
    "examples": len(opened.records),
    "published_examples": spec.examples,
    "layout": opened.layout,
    "found": opened.found,
    "bad_examples": [{"file": file, "reason": reason} for file, reason in bad],
  }


def texts_part(by_set: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """Says which texts gave the results."""
  hashes = [
    method["sha256"]
    for facts in by_set.values()
    for method in facts["methods"].values()
  ]
  return {"sha256": texts_sha256(hashes), "datasets": dict(by_set)}


def method_rows(
  measured: Measured, *, seed: int, orders: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
  """Lists the measures of every method on every data set.

  `orders`: methods that depend on the order of the images -> its seed.
  """
  orders = orders or {}
  return [
    {
      "dataset": dataset,
      "name": method,
      "n": result.n,
      "top1": result.top1,
      "top5": result.top5,
      "mean_per_class": result.mean_per_class,
      "ece": result.ece,
      "ci95": list(wilson_interval(int(result.correct.sum()), result.n)),
      "bootstrap_ci95": list(bootstrap_interval(result.correct, seed=seed)),
      **({"order_seed": orders[method]} if method in orders else {}),
    }
    for (dataset, method), result in measured.items()
  ]


def comparison_rows(
  measured: Measured,
  *,
  baseline: str,
  pairs: Sequence[tuple[str, str]],
  seed: int,
) -> list[dict[str, Any]]:
  """Compares every method with the baseline, and some with each other."""
  methods = dict.fromkeys(method for _, method in measured)
  wanted = [(name, baseline) for name in methods if name != baseline]
  wanted += [pair for pair in pairs if pair not in wanted]
  rows = []
  for dataset in dict.fromkeys(dataset for dataset, _ in measured):
    for a, b in wanted:
      if (dataset, a) in measured and (dataset, b) in measured:
        comparison = paired_comparison(
          measured[dataset, a].correct,
          measured[dataset, b].correct,
          seed=seed,
        )
        rows.append(
          {"dataset": dataset, "a": a, "b": b, **comparison._asdict()}
        )
  return rows


def class_rows(
  measured: Measured, names: Mapping[str, Sequence[str]]
) -> list[ClassRow]:
  """Lists the accuracy of every class under every method."""
  return [
    ClassRow(
      dataset,
      method,
      label,
      name,
      int(result.per_class_n[label]),
      float(result.per_class[label]),
    )
    for (dataset, method), result in measured.items()
    for label, name in enumerate(names[dataset])
  ]
