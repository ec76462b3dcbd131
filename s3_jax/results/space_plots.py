"""Figures of one class's texts: when they merge, and how they lie.

Shape always says the same as colour. matplotlib is imported only when a figure
is drawn.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from s3_jax.results.drawing import (
  BLUE,
  FITTED,
  GREY,
  INK,
  RED,
  open_figure,
  shorten,
)
from s3_jax.results.labels import place_labels

__all__ = ["Barcode", "bar_texts", "plot_barcodes", "plot_projection"]


class Barcode(NamedTuple):
  """The H0 persistence barcode of one class's texts.

  Attributes:
    name: the class.
    deaths: f32[bars], ascending; +inf padding is left out.
    max_edge_length: the chosen scale ε.
    texts: what each bar is called, in the order of `deaths`, then the text of
      the class that never dies; None for no labels. `bar_texts` makes them.
  """

  name: str
  deaths: Float[np.ndarray, " bars"]
  max_edge_length: float
  texts: Sequence[str] | None = None


def plot_barcodes(barcodes: Sequence[Barcode], path: Path) -> None:
  """Draws H0 persistence barcodes with the chosen scale marked.

  All texts are born at 0; a bar ends where its text's component merges into
  another, and the last bar never ends. Bars that end right of the chosen scale
  (the dashed line) are pieces that the complex does not join.
  """
  if not barcodes:
    raise ValueError("`barcodes` must hold at least one class, got 0.")
  deaths = [
    np.sort(np.asarray(b.deaths)[np.isfinite(b.deaths)]) for b in barcodes
  ]
  right = max(
    [float(d[-1]) for d in deaths if d.size]
    + [float(b.max_edge_length) for b in barcodes]
    + [1e-3]
  )
  columns = min(2, len(barcodes))
  rows = math.ceil(len(barcodes) / columns)
  # Panels of a row get as many places as the largest of them has bars, and
  # rows are as high as their places: every bar is equally thick.
  indices = [
    max(d.size + 1 for d in deaths[start : start + columns])
    for start in range(0, len(deaths), columns)
  ]
  heights = [1.0 + 0.24 * max(count, 3) for count in indices]
  with open_figure(path, (0.6 + 5.2 * columns, 0.3 + sum(heights))) as figure:
    axes = figure.subplots(
      rows, columns, squeeze=False, sharex=True, height_ratios=heights
    ).ravel()
    for panel in axes[len(barcodes) :]:
      panel.remove()
    for i, (barcode, ends) in enumerate(zip(barcodes, deaths, strict=True)):
      _barcode_panel(axes[i], barcode, ends, right)
      axes[i].set_ylim(indices[i // columns] - 0.4, -1.5)
      axes[i].tick_params(axis="x", labelbottom=True)
    figure.supxlabel(
      "edge length (chordal distance of two texts);  × joins beyond the scale",
      fontsize=10,
    )


def _barcode_panel(axis, barcode: Barcode, deaths, right: float) -> None:
  scale = float(barcode.max_edge_length)
  bars = deaths.size + 1
  for index, death in enumerate(deaths):
    apart = death > scale
    axis.plot(
      [0, death],
      [index, index],
      color=RED if apart else BLUE,
      linewidth=4,
      solid_capstyle="butt",
    )
    if apart:
      axis.plot(death, index, "x", color=RED, markersize=7, markeredgewidth=2)
  axis.annotate(
    "",
    (1.14 * right, bars - 1),
    xytext=(0, bars - 1),
    arrowprops={
      "arrowstyle": "-|>",
      "color": INK,
      "linewidth": 3,
      "shrinkA": 0,
      "shrinkB": 0,
    },
  )
  axis.vlines(
    scale, -1.4, bars - 0.5, color=INK, linewidth=1.2, linestyle=(0, (4, 3))
  )
  # The label stands in a row of its own above the bars.
  leftwards = scale > 0.75 * right
  axis.annotate(
    f"scale ε = {scale:.2f}",
    (scale, -0.9),
    xytext=(-5 if leftwards else 5, 0),
    textcoords="offset points",
    ha="right" if leftwards else "left",
    va="center",
    fontsize=9,
  )
  texts = barcode.texts
  labels = ["" for _ in range(bars)] if texts is None else list(texts)
  axis.set_yticks(range(bars), [shorten(text, 26) for text in labels])
  axis.tick_params(axis="y", length=0, labelsize=9)
  axis.set_xlim(0, 1.16 * right)
  axis.spines["left"].set_visible(False)
  axis.set_title(shorten(barcode.name, 60), loc="left", gid=FITTED)


def bar_texts(
  points: Float[np.ndarray, "texts dim"], texts: Sequence[str]
) -> tuple[str, ...]:
  """Names the bars of a barcode after the texts whose components end there.

  Edges in ascending length (ties: lower indices) join components; of the two
  that meet, the one with the higher lowest index ends, so the first text, the
  class name, never does. These are the merges of single linkage. Ours.
  """
  count = points.shape[0]
  if count != len(texts):
    raise ValueError(
      "`points` and `texts` must agree on [texts], got "
      f"{count} and {len(texts)}."
    )
  gram = points.astype(np.float64) @ points.astype(np.float64).T
  square = np.diag(gram)[:, None] + np.diag(gram)[None, :] - 2 * gram
  rows, cols = np.triu_indices(count, 1)
  component = np.arange(count)
  named = []
  for edge in np.argsort(square[rows, cols], kind="stable"):
    first, second = sorted((component[rows[edge]], component[cols[edge]]))
    if first != second:
      component[component == second] = first
      named.append(texts[second])
  return (*named, *texts[:1])


def plot_projection(
  name: str,
  points: Float[np.ndarray, "texts dim"],
  texts: Sequence[str],
  core: Bool[np.ndarray, " _"],
  path: Path,
  *,
  max_edge_length: float | int,
  wrong: Bool[np.ndarray, " _"] | None = None,
) -> None:
  """Draws one class's texts in the plane of their first two components.

  Filled circles are the core, crosses the removed texts, and an open square
  stands around every text known to be wrong. Lines are the edges of the
  Rips complex's skeleton. The plane shows only a part of the variance, so
  lines may look longer or shorter than they are.
  """
  count = points.shape[0]
  wrong = np.zeros((count,), bool) if wrong is None else wrong
  if count == 0 or not count == len(texts) == core.size == wrong.size:
    raise ValueError(
      "`points`, `texts`, `core` and `wrong` must agree on [texts] >= 1, got "
      f"{count}, {len(texts)}, {core.size} and {wrong.size}."
    )
  points = points.astype(np.float64)
  plane, shares = _principal_plane(points)
  difference = points[:, None, :] - points[None, :, :]
  # A hair above ε: the scale itself is often an edge length, in float32.
  near = np.linalg.norm(difference, axis=-1) <= max_edge_length + 1e-6
  with open_figure(path, (8.4, 6.6)) as figure:
    axis = figure.subplots()
    for i, j in np.argwhere(np.triu(near, 1)):
      both = bool(core[i] and core[j])
      axis.plot(
        *plane[[i, j]].T,
        color=BLUE if both else GREY,
        alpha=0.30,
        linewidth=1.1,
        zorder=1,
      )
    kept, removed = plane[core], plane[~core]
    axis.plot(*kept.T, "o", color=BLUE, markersize=8, label="core")
    if removed.size:
      axis.plot(
        *removed.T,
        "X",
        color=RED,
        markersize=9,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label="removed",
      )
    if wrong.any():
      axis.plot(
        *plane[wrong].T,
        "s",
        color="none",
        markeredgecolor=INK,
        markersize=15,
        markeredgewidth=1.2,
        label="wrong entry",
      )
    axis.set_xlabel(f"component 1 ({100 * shares[0]:.0f} % of the variance)")
    axis.set_ylabel(f"component 2 ({100 * shares[1]:.0f} %)")
    axis.set_title(
      f"{shorten(name, 60)}: {int(core.sum())} of {count} texts in the core, "
      f"scale ε = {max_edge_length:.2f}",
      loc="left",
      gid=FITTED,
    )
    axis.set_xticks([])
    axis.set_yticks([])
    figure.legend(
      *axis.get_legend_handles_labels(),
      loc="outside lower center",
      ncols=3,
      frameon=False,
      markerscale=0.8,
    )
    _set_equal_units(figure, axis, plane)
    colors = [INK if inside else RED for inside in core]
    place_labels(figure, axis, plane, [shorten(t, 24) for t in texts], colors)


def _set_equal_units(figure, axis, plane) -> None:
  """Scales both axes alike, so that lengths compare, with room for labels."""
  figure.draw_without_rendering()
  page = axis.get_window_extent()
  low, high = plane.min(axis=0), plane.max(axis=0)
  room = np.array([1.5, 1.25])
  sides = np.array([page.width, page.height])
  unit = max(float(np.max((high - low) * room / sides)), 1e-3)
  middle = (low + high) / 2
  start, end = middle - unit * sides / 2, middle + unit * sides / 2
  axis.set_xlim(start[0], end[0])
  axis.set_ylim(start[1], end[1])


def _principal_plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Projects on the first two principal components, with fixed signs."""
  centred = points - points.mean(axis=0)
  _, values, axes = np.linalg.svd(centred, full_matrices=False)
  plane = np.zeros((points.shape[0], 2))
  shares = np.zeros(2)
  for k in range(min(2, values.size)):
    if values[k] <= 1e-9:
      continue
    # The largest coordinate is positive: the SVD's sign is arbitrary.
    sign = np.sign(axes[k][np.argmax(np.abs(axes[k]))])
    plane[:, k] = sign * (centred @ axes[k])
    shares[k] = values[k] ** 2 / np.sum(values**2)
  return plane, shares
