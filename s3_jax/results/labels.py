"""Labels beside the points of a figure, not on top of each other.

Everything is measured in typographic points (1/72 inch) of the page.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from s3_jax.results.drawing import GREY

__all__ = ["choose_boxes", "place_labels"]

# Where a label may stand: directions, the most readable first, and distances.
_ANGLES = np.deg2rad(
  [0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 67, 293, 113, 247]
)
_REACHES = np.array([9.0, 16.0, 26.0, 38.0, 52.0, 70.0])
_RADIUS = 6.0
"""Half the width of a marker."""

_OVERLAP, _OUTSIDE, _CROSSING, _STRANGER = 2.0, 4.0, 2000.0, 100.0
"""Prices in points of distance: a square point on top of something or outside
of the frame, a line wholly over other things, a box nearer to another point."""

_ROUNDS = 3


def place_labels(
  figure: Any,
  axis: Any,
  points: Float[np.ndarray, "texts 2"],
  texts: Sequence[str],
  colors: Sequence[str],
) -> None:
  """Writes a label beside each point, with a line to those that stand apart."""
  from matplotlib.patheffects import withStroke

  figure.draw_without_rendering()
  # Labels move nothing any more: what is measured now is what is drawn.
  figure.set_layout_engine("none")
  renderer = figure.canvas.get_renderer()
  unit = figure.dpi / 72
  sizes = []
  for text in texts:
    probe = figure.text(0, 0, text, fontsize=9)
    extent = probe.get_window_extent(renderer)
    probe.remove()
    sizes.append([extent.width / unit + 4, extent.height / unit + 2])
  spots = axis.transData.transform(points) / unit
  frame = axis.get_window_extent(renderer).extents / unit
  boxes = choose_boxes(spots, np.array(sizes), frame)
  for spot, box, text, point, color in zip(
    spots, boxes, texts, points, colors, strict=True
  ):
    apart = _gap(box, spot[None])[0] > _REACHES[0] + 1
    line = {
      "arrowstyle": "-",
      "color": GREY,
      "linewidth": 0.8,
      "shrinkA": 0,
      "shrinkB": 4,
    }
    axis.annotate(
      text,
      point,
      xytext=(box[:2] + box[2:]) / 2 - spot,
      textcoords="offset points",
      ha="center",
      va="center",
      fontsize=9,
      color=color,
      zorder=4,
      path_effects=[withStroke(linewidth=2.5, foreground="white")],
      arrowprops=line if apart else None,
    )


def choose_boxes(
  spots: Float[np.ndarray, "texts 2"],
  sizes: Float[np.ndarray, "texts 2"],
  frame: Float[np.ndarray, " 4"],
) -> Float[np.ndarray, "texts 4"]:
  """Chooses a box for each label near its point.

  Greedy, the most crowded points first: a label takes, of a fixed list of
  places around its point, the cheapest, where overlap with markers and other
  labels, space outside of the frame, distance and ambiguity have a price. Two
  more rounds let every label choose again among all others. Ours.
  """
  count = spots.shape[0]
  markers = np.concatenate([spots - _RADIUS, spots + _RADIUS], axis=-1)
  between = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
  crowding = np.sum(np.exp(-between / 60), axis=-1)
  boxes: dict[int, np.ndarray] = {}
  for _ in range(_ROUNDS):
    for i in np.argsort(-crowding, kind="stable"):
      taken = [markers[j] for j in range(count) if j != i]
      taken += [box for j, box in boxes.items() if j != i]
      boxes[i] = _cheapest(
        spots[i],
        sizes[i],
        np.array(taken).reshape(-1, 4),
        np.delete(spots, i, axis=0),
        frame,
      )
  return np.array([boxes[i] for i in range(count)]).reshape(-1, 4)


def _cheapest(spot, size, taken, strangers, frame) -> np.ndarray:
  best, lowest = np.zeros(4), np.inf
  for reach in _REACHES:
    for order, angle in enumerate(_ANGLES):
      direction = np.array([np.cos(angle), np.sin(angle)])
      # The box's nearest side is about `reach` away from the point.
      centre = spot + direction * (reach + size / 2)
      box = np.concatenate([centre - size / 2, centre + size / 2])
      cost = reach + 0.3 * order + _OVERLAP * np.sum(_overlap(box, taken))
      cost += _OUTSIDE * (size[0] * size[1] - _overlap(box, frame[None])[0])
      own = _gap(box, spot[None])[0]
      cost += _STRANGER * bool(np.any(_gap(box, strangers) < own))
      if reach > _REACHES[0]:
        cost += _CROSSING * _crossed(spot, centre, taken)
      if cost < lowest:
        best, lowest = box, cost
  return best


def _gap(box, spots) -> np.ndarray:
  """Returns the distances of points to a box, 0 inside."""
  outside = np.maximum(np.maximum(box[:2] - spots, spots - box[2:]), 0)
  return np.linalg.norm(outside, axis=-1)


def _overlap(box, others) -> np.ndarray:
  """Returns the areas that a box shares with other boxes."""
  low = np.maximum(box[:2], others[:, :2])
  high = np.minimum(box[2:], others[:, 2:])
  return np.prod(np.maximum(high - low, 0), axis=-1)


def _crossed(start, end, taken) -> float:
  """Returns the share of a leading line that runs over other boxes."""
  line = start + np.linspace(0, 0.9, 10)[:, None] * (end - start)
  boxes = taken[:, None, :]
  inside = np.all((line > boxes[..., :2]) & (line < boxes[..., 2:]), axis=-1)
  return float(np.mean(np.any(inside, axis=0)))
