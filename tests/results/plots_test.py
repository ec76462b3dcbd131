"""Figures: same bytes, untouched settings, and every degenerate size."""

import math
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import scipy.cluster.hierarchy
import scipy.spatial.distance
from PIL import Image

from s3_jax.evaluation.diagnosis import (
  Confusion,
  reliability_bins,
  reliability_row,
)
from s3_jax.results import (
  diagnosis_plots,
  drawing,
  labels,
  plots,
  segmentation_pictures,
  space_plots,
)
from s3_jax.results.drawing import FITTED, open_figure, shorten
from s3_jax.results.space_plots import Barcode


def make_points(count, seed=0, dim=6):
  rng = np.random.default_rng(seed)
  points = rng.normal(size=(count, dim)).astype(np.float32)
  return points / np.linalg.norm(points, axis=1, keepdims=True)


def make_accuracy(sets, methods):
  return {
    "datasets": [{"name": f"set {i}"} for i in range(sets)],
    "methods": [
      {
        "dataset": f"set {i}",
        "name": f"method {j}",
        "top1": 0.5,
        "ci95": [0.4, 0.6],
      }
      for i in range(sets)
      for j in range(methods)
    ],
  }


def is_drawn(path):
  """A PNG with something on it."""
  with Image.open(path) as image:
    image.load()
    assert image.format == "PNG"
    return np.ptp(np.asarray(image.convert("L"))) > 100


@pytest.mark.parametrize(("sets", "methods"), [(1, 1), (6, 2)])
def test_accuracy_of_any_number_of_sets(tmp_path, sets, methods):
  path = tmp_path / "accuracy.png"
  results = make_accuracy(sets, methods)
  results["methods"].pop()
  plots.plot_accuracy(results, path, baseline="method 0")
  assert is_drawn(path)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_projection_of_any_number_of_texts(tmp_path, count):
  points = make_points(count)
  texts = [f"text $_{i}" for i in range(count)]
  path = tmp_path / "projection.png"
  space_plots.plot_projection(
    "a $b_c^ {name}",
    points,
    texts,
    np.arange(count) < max(1, count - 2),
    path,
    max_edge_length=1.2,
    wrong=np.arange(count) == count - 1,
  )
  assert is_drawn(path)


def test_projection_of_equal_texts(tmp_path):
  path = tmp_path / "projection.png"
  points = np.repeat(make_points(1), 3, axis=0)
  space_plots.plot_projection(
    "same", points, list("abc"), np.ones(3, bool), path, max_edge_length=0.0
  )
  assert is_drawn(path)


def test_projection_refuses_other_lengths(tmp_path):
  with pytest.raises(ValueError, match="got 2, 1, 2 and 2"):
    space_plots.plot_projection(
      "x",
      make_points(2),
      ["a"],
      np.ones(2, bool),
      tmp_path / "x.png",
      max_edge_length=1.0,
    )
  with pytest.raises(ValueError, match=">= 1, got 0"):
    space_plots.plot_projection(
      "x",
      make_points(0),
      [],
      np.ones(0, bool),
      tmp_path / "x.png",
      max_edge_length=1.0,
    )
  assert not list(tmp_path.iterdir())


def test_barcodes_of_any_number_of_texts(tmp_path):
  barcodes = [
    Barcode("none", np.zeros(0, np.float32), 0.0, ("only",)),
    Barcode("padded", np.array([0.5, np.inf], np.float32), 0.5),
    Barcode("cut", np.array([0.2, 0.9], np.float32), 0.5, ("a", "b", "c")),
  ]
  for count in (1, 3):
    path = tmp_path / f"barcodes{count}.png"
    space_plots.plot_barcodes(barcodes[:count], path)
    assert is_drawn(path)
  with pytest.raises(ValueError, match="at least one class"):
    space_plots.plot_barcodes([], tmp_path / "x.png")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12])
def test_bars_are_the_merges_of_single_linkage(count):
  points = make_points(count, seed=count)
  texts = [f"t{i}" for i in range(count)]
  got = space_plots.bar_texts(points, texts)
  assert sorted(got) == sorted(texts)
  assert got[-1:] == tuple(texts[:1])
  if count < 2:
    return
  tree = scipy.cluster.hierarchy.linkage(
    scipy.spatial.distance.pdist(points.astype(np.float64)), "single"
  )
  lowest = {i: i for i in range(count)}
  expected = []
  for step, (left, right, _, _) in enumerate(tree):
    pair = sorted((lowest[int(left)], lowest[int(right)]))
    lowest[count + step] = pair[0]
    expected.append(texts[pair[1]])
  assert got == (*expected, texts[0])


def test_bars_refuse_other_lengths():
  with pytest.raises(ValueError, match=r"agree on \[texts\], got 2 and 1"):
    space_plots.bar_texts(make_points(2), ["a"])


