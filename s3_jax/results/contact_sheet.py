"""Predictions as pages of small pictures, to be looked at.

Each page is one HTML file without scripts or outside parts; the pictures are in
it. Everything else in it is text that came from users, files and language
models: it is escaped, and names of files are shown, never linked.
"""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from s3_jax.results.predictions import Candidate, ImageRow, show_name

CARDS = 500
"""Images of a page: some megabytes, which a browser shows at once."""

_STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222;
  background: #fff; }
h1 { font-size: 1.4em; margin: 0 0 .3em; }
p, nav { margin: .4em 0; }
nav a, nav b { margin-right: .5em; }
main { display: grid; gap: .8em; margin: 1em 0; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(19em, 1fr)); }
article { border: 1px solid #ddd; border-radius: 6px; padding: .7em;
  break-inside: avoid; overflow: hidden; }
article.bad { background: #fbf1ec; border-color: #e4b9a5; }
article > img, article > div { display: block; height: 160px; max-width: 100%;
  margin: 0 auto .5em; }
article > img { object-fit: contain; }
article > div { background: #eee; color: #777; line-height: 160px;
  text-align: center; }
small { color: #666; }
.file + small { white-space: nowrap; }
.file { overflow-wrap: anywhere; }
.near { color: #555; margin: .2em 0 .5em; overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; }
li { position: relative; display: flex; gap: .6em; padding: .1em .4em;
  margin: 2px 0; z-index: 0; }
li i { position: absolute; inset: 0 auto 0 0; background: #d5e5f5; z-index: -1;
  border-radius: 3px; }
li:first-child { font-weight: 600; }
li bdi { flex: 1; overflow-wrap: anywhere; }
li span { font-variant-numeric: tabular-nums; white-space: nowrap; }
""".strip()

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_KEY = (
  "A bar and the percentage behind it are the probability, over the given "
  "classes; the last number is the score, a cosine. Below the picture stands "
  "the text of the first class that is nearest to the image, with its cosine."
)


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


def page_name(page: int) -> str:
  """Names the file of a page."""
  return "contact_sheet.html" if page == 1 else f"contact_sheet_{page}.html"


def remove_pages(folder: Path, *, after: int) -> None:
  """Removes the pages that an earlier run left in a folder."""
  for path in folder.glob("contact_sheet*.html"):
    found = re.fullmatch(r"contact_sheet(?:_([1-9]\d*))?\.html", path.name)
    if found and int(found[1] or 1) > after:
      path.unlink()


def render_page(sheet: Sheet, cards: Sequence[Card], *, page: int) -> str:
  """Writes one page."""
  start = (page - 1) * CARDS
  bad = sum(bool(card.row.problem) for card in cards)
  shown = f"Images {start + 1:,} to {start + len(cards):,} of {sheet.images:,}"
  if bad:
    shown += f"; {bad:,} of them could not be used"
  links = _links(page, sheet.pages)
  notes = "".join(
    f"<p><small>{_text(note)}</small></p>" for note in sheet.notes
  )
  return "\n".join(
    [
      '<!doctype html><html lang="en"><head><meta charset="utf-8">'
      '<meta name="viewport" content="width=device-width">'
      f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
      f"<title>Predictions</title><style>{_STYLE}</style></head><body>"
      f"<h1>Predictions</h1><p>{shown}. {_text(sheet.about)}</p>"
      f"<p><small>{_KEY}</small></p>{notes}{links}<main>",
      *(_card(card) for card in cards),
      f"</main>{links}</body></html>\n",
    ]
  )


def _links(page: int, pages: int) -> str:
  if pages == 1:
    return ""
  numbers = (
    f"<b>{number}</b>"
    if number == page
    else f'<a href="{page_name(number)}">{number}</a>'
    for number in range(1, pages + 1)
  )
  return f"<nav>Page {' '.join(numbers)}</nav>"


def _card(card: Card) -> str:
  row = card.row
  name = f'<span class="file"><bdi>{_text(row.file)}</bdi></span>'
  if row.width:
    name += f" <small>{row.width} × {row.height}</small>"
  if row.problem:
    return (
      f'<article class="bad"><div>no picture</div>{name}'
      f"<p>{_text(row.problem)}</p></article>"
    )
  picture = "<div>no picture</div>"
  if card.thumbnail:
    encoded = base64.b64encode(card.thumbnail).decode()
    picture = f'<img alt="" src="data:image/jpeg;base64,{encoded}">'
  best = row.candidates[0]
  bars = "".join(map(_bar, row.candidates))
  return (
    f"<article>{picture}{name}"
    f'<p class="near">nearest: “<bdi>{_text(best.text)}</bdi>” '
    f"{best.cosine:.3f}</p><ol>{bars}</ol></article>"
  )


def _bar(candidate: Candidate) -> str:
  width = 100 * candidate.probability
  return (
    f'<li><i style="width:{width:.1f}%"></i>'
    f"<bdi>{_text(candidate.class_name)}</bdi>"
    f"<span>{width:.1f} %</span><span>{candidate.score:.3f}</span></li>"
  )


def _text(text: str) -> str:
  return html.escape(show_name(text))
