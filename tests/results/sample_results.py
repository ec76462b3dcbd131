"""Results of runs that never were, for tests of tables and files."""

import numpy as np

from s3_jax.evaluation.diagnosis import (
  Confusion,
  confusion_rows,
  count_confusions,
  reliability_bins,
  reliability_row,
)
from s3_jax.evaluation.statistics import INTERVALS
from s3_jax.results.class_tables import ClassRow

SETS = ("plain", "outline")
TOP1 = {
  "class_name": (0.50, 0.25),
  "center": (0.625, 0.75),
  "local_center": (0.75, 0.125),
}


def make_results(sets=SETS, methods=tuple(TOP1)):
  results = {
    "schema": 2,
    "config": {},
    "environment": {},
    "model": {"name": "tiny", "spec": {}, "sha256": "ab"},
    "texts": {},
    "datasets": [
      {
        "name": name,
        "split": "test",
        "classes": 2,
        "examples": 1000,
        "bad_examples": [],
      }
      for name in sets
    ],
    "methods": [],
    "comparisons": [],
    "timings": {"embed_images": 12.34, "images_per_second": 81.0},
    "counters": {"images_decoded": 2000, "tower_batches": 8, "cache": "cold"},
    "seed": 3,
  }
  for i, dataset in enumerate(sets):
    for method in methods:
      top1 = TOP1.get(method, (0.5, 0.5))[i % 2]
      results["methods"].append(
        {
          "dataset": dataset,
          "name": method,
          "top1": top1,
          "top5": 1.0,
          "mean_per_class": top1,
          "ece": 0.125,
          "ci95": [top1 - 0.02, top1 + 0.04],
          "n": 1000,
        }
      )
      if method != methods[0]:
        delta = top1 - TOP1.get(methods[0], (0.5, 0.5))[i % 2]
        results["comparisons"].append(
          {
            "dataset": dataset,
            "a": method,
            "b": methods[0],
            "delta": delta,
            "ci95": [delta - 0.01, delta + 0.015],
            "p_value": 0.0004 if delta > 0.2 else 0.0123,
          }
        )
  return results


def make_pixels(sets=SETS, methods=tuple(TOP1)):
  """The same run, had it labelled pixels."""
  results = make_results(sets, methods)
  results["methods"] = [
    {
      "dataset": entry["dataset"],
      "name": entry["name"],
      "n": entry["n"],
      "ci95": entry["ci95"],
      "miou": entry["top1"],
      "pixel_accuracy": 0.875,
      "pixel_accuracy_ci95": [0.85, 0.9],
      "per_class_iou": [entry["top1"], None],
    }
    for entry in results["methods"]
  ]
  results["comparisons"] = []
  return results


# Names that files, tables and pages must survive.
HOSTILE_NAMES = (
  "../x",
  "/etc/passwd",
  "<script>alert(1)</script>",
  '" onload="alert(1)',
  "=cmd()",
  "a|b",
  "\\input{x}",
  "$x_1^2$ & 50% #1 ~ {b} \\\\ `q` --- [o]",
  "*star*",
  "right\u202eleft",
  "line\nbreak\x00\x1b[31m",
  "{{ 7 * 7 }} {% raw %}",
  "x" * 300,
  "not utf-8: \udcff",
  "\u0645\u0631\u062d\u0628\u0627",
)


def make_classes(results, names):
  """Rows of per_class.csv for every method; class 1 has no images."""
  rng = np.random.default_rng(0)
  return [
    ClassRow(
      entry["dataset"],
      entry["name"],
      label,
      name,
      0 if label == 1 else 20,
      float("nan") if label == 1 else float(rng.integers(0, 21) / 20),
    )
    for entry in results["methods"]
    for label, name in enumerate(names)
  ]


def make_everything(sets=SETS, methods=tuple(TOP1), names=HOSTILE_NAMES):
  """Results with every optional part, and the confusions that go with them."""
  results = make_results(sets, methods)
  rng = np.random.default_rng(1)
  confusions, reliability = [], []
  for dataset in sets:
    for method in methods[:2]:
      labels = rng.integers(0, len(names), 300)
      wrong = rng.integers(0, len(names), 300)
      predictions = np.where(rng.random(300) < 0.5, labels, wrong)
      counts = count_confusions(labels, predictions, classes=len(names))
      confusions.append(Confusion(dataset, method, tuple(names), counts))
      bins = reliability_bins(rng.random(300), labels == predictions)
      reliability.append(reliability_row(dataset, method, bins))
  results["confusions"] = confusion_rows(confusions, most=5)
  results["reliability"] = reliability
  results["skipped"] = [{"dataset": "absent", "reason": names[2]}]
  results["datasets"][0]["bad_examples"] = [
    {"file": name, "reason": f"truncated {name}"} for name in names
  ]
  results["expectations"] = [
    {
      "dataset": sets[0],
      "method": methods[0],
      "published": 0.5,
      "tolerance": 0.003,
      "measured": 0.502,
      "met": met,
      "note": note,
      "source": names[2],
    }
    for met, note in ((True, ""), (False, ""), (None, names[2]))
  ]
  results["published"] = [
    {
      "dataset": "dtd",
      "method": names[2],
      "model": "some model",
      "top1": 0.4427,
      "source": names[2],
      "kind": "published",
    }
  ]
  results["intervals"] = INTERVALS
  results["methods"][0]["bootstrap_ci95"] = [0.471, 0.543]
  return results, confusions
