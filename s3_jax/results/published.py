"""Published accuracies as rows of results, and whether a run meets them."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from s3_jax.results.published_tables import (
  NAME_TEMPLATE,
  PUBLISHED,
  PUBLISHED_IMAGES,
)

__all__ = [
  "PublishedTop1",
  "check_expectations",
  "expected_top1",
  "published_model",
  "published_rows",
]

_TOLERANCE = 0.003
"""Within 0.3 points a published baseline counts as met."""


class PublishedTop1(NamedTuple):
  """One published accuracy.

  Attributes:
    top1: in percent, as printed.
    source: where it was read.
  """

  top1: float
  source: str


# The zoo's names of these weights.
_MODELS = {
  "openai/clip-vit-base-patch16": "OpenAI ViT-B/16",
  "openai/ViT-B/16": "OpenAI ViT-B/16",
  "openai/RN50": "OpenAI RN50",
}


def published_model(name: str) -> str | None:
  """Returns the key of PUBLISHED that belongs to a checkpoint."""
  return _MODELS.get(name)


def published_rows(
  name: str, datasets: Collection[str] | None = None
) -> list[dict[str, Any]]:
  """Lists published accuracies as `results.json` holds them."""
  model = published_model(name)
  if model is None:
    return []
  return [
    {
      "dataset": dataset,
      "method": row.method,
      "model": model,
      "top1": _fraction(top1),
      "source": row.source,
      "kind": "published",
    }
    for row in PUBLISHED[model]
    for dataset, top1 in row.top1.items()
    if datasets is None or dataset in datasets
  ]


def expected_top1(name: str, dataset: str, method: str) -> PublishedTop1 | None:
  """Returns the published accuracy that a run should meet.

  These are CLIP's baselines, which leave nothing open: the class name in
  "a photo of a {}.", and on the ImageNet sets the 80 templates.
  """
  model = published_model(name)
  for row in PUBLISHED[model] if model is not None and method else ():
    if row.key == method and dataset in row.top1:
      return PublishedTop1(row.top1[dataset], row.source)
  return None


def check_expectations(
  results: Mapping[str, Any],
  *,
  template: str = NAME_TEMPLATE,
  tolerance: float = _TOLERANCE,
) -> list[dict[str, Any]]:
  """Compares a run's baselines with what was published of the same weights.

  A figure is met when the measured one differs by at most `tolerance` to
  either side. A run over other images than those of the published split, or
  with another template, is not comparable: the entry says so, and is neither
  met nor missed.
  """
  bad = {e["name"]: len(e["bad_examples"]) for e in results["datasets"]}
  rows = []
  for entry in results["methods"]:
    dataset, method = entry["dataset"], entry["name"]
    known = expected_top1(results["model"]["name"], dataset, method)
    if known is None:
      continue
    published = _fraction(known.top1)
    note = _objection(
      entry["n"], bad[dataset], PUBLISHED_IMAGES[dataset], tolerance
    )
    if method == "class_name" and template != NAME_TEMPLATE:
      note = f"the template here is {template!r}"
    # The slack is for rounding: one image of the largest set is 2e-5.
    near = abs(entry["top1"] - published) <= tolerance + 1e-9
    rows.append(
      {
        "dataset": dataset,
        "method": method,
        "published": published,
        "tolerance": tolerance,
        "measured": entry["top1"],
        "met": None if note else near,
        "note": note,
        "source": known.source,
      }
    )
  return rows


def _objection(read: int, bad: int, published: int, tolerance: float) -> str:
  """Says what keeps a run over these images from being compared."""
  if read + bad != published:
    return f"{read + bad:,} images here, {published:,} as published"
  # So many could move the accuracy by more than the tolerance.
  if bad > tolerance * published:
    return f"{bad:,} of {published:,} images could not be read"
  return ""


def _fraction(percent: float) -> float:
  """Keeps 66.73 % from becoming 0.6673000000000001."""
  return round(percent / 100, 6)
