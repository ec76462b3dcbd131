"""A row of figures that others have published."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class PublishedRow(NamedTuple):
  """One row of a published table.

  Attributes:
    method: what was measured, in words.
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


def row(
  method: str,
  datasets: Sequence[str],
  values: Sequence[float | None],
  source: str,
  *,
  key: str = "",
  protocol: str = "",
) -> PublishedRow:
  """Makes a row of the figures of data sets in their order; None has none."""
  pairs = zip(datasets, values, strict=True)
  figures = {name: value for name, value in pairs if value is not None}
  return PublishedRow(method, figures, source, key, protocol)
