"""Several runs side by side, and what differs between them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.evaluation.statistics import newcombe_interval, paired_comparison
from s3_jax.results.document import NONE
from s3_jax.results.predictions_table import Answers
from s3_jax.results.properties import NOTHING, list_properties
from s3_jax.results.results_index import headline

__all__ = [
  "Change",
  "Run",
  "RunComparison",
  "changes_between",
  "compare_runs",
  "label_runs",
  "settings_that_differ",
]


class Run(NamedTuple):
  """One run of the comparison.

  Attributes:
    label: what it is called in the tables.
    results: a mapping that passes `validate_results`.
    answers: by data set, where the run has a predictions.csv.
  """

  label: str
  results: Mapping[str, Any]
  answers: Mapping[str, Answers]


class Change(NamedTuple):
  """What a method gains in a later run.

  Attributes:
    dataset: name of the test set.
    method: key of the method, which both runs have.
    run: label of the later run.
    delta: its accuracy, or mean IoU, minus that of the first run, in [-1, 1].
    ci95: 95 % interval of `delta`; None for a mean IoU.
    p_value: of McNemar's test; None when single images are not known.
  """

  dataset: str
  method: str
  run: str
  delta: float
  ci95: tuple[float, float] | None
  p_value: float | None


class RunComparison(NamedTuple):
  """Runs, and what changes from the first to the others.

  Attributes:
    runs: the first is what the others are compared with.
    changes: by (data set, method, label of the later run).
    differing: name and value in each run of what differs beside the results.
  """

  runs: tuple[Run, ...]
  changes: Mapping[tuple[str, str, str], Change]
  differing: Sequence[tuple[str, list[str]]]


def label_runs(names: Sequence[str]) -> list[str]:
  """Makes labels of runs from the names of their folders."""
  labels: list[str] = []
  for index, name in enumerate(names, start=1):
    label = name or "run"
    if names.count(name) > 1:
      label += f" ({index})"
    while label in labels:  # a folder may itself be called "run (2)"
      label += "'"
    labels.append(label)
  return labels


def compare_runs(runs: Sequence[Run], *, seed: int) -> RunComparison:
  """Compares runs with the first of them."""
  if len(runs) < 2:
    raise ValueError(f"`runs` must hold at least two runs, got {len(runs)}.")
  first, *others = runs
  return RunComparison(
    tuple(runs),
    {
      (change.dataset, change.method, change.run): change
      for run in others
      for change in changes_between(first, run, seed=seed)
    },
    settings_that_differ(runs),
  )


def changes_between(first: Run, later: Run, *, seed: int) -> list[Change]:
  """Compares the same-named methods of two runs.

  On a data set where both runs know their single images, and these are the same
  in the same order, the interval is the paired bootstrap's and the p-value
  McNemar's. Else it is Newcombe's for independent runs, which is too wide when
  the images were the same. Of mean IoUs only the difference is known.
  """
  before = {(e["dataset"], e["name"]): e for e in first.results["methods"]}
  changes = []
  for entry in later.results["methods"]:
    dataset, method = entry["dataset"], entry["name"]
    other = before.get((dataset, method))
    if other is None:
      continue
    pair = _same_images(first, later, dataset, method)
    if pair is not None:
      comparison = paired_comparison(*pair, seed=seed)
      delta, ci95 = comparison.delta, comparison.ci95
      p_value = comparison.p_value
    else:
      delta = headline(entry) - headline(other)
      pixels = "miou" in entry or "miou" in other
      ci95 = (
        None if pixels else newcombe_interval(*_right(entry), *_right(other))
      )
      p_value = None
    changes.append(Change(dataset, method, later.label, delta, ci95, p_value))
  return changes


def _right(entry: Mapping[str, Any]) -> tuple[int, int]:
  return round(entry["top1"] * entry["n"]), entry["n"]


def _same_images(first: Run, later: Run, dataset: str, method: str):
  """Returns what was right in the later and in the first run, or None."""
  a, b = later.answers.get(dataset), first.answers.get(dataset)
  if a is None or b is None or a.images != b.images:
    return None
  if method not in a.correct or method not in b.correct:
    return None
  return a.correct[method], b.correct[method]


def settings_that_differ(
  runs: Sequence[Run],
) -> list[tuple[str, list[str]]]:
  """Lists what differs between runs, beside what they measured.

  Looked at are the checkpoint, the texts, the data sets with their sizes and
  unreadable images, the settings, the versions and devices, and the seed; not
  the times and counters.
  """
  facts = [_facts(run.results) for run in runs]
  names = dict.fromkeys(name for each in facts for name in each)
  rows = []
  for name in names:
    values = [each.get(name) for each in facts]
    if any(value != values[0] for value in values):
      rows.append((name, [NONE if v is None else v[0] for v in values]))
  return rows


def _facts(results: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
  """Returns what each fact shows, and what it is compared by."""
  tree: dict[str, Any] = {
    key: results[key] for key in ("model", "texts", "seed")
  }
  tree["data"] = {
    entry["name"]: {
      "split": entry["split"],
      "classes": entry["classes"],
      "images": entry["examples"],
      "unreadable": len(entry["bad_examples"]),
    }
    for entry in results["datasets"]
  }
  tree["skipped"] = {
    entry["dataset"]: entry["reason"] for entry in results.get("skipped", ())
  }
  tree["config"] = results["config"]
  tree["environment"] = results["environment"]
  # A setting of nothing and an absent one are the same.
  return {
    entry.key: (entry.text, entry.items or entry.text)
    for entry in list_properties(tree)
    if entry.text != NOTHING
  }
