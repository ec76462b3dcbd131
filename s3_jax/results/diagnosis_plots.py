"""Figures of where a method errs: its confidence, and the classes it mixes up.

matplotlib is imported only when a figure is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s3_jax.evaluation.diagnosis import Confusion, confused_classes
from s3_jax.results.drawing import (
  BLUE,
  FITTED,
  GREY,
  INK,
  PALE,
  RED,
  open_figure,
  shorten,
)

__all__ = ["plot_confusion", "plot_reliability"]

_COLUMNS = 4


def plot_reliability(
  rows: Sequence[Mapping[str, Any]], path: Path, *, title: str
) -> None:
  """Draws accuracy against confidence, one panel per method.

  A bar per bin with images shows the accuracy, a red line its distance to the
  mean confidence; small bars below count the images. On the dashed diagonal
  lies a method that can be believed.
  """
  if not rows:
    raise ValueError("`rows` must hold at least one method, got none.")
  columns = min(_COLUMNS, len(rows))
  lines = math.ceil(len(rows) / columns)
  with open_figure(path, (0.6 + 3.0 * columns, 0.7 + 3.6 * lines)) as figure:
    figure.suptitle(shorten(title, 80), fontsize=11, gid=FITTED)
    axes = figure.subplots(
      2 * lines, columns, squeeze=False, height_ratios=[4, 1] * lines
    )
    for index in range(lines * columns):
      line, column = divmod(index, columns)
      pair = axes[2 * line, column], axes[2 * line + 1, column]
      if index < len(rows):
        _reliability_panel(*pair, rows[index])
      else:
        for axis in pair:
          axis.remove()
    figure.supxlabel("confidence", fontsize=10)


def _reliability_panel(upper, lower, row: Mapping[str, Any]) -> None:
  bins = row["bins"]
  middles = [50 * (part["low"] + part["high"]) for part in bins]
  width = 100 * (bins[0]["high"] - bins[0]["low"]) if bins else 1.0
  images = sum(part["n"] for part in bins)
  error = 0.0
  for middle, part in zip(middles, bins, strict=True):
    if not part["n"]:
      continue
    accuracy, confidence = 100 * part["accuracy"], 100 * part["confidence"]
    error += part["n"] * abs(accuracy - confidence) / images
    upper.bar(middle, accuracy, width, color=BLUE, edgecolor="white")
    upper.plot(
      [middle, middle], [accuracy, confidence], color=RED, linewidth=1.8
    )
  upper.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--")
  upper.set_ylim(0, 100)
  upper.set_title(
    f"{shorten(row['method'], 40)}\nECE {error:.1f} %", fontsize=9, gid=FITTED
  )
  lower.bar(
    middles, [part["n"] for part in bins], width, color=GREY, edgecolor="white"
  )
  lower.locator_params(axis="y", nbins=2, integer=True)
  for axis in (upper, lower):
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 50, 100])
    axis.grid(axis="y")
    axis.tick_params(labelsize=8)
  upper.tick_params(axis="x", labelbottom=False)
  if upper.get_subplotspec().is_first_col():
    upper.set_ylabel("accuracy, %", fontsize=9)
    lower.set_ylabel("images", fontsize=9)


def plot_confusion(confusion: Confusion, path: Path, *, most: int = 30) -> None:
  """Draws which classes are taken for which, in percent of each class.

  With more than `most` classes those are shown that take part in the largest
  confusions; what their images were taken for otherwise adds up in a last
  column.
  """
  if most < 1:
    raise ValueError(f"`most` must be a whole number >= 1, got {most}.")
  counts, names = confusion.counts, confusion.names
  shown = confused_classes(counts, most=most)
  images = counts[shown].sum(axis=1)
  table = counts[np.ix_(shown, shown)]
  labels = [shorten(names[i], 26) for i in shown]
  columns = list(labels)
  about = ""
  if shown.size < len(names):
    others = images - table.sum(axis=1)
    table = np.concatenate([table, others[:, None]], axis=1)
    columns.append("all others")
    about = f"; {shown.size} of {len(names)} classes"
  share = 100 * table / np.maximum(images, 1)[:, None]
  size = 0.3 * np.array(table.shape[::-1]) + (3.4, 3.0)
  with open_figure(path, (float(max(size[0], 5.5)), float(size[1]))) as figure:
    axis = figure.subplots()
    figure.suptitle(
      f"{shorten(confusion.method, 60)} on {shorten(confusion.dataset, 60)}\n"
      f"% of each class{about}",
      fontsize=10,
      gid=FITTED,
    )
    axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(share):
      if table[i, j]:
        axis.text(
          j,
          i,
          f"{value:.0f}" if value >= 0.5 else "·",
          ha="center",
          va="center",
          fontsize=7,
          color="white" if value > 55 else INK,
        )
    axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color=PALE)
    axis.tick_params(which="both", length=0)
    axis.set_xlabel("taken for")
    axis.set_ylabel("class")
