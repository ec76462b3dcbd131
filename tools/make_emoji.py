"""Makes the sheets of the drawn world from the artists' npm packages.

  npm pack @iconify-json/noto @iconify-json/noto-v1 @iconify-json/twemoji \
    @iconify-json/fluent-emoji-flat @iconify-json/fluent-emoji-high-contrast \
    @iconify-json/emojione @iconify-json/fxemoji
  pip install resvg-py
  python -m tools.make_emoji FOLDER_OF_THE_PACKAGES

A drawing is rasterised at four times the size of a cell, cropped to its
opacity, scaled so that its longer side fills the cell but for a pixel on either
side, and centred. Sheets are in the order of the classes of the table `emoji`.

Four packages list their drawings by code point. For the other three
`emoji_icons.json` says what each drawing is called: noto-v1 and emojione by
Unicode's name of the emoji, fxemoji by the code point in upstream's file names
(github.com/mozilla/fxemoji, svgs/FirefoxEmoji), since by name some of its
drawings land on another emoji.
"""

import argparse
import io
import json
import pathlib
import sys
import tarfile
from collections.abc import Mapping
from typing import Any

from PIL import Image

from s3_jax.data.emoji import ARTISTS, CELL, COLUMNS, SHEETS
from s3_jax.lexicon.synonyms import load_lexicon

ICONS = pathlib.Path(__file__).parent / "emoji_icons.json"
_SCALE = 4  # pixels of the raster over those of a cell
_MARGIN = 1  # pixels around a drawing


def read_package(
  folder: pathlib.Path, artist: str
) -> tuple[dict[str, Any], dict[str, str]]:
  """Reads the drawings of a package, and their names by code point."""
  (path,) = folder.glob(f"iconify-json-{artist}-[0-9]*.tgz")
  found = []
  with tarfile.open(path) as archive:
    for name in ("package/icons.json", "package/chars.json"):
      member = archive.extractfile(name)
      assert member is not None
      found.append(json.load(member))
  icons, chars = found
  return icons, chars


def icon_name(
  artist: str, codepoint: str, chars: Mapping[str, str]
) -> str | None:
  """Says what a package calls the drawing of a code point, if it has one."""
  if chars:
    return chars.get(codepoint) or chars.get(f"{codepoint}-fe0f")
  return json.loads(ICONS.read_text("utf-8"))[artist].get(codepoint)


def rasterise(icons: Mapping[str, Any], name: str) -> Image.Image:
  """Draws one icon, following its alias where it is one."""
  import resvg_py

  icon = icons["icons"].get(name)
  if icon is None:
    icon = icons["icons"][icons["aliases"][name]["parent"]]
  left, top = icon.get("left", 0), icon.get("top", 0)
  width = icon.get("width", icons.get("width", 16))
  height = icon.get("height", icons.get("height", 16))
  svg = (
    '<svg xmlns="http://www.w3.org/2000/svg"'
    ' xmlns:xlink="http://www.w3.org/1999/xlink" color="#000"'
    f' viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
  )
  png = resvg_py.svg_to_bytes(svg_string=svg, width=CELL * _SCALE)
  return Image.open(io.BytesIO(png)).convert("RGBA")


def fit(picture: Image.Image) -> Image.Image:
  """Crops a picture to its opacity and centres it in a cell."""
  solid = picture.getchannel("A").point(lambda value: 255 * (value > 8))
  box = solid.getbbox()
  cell = Image.new("RGBA", (CELL, CELL))
  if box is None:
    return cell
  # Colours are weighed by their opacity, or clear pixels would stain the edge.
  cropped = picture.crop(box).convert("RGBa")
  room = CELL - 2 * _MARGIN
  scale = room / max(cropped.size)
  size = tuple(max(1, round(side * scale)) for side in cropped.size)
  small = cropped.resize(size, Image.Resampling.BOX).convert("RGBA")
  cell.paste(small, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
  return cell


def make_sheet(folder: pathlib.Path, artist: str) -> tuple[Image.Image, int]:
  """Draws an artist's sheet, and counts its drawings."""
  icons, chars = read_package(folder, artist)
  classes = load_lexicon("emoji").classes
  rows = -(-len(classes) // COLUMNS)
  sheet = Image.new("RGBA", (COLUMNS * CELL, rows * CELL))
  count = 0
  for index, entry in enumerate(classes):
    name = icon_name(artist, entry.codepoint, chars)
    if name is None:
      continue
    row, col = divmod(index, COLUMNS)
    sheet.paste(fit(rasterise(icons, name)), (col * CELL, row * CELL))
    count += 1
  return sheet, count


def main() -> None:
  """Writes every sheet into the package."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("folder", type=pathlib.Path, help="of the .tgz packages")
  folder = parser.parse_args().folder
  SHEETS.mkdir(exist_ok=True)
  for artist in ARTISTS:
    sheet, count = make_sheet(folder, artist)
    path = SHEETS / f"{artist}.webp"
    # Lossless: lossy colours bleed over edges, and spare next to nothing here.
    sheet.save(path, lossless=True, quality=100, method=6)
    sys.stdout.write(f"{path}: {count} drawings, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
  main()
