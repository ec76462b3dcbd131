"""The result files and pictures of a benchmark run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.evaluation.diagnosis import (
  Confusion,
  confusion_rows,
  count_confusions,
  reliability_bins,
  reliability_row,
)
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.rows import class_rows
from s3_jax.experiment.run_log import RunLog
from s3_jax.files import atomic_write
from s3_jax.results.published import check_expectations, published_rows
from s3_jax.results.renderers import csv_lines
from s3_jax.results.report import format_table, write_report
from s3_jax.results.results_index import looked_into


def write_benchmark(
  results: Mapping[str, Any],
  measured: Mapping[tuple[str, str], ClassificationResult],
  names: Mapping[str, Sequence[str]],
  test_sets: Mapping[str, EmbeddedImages],
  folder: pathlib.Path,
  *,
  baseline: str,
  diagnosis: bool,
  log: RunLog,
) -> dict[str, Any]:
  """Writes all files of a run and says its table."""
  datasets = list(names)
  methods = list(dict.fromkeys(method for _, method in measured))
  chosen = looked_into(methods, baseline) if diagnosis else ()
  confusions = [
    Confusion(
      dataset,
      method,
      tuple(names[dataset]),
      count_confusions(
        test_sets[dataset].labels,
        measured[dataset, method].predictions,
        classes=len(names[dataset]),
      ),
    )
    for dataset in datasets
    for method in chosen
  ]
  reliability = [
    reliability_row(
      dataset, method, reliability_bins(result.confidence, result.correct)
    )
    for (dataset, method), result in measured.items()
    if method in chosen
  ]
  # Part of a data set, or one's own, has no published accuracy.
  whole = [
    entry["name"]
    for entry in results["datasets"]
    if entry["examples"] == entry["published_examples"]
  ]
  results = {
    **results,
    "published": published_rows(results["model"]["name"], whole),
    # Published numbers were made with the benchmarks' own names.
    "expectations": []
    if results["config"].get("lexicon")
    else check_expectations(results),
    "confusions": confusion_rows(confusions),
    "reliability": reliability,
  }
  atomic_write(
    folder / "predictions.csv", _predictions(measured, names, test_sets)
  )
  write_report(
    results,
    folder,
    baseline=baseline,
    per_class=class_rows(measured, names),
    confusion=confusions,
  )
  log(format_table(results, baseline=baseline))
  log(f"Results, report.html and figures: {folder}")
  return results


def _predictions(
  measured: Mapping[tuple[str, str], ClassificationResult],
  names: Mapping[str, Sequence[str]],
  test_sets: Mapping[str, EmbeddedImages],
) -> str:
  """Lists every image with the class that each method gives it."""
  methods = list(dict.fromkeys(method for _, method in measured))
  rows = []
  for dataset in names:
    test_set = test_sets[dataset]
    columns = [measured[dataset, method].predictions for method in methods]
    rows += [
      [dataset, file, int(label), *(int(column[index]) for column in columns)]
      for index, (file, label) in enumerate(
        zip(test_set.files, test_set.labels, strict=True)
      )
    ]
  return csv_lines([("dataset", "file", "label", *methods), *rows])
