"""Published figures as rows of results, and whether a run meets them."""

from collections.abc import Collection, Mapping
from typing import Any

from s3_jax.results.published_tables import PUBLISHED, PublishedRow

__all__ = ["check_expectations", "expected_row", "published_rows"]

_TOLERANCES = {"top1": 0.003, "miou": 0.005}
"""Within 0.3 points of accuracy, or half a point of mean IoU, a published
baseline counts as met. Ours."""

# The zoo's names of these weights.
_MODELS = {
  "openai/clip-vit-base-patch16": "OpenAI ViT-B/16",
  "openai/ViT-B/16": "OpenAI ViT-B/16",
  "openai/RN50": "OpenAI RN50",
}


def _rows_of(name: str, measure: str) -> tuple[PublishedRow, ...]:
  return PUBLISHED[measure].get(_MODELS.get(name, ""), ())


def published_rows(
  name: str, datasets: Collection[str], *, measure: str = "top1"
) -> list[dict[str, Any]]:
  """Lists published figures of a checkpoint as `results.json` holds them."""
  return [
    {
      "dataset": dataset,
      "method": row.method,
      "model": _MODELS[name],
      measure: _fraction(figure),
      "source": row.source,
      "kind": "published",
    }
    for row in _rows_of(name, measure)
    for dataset, figure in row.figures.items()
    if dataset in datasets
  ]


def expected_row(
  name: str,
  dataset: str,
  method: str,
  *,
  measure: str = "top1",
  protocol: str = "",
) -> PublishedRow | None:
  """Returns the published row that a run should meet on a data set.

  Of accuracies these are CLIP's baselines, which leave nothing open: the class
  name in "a photo of a {}.", and on the ImageNet sets the 80 templates.
  """
  for row in _rows_of(name, measure):
    meant = method and (row.key, row.protocol) == (method, protocol)
    if meant and dataset in row.figures:
      return row
  return None


def check_expectations(
  results: Mapping[str, Any],
  *,
  measure: str = "top1",
  protocol: str = "",
  notes: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
  """Compares a run's baselines with what was published of the same weights.

  A figure is met when the measured one differs by at most the tolerance to
  either side. A run over other images than those of the published split is not
  comparable, nor is a data set of which a note says so: the entry tells why,
  and is neither met nor missed.
  """
  tolerance = _TOLERANCES[measure]
  datasets = {entry["name"]: entry for entry in results["datasets"]}
  rows = []
  for entry in results["methods"]:
    dataset, method = entry["dataset"], entry["name"]
    known = expected_row(
      results["model"]["name"],
      dataset,
      method,
      measure=measure,
      protocol=protocol,
    )
    if known is None:
      continue
    published = _fraction(known.figures[dataset])
    if notes is None:
      note = _objection(datasets[dataset], tolerance)
    else:
      note = notes.get(dataset, "")
    # The slack is for rounding: one image of the largest set is 2e-5.
    near = abs(entry[measure] - published) <= tolerance + 1e-9
    rows.append(
      {
        "dataset": dataset,
        "method": method,
        "published": published,
        "tolerance": tolerance,
        "measured": entry[measure],
        "met": None if note else near,
        "note": note,
        "source": known.source,
      }
    )
  return rows


def _objection(dataset: Mapping[str, Any], tolerance: float) -> str:
  """Says what keeps a run over these images from being compared."""
  read, published = dataset["examples"], dataset["published_examples"]
  bad = len(dataset["bad_examples"])
  if read != published:
    return f"{read:,} images here, {published:,} as published"
  # So many could move the accuracy by more than the tolerance.
  if bad > tolerance * published:
    return f"{bad:,} of {published:,} images could not be read"
  return ""


def _fraction(percent: float) -> float:
  """Keeps 66.73 % from becoming 0.6673000000000001."""
  return round(percent / 100, 6)
