"""The tables of a run of "evidence", in Markdown and as JSON."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from s3_jax.experiment.tasks.evidence.choices import CHOSEN_FROM, choices
from s3_jax.experiment.tasks.evidence.records import (
  Condition,
  Findings,
  Measured,
  make_table,
)
from s3_jax.files import atomic_write
from s3_jax.results.document import Table, percent
from s3_jax.results.renderers import to_markdown


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
  page = "\n".join(to_markdown(table, level=3) for table in tables)
  atomic_write(folder / "evidence.md", page)
  document = {
    "config": config,
    "tables": list(map(_plain, tables)),
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


def _plain(table: Table) -> dict[str, Any]:
  return {
    "title": table.title,
    "about": " ".join(table.caption),
    "header": [column.title for column in table.columns],
    "rows": [[cell.text for cell in table.shown(row)] for row in table.rows],
  }


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
        percent(measured.findings.named[name].mean()),
        percent(drawn.mean()),
        percent(measured.mean(clean, "all", "center")),
        percent(measured.mean(clean, "all")),
        percent(ours.mean()),
        measured.difference(name, ours, drawn),
      )
    )
  return make_table(
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
          percent(measured.mean(clean, rule, metric))
          for rule in ("all", "gap", "two_witnesses")
        )
      )
    rows.append(tuple(row))
  return make_table(
    "Every metric on clean sets",
    'Top-1 in %: every text kept / "gap" / "two_witnesses".',
    ("metric", *measured.sets),
    rows,
  )


def wrong_texts(measured: Measured, name: str) -> Table:
  """What wrong texts cost on a set, and what each rule wins back."""
  clean = measured.mean(Condition(name, "", 0), "all")
  rows = []
  for condition in measured.conditions(name):
    none = measured.mean(condition, "all")
    row = [condition.kind or "(none)", str(condition.wrong), percent(none)]
    for rule in ("gap", "two_witnesses", "two_witnesses, label"):
      row.append(percent(measured.mean(condition, rule)))
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
  return make_table(
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
        for condition in measured.conditions(name, CHOSEN_FROM)
        if condition.wrong in counts
      ]
      row += [
        percent(
          np.mean([measured.mean(each, rule, metric) for each in conditions])
        )
        for rule in ("all", "gap", "two_witnesses")
      ]
    rows.append(tuple(row))
  return make_table(
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
    for condition in measured.conditions(name):
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
  return make_table(
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
