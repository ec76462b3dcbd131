"""Figures of a run, as PNG files that are the same bytes for the same input.

matplotlib is imported only when a figure is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from s3_jax.results.drawing import (
  BLUE,
  FITTED,
  GREEN,
  GREY,
  fit_text,
  open_figure,
  shorten,
)
from s3_jax.results.results_index import headline

__all__ = ["plot_accuracy", "plot_contact_sheet", "plot_training_curve"]

_NAMES = 165.0
"""Points for the names of methods beside their bars."""


def plot_accuracy(
  results: Mapping[str, Any], path: Path, *, baseline: str
) -> None:
  """Draws accuracy or mean IoU with its 95 % interval, a panel a test set."""
  datasets = [entry["name"] for entry in results["datasets"]]
  methods = list(dict.fromkeys(entry["name"] for entry in results["methods"]))
  cells = {(e["dataset"], e["name"]): e for e in results["methods"]}
  columns = min(5, len(datasets))
  rows = math.ceil(len(datasets) / columns)
  size = (2.3 + 2.1 * columns, rows * (1.0 + 0.34 * len(methods)))
  with open_figure(path, size) as figure:
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel in axes[len(datasets) :]:
      panel.remove()
    for axis, dataset in zip(axes, datasets, strict=False):
      _accuracy_panel(axis, dataset, methods, cells, baseline)
    pixels = any("miou" in entry for entry in results["methods"])
    measure = "mean IoU" if pixels else "top-1 accuracy"
    figure.supxlabel(f"{measure}, %  (bars: 95 % interval)", fontsize=10)


def _accuracy_panel(axis, dataset, methods, cells, baseline) -> None:
  column = {
    method: cells[dataset, method]
    for method in methods
    if (dataset, method) in cells
  }
  best = max(map(headline, column.values()), default=None)
  if baseline in column:
    axis.axvline(
      100 * headline(column[baseline]), color=GREY, linewidth=1, linestyle="--"
    )
  for index, method in enumerate(methods):
    if method not in column:
      continue
    entry = column[method]
    low, high = (100 * end for end in entry["ci95"])
    value = 100 * headline(entry)
    color = GREY if method == baseline else BLUE
    axis.plot([low, high], [index, index], color=color, linewidth=2.2)
    axis.plot(value, index, "o", color=color, markersize=5.5)
    axis.annotate(
      f"{value:.1f}",
      (high, index),
      xytext=(5, 0),
      textcoords="offset points",
      va="center",
      fontsize=9,
      fontweight="bold" if headline(entry) == best else "normal",
      # Hides the piece of the dashed line that would cross the figure.
      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )
  ends = [100 * end for entry in column.values() for end in entry["ci95"]]
  low, high = min(ends, default=0.0), max(ends, default=100.0)
  span = max(high - low, 1.0)
  # Room on the right for the figures beside the bars.
  axis.set_xlim(low - 0.08 * span, high + 0.42 * span)
  axis.set_ylim(len(methods) - 0.4, -0.6)
  names = [fit_text(shorten(name, 80), _NAMES, 10.0) for name in methods]
  axis.set_yticks(range(len(methods)), names)
  axis.tick_params(axis="y", length=0)
  axis.locator_params(axis="x", nbins=4)
  axis.grid(axis="x")
  axis.spines["left"].set_visible(False)
  axis.set_title(shorten(dataset, 40), gid=FITTED)


def plot_training_curve(
  steps: Int[np.ndarray, " points"],
  loss: Float[np.ndarray, " points"],
  validation_steps: Int[np.ndarray, " checks"],
  validation_accuracy: Float[np.ndarray, " checks"],
  path: Path,
) -> None:
  """Draws training loss and validation accuracy against the step."""
  with open_figure(path, (8.0, 5.6)) as figure:
    upper, lower = figure.subplots(2, 1, sharex=True)
    window = max(1, loss.size // 50)
    upper.plot(steps, loss, color=BLUE, alpha=0.3, linewidth=0.8)
    if loss.size:
      # Each end is averaged over what there is, so nothing bends to zero.
      ones = np.ones(window)
      smooth = np.convolve(loss, ones, "same") / np.convolve(
        np.ones(loss.size), ones, "same"
      )
      upper.plot(steps, smooth, color=BLUE, linewidth=2)
      _end_label(upper, steps[-1], smooth[-1], f"{smooth[-1]:.2f}", BLUE)
    upper.set_title("training loss", loc="left")
    percent = 100 * validation_accuracy
    lower.plot(validation_steps, percent, "o-", color=GREEN, markersize=4)
    if percent.size:
      text = f"{percent[-1]:.1f} %"
      _end_label(lower, validation_steps[-1], percent[-1], text, GREEN)
    lower.set_title("validation accuracy, %", loc="left")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("step")
    for axis in (upper, lower):
      axis.grid(axis="y")
      axis.margins(x=0.02)


def _end_label(axis, x, y, text: str, color: str) -> None:
  """Writes the last value of a curve behind its end."""
  axis.annotate(
    text,
    (x, y),
    xytext=(6, 0),
    textcoords="offset points",
    va="center",
    color=color,
    fontweight="bold",
    annotation_clip=False,
  )


def plot_contact_sheet(
  images: UInt8[np.ndarray, "batch height width 3"],
  captions: Sequence[str],
  path: Path,
  *,
  columns: int = 8,
) -> None:
  """Draws a grid of images with captions, row by row."""
  count = images.shape[0]
  if count == 0 or count != len(captions):
    raise ValueError(
      "`images` and `captions` must agree on [batch] >= 1, got "
      f"{count} and {len(captions)}."
    )
  if columns < 1:
    raise ValueError(f"`columns` must be a whole number >= 1, got {columns}.")
  columns = min(columns, count)
  rows = math.ceil(count / columns)
  ratio = images.shape[1] / images.shape[2]
  with open_figure(
    path, (1.35 * columns, (1.35 * ratio + 0.22) * rows)
  ) as figure:
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
      axis.axis("off")
    for axis, image, caption in zip(axes, images, captions, strict=False):
      axis.imshow(image, interpolation="nearest")
      axis.set_title(
        shorten(caption, 30),
        fontsize=8,
        fontweight="normal",
        pad=3,
        gid=FITTED,
      )
