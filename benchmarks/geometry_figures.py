"""Draws the pictures of docs/GEOMETRY.md, computed by the package itself.

  python benchmarks/geometry_figures.py --output=docs/figures

writes barcode.png, complex_scales.png and score_fields.png. The toy class lies
on a patch of the unit sphere in three dimensions, seen from above its middle.
"""

from pathlib import Path

import measuring  # noqa: F401, makes the checkout importable
import numpy as np
from absl import app, flags
from scipy.spatial import ConvexHull

import s3_jax
from s3_jax.results import drawing
from s3_jax.results.space_plots import Barcode, bar_texts, plot_barcodes

_OUTPUT = flags.DEFINE_string("output", "docs/figures", "Folder of the PNGs.")

_NAMES = (
  "sofa",
  "couch",
  "settee",
  "divan",
  "loveseat",
  "chesterfield",
  "davenport",
  "sectional",
  "lounge",
  "ottoman empire",
)
"""The last is another thing: the text that pruning should remove."""

# Longitude and latitude in radians.
_ANGLES = np.array(
  [
    [-0.32, 0.14],
    [-0.17, 0.25],
    [-0.42, 0.03],
    [-0.31, -0.10],
    [0.06, 0.17],
    [-0.16, -0.21],
    [0.02, -0.30],
    [0.19, -0.24],
    [0.23, 0.02],
    [0.62, 0.30],
  ]
)
_WIDTH, _HEIGHT = (-0.62, 0.80), (-0.52, 0.52)


def on_sphere(angles: np.ndarray) -> np.ndarray:
  """Turns longitude and latitude [..., 2] into unit vectors [..., 3]."""
  longitude, latitude = angles[..., 0], angles[..., 1]
  return np.stack(
    [
      np.cos(latitude) * np.cos(longitude),
      np.cos(latitude) * np.sin(longitude),
      np.sin(latitude),
    ],
    axis=-1,
  ).astype(np.float32)


def _build(**options) -> s3_jax.SynonymousSpace:
  points = on_sphere(_ANGLES)[None]
  return s3_jax.build_space(points, np.ones(points.shape[:2], bool), **options)


def _draw_simplices(axis, space, *, alpha: float) -> None:
  complex_ = space.simplices
  rows = np.asarray(complex_.simplices)[0][: int(complex_.count[0])]
  for row in rows:
    corners = _ANGLES[row[row >= 0]]
    if len(corners) == 3:
      axis.fill(*corners.T, color=drawing.BLUE, alpha=alpha, linewidth=0)
    elif len(corners) == 2:
      axis.plot(*corners.T, color=drawing.BLUE, linewidth=1.2, zorder=2)


def draw_barcode(path: Path) -> None:
  """Draws the barcode of the toy class, with the scale of the gap rule."""
  space = _build()
  texts = bar_texts(on_sphere(_ANGLES), _NAMES)
  barcode = Barcode(
    "sofa",
    np.asarray(space.deaths)[0],
    float(space.max_edge_length[0]),
    texts,
  )
  plot_barcodes([barcode], path)


def draw_scales(path: Path) -> None:
  """Draws the complex below, at and above the scale of the gap rule."""
  chosen = float(_build().max_edge_length[0])
  deaths = np.asarray(_build().deaths)[0]
  scales = (
    (float(deaths[3] + deaths[4]) / 2, "too small: many pieces"),
    (chosen, "the gap rule's choice"),
    (float(deaths[-1]), "large enough to join all"),
  )
  with drawing.open_figure(path, (13.0, 3.75)) as figure:
    for axis, (scale, title) in zip(
      figure.subplots(1, 3, sharey=True), scales, strict=True
    ):
      whole = s3_jax.attach_complex(_build(scale=scale, keep="all"))
      core = np.asarray(_build(scale=scale).mask)[0]
      _draw_simplices(axis, whole, alpha=0.10)
      for x, y in _ANGLES:
        # Half the scale around each: circles that meet make an edge.
        axis.add_patch(_circle((x, y), scale / 2))
      kept, removed = _ANGLES[core], _ANGLES[~core]
      axis.plot(*kept.T, "o", color=drawing.BLUE, markersize=7, zorder=3)
      if len(removed):
        axis.plot(*removed.T, "X", color=drawing.RED, markersize=9, zorder=3)
      kinds = np.asarray(whole.simplices.simplices)[0] >= 0
      edges, triangles = (int(np.sum(kinds.sum(axis=1) == d)) for d in (2, 3))
      axis.set_title(
        f"ε = {scale:.2f}: {title}\n{edges} edges, {triangles} triangles, "
        f"core of {core.sum()} (dots)",
        loc="left",
      )
      _set_patch(axis)
    for (x, y), name in zip(_ANGLES, _NAMES, strict=True):
      # Away from the ring, where no edge runs.
      above, left = y > 0, x < -0.4
      figure.axes[0].annotate(
        name,
        (x, y),
        xytext=(-7, 0) if left else (0, 7 if above else -7),
        textcoords="offset points",
        ha="right" if left else "center",
        va="center" if left else "bottom" if above else "top",
        fontsize=8,
      )


