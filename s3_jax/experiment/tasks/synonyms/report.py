"""What a run of the generator took, left out and could not get."""

import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from s3_jax.files import atomic_write, write_json
from s3_jax.lexicon.answers import NameOwners
from s3_jax.lexicon.generate import Generated
from s3_jax.lexicon.prompting import Job
from s3_jax.results.drawing import shorten

_SCHEMA = 1
_MOST_LINES = 200  # of a list in report.md; report.json holds all of it


def write_generation_report(
  generated: Generated,
  job: Job,
  folder: pathlib.Path,
  *,
  provenance: Mapping[str, Any],
  table: str | None,
  more: Mapping[str, Any] | None = None,
) -> None:
  """Writes report.json and report.md; `more` is what else a run knows."""
  report = {**_report(generated, job, provenance, table), **(more or {})}
  write_json(folder / "report.json", report, ascii=False)
  atomic_write(folder / "report.md", _markdown(report, job.names))


def _report(
  generated: Generated,
  job: Job,
  provenance: Mapping[str, Any],
  table: str | None,
) -> dict[str, Any]:
  entries = generated.entries
  same = [sorted(labels) for labels in NameOwners(job.names).exact.values()]
  return {
    "schema": _SCHEMA,
    "table": table,
    "provenance": dict(provenance),
    "classes": len(job.names),
    "answered": len(entries),
    "synonyms": sum(len(entry.synonyms) for entry in entries.values()),
    "descriptors": sum(len(entry.descriptors) for entry in entries.values()),
    "fallback": [_class(job, label) for label in generated.fallback],
    "without_synonyms": [
      _class(job, label)
      for label, entry in entries.items()
      if not entry.synonyms
    ],
    "same_names": sorted(labels for labels in same if len(labels) > 1),
    "stopped": generated.stopped or None,
    "detail": generated.detail or None,
    "run": {
      "requests": generated.requests,
      "tokens": generated.tokens,
      "failures": dict(sorted(generated.failures.items())),
    },
    "left_out": list(generated.left_out),
    "stored_answers": len(generated.records),
    "problems": dict(sorted(generated.problems.items())),
    "dropped": dict(
      sorted(Counter(drop.reason for drop in generated.drops).items())
    ),
    "drops": [drop._asdict() for drop in generated.drops],
  }


def _class(job: Job, label: int) -> dict[str, Any]:
  return {"index": label, "name": job.names[label]}


def _markdown(report: Mapping[str, Any], names: Sequence[str]) -> str:
  """Formats the report; every text that is not ours stands in a code span."""
  origin = report["provenance"]
  table = report["table"]
  lines = [
    "# Synonyms and descriptors",
    "",
    _origin_line(origin),
    f"- Table: {_code(table) if table else 'not written'}",
    f"- Classes with an answer: {report['answered']} of {report['classes']}",
    f"- Synonyms: {report['synonyms']}; descriptors: {report['descriptors']}",
    f"- Stored answers: {report['stored_answers']}; this run:"
    f" {report['run']['requests']} requests, {report['run']['tokens']} tokens",
  ]
  if refused := report["left_out"]:
    lines.append(f"- Refused by the endpoint, left out: {', '.join(refused)}")
  if report["stopped"]:
    lines.append(f"- Stopped: {_code(report['detail'])}")
  for title, counts in (
    ("Texts that were not taken", report["dropped"]),
    ("Answers that could not be used", report["problems"]),
    ("Requests of this run that failed", report["run"]["failures"]),
  ):
    if counts:
      lines += ["", f"## {title}", "", "| reason | count |", "| --- | ---: |"]
      lines += [f"| {reason} | {count} |" for reason, count in counts.items()]
  hints = {
    label: f": {_code(hint)}" for label, hint in report.get("hints", {}).items()
  }
  for title, rows in (
    *_lists_by_hand(report, names),
    (
      "Classes that keep their plain name",
      [
        _named(row["index"], names) + hints.get(row["index"], "")
        for row in report["fallback"]
      ],
    ),
    (
      "Classes without synonyms",
      [_named(row["index"], names) for row in report["without_synonyms"]],
    ),
    (
      "Classes with one name, which texts cannot tell apart",
      [
        ", ".join(_named(label, names) for label in labels)
        for labels in report["same_names"]
      ],
    ),
    (
      "Every text that was not taken",
      [
        f"{_named(drop['label'], names)}: {drop['kind']} {_code(drop['text'])},"
        f" {drop['reason']}"
        for drop in report["drops"]
      ],
    ),
  ):
    if rows:
      lines += ["", f"## {title}", ""]
      lines += [f"- {row}" for row in rows[:_MOST_LINES]]
      if len(rows) > _MOST_LINES:
        lines.append(f"- and {len(rows) - _MOST_LINES} more, in report.json")
  return "\n".join(lines) + "\n"


def _origin_line(origin: Mapping[str, Any]) -> str:
  if "model" not in origin:
    return "- Each class of the table says its `source`"
  return (
    f"- Model {_code(origin['model'])}, temperature"
    f" {_setting(origin['temperature'])}, seed {_setting(origin['seed'])},"
    f" prompt version {origin['prompt_version']},"
    f" date {_code(origin['date'] or 'none')}"
  )


def _lists_by_hand(
  report: Mapping[str, Any], names: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
  """Lists what was looked up, and what was refused of a pasted text."""
  yield (
    "Classes found in packaged tables",
    [
      f"{_named(row['label'], names)}: {row['table']} {row['index']}"
      f" {_code(row['name'])}, {row['match']}"
      for row in report.get("found", ())
    ],
  )
  yield (
    "Classes of tables that bear a name and no other of its names",
    [
      f"{_named(row['label'], names)}: {row['table']} {_code(row['name'])},"
      f" {row['match']}, {_code(', '.join(row['synonyms']))}"
      for row in report.get("others", ())
    ],
  )
  yield (
    "Pasted entries of which nothing was taken",
    [
      f"index {_code(row['class_index'])}, {_code(row['name'])}:"
      f" {row['reason']}"
      for row in report.get("refused", ())
    ],
  )
  yield (
    "Classes pasted twice, of which the last counts",
    [_named(label, names) for label in report.get("repeated", ())],
  )
  yield (
    "Pasted classes that had synonyms and keep them",
    [_named(label, names) for label in report.get("kept", ())],
  )


def _setting(value: float | int | None) -> str:
  return "not sent" if value is None else f"{value:g}"


def _named(label: int, names: Sequence[str]) -> str:
  return f"{label} {_code(names[label])}"


def _code(text: str) -> str:
  """Shows a text so that nothing in it is Markdown, HTML or a link."""
  shown = shorten(text, 100).replace("`", "'").replace("|", "¦")
  return f"`{shown}`" if shown else "(empty)"
