"""Label maps of one's own photographs as pages, to be looked at."""

from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.files import below_common_folder
from s3_jax.results.contact_sheet import Sheet, page_name
from s3_jax.results.templating import render

__all__ = ["SEGMENTS", "Area", "SegmentCard", "render_page"]

SEGMENTS = "segments"
"""What the files of the pages begin with."""

_MOST = 6
"""Classes that a card names; the largest ones where there are more."""


class Area(NamedTuple):
  """What a class has of an image.

  Attributes:
    name: of the class.
    colour: of its label, such as "#ff8000".
    share: of the pixels, in (0, 1].
  """

  name: str
  colour: str
  share: float


class SegmentCard(NamedTuple):
  """A photograph and its label map.

  Attributes:
    file: its path.
    rows: of pixels; 0 where unknown.
    cols: likewise.
    pictures: JPEGs of the photograph, and of the colours over it.
    areas: of the classes, the largest first; empty for a bad file.
    problem: why a bad file could not be used; empty for a good one.
  """

  file: str
  rows: int
  cols: int
  pictures: tuple[bytes, ...]
  areas: tuple[Area, ...]
  problem: str


def render_page(
  sheet: Sheet, cards: Sequence[SegmentCard], *, page: int
) -> str:
  """Writes one page."""
  names = below_common_folder([card.file for card in cards])
  context = {
    "shown": sheet.say_shown(page, [card.problem for card in cards]),
    "sheet": sheet,
    "cards": [
      (card, name, card.areas[:_MOST], card.areas[_MOST:])
      for card, name in zip(cards, names, strict=True)
    ],
    "page": page,
    "names": {
      number: page_name(number, SEGMENTS)
      for number in range(1, sheet.pages + 1)
    },
  }
  return render("segments.html", context)
