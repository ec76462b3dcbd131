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
  "GREEN",
  "GREY",
  "INK",
  "PALE",
  "RED",
  "open_figure",
  "shorten",
]

BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GREY, PALE = "#222222", "#7A7A7A", "#D9D9D9"
_STYLE = {
  "font.family": "DejaVu Sans",
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
    buffer = io.BytesIO()
    # Without the library's version and date, equal figures are equal bytes.
    figure.savefig(
      buffer, format="png", facecolor="white", metadata={"Software": None}
    )
  atomic_write(path, buffer.getvalue())


def shorten(text: str, length: int) -> str:
  """Cuts a text to a length, on one line and without control characters."""
  line = " ".join(
    "".join(
      " " if unicodedata.category(char)[0] in "CZ" else char for char in text
    ).split()
  )
  return line if len(line) <= length else line[: length - 1].rstrip() + "…"
