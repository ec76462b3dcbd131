"""Label maps as people look at them: colours over the image, and a legend."""

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from s3_jax.results.drawing import (
  FITTED,
  fit_text,
  open_figure,
  shorten,
  text_width,
)
from s3_jax.segmentation import IGNORED

__all__ = [
  "Example",
  "label_colours",
  "overlay",
  "plot_example",
]

_MOST = 24
"""Classes that a legend names; the largest ones where there are more."""

_SIZE, _LABEL, _BESIDE = 8.0, 120.0, 40.0
"""Of a legend in points: its letters, the most for a name, and what a column
has beside it, the patch and the gaps."""


class Example(NamedTuple):
  """One image with its labels.

  Attributes:
    title: said above it.
    image: RGB pixels.
    panels: title -> labels, side by side in this order.
  """

  title: str
  image: UInt8[np.ndarray, "rows cols 3"]
  panels: Mapping[str, Integer[np.ndarray, "_ _"]]


def label_colours(
  classes: int, *, background: bool
) -> UInt8[np.ndarray, "classes 3"]:
  """Chooses a colour a class.

  Hues go round the wheel by the golden ratio, so that neighbours in the list
  differ; brightness alternates, so that they differ without colour as well.
  """
  colours = [
    colorsys.hsv_to_rgb(
      k * 0.618034 % 1, (0.95, 0.6, 0.8)[k % 3], (0.95, 0.8, 0.65)[k // 3 % 3]
    )
    for k in range(classes)
  ]
  if background and colours:
    colours[0] = (0.2, 0.2, 0.2)
  return np.round(255 * np.asarray(colours).reshape(-1, 3)).astype(np.uint8)


def overlay(
  image: UInt8[np.ndarray, "rows cols 3"],
  labels: Integer[np.ndarray, "rows cols"],
  colours: UInt8[np.ndarray, "classes 3"],
  *,
  opacity: float = 0.6,
) -> UInt8[np.ndarray, "rows cols 3"]:
  """Lays the colours of labels over an image."""
  ignored = labels == IGNORED
  painted = colours[np.where(ignored, 0, labels)].astype(np.float32)
  painted[ignored] = 255
  mixed = opacity * painted + (1 - opacity) * image.astype(np.float32)
  return np.round(mixed).astype(np.uint8)


def plot_example(
  path: Path,
  example: Example,
  names: Sequence[str],
  *,
  colours: UInt8[np.ndarray, "classes 3"],
) -> None:
  """Draws an image beside its label maps, with a legend of its classes."""
  from matplotlib.patches import Patch

  rows, cols = example.image.shape[:2]
  panels = 1 + len(example.panels)
  width = 2.6
  height = min(max(width * rows / cols, 1.2), 5.0)
  present = _by_area(list(example.panels.values()))
  labels = {
    label: fit_text(shorten(names[label], 80), _LABEL, _SIZE)
    for label in present
  }
  widest = max(
    (text_width(text, _SIZE) for text in labels.values()), default=0.0
  )
  per_line = max(1, int((72 * width * panels - 10) / (widest + _BESIDE)))
  lines = -(-len(present) // per_line)
  size = (width * panels, height + 0.6 + 0.22 * lines)
  with open_figure(path, size) as figure:
    axes = figure.subplots(1, panels, squeeze=False)[0]
    shown = {"image": example.image} | {
      title: overlay(example.image, labels, colours)
      for title, labels in example.panels.items()
    }
    for axis, (title, pixels) in zip(axes, shown.items(), strict=True):
      axis.imshow(pixels, interpolation="nearest")
      axis.set_axis_off()
      axis.set_title(shorten(title, 80), fontsize=9, gid=FITTED)
    figure.suptitle(shorten(example.title, 120), fontsize=9, gid=FITTED)
    handles = [
      Patch(color=colours[label] / 255, label=text)
      for label, text in labels.items()
    ]
    if handles:
      figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(per_line, len(handles)),
        fontsize=_SIZE,
        frameon=False,
      )


def _by_area(maps: Sequence[Integer[np.ndarray, "_ _"]]) -> list[int]:
  """Lists the classes of label maps, ascending: the largest, if too many."""
  areas = sum(np.bincount(labels.ravel(), minlength=256) for labels in maps)
  areas = np.asarray(areas)[:IGNORED]
  largest = np.argsort(-areas, kind="stable")[:_MOST]
  return sorted(int(label) for label in largest if areas[label])
