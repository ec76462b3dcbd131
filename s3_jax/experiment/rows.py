"""Rows of a results file from what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.report import ClassRow
from s3_jax.evaluation.statistics import (
  bootstrap_interval,
  paired_comparison,
  wilson_interval,
)

# (data set, method) -> what was measured
Measured = Mapping[tuple[str, str], ClassificationResult]


def method_rows(measured: Measured, *, seed: int) -> list[dict[str, Any]]:
  """Lists the measures of every method on every data set.

  Args:
    measured: the results.
    seed: of the bootstrap.

  Returns:
    Rows of `methods` in results.json.
  """
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
  """Compares every method with the baseline, and some with each other.

  Args:
    measured: the results.
    baseline: a method.
    pairs: further pairs of methods; those that were not both run are left out.
    seed: of the bootstrap.

  Returns:
    Rows of `comparisons` in results.json, data set by data set.
  """
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
  """Lists the accuracy of every class under every method.

  Args:
    measured: the results.
    names: of each data set's classes, in label order.

  Returns:
    Rows of per_class.csv.
  """
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
