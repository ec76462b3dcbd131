"""Mean IoUs that others have published, to be shown beside measured ones.

None of these figures was measured by this project, and each says where it was
read; some were read in the tables of later papers, which are called secondary
sources here. Where two sources differ on one method, both have a row. No figure
of the S³ paper is among them: none was found. All are for OpenAI's ViT-B/16,
without training and without refinement of masks.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

__all__ = [
  "PUBLISHED_MIOU",
  "SEGMENTATION",
  "PublishedMiou",
  "check_miou",
  "published_miou_rows",
]

_MODELS = ("openai/clip-vit-base-patch16", "openai/ViT-B/16")
_TOLERANCE = 0.005
"""Within half a point a published baseline counts as met. Ours."""

SEGMENTATION = (
  "voc21",
  "context60",
  "coco_object",
  "voc20",
  "context59",
  "coco_stuff",
  "cityscapes",
  "ade20k",
)
"""In the order in which papers print them."""

_FREECP = "README of FreeCP, a secondary source"
_IMAGE = "assets/results.png of ClearCLIP's repository"
_CCAR = "CCAR's table, a secondary source"


class PublishedMiou(NamedTuple):
  """One row of a published table.

  Attributes:
    method: what was measured, in words.
    protocol: under which the method "names_max" of a run should meet these
      figures; "" for none.
    miou: in percent, as printed, by data set.
    source: where it was read.
  """

  method: str
  protocol: str
  miou: Mapping[str, float]
  source: str


def _row(
  method: str, source: str, *miou: float | None, protocol: str = ""
) -> PublishedMiou:
  figures = {
    name: value
    for name, value in zip(SEGMENTATION, miou, strict=True)
    if value is not None
  }
  return PublishedMiou(method, protocol, figures, source)


PUBLISHED_MIOU = (
  _row(
    "CLIP, vanilla attention",
    _IMAGE,
    *(None, None, None, 41.8, 9.2, 4.4, 5.5, 2.1),
  ),
  _row(
    "MaskCLIP, its own protocol",
    "configs/maskclip/README.md of MaskCLIP's repository",
    *(None, None, None, 49.5, 21.7, 12.5, None, None),
  ),
  _row(
    "MaskCLIP, re-run by SCLIP",
    _FREECP,
    *(43.4, 23.2, 20.6, 74.9, 26.4, 16.7, 24.9, 11.9),
  ),
  _row(
    "SCLIP, its paper",
    _FREECP,
    *(59.1, 30.4, 30.5, 80.4, 34.2, 22.4, 32.2, 16.1),
  ),
  _row(
    "SCLIP, its repository",
    "README of SCLIP's repository",
    *(59.63, 31.74, 33.52, 81.54, 34.46, 22.77, 32.34, 16.45),
    protocol="sclip",
  ),
  _row(
    "SCLIP, re-run",
    _CCAR,
    *(59.62, 32.59, 33.52, 81.54, 34.14, 22.77, 32.34, 16.45),
  ),
  _row(
    "SCLIP, in ClearCLIP's protocol",
    _IMAGE,
    *(None, None, None, 78.2, 33.0, 21.1, 29.1, 14.6),
  ),
  _row("GEM", _FREECP, *(56.9, 32.6, 31.1, 79.9, 35.9, 23.7, 30.8, 15.7)),
  _row("ClearCLIP", _FREECP, *(51.8, 32.6, 33.0, 80.9, 35.9, 23.9, 30.0, 16.7)),
  _row(
    "ClearCLIP, re-run",
    _CCAR,
    *(51.79, 33.78, 33.03, 80.93, 35.84, 23.90, 30.04, 16.64),
  ),
  _row(
    "NACLIP",
    "PEARL's table, a secondary source",
    *(58.9, 32.2, 33.2, 79.7, 35.2, None, 35.5, 17.4),
  ),
  _row(
    "ProxyCLIP, with DINO-B/8",
    "RF-CLIP's table, a secondary source",
    *(59.1, 35.2, 36.2, 78.2, 38.8, 26.2, 38.1, 19.6),
  ),
  _row(
    "ProxyCLIP, with DINO-B/8, as others print it",
    "CorrCLIP's and GLA-CLIP's tables, secondary sources",
    *(61.3, 35.3, 37.5, None, None, None, 38.1, 20.2),
  ),
)
"""In the order in which the methods appeared."""


def published_miou_rows(
  name: str, datasets: Collection[str]
) -> list[dict[str, Any]]:
  """Lists published mean IoUs as `results.json` holds them."""
  if name not in _MODELS:
    return []
  return [
    {
      "dataset": dataset,
      "method": row.method,
      "model": "OpenAI ViT-B/16",
      "miou": round(miou / 100, 6),
      "source": row.source,
      "kind": "published",
    }
    for row in PUBLISHED_MIOU
    for dataset, miou in row.miou.items()
    if dataset in datasets
  ]


def check_miou(
  results: Mapping[str, Any], *, protocol: str, notes: Mapping[str, str]
) -> list[dict[str, Any]]:
  """Compares a run's baseline with what was published of it."""
  if results["model"]["name"] not in _MODELS:
    return []
  rows = []
  for row in PUBLISHED_MIOU:
    for entry in results["methods"]:
      if (
        entry["name"] != "names_max"
        or not row.protocol
        or row.protocol != protocol
        or entry["dataset"] not in row.miou
      ):
        continue
      published = round(row.miou[entry["dataset"]] / 100, 6)
      note = notes.get(entry["dataset"], "")
      near = abs(entry["miou"] - published) <= _TOLERANCE + 1e-9
      rows.append(
        {
          "dataset": entry["dataset"],
          "method": "names_max",
          "published": published,
          "tolerance": _TOLERANCE,
          "measured": entry["miou"],
          "met": None if note else near,
          "note": note,
          "source": row.source,
        }
      )
  return rows
