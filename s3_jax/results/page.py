"""A run as one page: everything that was measured, to be read anywhere.

The page is a single file without scripts, fonts or pictures from outside, and
tells the browser to fetch none. All texts pass the template's escaping: class
names, file names and what a language model wrote are shown as they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s3_jax.files import below_common_folder
from s3_jax.results.class_tables import ClassRow, class_tables
from s3_jax.results.document import (
  PARTIAL,
  Column,
  Marked,
  Table,
  percent,
)
from s3_jax.results.properties import list_properties
from s3_jax.results.results_index import ResultsIndex, index_results
from s3_jax.results.run_tables import difference_table, measure_table
from s3_jax.results.sentences import about_figures, facts
from s3_jax.results.suite_table import suite_tables
from s3_jax.results.templating import render

__all__ = ["SECTIONS", "Picture", "render_report"]

SECTIONS = ("accuracy", "reliability", "confusion", "extra")
"""Where a picture may stand."""

_DETAILS = (
  ("Model", "model"),
  ("Texts", "texts"),
  ("Intervals", "intervals"),
  ("Environment", "environment"),
  ("Timings, in seconds", "timings"),
  ("Counters", "counters"),
  ("Settings", "config"),
)
_OF_IMAGES = (
  ("top-1", "top1"),
  ("Wilson 95 %", "ci95"),
  ("bootstrap 95 %", "bootstrap_ci95"),
  ("top-5", "top5"),
  ("mean per class", "mean_per_class"),
  ("ECE", "ece"),
)
_OF_PIXELS = (
  ("mean IoU", "miou"),
  ("bootstrap 95 %", "ci95"),
  ("pixel accuracy", "pixel_accuracy"),
  ("bootstrap 95 %", "pixel_accuracy_ci95"),
)
_VERDICTS = {
  True: Marked("met", "met"),
  False: Marked("not met", "missed"),
  None: Marked("not comparable", ""),
}


class Picture(NamedTuple):
  """A figure of the page.

  Attributes:
    section: one of SECTIONS.
    caption: said below it, and where pictures are not shown.
    path: of the PNG.
  """

  section: str
  caption: str
  path: Path


def render_report(
  results: Mapping[str, Any],
  *,
  baseline: str,
  per_class: Sequence[ClassRow],
  pictures: Sequence[Picture] = (),
) -> str:
  """Writes a run as one HTML page."""
  for picture in pictures:
    if picture.section not in SECTIONS:
      raise ValueError(
        f"`section` of a picture must be one of {', '.join(SECTIONS)}, got "
        f"{picture.section!r}."
      )
  index = index_results(results, baseline)
  # Those that have a section of their own are not said twice.
  rest = {
    key: value
    for key, value in results.items()
    if key not in ("expectations", "skipped")
  }
  context = {
    "title": f"Results of {results['model']['name']}",
    "summary": _summary(results, index),
    "about": about_figures(results, index),
    "accuracies": measure_table(index),
    "baseline": baseline,
    "differences": difference_table(index) if index.differences else None,
    "facts": facts(rest, index),
    "measures": [_measures(index, name) for name in index.datasets],
    "suites": suite_tables(results),
    "expectations": _expectations(results.get("expectations", ())),
    "confusions": list(map(_pairs, results.get("confusions", ()))),
    "classes": class_tables(per_class, index),
    "pictures": pictures,
    "bad": _words(("data set", "file", "reason"), _bad_files(results)),
    "skipped": _words(
      ("data set", "reason"),
      [[e["dataset"], e["reason"]] for e in results.get("skipped", ())],
    ),
    "details": [
      (title, list_properties(results[key]))
      for title, key in _DETAILS
      if key in results
    ],
  }
  sections = {picture.section for picture in pictures}
  context["has"] = {name: name in sections for name in SECTIONS}
  context["has"]["confusion"] |= bool(context["confusions"])
  context["contents"] = _contents(context)
  return render("report_page.html", context)


def _summary(results: Mapping[str, Any], index: ResultsIndex) -> list[str]:
  """Says in a few lines what the run was."""
  images = sum(entry["examples"] for entry in results["datasets"])
  bad = sum(len(entry["bad_examples"]) for entry in results["datasets"])
  environment = results["environment"]
  lines = [
    f"{_count(len(index.methods), 'method')} on "
    f"{_count(len(index.datasets), 'test set')}: "
    f"{_count(images - bad, 'image')} counted, {bad:,} unreadable, "
    f"{_count(len(results.get('skipped', ())), 'test set')} skipped",
    f"weights: sha256 {results['model']['sha256']}",
    f"texts: sha256 {results['texts'].get('sha256', 'unknown')}",
    f"seed {results['seed']}, s3_jax {environment.get('s3_jax', 'unknown')}, "
    f"commit {environment.get('git') or 'unknown'}",
  ]
  verdicts = [entry["met"] for entry in results.get("expectations", ())]
  if verdicts:
    judged = [met for met in verdicts if met is not None]
    lines.append(
      f"published baselines: {sum(judged)} of {len(judged)} met, "
      f"{len(verdicts) - len(judged)} not comparable"
    )
  return lines


def _count(number: int, noun: str) -> str:
  return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _measures(index: ResultsIndex, dataset: str) -> Table:
  """Has every measure of the methods on a test set."""
  found = [
    (method, index.entries[dataset, method])
    for method in index.methods
    if (dataset, method) in index.entries
  ]
  pixels = any("miou" in entry for _, entry in found)
  measures = _OF_PIXELS if pixels else _OF_IMAGES
  columns = [Column("method", words=True), Column("images", "{:,}".format)]
  columns += [Column(title, _percent) for title, _ in measures]
  title = dataset
  if dataset in index.partial:
    counted, published = index.partial[dataset]
    title += f" {PARTIAL} {counted:,} of {published:,} images"
  return Table(
    columns,
    [
      [method, entry["n"], *(entry.get(key) for _, key in measures)]
      for method, entry in found
    ],
    title=title,
  )


def _percent(value: float | Sequence[float]) -> str:
  """Shows a fraction or an interval."""
  if isinstance(value, int | float):
    return percent(value, 2)
  return f"[{', '.join(map(_percent, value))}]"


def _expectations(entries: Sequence[Mapping[str, Any]]) -> Table:
  rows = []
  for entry in entries:
    verdict = _VERDICTS[entry["met"]]
    note = f": {entry['note']}" if entry.get("note") else ""
    published = f"{_percent(entry['published'])} ±{percent(entry['tolerance'])}"
    rows.append(
      [
        entry["dataset"],
        entry["method"],
        published,
        entry["measured"],
        verdict._replace(value=verdict.value + note),
        entry["source"],
      ]
    )
  columns = [
    Column("data set", words=True),
    Column("method", words=True),
    Column("published"),
    Column("measured", _percent),
    Column("", words=True),
    Column("source", words=True),
  ]
  return Table(columns, rows)


def _pairs(entry: Mapping[str, Any]) -> Table:
  columns = [
    Column("class", words=True),
    Column("taken for", words=True),
    Column("images", "{:,}".format),
    Column("of its images", lambda share: f"{100 * share:.0f} %"),
  ]
  rows = [
    [pair[key] for key in ("name", "predicted_name", "count", "share")]
    for pair in entry["pairs"]
  ]
  title = f"Most confused on {entry['dataset']} by {entry['method']}"
  return Table(columns, rows, title=title)


def _bad_files(results: Mapping[str, Any]) -> list[list[str]]:
  """Lists what could not be used; results.json has the whole paths."""
  rows = []
  for entry in results["datasets"]:
    bad = entry["bad_examples"]
    files = below_common_folder([each["file"] for each in bad])
    rows += [
      [entry["name"], file, each["reason"]]
      for file, each in zip(files, bad, strict=True)
    ]
  return rows


def _words(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
  return Table([Column(title, words=True) for title in titles], rows)


def _contents(context: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Lists the sections that the page has, by anchor."""
  has = context["has"]
  left_out = context["bad"].rows or context["skipped"].rows
  entries = (
    ("accuracy", "Results", True),
    ("suite", "As in papers", context["suites"]),
    ("expectations", "Published baselines", context["expectations"].rows),
    ("reliability", "Confidence", has["reliability"]),
    ("confusion", "Confusions", has["confusion"]),
    ("classes", "Classes", context["classes"]),
    ("figures", "Figures", has["extra"]),
    ("left-out", "Left out", left_out),
    ("details", "How it was made", True),
  )
  return [(anchor, text) for anchor, text, shown in entries if shown]
