"""Predictions as pages of small pictures, to be looked at.

Names of files are shown with every character visible, and never linked: what
lies behind the folder that all files of a page share; a title has the path.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from s3_jax.files import below_common_folder
from s3_jax.results.predictions import ImageRow
from s3_jax.results.templating import render

PREDICTIONS = "contact_sheet"
"""What the files of the pages begin with."""

CARDS = 500
"""Images of a page: some megabytes, which a browser shows at once."""


class Card(NamedTuple):
  """A picture and what is said of it.

  Attributes:
    row: the file and its predictions.
    thumbnail: a JPEG; empty where there is none.
  """

  row: ImageRow
  thumbnail: bytes


class Sheet(NamedTuple):
  """What all pages of a run have in common.

  Attributes:
    about: how the predictions were made, in sentences.
    notes: what the reader should know of the classes or the model.
    images: files in all.
  """

  about: str
  notes: tuple[str, ...]
  images: int

  @property
  def pages(self) -> int:
    """How many pages they fill."""
    return -(-self.images // CARDS)

  def say_shown(self, page: int, problems: Sequence[str]) -> str:
    """Says which images a page has, given what is wrong with each of them."""
    start = (page - 1) * CARDS
    bad = sum(map(bool, problems))
    text = f"Images {start + 1:,} to {start + len(problems):,}"
    text += f" of {self.images:,}"
    return text + f"; {bad:,} of them could not be used" * bool(bad)


def page_name(page: int, kind: str = PREDICTIONS) -> str:
  """Names the file of a page."""
  return f"{kind}.html" if page == 1 else f"{kind}_{page}.html"


def remove_pages(folder: Path, *, after: int, kind: str = PREDICTIONS) -> None:
  """Removes the pages that an earlier run left in a folder."""
  for path in folder.glob(f"{kind}*.html"):
    found = re.fullmatch(rf"{kind}(?:_([1-9]\d*))?\.html", path.name)
    if found and int(found[1] or 1) > after:
      path.unlink()


def render_page(sheet: Sheet, cards: Sequence[Card], *, page: int) -> str:
  """Writes one page."""
  file_names = below_common_folder([card.row.file for card in cards])
  names = {number: page_name(number) for number in range(1, sheet.pages + 1)}
  context = {
    "shown": sheet.say_shown(page, [card.row.problem for card in cards]),
    "sheet": sheet,
    "cards": [
      (*card, name) for card, name in zip(cards, file_names, strict=True)
    ],
    "page": page,
    "names": names,
  }
  return render("contact_sheet.html", context)