@pytest.mark.parametrize("points", [0, 1, 120])
def test_training_curves_of_any_length(tmp_path, points):
  path = tmp_path / "training.png"
  plots.plot_training_curve(
    np.arange(points),
    np.linspace(4, 1, points),
    np.arange(points),
    np.linspace(0, 0.8, points),
    path,
  )
  assert is_drawn(path)


@pytest.mark.parametrize(("count", "columns"), [(1, 8), (5, 2)])
def test_contact_sheets(tmp_path, count, columns):
  path = tmp_path / "sheet.png"
  images = np.zeros((count, 4, 6, 3), np.uint8)
  captions = ["$caption_with^dollar$\n" * 3] * count
  plots.plot_contact_sheet(images, captions, path, columns=columns)
  assert is_drawn(path)


@pytest.mark.parametrize(
  ("count", "captions", "columns"), [(0, [], 1), (2, ["a"], 1), (1, ["a"], 0)]
)
def test_contact_sheets_refuse(tmp_path, count, captions, columns):
  images = np.zeros((count, 4, 4, 3), np.uint8)
  with pytest.raises(ValueError, match="`columns` must|`images` and"):
    plots.plot_contact_sheet(
      images, captions, tmp_path / "x.png", columns=columns
    )


def test_equal_input_is_equal_bytes_under_any_style(tmp_path):
  first, second = tmp_path / "1.png", tmp_path / "2.png"
  arguments = (
    "jet",
    make_points(5),
    list("abcde"),
    np.arange(5) < 4,
  )
  space_plots.plot_projection(*arguments, first, max_edge_length=1.2)
  style = {"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20}
  with matplotlib.rc_context(style):
    space_plots.plot_projection(*arguments, second, max_edge_length=1.2)
  assert first.read_bytes() == second.read_bytes()
  with Image.open(first) as image:
    assert set(image.info) <= {"dpi"}


def test_a_users_settings_are_put_back(tmp_path):
  before = dict(matplotlib.rcParams)
  with open_figure(tmp_path / "x.png", (1.0, 1.0)):
    assert matplotlib.rcParams["text.parse_math"] is False
  assert dict(matplotlib.rcParams) == before


@pytest.fixture
def figures(monkeypatch):
  """The figures that are drawn."""
  from matplotlib.figure import Figure

  drawn = []
  original = Figure.savefig

  def savefig(self, *args, **options):
    drawn.append(self)
    return original(self, *args, **options)

  monkeypatch.setattr(Figure, "savefig", savefig)
  return drawn


def extents(figure, artists):
  renderer = figure.canvas.get_renderer()
  return [artist.get_window_extent(renderer).extents for artist in artists]


WIDE = ("W" * 34, f"{'M' * 20}_2")


def draw_accuracy(path):
  results = make_accuracy(3, 2)
  for entry in (*results["datasets"], *results["methods"]):
    entry["name"] = f"{WIDE[0]} {entry['name']}"
    if "dataset" in entry:
      entry["dataset"] = f"{WIDE[0]} {entry['dataset']}"
  plots.plot_accuracy(results, path, baseline="")


def draw_labels(path):
  labels = np.arange(24).reshape(4, 6)
  image = np.zeros((4, 6, 3), np.uint8)
  panels = {"ground truth": labels, f"{WIDE[0]}: 55 %": labels}
  segmentation_pictures.plot_example(
    path,
    segmentation_pictures.Example(f"worst: {WIDE[0]}.jpg", image, panels),
    [f"{name} {i}" for i in range(12) for name in WIDE],
    colours=segmentation_pictures.label_colours(24, background=False),
  )


def draw_barcodes(path):
  codes = [Barcode(name, np.array([0.2], np.float32), 0.5) for name in WIDE]
  space_plots.plot_barcodes(codes, path)


def draw_projection(path):
  space_plots.plot_projection(
    WIDE[0], make_points(3), "abc", np.ones(3, bool), path, max_edge_length=1.25
  )


def draw_sheet(path):
  images = np.zeros((3, 4, 4, 3), np.uint8)
  plots.plot_contact_sheet(images, (*WIDE, "cat"), path, columns=3)


def draw_confusion(path):
  counts = np.array([[3, 1], [0, 2]])
  confusion = Confusion(*WIDE, ("a", "b"), counts)  # M… on W…
  diagnosis_plots.plot_confusion(confusion, path)


def draw_reliability(path):
  bins = reliability_bins(np.full(9, 0.5), np.arange(9) % 2 == 0)
  rows = [reliability_row("plain", name, bins) for name in WIDE]
  diagnosis_plots.plot_reliability(rows, path, title=WIDE[1])


@pytest.mark.parametrize(
  ("draw", "titles", "ends"),
  [
    (draw_accuracy, 3, ["set 0", "set 1", "set 2"]),
    (draw_labels, 4, [": 55 %", "W.jpg"]),
    (draw_barcodes, 2, ["W", "M_2"]),
    (draw_projection, 1, ["scale ε = 1.25"]),
    (draw_sheet, 3, ["W", "_2", "cat"]),
    (draw_confusion, 1, ["W\n% of each class"]),
    (draw_reliability, 3, ["ECE 5.6 %", "M_2"]),
  ],
)
def test_titles_stay_in_their_room(tmp_path, figures, draw, titles, ends):
  """No title is cut by the edge, or meets another; what ends it is kept."""
  draw(tmp_path / "x.png")
  (figure,) = figures
  found = figure.findobj(lambda artist: artist.get_gid() == FITTED)
  assert len(found) == titles
  text = "\n".join(each.get_text() for each in found)
  assert "…" in text
  for end in ends:
    assert end in text
  width, height = figure.bbox.size
  boxes = extents(figure, [*found, *figure.legends])
  for index, (left, bottom, right, top) in enumerate(boxes):
    assert left >= 0 and bottom >= 0 and right <= width and top <= height
    for other in boxes[:index]:
      assert (
        right <= other[0]
        or left >= other[2]
        or top <= other[1]
        or bottom >= other[3]
      )


@pytest.mark.parametrize(
  ("text", "room", "shown"),
  [
    ("cat", 100.0, "cat"),
    ("synonyms_of_all_12", 60.0, "synon…_12"),
    ("WW", 1.0, "…"),
    ("", 0.0, ""),
  ],
)
def test_a_wide_text_loses_its_middle(text, room, shown):
  assert drawing.fit_text(text, room, 10.0) == shown


def test_widths_are_those_that_are_drawn(tmp_path, figures):
  with open_figure(tmp_path / "x.png", (4.0, 1.0)) as figure:
    drawn = figure.text(0, 0, "synonyms_max 名", fontsize=9, fontweight="bold")
  (box,) = extents(figure, [drawn])
  width = drawing.text_width("synonyms_max 名", 9.0, bold=True)
  assert width == pytest.approx((box[2] - box[0]) * 72 / figure.dpi, rel=0.03)


def test_a_failed_figure_writes_nothing(tmp_path):
  with (
    pytest.raises(RuntimeError),
    open_figure(tmp_path / "x.png", (1.0, 1.0)),
  ):
    raise RuntimeError
  assert not list(tmp_path.iterdir())


def test_matplotlib_is_imported_late_and_pyplot_never(repository):
  program = (
    "import sys, pathlib, tempfile\n"
    "from s3_jax.results import drawing, plots, space_plots\n"
    "assert 'matplotlib' not in sys.modules\n"
    "folder = pathlib.Path(tempfile.mkdtemp())\n"
    "with drawing.open_figure(folder / 'x.png', (1.0, 1.0)): pass\n"
    "assert 'matplotlib.pyplot' not in sys.modules\n"
    "(folder / 'x.png').unlink(); folder.rmdir()\n"
  )
  subprocess.run([sys.executable, "-c", program], check=True, cwd=repository)


def test_labels_do_not_overlap_where_there_is_room():
  rng = np.random.default_rng(0)
  spots = 100 + rng.random((10, 2)) * [300, 200]
  sizes = np.tile([60.0, 13.0], (10, 1))
  frame = np.array([0.0, 0.0, 500.0, 400.0])
  boxes = labels.choose_boxes(spots, sizes, frame)
  np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
  assert np.all(boxes[:, :2] >= 0)
  assert np.all(boxes[:, 2:] <= frame[2:])
  for i in range(10):
    for j in range(i):
      apart = np.any(boxes[i, :2] >= boxes[j, 2:]) or np.any(
        boxes[j, :2] >= boxes[i, 2:]
      )
      assert apart, (i, j)
    middle = (boxes[i, :2] + boxes[i, 2:]) / 2
    assert math.dist(middle, spots[i]) < 130


def test_labels_of_points_at_one_place():
  spots = np.full((4, 2), 50.0)
  boxes = labels.choose_boxes(
    spots, np.tile([20.0, 10.0], (4, 1)), np.array([0.0, 0.0, 100.0, 100.0])
  )
  assert len({tuple(box) for box in boxes.round(3)}) == 4


@pytest.mark.parametrize(
  ("text", "length", "shown"),
  [
    ("short", 5, "short"),
    ("longer", 5, "long…"),
    ("a b c", 3, "a…"),
    ("x\n\ty\x00z", 9, "x y z"),
    ("", 3, ""),
    ("é" * 9, 4, "ééé…"),
  ],
)
def test_shorten(text, length, shown):
  assert shorten(text, length) == shown
