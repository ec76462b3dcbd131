"""The tables of papers: benchmarks, their averages, published rows.

An average stands only where every set that belongs to it was measured, so that
two rows are never compared over different sets.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from s3_jax.results.document import Column, Percent, Table, mark_best
from s3_jax.results.published_tables import (
  FINE_GRAINED,
  IMAGENET,
  SEGMENTATION,
)
from s3_jax.results.results_index import partial_sets
from s3_jax.results.sentences import partial_sentence

__all__ = ["suite_tables"]

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
_PUBLISHED = "Published elsewhere, not measured here"


def suite_tables(results: Mapping[str, Any]) -> list[Table]:
  """Arranges a run over benchmarks as papers do, with published rows apart.

  A group of which no set was measured has no table. Sets outside of the groups
  are not shown: the main table has them.
  """
  tables = []
  partial = partial_sets(results)
  for title, names, averages in _GROUPS:
    key = "miou" if names == SEGMENTATION else "top1"
    published = results.get("published", ())
    measured = _by_method(_told_apart(results["methods"]), "name", key, names)
    others = _by_method(published, "method", key, names)
    if not measured:
      continue
    caption = [_ABOUT[title], _WHOLE]
    in_part = {_TITLES[n]: partial[n] for n in names if n in partial}
    if in_part:
      caption.append(partial_sentence(in_part))
    over = [(name,) for name in names] + [sets for _, sets in averages]
    titles = [*(_TITLES[n] for n in names), *(title for title, _ in averages)]
    columns = [
      mark_best([_mean(row, sets, partial) for row in measured.values()])
      for sets in over
    ]
    tables.append(
      Table(
        [Column("method", words=True), *map(Column, titles)],
        list(zip(measured, *columns, strict=True)),
        title=title,
        caption=caption,
        notes=_sources(published, others),
        apart=[
          [method, *(_mean(row, sets, ()) for sets in over)]
          for method, row in others.items()
        ],
        apart_title=_PUBLISHED,
      )
    )
  return tables


def _told_apart(
  entries: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
  """Puts methods that see other test images last, and says so."""
  return [
    *(entry for entry in entries if entry.get("order_seed") is None),
    *(
      {**entry, "name": f"{entry['name']} (stream)"}
      for entry in entries
      if entry.get("order_seed") is not None
    ),
  ]


def _by_method(
  entries: Sequence[Mapping[str, Any]],
  name: str,
  key: str,
  datasets: Sequence[str],
) -> dict[str, dict[str, float]]:
  """Looks up what was measured on some data sets by method and data set."""
  rows: dict[str, dict[str, float]] = {}
  for entry in entries:
    if key in entry and entry["dataset"] in datasets:
      rows.setdefault(entry[name], {})[entry["dataset"]] = entry[key]
  return rows


def _mean(
  row: Mapping[str, float], names: Sequence[str], partial: Collection[str]
) -> Percent | None:
  values = [row[name] for name in names if name in row]
  if len(values) < len(names):
    return None
  in_part = any(name in partial for name in names)
  return Percent(sum(values) / len(values), partial=in_part, digits=2)


def _sources(
  published: Sequence[Mapping[str, Any]], shown: Mapping[str, Mapping]
) -> list[str]:
  sources = {(e["method"], e["dataset"]): e["source"] for e in published}
  lines = [
    f"{method}: {sources[method, name]}"
    for method, row in shown.items()
    for name in row
  ]
  return list(dict.fromkeys(lines))
