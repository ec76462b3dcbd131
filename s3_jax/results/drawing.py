"""What all figures share: the canvas, the colours and the texts.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import contextlib
import io
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s3_jax.extras import require
from s3_jax.files import atomic_write

__all__ = [
  "BLUE",
  "FITTED",
  "GREEN",
  "GREY",
  "INK",
  "PALE",
  "RED",
  "fit_text",
  "open_figure",
  "shorten",
  "text_width",
]

BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GREY, PALE = "#222222", "#7A7A7A", "#D9D9D9"

FITTED = "fitted"
"""The `gid` of titles that are cut to the room that they have."""

_FONT = "DejaVu Sans"
_MARGIN = 4.0
"""Points between a title and the edge of its room."""

_STYLE = {
  "font.family": _FONT,
  "font.size": 10.0,
  "text.color": INK,
  "axes.edgecolor": GREY,
  "axes.labelcolor": INK,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.titlesize": 11.0,
  "axes.titleweight": "bold",
  "axes.axisbelow": True,
  "grid.color": PALE,
  "grid.linewidth": 0.6,
  "xtick.color": GREY,
  "ytick.color": GREY,
  "xtick.labelcolor": INK,
  "ytick.labelcolor": INK,
  "text.parse_math": False,
}


@contextlib.contextmanager
def open_figure(path: Path, size: tuple[float, float]) -> Iterator[Any]:
  """Yields a matplotlib Figure and writes it as PNG when the block ends.

  Equal drawings make equal bytes: no time, no version, no user style sheet, no
  formulas in texts. `pyplot` and its state are not used. A letter that the font
  lacks is shown as a box.
  """
  require("figures", by="Drawing a figure")
  import matplotlib
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure
  from matplotlib.layout_engine import ConstrainedLayoutEngine

  # A user's style must not change our files. The context puts all settings
  # back but the backend, which is therefore left alone.
  settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
  del settings["backend"]
  settings.update(_STYLE)
  with matplotlib.rc_context(settings), warnings.catch_warnings():
    # One line for each letter of each class name helps nobody.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=size, dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    yield figure
    figure.draw_without_rendering()
    # What is measured now is what is drawn.
    figure.set_layout_engine("none")
    _fit_titles(figure)
    buffer = io.BytesIO()
    # Without the library's version and date, equal figures are equal bytes.
    figure.savefig(
      buffer, format="png", facecolor="white", metadata={"Software": None}
    )
  atomic_write(path, buffer.getvalue())


def text_width(text: str, size: float, *, bold: bool = False) -> float:
  """Returns the width of a line of a figure, in points."""
  from matplotlib.font_manager import FontProperties
  from matplotlib.textpath import text_to_path

  weight = "bold" if bold else "normal"
  font = FontProperties(family=_FONT, size=size, weight=weight)
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")
    return text_to_path.get_text_width_height_descent(text, font, False)[0]


def fit_text(text: str, room: float, size: float, *, bold: bool = False) -> str:
  """Leaves out the middle of a line that is wider than so many points.

  Names that differ often do so at their ends.
  """
  shown, length = text, len(text)
  while length > 1 and text_width(shown, size, bold=bold) > room:
    length -= 1
    start = -(-3 * (length - 1) // 5)
    shown = f"{text[:start].rstrip()}…{text[len(text) + start + 1 - length :]}"
  return shown


def _fit_titles(figure: Any) -> None:
  """Cuts titles that would leave the figure or meet what stands beside them.

  A panel's title ends half way to the next panel of its row.
  """
  unit = figure.dpi / 72
  edges = [axis.get_window_extent().extents / unit for axis in figure.axes]
  for title in figure.findobj(lambda artist: artist.get_gid() == FITTED):
    low, high = _MARGIN, figure.bbox.width / unit - _MARGIN
    if title.axes is not None:
      left, bottom, right, top = title.axes.get_window_extent().extents / unit
      row = [each for each in edges if each[1] < top and each[3] > bottom]
      low = max(
        [low, *((e[2] + left) / 2 + _MARGIN for e in row if e[2] <= left)]
      )
      high = min(
        [high, *((e[0] + right) / 2 - _MARGIN for e in row if e[0] >= right)]
      )
    position = title.get_transform().transform(title.get_position())[0] / unit
    room = {
      "left": high - position,
      "right": position - low,
      "center": 2 * min(position - low, high - position),
    }[title.get_ha()]
    size, bold = title.get_size(), title.get_weight() == "bold"
    lines = title.get_text().split("\n")
    fitted = [fit_text(line, room, size, bold=bold) for line in lines]
    title.set_text("\n".join(fitted))


def shorten(text: str, length: int) -> str:
  """Cuts a text to a length, on one line and without control characters."""
  line = " ".join(
    "".join(
      " " if unicodedata.category(char)[0] in "CZ" else char for char in text
    ).split()
  )
  return line if len(line) <= length else line[: length - 1].rstrip() + "…"
