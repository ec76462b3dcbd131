"""Contact sheets: what stands on a page, escaped, and which pages there are."""

import base64
import html.parser

import pytest

from s3_jax.results.contact_sheet import (
  CARDS,
  Card,
  Sheet,
  page_name,
  remove_pages,
  render_page,
)
from s3_jax.results.predictions import Candidate, ImageRow

EVIL = "<script>alert('1')</script>\" onload=\"x\n\u202e&amp;"
SHOWN = "<script>alert('1')</script>\" onload=\"x\\n\\u202e&amp;"


class Reader(html.parser.HTMLParser):
  """Collects tags with their attributes, and text."""

  def __init__(self):
    super().__init__()
    self.tags, self.text = [], ""

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text += data

  def all(self, tag):
    return [attrs for name, attrs in self.tags if name == tag]


def read(sheet, cards, page):
  reader = Reader()
  reader.feed(render_page(sheet, cards, page=page))
  return reader


def card(text="sun", problem="", thumbnail=b"jpeg", top=2):
  candidates = tuple(
    Candidate(index, text, 0.25, 0.5 / (index + 1), text, 0.125)
    for index in range(0 if problem else top)
  )
  row = ImageRow(text, 10, 30, 20, candidates, problem)
  return Card(row, thumbnail)


def test_a_card_says_what_is_known_of_an_image():
  page = read(Sheet("about this", ("a note",), 1), [card()], 1)
  (image,) = page.all("img")
  data = image["src"].removeprefix("data:image/jpeg;base64,")
  assert base64.b64decode(data) == b"jpeg"
  assert [bar["style"] for bar in page.all("i")] == [
    "width:50.0%",
    "width:25.0%",
  ]
  assert "nearest: “sun” 0.125" in page.text
  assert "30 × 20" in page.text and "50.0 %0.250" in page.text
  assert "about this" in page.text and "a note" in page.text
  assert not page.all("a") and not page.all("nav")
  assert "Images 1 to 1 of 1. " in page.text


def test_everything_is_escaped():
  cards = [card(EVIL), card(EVIL, problem=EVIL, thumbnail=b"")]
  page = read(Sheet(EVIL, (EVIL,), 2), cards, 1)
  tags = {name for name, _ in page.tags}
  assert not tags & {"script", "a", "link", "iframe", "b"}
  assert not [
    name for _, attrs in page.tags for name in attrs if name[:2] == "on"
  ]
  assert page.text.count(SHOWN) == 2 + 3 + 1
  # Of a path the part behind the folders, and the whole where one points at it.
  assert page.text.count(SHOWN.partition("/")[2]) == 2 + 3 + 1 + 2
  assert [name["title"] for name in page.all("h2")] == [SHOWN, SHOWN]
  assert "\u202e" not in page.text


@pytest.mark.parametrize("problem", ["", "cut off"])
def test_an_image_without_a_picture(problem):
  page = read(Sheet("", (), 1), [card(problem=problem, thumbnail=b"")], 1)
  assert not page.all("img") and "no picture" in page.text
  assert ("1 of them could not be used" in page.text) == bool(problem)
  (article,) = page.all("article")
  assert article.get("class") == ("bad" if problem else None)
  assert "cut off" in page.text or not problem


def test_pages_link_to_each_other():
  sheet = Sheet("", (), 2 * CARDS + 1)
  assert sheet.pages == 3
  page = read(sheet, [card()], 3)
  names = ["contact_sheet.html", "contact_sheet_2.html"]
  assert [link["href"] for link in page.all("a")] == 2 * names
  assert "Images 1,001 to 1,001 of 1,001" in page.text
  assert [page_name(number) for number in (1, 2)] == names
  assert [Sheet("", (), n).pages for n in (1, CARDS, CARDS + 1)] == [1, 1, 2]


@pytest.mark.parametrize(
  ("after", "left"),
  [
    (0, []),
    (1, ["contact_sheet.html"]),
    (2, ["contact_sheet.html", "contact_sheet_2.html"]),
  ],
)
def test_only_our_own_pages_are_removed(tmp_path, after, left):
  others = [
    "contact_sheet_mine.html",
    "contact_sheet_2.html.bak",
    "contact_sheet_02.html",
    "index.html",
  ]
  for number in range(1, 13):
    (tmp_path / page_name(number)).write_text("page")
  for name in others:
    (tmp_path / name).write_text("mine")
  remove_pages(tmp_path, after=after)
  names = [path.name for path in tmp_path.iterdir()]
  assert sorted(names) == sorted([*left, *others])
