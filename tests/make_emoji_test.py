"""From an artist's package to a sheet."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from s3_jax.data.emoji import ARTISTS, CELL, COLUMNS, SHEETS
from s3_jax.lexicon.synonyms import load_lexicon
from tools import make_emoji

RED = '<rect x="4" y="2" width="4" height="8" fill="#f00"/>'


def write_package(folder, artist, icons, chars):
  """A package as `npm pack` writes it, with these drawings."""
  path = folder / f"iconify-json-{artist}-1.2.3.tgz"
  with tarfile.open(path, "w:gz") as archive:
    for name, content in (("icons", icons), ("chars", chars)):
      data = json.dumps(content).encode()
      member = tarfile.TarInfo(f"package/{name}.json")
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))


def test_a_drawing_is_cropped_scaled_and_centred():
  picture = Image.new("RGBA", (100, 100))
  picture.paste((0, 0, 255, 255), (10, 60, 30, 100))  # 20 wide, 40 high
  cell = np.asarray(make_emoji.fit(picture))
  assert cell.shape == (CELL, CELL, 4)
  rows, cols = np.nonzero(cell[..., 3] > 128)
  assert (rows.min(), rows.max()) == (1, 62)
  assert (cols.min(), cols.max()) == (16, 46)
  assert (cell[32, 32] == (0, 0, 255, 255)).all()


def test_edges_keep_their_colour():
  """Clear pixels around it, of whatever colour, do not stain them."""
  picture = Image.new("RGBA", (250, 250), (0, 255, 0, 0))
  picture.paste((255, 0, 0, 255), (3, 3, 247, 247))
  cell = np.asarray(make_emoji.fit(picture)).astype(int)
  shown = cell[cell[..., 3] > 0]
  assert (shown[:, 0] >= 250).all() and (shown[:, 1:3] <= 5).all()


def test_an_empty_picture_is_an_empty_cell():
  assert not np.asarray(make_emoji.fit(Image.new("RGBA", (9, 9)))).any()


def test_names_come_from_the_package_or_from_the_table():
  chars = {"1f436": "dog-face", "2600-fe0f": "sun"}
  assert make_emoji.icon_name("noto", "1f436", chars) == "dog-face"
  assert make_emoji.icon_name("noto", "2600", chars) == "sun"
  assert make_emoji.icon_name("noto", "1f984", chars) is None
  assert make_emoji.icon_name("fxemoji", "1f436", {}) == "dog"
  assert make_emoji.icon_name("fxemoji", "1f98a", {}) is None


def test_the_table_of_names_has_every_drawing():
  table = json.loads(make_emoji.ICONS.read_text("utf-8"))
  codes = {entry.codepoint for entry in load_lexicon("emoji").classes}
  assert set(table) == {"noto-v1", "emojione", "fxemoji"} <= set(ARTISTS)
  assert set(table["noto-v1"]) == set(table["emojione"]) == codes
  assert set(table["fxemoji"]) < codes and len(table["fxemoji"]) == 295


def test_a_package_becomes_a_sheet(tmp_path):
  pytest.importorskip("resvg_py", reason="rasterises SVG; pip install resvg-py")
  classes = load_lexicon("emoji").classes
  first, last = classes[0].codepoint, classes[-1].codepoint
  icons = {
    "width": 12,
    "height": 12,
    "icons": {"one": {"body": RED}},
    "aliases": {"other": {"parent": "one"}},
  }
  write_package(tmp_path, "noto", icons, {first: "one", last: "other"})
  sheet, count = make_emoji.make_sheet(tmp_path, "noto")
  assert count == 2
  rows = -(-len(classes) // COLUMNS)
  assert sheet.size == (COLUMNS * CELL, rows * CELL)
  row, col = divmod(len(classes) - 1, COLUMNS)
  pixels = np.asarray(sheet)
  for top, left in ((0, 0), (row * CELL, col * CELL)):
    cell = pixels[top : top + CELL, left : left + CELL]
    assert (cell[32, 32] == (255, 0, 0, 255)).all()
    assert (cell[..., 3] > 128).sum() == 62 * 31
  assert (pixels[..., 3] > 128).sum() == 2 * 62 * 31


def test_the_sheets_in_the_package_are_small():
  sizes = [(SHEETS / f"{artist}.webp").stat().st_size for artist in ARTISTS]
  assert sum(sizes) < 5_000_000
