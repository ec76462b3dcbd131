"""The form of published figures: one row a method, and the papers' orders."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = [
  "FINE_GRAINED",
  "IMAGENET",
  "PublishedRow",
  "SEGMENTATION",
  "published_row",
]

# All in the order in which papers print them.
IMAGENET = (
  "imagenet",
  "imagenet_a",
  "imagenet_v2",
  "imagenet_r",
  "imagenet_sketch",
)
FINE_GRAINED = (
  "fgvc_aircraft",
  "caltech101",
  "stanford_cars",
  "dtd",
  "eurosat",
  "oxford_flowers102",
  "food101",
  "oxford_pets",
  "sun397",
  "ucf101",
)
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


class PublishedRow(NamedTuple):
  """One row of a published table.

  Attributes:
    method: what was measured, in words; "test time": it adapts to the image.
    figures: top-1 accuracy or mean IoU in percent, as printed, by data set.
    source: where it was read.
    key: the method of a run that should meet these figures; "" for none.
    protocol: under which it should, where images are labelled.
  """

  method: str
  figures: Mapping[str, float]
  source: str
  key: str = ""
  protocol: str = ""


def published_row(
  method: str,
  datasets: Sequence[str],
  values: Sequence[float | None],
  source: str,
  *,
  key: str = "",
  protocol: str = "",
) -> PublishedRow:
  """Makes a row of columns in the order of `datasets`; None: not printed."""
  pairs = zip(datasets, values, strict=True)
  figures = {name: value for name, value in pairs if value is not None}
  return PublishedRow(method, figures, source, key, protocol)
