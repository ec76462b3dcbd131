"""The page of a run: complete, self-contained, and nothing in it runs."""

import base64
import html.parser
import re

import pytest

from s3_jax.results.page import Picture, render_report
from s3_jax.results.schema import plain
from tests.results.sample_results import (
  HOSTILE_NAMES,
  make_classes,
  make_everything,
  make_results,
)

VOID = {"meta", "img", "br", "wbr"}
TAGS = set(
  re.findall(
    r"\w+",
    "html head meta title style body main h1 h2 h3 p ul ol li nav a div table "
    "tr th td b details summary figure img figcaption dl dt dd wbr",
  )
)
ATTRIBUTES = set(
  re.findall(
    r"[\w-]+",
    "lang charset name content http-equiv class id href alt src colspan open "
    "start scope tabindex role aria-label",
  )
)


class Reader(html.parser.HTMLParser):
  """Collects tags, attributes and texts, and checks that tags are closed."""

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self.open, self.tags, self.attributes = [], set(), []
    self.texts, self.cells, self.ids = [], [], set()
    self.goes_on = False

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.goes_on = tag == "wbr"
    self.attributes += [(tag, *pair) for pair in attrs]
    self.ids |= {value for name, value in attrs if name == "id"}
    if tag not in VOID:
      self.open.append(tag)
    if tag == "td":
      self.cells.append("")

  def handle_endtag(self, tag):
    assert self.open.pop() == tag
    self.goes_on = False

  def handle_data(self, data):
    if "style" not in self.open:
      if self.goes_on:
        self.texts[-1] += data
      else:
        self.texts.append(data)
    if "td" in self.open:
      self.cells[-1] += data


def read(page):
  reader = Reader()
  reader.feed(page)
  reader.close()
  assert reader.open == []
  return reader


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  methods = ("class_name", "center", *HOSTILE_NAMES)
  sets = ("dtd", *HOSTILE_NAMES[:4])
  results, _ = make_everything(sets, methods)
  results["model"]["name"] = HOSTILE_NAMES[2]
  results["config"] = {name: name for name in HOSTILE_NAMES}
  results["texts"] = {
    "sha256": "cd",
    "concepts": [[name, name] for name in HOSTILE_NAMES],
  }
  results["environment"] = {"s3_jax": "0.1.0", "git": HOSTILE_NAMES[2]}
  picture = tmp_path_factory.mktemp("page") / "x.png"
  picture.write_bytes(b"not really a picture")
  pictures = [
    Picture(section, name, picture)
    for section in ("accuracy", "reliability", "confusion", "extra")
    for name in HOSTILE_NAMES
  ]
  return render_report(
    plain(results),
    baseline="class_name",
    per_class=make_classes(results, HOSTILE_NAMES),
    pictures=pictures,
  )


def test_only_known_tags_and_attributes(page):
  reader = read(page)
  assert reader.tags <= TAGS
  for tag, name, value in reader.attributes:
    assert name in ATTRIBUTES, (tag, name)
    if name == "src":
      assert value.startswith("data:image/png;base64,")
    if name == "href":
      assert value[0] == "#"
      assert value[1:] in reader.ids


def test_nothing_is_fetched(page):
  policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
  assert policy is not None
  assert policy[1].startswith("default-src 'none'; img-src data:;")
  style = page.partition("<style>")[2].partition("</style>")[0]
  assert "url(" not in style
  assert "@import" not in style


def test_every_name_is_shown_as_it_is(page):
  reader = read(page)
  shown = {text.strip() for text in (*reader.texts, *reader.cells)}
  for name in (
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "=cmd()",
    "a|b",
    "\\input{x}",
    "rightleft",
    "line break[31m",
    "{{ 7 * 7 }} {% raw %}",
    "x" * 300,
    "not utf-8: \\udcff",
    HOSTILE_NAMES[-1],
  ):
    assert name in shown
  assert "49" not in shown
  assert not set(page) & set("\x00\x1b\u202e")
  page.encode("utf-8")


def test_pictures_are_inside(page):
  inside = base64.b64encode(b"not really a picture").decode()
  assert page.count(f'src="data:image/png;base64,{inside}"') == 4 * len(
    HOSTILE_NAMES
  )


def test_all_sections_are_there(page):
  reader = read(page)
  assert reader.ids == {
    "accuracy",
    "suite",
    "expectations",
    "reliability",
    "confusion",
    "classes",
    "figures",
    "left-out",
    "details",
  }
  text = " ".join("".join(reader.texts).split())
  for part in (
    "Published elsewhere, not measured here",
    "not comparable: ",
    "not met",
    "published baselines: 1 of 2 met, 1 not comparable",
    "absent",
    "They count neither as right nor as wrong.",
    "texts: sha256 cd",
    "Wilson's score interval",
    "commit <script>alert(1)</script>",
    "15 unreadable, 1 test set skipped",
  ):
    assert part in text


def test_figures_are_those_of_the_results():
  results = plain(make_results())
  results["methods"][0]["bootstrap_ci95"] = [0.471, 0.543]
  page = render_report(results, baseline="class_name", per_class=[])
  cells = read(page).cells
  index = cells.index("class_name")
  assert cells[index : index + 4] == [
    "class_name",
    "50.0 ±3.0",
    "25.0 ±3.0",
    "37.5",
  ]
  assert "<b>75.0 ±3.0</b>" in page
  assert "+25.0 [+24.0, +26.5], p &lt; 0.001" in page
  index = cells.index("1,000")
  assert cells[index - 1 : index + 7] == [
    "class_name",
    "1,000",
    "50.00",
    "[48.00, 54.00]",
    "[47.10, 54.30]",
    "100.00",
    "50.00",
    "12.50",
  ]


def test_a_bare_run_has_no_empty_sections():
  results = plain(make_results(("plain",), ("center",)))
  page = render_report(results, baseline="center", per_class=[])
  reader = read(page)
  assert reader.ids == {"accuracy", "details"}
  assert "Differences" not in page
  assert "mean</th>" not in page


def test_refusals(tmp_path):
  results = plain(make_results())
  with pytest.raises(ValueError, match="`baseline` must be one of"):
    render_report(results, baseline="x", per_class=[])
  with pytest.raises(ValueError, match="must be one of accuracy.*got 'else'"):
    render_report(
      results,
      baseline="center",
      per_class=[],
      pictures=[Picture("else", "", tmp_path / "x.png")],
    )
