"""The tables of a run of "evidence", in Markdown and as JSON."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from s3_jax.evaluation.statistics import cluster_interval
from s3_jax.experiment.tasks.evidence.records import (
  COUNTS,
  Condition,
  Findings,
  Table,
)
from s3_jax.experiment.tasks.evidence.sets import KINDS
from s3_jax.files import atomic_write
from s3_jax.results.grids import pipes

FOLDS = 5
"""Parts of the classes, for choices made on some and measured on others."""

_CHOSEN_FROM = KINDS[:3]  # siblings are reported only
_HALF_A_POINT = 0.005


class Measured(NamedTuple):
  """Findings, with what the tables ask of them."""

  findings: Findings
  metric: str
  seed: int

  @property
  def sets(self) -> tuple[str, ...]:
    """The sets as they were read."""
    return tuple(self.findings.labels)

  def correct(
    self, condition: Condition, rule: str, metric: str | None = None
  ) -> Float32[np.ndarray, " images"]:
    """Share of the seeds in which each image was right."""
    return self.findings.correct[condition, rule, metric or self.metric]

  def mean(
    self, condition: Condition, rule: str, metric: str | None = None
  ) -> float:
    """Accuracy."""
    return float(self.correct(condition, rule, metric).mean())

  def difference(
    self,
    name: str,
    a: Float32[np.ndarray, " images"],
    b: Float32[np.ndarray, " images"],
  ) -> str:
    """Difference in points with its interval over classes."""
    low, high = cluster_interval(
      a.astype(np.float64) - b, self.findings.labels[name], seed=self.seed
    )
    points = 100 * float(np.mean(a) - np.mean(b))
    return f"{points:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def write_evidence(
  findings: Findings,
  *,
  metric: str,
  seed: int,
  config: dict[str, Any],
  more: Sequence[Table],
  folder: pathlib.Path,
) -> None:
  """Writes evidence.md and evidence.json."""
  measured = Measured(findings, metric, seed)
  tables = [
    premise(measured),
    clean_metrics(measured),
    *(wrong_texts(measured, name) for name in measured.sets),
    every_metric(measured),
    removals(measured),
    choices(measured),
    *more,
  ]
  parts = [
    f"### {table.title}\n\n{table.about}\n\n" + pipes(table.header, table.rows)
    for table in tables
  ]
  atomic_write(folder / "evidence.md", "\n\n".join(parts) + "\n")
  document = {
    "config": config,
    "tables": [table._asdict() for table in tables],
    "accuracy": [
      {
        **condition._asdict(),
        "rule": rule,
        "metric": name,
        "top1": round(float(correct.mean()), 6),
      }
      for (condition, rule, name), correct in findings.correct.items()
    ],
    "removed": [
      {**condition._asdict(), "rule": rule, **counts._asdict()}
      for (condition, rule), counts in findings.removed.items()
    ],
  }
  atomic_write(folder / "evidence.json", json.dumps(document, indent=1) + "\n")


def premise(measured: Measured) -> Table:
  """One name, a random one, all of them: what a space gains on clean sets."""
  rows = []
  for name in measured.sets:
    clean = Condition(name, "", 0)
    drawn = measured.findings.drawn[name]
    ours = measured.correct(clean, "two_witnesses")
    rows.append(
      (
        name,
        _percent(measured.findings.named[name].mean()),
        _percent(drawn.mean()),
        _percent(measured.mean(clean, "all", "center")),
        _percent(measured.mean(clean, "all")),
        _percent(ours.mean()),
        measured.difference(name, ours, drawn),
      )
    )
  return Table(
    "A name, a random one, all of them",
    "Top-1 in %; the difference is the last column but one less the random"
    " text, with a 95 % interval over classes. The random text is the mean of"
    " 64 draws.",
    (
      "set",
      "official name",
      "random text",
      "mean of all",
      f"{measured.metric}, all",
      f"{measured.metric}, two witnesses",
      "gain over a random text",
    ),
    rows,
  )


def clean_metrics(measured: Measured) -> Table:
  """Every metric under the three rules, where every text is right."""
  rows = []
  for metric in measured.findings.metrics:
    row = [metric]
    for name in measured.sets:
      clean = Condition(name, "", 0)
      row.append(
        " / ".join(
          _percent(measured.mean(clean, rule, metric))
          for rule in ("all", "gap", "two_witnesses")
        )
      )
    rows.append(tuple(row))
  return Table(
    "Every metric on clean sets",
    'Top-1 in %: every text kept / "gap" / "two_witnesses".',
    ("metric", *measured.sets),
    rows,
  )


def wrong_texts(measured: Measured, name: str) -> Table:
  """What wrong texts cost on a set, and what each rule wins back."""
  clean = measured.mean(Condition(name, "", 0), "all")
  rows = []
  for condition in [Condition(name, "", 0), *_wrong(measured, name)]:
    none = measured.mean(condition, "all")
    row = [condition.kind or "(none)", str(condition.wrong), _percent(none)]
    for rule in ("gap", "two_witnesses", "two_witnesses, label"):
      row.append(_percent(measured.mean(condition, rule)))
    won = measured.mean(condition, "two_witnesses") - none
    cost = clean - none
    row += [
      f"{100 * won / cost:.0f} %" if cost > 1e-9 else "-",
      measured.difference(
        name,
        measured.correct(condition, "two_witnesses"),
        measured.correct(condition, "all"),
      ),
    ]
    rows.append(tuple(row))
  return Table(
    f"Wrong texts in {name}",
    f"Top-1 in % of {measured.metric}, mean over the draws; won back: of what"
    " the wrong texts cost without pruning, the share that two witnesses win.",
    (
      "wrong texts",
      "a class",
      "all kept",
      "gap",
      "two witnesses",
      "two witnesses, label",
      "won back",
      "two witnesses less all kept",
    ),
    rows,
  )


def every_metric(measured: Measured) -> Table:
  """Every metric, averaged over the sets, with and without wrong texts."""
  rows = []
  for metric in measured.findings.metrics:
    row = [metric]
    for counts in ((0,), (1, 2), (5,)):
      conditions = [
        condition
        for name in measured.sets
        for condition in (
          Condition(name, "", 0),
          *_wrong(measured, name, _CHOSEN_FROM),
        )
        if condition.wrong in counts
      ]
      row += [
        _percent(
          np.mean([measured.mean(each, rule, metric) for each in conditions])
        )
        for rule in ("all", "gap", "two_witnesses")
      ]
    rows.append(tuple(row))
  return Table(
    "Every metric, mean over sets and kinds",
    "Top-1 in %; wrong texts are names of no class, names and synonyms of other"
    " classes. convex_hull with one draw of wrong texts, the others with all.",
    (
      "metric",
      *(
        f"{wrong}, {rule}"
        for wrong in ("clean", "1 or 2 wrong", "5 wrong")
        for rule in ("all", "gap", "two witnesses")
      ),
    ),
    rows,
  )


def removals(measured: Measured) -> Table:
  """How many texts each rule kept and removed."""
  rules = ("gap", "two_witnesses", "topology alone", "names alone")
  rows = []
  for name in measured.sets:
    for condition in [Condition(name, "", 0), *_wrong(measured, name)]:
      row = [name, condition.kind or "(none)", str(condition.wrong)]
      for rule in rules:
        counts = measured.findings.removed[condition, rule]
        row.append(
          f"{counts.right - counts.right_kept} of {counts.right},"
          f" {counts.wrong_removed} of {counts.wrong_texts}"
        )
      counts = measured.findings.removed[condition, "two_witnesses"]
      row.append(
        f"{counts.right_3 - counts.right_kept_3} of {counts.right_3},"
        f" {counts.wrong_removed_3} of {counts.wrong_3}"
      )
      rows.append(tuple(row))
  return Table(
    "Texts removed",
    "Right texts removed, wrong texts removed, summed over the draws; the last"
    " column counts classes with three right texts or more alone.",
    (
      "set",
      "wrong texts",
      "a class",
      "gap",
      "two witnesses",
      "topology alone",
      "names alone",
      "two witnesses, large classes",
    ),
    rows,
  )


def choices(measured: Measured) -> Table:
  """Chooses rule and metric on some classes, and measures on the others."""
  findings = measured.findings
  rules = list(
    dict.fromkeys(
      rule for _, rule, name in findings.correct if name == measured.metric
    )
  )
  safe = [rule for rule in rules if _keeps_right_texts(measured, rule)]
  rows = []
  for fold in range(FOLDS):
    train, test = (
      {
        name: (findings.labels[name] % FOLDS == fold) == held_out
        for name in measured.sets
      }
      for held_out in (False, True)
    )
    unpruned = _mean_over(measured, train, "all", measured.metric, (0,))
    gentle = [
      rule
      for rule in safe
      if _mean_over(measured, train, rule, measured.metric, (0,))
      >= unpruned - _HALF_A_POINT
    ]
    rule = max(
      gentle,
      key=lambda rule: _mean_over(
        measured, train, rule, measured.metric, COUNTS
      ),
    )
    clean = {
      metric: _mean_over(measured, train, "two_witnesses", metric, (0,))
      for metric in findings.metrics
    }
    near = [
      metric
      for metric, value in clean.items()
      if value >= max(clean.values()) - 2 * _HALF_A_POINT
    ]
    metric = max(
      near,
      key=lambda metric: _mean_over(
        measured, train, "two_witnesses", metric, COUNTS
      ),
    )
    rows.append(
      (
        str(fold + 1),
        rule,
        metric,
        *(
          _percent(_mean_over(measured, test, of_rule, of_metric, counts))
          for of_rule, of_metric in (
            (rule, measured.metric),
            ("two_witnesses", metric),
            ("two_witnesses", measured.metric),
            ("gap", "local_center(4)"),
          )
          for counts in ((0,), COUNTS)
        ),
      )
    )
  return Table(
    "Chosen on four fifths of the classes, measured on the rest",
    "The rule: of those that keep 99 % of the right texts of every clean set,"
    " and cost at most half a point there, the best with wrong texts. The"
    " metric: of those within a point of the best on clean sets, the best with"
    " wrong texts. Top-1 in % on the held-out classes, mean over the sets: of"
    f" the chosen rule by {measured.metric}, of two witnesses by the chosen"
    ' metric and by the new default, and of "gap" by local_center(4).',
    (
      "fold",
      "rule chosen",
      "metric chosen",
      "rule, clean",
      "rule, wrong",
      "metric, clean",
      "metric, wrong",
      "new default, clean",
      "new default, wrong",
      "old default, clean",
      "old default, wrong",
    ),
    rows,
  )


def _wrong(
  measured: Measured, name: str, kinds: Sequence[str] = KINDS
) -> tuple[Condition, ...]:
  """Lists the conditions of a set in which texts are wrong."""
  conditions = dict.fromkeys(each for each, _ in measured.findings.removed)
  return tuple(
    each for each in conditions if each.dataset == name and each.kind in kinds
  )


def _keeps_right_texts(measured: Measured, rule: str) -> bool:
  counts = [
    measured.findings.removed[Condition(name, "", 0), rule]
    for name in measured.sets
  ]
  return all(each.right_kept >= 0.99 * each.right for each in counts)


def _mean_over(measured, chosen, rule, metric, counts) -> float:
  """Mean accuracy over sets and conditions, on some images of each."""
  means = []
  for name in measured.sets:
    for condition in (
      Condition(name, "", 0),
      *_wrong(measured, name, _CHOSEN_FROM),
    ):
      if condition.wrong in counts:
        correct = measured.correct(condition, rule, metric)
        means.append(correct[chosen[name]].mean())
  return float(np.mean(means))


def _percent(value: Any) -> str:
  return f"{100 * float(value):.1f}"
