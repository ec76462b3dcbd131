"""Pages as a browser shows them: on a telephone, on a desk, in the dark."""

import pathlib

import pytest
from PIL import Image

from tests.sample_pages import make_pages

KINDS = ("report", "contact sheet", "lexicon", "comparison", "segments")

# What a reader would stumble over, found in the page itself.
LOOK = r"""
(() => {
  document.querySelectorAll("details").forEach(each => each.open = true);
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());)
    if (node.data.trim() && node.parentElement.checkVisibility())
      texts.push(node);

  const parse = color => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return {r, g, b, a};
  };
  const over = (top, below) => ({
    r: top.a * top.r + (1 - top.a) * below.r,
    g: top.a * top.g + (1 - top.a) * below.g,
    b: top.a * top.b + (1 - top.a) * below.b,
    a: 1,
  });
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement)
      layers.push(parse(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below));
  };
  const luminance = ({r, g, b}) => {
    const linear = [r, g, b].map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  // What lies behind a text without being around it, such as a bar.
  const laid = [...document.querySelectorAll("i")].map(
    each => [each.parentElement, parse(getComputedStyle(each).backgroundColor)]
  );
  const faint = [];
  const seen = new Map();
  for (const node of texts) {
    const element = node.parentElement;
    if (seen.has(element)) continue;
    seen.set(element, true);
    const ink = parse(getComputedStyle(element).color);
    const grounds = [behind(element)];
    for (const [parent, color] of laid)
      if (parent.contains(element)) grounds.push(over(color, grounds[0]));
    const worst = Math.min(...grounds.map(
      ground => contrast(over(ink, ground), ground)));
    if (worst < 4.5)
      faint.push(`${worst.toFixed(2)} ${element.tagName} ${node.data.trim()}`);
  }

  const broken = [];
  for (const node of texts) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const lines = () =>
      new Set([...range.getClientRects()].map(box => Math.round(box.top))).size;
    if (lines() < 2) continue;
    for (const found of node.data.matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      if (lines() > 1)
        broken.push(`${found[0]} in ${node.parentElement.outerHTML}`);
    }
  }

  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].map(
    each => Number(each.tagName[1]));
  return {
    texts: texts.length,
    width: innerWidth,
    wide: Math.max(document.documentElement.scrollWidth,
                   document.body.scrollWidth),
    faint: faint.slice(0, 20),
    broken: broken.slice(0, 20),
    pictures: document.images.length,
    missing: [...document.images].filter(
      each => !(each.complete && each.naturalWidth)).length,
    nameless: [...document.images].filter(each => !each.alt.trim()).length,
    skips: headings.filter(
      (level, i) => level > (i ? headings[i - 1] : 0) + 1).length,
    language: document.documentElement.lang,
    ground: behind(document.body),
  };
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, pathlib.Path]:
  return make_pages(tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_readable(browser, pages, tmp_path, kind, width, dark):
  browser.look(width=width, dark=dark)
  browser.open(pages[kind].as_uri())
  seen = browser.run(LOOK)
  browser.screenshot(tmp_path / "page.png")
  with Image.open(tmp_path / "page.png") as image:
    assert image.size == (width, 900)
  assert seen["texts"] > 50
  assert seen["width"] == width
  assert seen["wide"] <= width, "the page itself must not scroll sideways"
  assert seen["faint"] == []
  assert seen["broken"] == []
  assert seen["missing"] == seen["nameless"] == seen["skips"] == 0
  assert seen["language"] == "en"
  assert (seen["ground"]["r"] < 60) == dark
  assert browser.errors() == []


def test_a_wide_table_scrolls_in_its_box_and_says_so(browser, pages):
  browser.look(width=390)
  browser.open(pages["report"].as_uri())
  seen = browser.run(
    """
    (() => {
      const box = document.querySelector(".wide");
      const style = getComputedStyle(box);
      const first = box.querySelector("tr:nth-child(2) td");
      const before = first.getBoundingClientRect().left;
      box.scrollLeft = 9999;
      return {
        moved: box.scrollLeft,
        hidden: box.scrollWidth - box.clientWidth,
        kept: Math.abs(first.getBoundingClientRect().left - before),
        shadows: style.backgroundImage.split("gradient(").length,
        attached: style.backgroundAttachment,
        title: box.getAttribute("aria-label"),
        page: scrollX,
      };
    })()
    """
  )
  assert seen["moved"] == seen["hidden"] > 50
  assert seen["kept"] < 2, "names of rows stay in sight"
  assert seen["shadows"] == 1 + 4
  assert seen["attached"] == "local, local, scroll, scroll"
  assert seen["title"] == "Results" and seen["page"] == 0


def test_the_keyboard_shows_where_it_is_and_scrolls(browser, pages):
  browser.look(width=390)
  browser.open(pages["report"].as_uri())
  links = browser.run("document.querySelectorAll('nav a').length")
  assert links == 9
  for _ in range(links + 1):
    browser.press("Tab")
  assert browser.run("document.activeElement.className") == "wide"
  style = "getComputedStyle(document.activeElement)"
  assert browser.run(f"{style}.outlineStyle") == "solid"
  assert browser.run(f"parseFloat({style}.outlineWidth)") >= 2
  browser.press("ArrowRight")
  browser.wait_for("document.activeElement.scrollLeft > 0")


def test_a_phone_reads_rows_of_words_one_below_the_other(browser, pages):
  place = """
    (() => {
      const cells = [...document.querySelectorAll(".words tr")[1].cells];
      const [label, name, words] = cells.map(c => c.getBoundingClientRect());
      return words.top >= name.bottom - 1;
    })()
  """
  for width, below in ((390, True), (1280, False)):
    browser.look(width=width)
    browser.open(pages["lexicon"].as_uri())
    assert browser.run(place) == below
    assert '{"' not in browser.run("document.body.innerText")


def test_a_page_asks_nobody(browser, pages, tmp_path):
  """A page that were to fetch something would be refused by its own rule."""
  page = pages["comparison"].read_text("utf-8")
  evil = tmp_path / "evil.html"
  for tag in (
    '<img alt="x" src="http://127.0.0.1:9/x.png">',
    "<script>document.title = 'run'</script>",
  ):
    evil.write_text(page.replace("</main>", f"{tag}</main>"), "utf-8")
    browser.open(evil.as_uri())
    assert "Content Security Policy" in " ".join(browser.errors())
    assert browser.run("document.title") == "Comparison"


FAULTS = """
<!doctype html><html lang="de">
<meta name="viewport" content="width=device-width">
<body style="background: #fff; color: #777">
<h1 style="color: #767676">4.54, enough</h1><h3>4.48, too little</h3>
<p style="position: relative; color: #333">a bar lies behind
<i style="position: absolute; inset: 0; background: #667; z-index: -1"></i></p>
<p style="color: #000; width: 3em; overflow-wrap: anywhere">unbrechbares</p>
<p style="color: #000; width: 600px">too wide</p>
<img src="absent.png"><script>console.error("said"); absent()</script>
<input><input type="file">
"""


def test_what_is_wrong_is_seen(browser, tmp_path):
  (tmp_path / "x.html").write_text(FAULTS, "utf-8")
  browser.look(width=1280)
  browser.open((tmp_path / "x.html").as_uri())
  assert browser.run(LOOK)["wide"] == 1280
  browser.look(width=390)
  browser.open((tmp_path / "x.html").as_uri())
  seen = browser.run(LOOK)
  assert seen["wide"] > 600
  assert [each[:7] for each in seen["faint"]] == ["4.48 H3", "2.25 P "]
  assert [word.split()[0] for word in seen["broken"]] == ["unbrechbares"]
  assert seen["pictures"] == seen["missing"] == seen["nameless"] == 1
  assert seen["skips"] == 1 and seen["language"] == "de"
  errors = " ".join(browser.errors())
  assert "absent.png" in errors and '"said"' in errors and "Uncaught" in errors
  browser.run("document.querySelector('input').focus()")
  browser.type("cat, dog")
  assert browser.run("document.querySelector('input').value") == "cat, dog"
  browser.choose_files("[type=file]", tmp_path / "x.html")
  name = "document.querySelector('[type=file]').files[0].name"
  assert browser.run(name) == "x.html"
  with pytest.raises(RuntimeError, match="ReferenceError: absent"):
    browser.run("absent()")
  with pytest.raises(TimeoutError, match="not true after"):
    browser.wait_for("false", seconds=0.1)
  with pytest.raises(RuntimeError, match="ERR_FILE_NOT_FOUND"):
    browser.open((tmp_path / "y.html").as_uri())
