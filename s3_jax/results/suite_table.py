"""The tables of papers: benchmarks, their averages, published rows.

An average stands only where every set that belongs to it was measured, so that
two rows are never compared over different sets.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.results.cells import (
  mark_best,
  mark_partial,
  partial_sentence,
  partial_sets,
)
from s3_jax.results.drawing import shorten
from s3_jax.results.escaping import clean, escape_markdown
from s3_jax.results.grids import align, pipes, tabular
from s3_jax.results.published_miou import SEGMENTATION
from s3_jax.results.published_tables import FINE_GRAINED, IMAGENET

__all__ = [
  "SuiteTable",
  "suite_latex",
  "suite_markdown",
  "suite_tables",
  "suite_text",
]

_TITLES = {
  "imagenet": "ImageNet",
  "imagenet_a": "-A",
  "imagenet_v2": "-V2",
  "imagenet_r": "-R",
  "imagenet_sketch": "-Sketch",
  "fgvc_aircraft": "Aircraft",
  "caltech101": "Caltech",
  "stanford_cars": "Cars",
  "dtd": "DTD",
  "eurosat": "EuroSAT",
  "oxford_flowers102": "Flowers",
  "food101": "Food",
  "oxford_pets": "Pets",
  "sun397": "SUN",
  "ucf101": "UCF",
  "voc21": "VOC21",
  "context60": "Context60",
  "coco_object": "Object",
  "voc20": "VOC20",
  "context59": "Context59",
  "coco_stuff": "Stuff",
  "cityscapes": "City",
  "ade20k": "ADE",
}
# Title, sets, and averages: their titles and the sets that each is over.
_GROUPS = (
  ("ImageNet family", IMAGENET, (("Average", IMAGENET), ("OOD", IMAGENET[1:]))),
  ("Fine-grained", FINE_GRAINED, (("Average", FINE_GRAINED),)),
  ("Segmentation", SEGMENTATION, (("Average", SEGMENTATION),)),
)
_ABOUT = {
  "ImageNet family": (
    "Top-1 accuracy in %. Average: of the five sets; OOD: of the four shifts."
  ),
  "Fine-grained": "Top-1 accuracy in %. Average: of the ten sets.",
  "Segmentation": "Mean IoU in %. Average: of the eight sets.",
}
_WHOLE = "An average stands only where all of its sets were measured."
_PUBLISHED = "published elsewhere, not measured here"


class SuiteTable(NamedTuple):
  """One group of benchmarks as a table.

  Attributes:
    title: of the group.
    about: what the figures and averages are.
    head: of the columns, the first of which has the methods.
    measured: rows of this run; the best of each column has an asterisk.
    published: rows that others have published.
    sources: of the published rows, as (method, source).
  """

  title: str
  about: str
  head: list[str]
  measured: list[list[str]]
  published: list[list[str]]
  sources: list[tuple[str, str]]


def suite_tables(results: Mapping[str, Any]) -> list[SuiteTable]:
  """Arranges a run over benchmarks as papers do.

  A group of which no set was measured has no table. Sets outside of the groups
  are not shown: the main table has them.
  """
  tables = []
  partial = partial_sets(results)
  for title, names, averages in _GROUPS:
    key = "miou" if names == SEGMENTATION else "top1"
    measured = _by_method(results["methods"], "name", key)
    published = _by_method(results.get("published", ()), "method", key)
    sources = {
      (entry["method"], entry["dataset"]): entry["source"]
      for entry in results.get("published", ())
    }
    run = {name for row in measured.values() for name in row}
    if not run & set(names):
      continue
    others = _only(published, names)
    tables.append(
      SuiteTable(
        title=title,
        about=" ".join(
          (
            f"{_ABOUT[title]} {_WHOLE}",
            partial_sentence(
              {_TITLES[n]: partial[n] for n in names if n in partial}, str
            ),
          )
        ).rstrip(),
        head=[
          "method",
          *(_TITLES[n] for n in names),
          *(a for a, _ in averages),
        ],
        measured=_rows(
          _only(measured, names), names, averages, best=True, partial=partial
        ),
        published=_rows(others, names, averages, best=False),
        sources=list(
          dict.fromkeys(
            (method, sources[method, name])
            for method, row in others.items()
            for name in row
            if name in names
          )
        ),
      )
    )
  return tables


def _by_method(
  entries: Sequence[Mapping[str, Any]], name: str, key: str
) -> dict[str, dict[str, float]]:
  """Looks up those entries that have a measure by method and data set."""
  rows: dict[str, dict[str, float]] = {}
  for entry in entries:
    if key in entry:
      rows.setdefault(entry[name], {})[entry["dataset"]] = entry[key]
  return rows


def _only(
  rows: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> dict[str, Mapping[str, float]]:
  return {
    method: row for method, row in rows.items() if any(n in row for n in names)
  }


def _rows(
  rows: Mapping[str, Mapping[str, float]],
  names: Sequence[str],
  averages: Sequence[tuple[str, Sequence[str]]],
  *,
  best: bool,
  partial: Collection[str] = (),
) -> list[list[str]]:
  values = [
    [
      *(row.get(name) for name in names),
      *(_mean([row.get(name) for name in over]) for _, over in averages),
    ]
    for row in rows.values()
  ]
  columns = [
    mark_best(column, digits=2) for column in zip(*values, strict=True)
  ]
  if not best:
    columns = [[cell.replace("*", " ") for cell in c] for c in columns]
  over = [(name,) for name in names] + [sets for _, sets in averages]
  over = over[: len(columns)]  # without a row there is no column
  columns = [
    [mark_partial(cell) for cell in column]
    if any(name in partial for name in sets)
    else column
    for column, sets in zip(columns, over, strict=True)
  ]
  cells = zip(*columns, strict=True)
  return [[method, *row] for method, row in zip(rows, cells, strict=True)]


def _mean(values: Sequence[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return sum(known) / len(known) if len(known) == len(values) else None


def suite_text(results: Mapping[str, Any]) -> str:
  """Formats the suite as plain text."""
  parts = []
  for table in suite_tables(results):
    head = [table.head[0], *(f"{title} " for title in table.head[1:])]
    rows = [[shorten(row[0], 45), *row[1:]] for row in table.measured]
    rows += [[shorten(row[0], 45), *row[1:]] for row in table.published]
    lines = align([head, *rows])
    rule = "─" * max(map(len, lines))
    last = 1 + len(table.measured)
    parts += [f"{table.title}. {table.about} * the best of this run.", rule]
    parts += [lines[0], rule, *lines[1:last], rule]
    if table.published:
      parts += [f"{_PUBLISHED}:", *lines[last:], rule]
  return "\n".join(parts)


def suite_markdown(results: Mapping[str, Any]) -> str:
  """Formats the suite as Markdown."""
  parts = []
  for table in suite_tables(results):
    parts += [
      f"## {table.title}",
      f"{table.about} The best of this run in bold.",
    ]
    parts.append(pipes(table.head, table.measured))
    if table.published:
      parts.append(f"{_PUBLISHED.capitalize()}:")
      parts.append(pipes(table.head, table.published))
      parts.append(
        "\n".join(
          f"- {escape_markdown(method)}: {escape_markdown(source)}"
          for method, source in table.sources
        )
      )
  return "\n\n".join(parts) + "\n" if parts else ""


def suite_latex(results: Mapping[str, Any]) -> str:
  r"""Formats the suite as `tabular`s of LaTeX."""
  parts = []
  for table in suite_tables(results):
    blocks = [("", table.measured)]
    if table.published:
      blocks.append((_PUBLISHED.capitalize(), table.published))
    parts.append(f"% {table.title}. {table.about} The best in bold.")
    parts += [
      f"% {clean(method)}: {clean(source)}" for method, source in table.sources
    ]
    parts.append(tabular(table.head, blocks))
  return "\n".join(parts) + "\n" if parts else ""