def draw_fields(path: Path) -> None:
  """Draws the score of every metric at every place of the patch."""
  space = s3_jax.attach_complex(_build())
  core = np.asarray(space.mask)[0]
  x, y = np.meshgrid(np.linspace(*_WIDTH, 260), np.linspace(*_HEIGHT, 200))
  indices = on_sphere(np.stack([x, y], axis=-1))
  options = {"local_center": {"neighbors": 3}, "subspace": {"rank": 2}}
  levels = np.linspace(0.0, 40.0, 21)
  with drawing.open_figure(path, (13.6, 8.6)) as figure:
    grid = figure.subplots(3, 4, sharex=True, sharey=True).ravel()
    for axis, (name, metric) in zip(
      grid[:11], s3_jax.POINT_TO_SPACE.items(), strict=True
    ):
      chosen = options.get(name, {})
      scores = np.asarray(metric(indices, space, **chosen))[..., 0]
      # The angle shows what happens near a cosine of 1, where all is flat.
      angles = np.degrees(np.arccos(scores))
      field = axis.contourf(
        x, y, angles, levels=levels, cmap="viridis_r", extend="max"
      )
      axis.contour(
        x,
        y,
        angles,
        levels=[5.0, 10.0, 20.0],
        colors="white",
        linewidths=[1.3, 0.8, 0.5],
      )
      if name == "complex":
        _draw_simplices(axis, space, alpha=0.0)
      if name == "convex_hull":
        hull = _ANGLES[core][ConvexHull(_ANGLES[core]).vertices]
        axis.fill(*hull.T, fill=False, edgecolor=drawing.BLUE, linewidth=1.2)
      axis.plot(
        *_ANGLES[core].T,
        "o",
        color="white",
        markeredgecolor=drawing.INK,
        markersize=5,
        zorder=3,
        label="a text of the core",
      )
      axis.plot(
        *_ANGLES[~core].T,
        "X",
        color=drawing.RED,
        markeredgecolor="white",
        markersize=9,
        zorder=3,
        label="the text that pruning removed",
      )
      text = ", ".join(f"{key} {value}" for key, value in chosen.items())
      axis.set_title(name + (f" ({text})" if text else ""), loc="left")
      _set_patch(axis)
    grid[11].set_axis_off()
    grid[11].legend(
      *grid[0].get_legend_handles_labels(),
      loc="upper left",
      frameon=False,
      title="every place is an image,\nits colour the score there",
      alignment="left",
    )
    bar = figure.colorbar(field, ax=grid, shrink=0.6, pad=0.02)
    bar.set_label(
      "angle whose cosine is the score, degrees; white lines at 5, 10 and 20"
    )
    bar.set_ticks([0, 10, 20, 30, 40])


def _circle(center, radius):
  from matplotlib.patches import Circle

  return Circle(center, radius, color=drawing.GREY, alpha=0.10, linewidth=0)


def _set_patch(axis) -> None:
  axis.set(xlim=_WIDTH, ylim=_HEIGHT, aspect="equal", xticks=[], yticks=[])


def main(argv):
  """Draws all pictures."""
  del argv
  folder = Path(_OUTPUT.value)
  draw_barcode(folder / "barcode.png")
  draw_scales(folder / "complex_scales.png")
  draw_fields(folder / "score_fields.png")


if __name__ == "__main__":
  app.run(main)
