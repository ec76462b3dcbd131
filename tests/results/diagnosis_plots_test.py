"""Figures are drawn for any number of methods and classes, and any names."""

import numpy as np
import pytest
from PIL import Image

from s3_jax.evaluation.diagnosis import (
  Confusion,
  reliability_bins,
  reliability_row,
)
from s3_jax.results.diagnosis_plots import plot_confusion, plot_reliability
from tests.results.sample_results import HOSTILE_NAMES


def is_drawn(path):
  with Image.open(path) as image:
    image.load()
    return np.ptp(np.asarray(image.convert("L"))) > 100


def make_row(method, images=50):
  rng = np.random.default_rng(images)
  bins = reliability_bins(rng.random(images), rng.random(images) < 0.5)
  return reliability_row("plain", method, bins)


@pytest.mark.parametrize(("methods", "images"), [(1, 1), (2, 40), (5, 40)])
def test_reliability_of_any_number_of_methods(tmp_path, methods, images):
  path = tmp_path / "reliability.png"
  rows = [make_row(HOSTILE_NAMES[i + 6], images) for i in range(methods)]
  plot_reliability(rows, path, title=HOSTILE_NAMES[2] * 9)
  assert is_drawn(path)


def test_reliability_of_nothing(tmp_path):
  with pytest.raises(ValueError, match="at least one method, got none"):
    plot_reliability([], tmp_path / "x.png", title="x")
  assert not list(tmp_path.iterdir())


def make_confusion(classes, names=None):
  rng = np.random.default_rng(classes)
  counts = rng.integers(0, 3, (classes, classes))
  counts[0] = 0  # a class without images
  return Confusion("plain", "center", names or ("名" * 3,) * classes, counts)


@pytest.mark.parametrize("classes", [1, 2, 30, 31])
def test_confusions_of_any_number_of_classes(tmp_path, classes):
  path = tmp_path / "confusion.png"
  plot_confusion(make_confusion(classes), path)
  assert is_drawn(path)
  with Image.open(path) as image:
    assert max(image.size) < 2100


def test_confusions_with_names_of_any_kind(tmp_path):
  path = tmp_path / "confusion.png"
  confusion = make_confusion(len(HOSTILE_NAMES), HOSTILE_NAMES)
  plot_confusion(confusion, path, most=4)
  assert is_drawn(path)


def test_confusions_need_room_for_a_class(tmp_path):
  with pytest.raises(ValueError, match=">= 1, got 0"):
    plot_confusion(make_confusion(2), tmp_path / "x.png", most=0)


def test_many_classes_show_the_rest_in_one_column(tmp_path, monkeypatch):
  """What is drawn are shares of all images of a class."""
  from matplotlib.axes import Axes

  shown = []
  original = Axes.imshow

  def imshow(self, data, *args, **options):
    shown.append(np.array(data))
    return original(self, data, *args, **options)

  monkeypatch.setattr(Axes, "imshow", imshow)
  counts = np.array([[6, 3, 0, 1], [0, 4, 0, 0], [0, 0, 5, 5], [0, 0, 8, 2]])
  confusion = Confusion("plain", "center", tuple("abcd"), counts)
  plot_confusion(confusion, tmp_path / "x.png", most=2)
  np.testing.assert_allclose(shown[0], [[50, 50, 0], [80, 20, 0]])
  plot_confusion(confusion, tmp_path / "y.png", most=3)
  # Class 0 is the third: its pair (0, 1) found no room.
  np.testing.assert_allclose(
    shown[1], [[60, 0, 10, 30], [0, 50, 50, 0], [0, 80, 20, 0]]
  )
