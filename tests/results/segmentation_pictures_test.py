"""Colours and overlays of label maps."""

import numpy as np
from PIL import Image

from s3_jax.results.segmentation_pictures import (
  Example,
  label_colours,
  overlay,
  plot_example,
)


def test_colours_differ():
  colours = label_colours(171, background=False)
  assert colours.shape == (171, 3)
  assert len({tuple(colour) for colour in colours.tolist()}) == 171
  near = np.abs(np.diff(colours.astype(int), axis=0)).max(1)
  assert near.min() > 40
  grey = label_colours(3, background=True)
  assert grey[0].tolist() == [51, 51, 51]
  assert label_colours(0, background=True).shape == (0, 3)


def test_overlays_mix_by_hand():
  image = np.array([[[0, 100, 200], [10, 10, 10]]], np.uint8)
  labels = np.array([[1, 255]])
  colours = np.array([[9, 9, 9], [100, 0, 50]], np.uint8)
  mixed = overlay(image, labels, colours, opacity=0.5)
  assert mixed.tolist() == [[[50, 50, 125], [132, 132, 132]]]
  assert np.array_equal(overlay(image, labels, colours, opacity=0.0), image)


def test_pictures_are_the_same_bytes(tmp_path):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (20, 60, 3), np.uint8)
  labels = rng.integers(0, 40, (20, 60))
  labels[0] = 255
  names = [f"class_{k} $x^2$ & a long name of it" for k in range(40)]
  colours = label_colours(40, background=True)
  files = []
  for name in ("a", "b"):
    path = tmp_path / f"{name}.png"
    example = Example("<b>\u202e title", image, {"truth": labels, "s3": labels})
    plot_example(path, example, names, colours=colours)
    files.append(path.read_bytes())
  assert files[0] == files[1]
  with Image.open(tmp_path / "a.png") as picture:
    assert picture.width > 1000
  nothing = np.full((20, 60), 255)
  plot_example(
    tmp_path / "c.png",
    Example("", image, {"x": nothing}),
    names,
    colours=colours,
  )
  assert (tmp_path / "c.png").exists()
