"""Pages as a browser shows them: on a telephone, on a desk, in the dark."""

import pathlib

import pytest

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
  browser.screenshot(tmp_path / "page.png", whole=True)
  assert seen["texts"] > 50
  assert seen["width"] == width
  assert seen["wide"] <= width, "the page itself must not scroll sideways"
  assert seen["faint"] == []
  assert seen["broken"] == []
  assert seen["missing"] == seen["nameless"] == seen["skips"] == 0
  assert seen["language"] == "en"
  assert (seen["ground"]["r"] < 60) == dark
  assert browser.errors() == []
