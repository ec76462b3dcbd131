"""A run as one page: everything that was measured, to be read anywhere.

The page is a single file without scripts, fonts or pictures from outside, and
tells the browser to fetch none. All texts pass the template's escaping: class
names, file names and what a language model wrote are shown as they are.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s3_jax.results import cells as cell_texts
from s3_jax.results.cells import Cells, read_cells
from s3_jax.results.class_tables import ClassRow, class_tables
from s3_jax.results.escaping import clean
from s3_jax.results.properties import list_properties
from s3_jax.results.suite_table import suite_tables

__all__ = ["SECTIONS", "Picture", "render_report"]

SECTIONS = ("accuracy", "reliability", "confusion", "extra")
"""Where a picture may stand."""

_TEMPLATE = Path(__file__).parent / "templates" / "report_page.html"
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
  True: ("met", "met"),
  False: ("not met", "missed"),
  None: ("not comparable", ""),
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


class _Shown(NamedTuple):
  section: str
  caption: str
  data: str  # base64


class _Pairs(NamedTuple):
  dataset: str
  method: str
  rows: list[list[str]]


class _Expected(NamedTuple):
  dataset: str
  method: str
  published: str
  measured: str
  verdict: str
  style: str
  source: str


def render_report(
  results: Mapping[str, Any],
  *,
  baseline: str,
  per_class: Sequence[ClassRow],
  pictures: Sequence[Picture] = (),
) -> str:
  """Writes a run as one HTML page."""
  import jinja2

  for picture in pictures:
    if picture.section not in SECTIONS:
      raise ValueError(
        f"`section` of a picture must be one of {', '.join(SECTIONS)}, got "
        f"{picture.section!r}."
      )
  cells = read_cells(results, baseline)
  shown = [
    _Shown(
      picture.section,
      picture.caption,
      base64.b64encode(picture.path.read_bytes()).decode(),
    )
    for picture in pictures
  ]
  several = len(cells.datasets) > 1
  # Those that have a section of their own are not said twice.
  facts = {
    key: value
    for key, value in results.items()
    if key not in ("expectations", "skipped")
  }
  context = {
    "title": f"Results of {results['model']['name']}",
    "summary": _summary(results, cells),
    "about": cell_texts.title(results, cells, "the best in bold", clean),
    "head": ["method", *cells.datasets, *(["mean"] if several else [])],
    "accuracies": _named(cells.methods, cell_texts.accuracy_rows(cells)),
    "baseline": baseline,
    "differences": [
      [name, *row] for name, row in cell_texts.difference_rows(cells)
    ]
    if cells.differences
    else [],
    "facts": cell_texts.facts(facts, cells, clean),
    "measures": [_measures(cells, name) for name in cells.datasets],
    "suites": suite_tables(results),
    "expectations": [
      _expected(entry) for entry in results.get("expectations", ())
    ],
    "confusions": [_pairs(entry) for entry in results.get("confusions", ())],
    "classes": class_tables(per_class, cells),
    "pictures": shown,
    "bad": [
      [entry["name"], bad["file"], bad["reason"]]
      for entry in results["datasets"]
      for bad in entry["bad_examples"]
    ],
    "skipped": [
      [entry["dataset"], entry["reason"]]
      for entry in results.get("skipped", ())
    ],
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
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_finalize,
  )
  template = environment.from_string(_TEMPLATE.read_text("utf-8"))
  return template.render(context) + "\n"


def _finalize(value: Any) -> Any:
  """Drops control and direction-changing characters before the escaping."""
  plain = isinstance(value, str) and not hasattr(value, "__html__")
  return clean(value) if plain else value


def _named(
  names: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[list[str]]:
  return [
    [name, *(text.strip() for text in row)]
    for name, row in zip(names, rows, strict=True)
  ]


def _summary(results: Mapping[str, Any], cells: Cells) -> list[str]:
  """Says in a few lines what the run was."""
  images = sum(entry["examples"] for entry in results["datasets"])
  bad = sum(len(entry["bad_examples"]) for entry in results["datasets"])
  environment = results["environment"]
  lines = [
    f"{_count(len(cells.methods), 'method')} on "
    f"{_count(len(cells.datasets), 'test set')}: "
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


def _measures(
  cells: Cells, dataset: str
) -> tuple[str, list[str], list[list[str]]]:
  """Returns the name of a test set, the titles of its measures, and rows."""
  found = [
    (method, cells.cells[dataset, method])
    for method in cells.methods
    if (dataset, method) in cells.cells
  ]
  pixels = any("miou" in entry for _, entry in found)
  measures = _OF_PIXELS if pixels else _OF_IMAGES
  rows = [
    [
      method,
      f"{entry['n']:,}",
      *(_percent(entry.get(key)) for _, key in measures),
    ]
    for method, entry in found
  ]
  title = dataset
  if dataset in cells.partial:
    counted, published = cells.partial[dataset]
    title += f" {cell_texts.PARTIAL} {counted:,} of {published:,} images"
  return title, ["method", "images", *(t for t, _ in measures)], rows


def _percent(value: float | Sequence[float] | None) -> str:
  """Shows a fraction or an interval."""
  if value is None:
    return cell_texts.NONE
  if isinstance(value, int | float):
    return f"{100 * value:.2f}"
  return f"[{', '.join(map(_percent, value))}]"


def _expected(entry: Mapping[str, Any]) -> _Expected:
  verdict, style = _VERDICTS[entry["met"]]
  note = f": {entry['note']}" if entry.get("note") else ""
  return _Expected(
    entry["dataset"],
    entry["method"],
    f"{_percent(entry['published'])} ±{100 * entry['tolerance']:.1f}",
    _percent(entry["measured"]),
    verdict + note,
    style,
    entry["source"],
  )


def _pairs(entry: Mapping[str, Any]) -> _Pairs:
  return _Pairs(
    entry["dataset"],
    entry["method"],
    [
      [
        pair["name"],
        pair["predicted_name"],
        f"{pair['count']:,}",
        f"{100 * pair['share']:.0f} %",
      ]
      for pair in entry["pairs"]
    ],
  )


def _contents(context: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Lists the sections that the page has, by anchor."""
  has = context["has"]
  entries = (
    ("accuracy", "Results", True),
    ("suite", "As in papers", context["suites"]),
    ("expectations", "Published baselines", context["expectations"]),
    ("reliability", "Confidence", has["reliability"]),
    ("confusion", "Confusions", has["confusion"]),
    ("classes", "Classes", context["classes"]),
    ("figures", "Figures", has["extra"]),
    ("left-out", "Left out", context["bad"] or context["skipped"]),
    ("details", "How it was made", True),
  )
  return [(anchor, text) for anchor, text, shown in entries if shown]
