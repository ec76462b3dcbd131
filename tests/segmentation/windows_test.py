"""Sizes, places and weights against mmseg's rules and torch."""

import numpy as np
import PIL.Image
import pytest

from s3_jax.segmentation import windows


@pytest.mark.parametrize(
  ("rows", "cols", "short", "expected"),
  [
    (376, 501, 336, (336, 448)),  # 447.7, rounded half up
    (501, 376, 336, (448, 336)),
    (100, 2000, 336, (102, 2048)),  # the longer side decides
    (336, 430, 336, (336, 430)),
    (1, 5000, 336, (1, 2048)),  # 0.4 rounds to 0, and is 1
  ],
)
def test_resized_shape(rows, cols, short, expected):
  got = windows.resized_shape(rows, cols, short_side=short, long_side=2048)
  assert got == expected


def test_both_bounds_are_a_square():
  shape = windows.resized_shape(400, 500, short_side=520, long_side=520)
  assert shape == (416, 520)


def test_resize_by_hand():
  """Halving takes the mean of the two middle pixels, and nothing wider."""
  image = np.zeros((4, 8, 3), np.uint8)
  image[:, [1, 2]] = 100
  got = windows.resize_image(image, short_side=2, long_side=2048)
  assert got.shape == (2, 4, 3)
  np.testing.assert_array_equal(got[..., 0], [[50, 50, 0, 0]] * 2)
  quarter = windows.resize_image(image, short_side=1, long_side=2048)
  np.testing.assert_array_equal(quarter[..., 0], [[100, 0]])
  antialiased = PIL.Image.fromarray(image).resize((2, 1), PIL.Image.BILINEAR)
  assert np.abs(quarter - np.asarray(antialiased, int)).max() > 25


def test_an_image_of_the_size_is_not_touched():
  image = np.random.default_rng(0).integers(0, 256, (336, 400, 3), np.uint8)
  assert windows.resize_image(image, short_side=336, long_side=2048) is image


def slide(size, window, stride):
  """The arithmetic of mmseg."""
  grids = max(size - window + stride - 1, 0) // stride + 1
  starts = []
  for index in range(grids):
    end = min(index * stride + window, size)
    starts.append(max(end - window, 0))
  return tuple(starts)


@pytest.mark.parametrize("window", [7, 16, 50])
@pytest.mark.parametrize("stride", [1, 5, 7])
def test_places_are_those_of_mmseg(window, stride):
  for size in range(1, 70):
    axis = windows.place_windows(
      size, window=window, stride=stride, patch=4, padding="floor"
    )
    assert axis.starts == slide(size, window, stride)
    assert axis.window == min(window, size)
    covered = np.zeros(size, bool)
    for start in axis.starts:
      covered[start : start + axis.window] = True
    assert covered.all()


@pytest.mark.parametrize(
  ("padding", "expected"),
  [("floor", (0, 0, 2)), ("center", (2, 3, 3)), ("corner", (0, 5, 3))],
)
def test_paddings_of_eleven_pixels(padding, expected):
  axis = windows.place_windows(
    43, window=43, stride=10, patch=16, padding=padding
  )
  assert (axis.before, axis.after, axis.tokens) == expected
  # One window of the whole image, and one that is as large, are the same.
  assert axis == windows.place_windows(
    43, window=0, stride=1, patch=16, padding=padding
  )


def test_windows_are_cut_row_by_row():
  pixels = np.arange(6 * 5 * 3, dtype=np.float32).reshape(6, 5, 3)
  rows = windows.place_windows(6, window=4, stride=3, patch=4, padding="center")
  cols = windows.place_windows(5, window=5, stride=3, patch=4, padding="center")
  assert rows.starts == (0, 2) and (cols.before, cols.after) == (1, 2)
  cut = windows.cut_windows(pixels, rows, cols)
  assert cut.shape == (2, 4, 8, 3)
  np.testing.assert_array_equal(cut[1, :, 1:6], pixels[2:6])
  assert not cut[:, :, 0].any() and not cut[:, :, 6:].any()


@pytest.mark.parametrize(
  ("old", "new"), [(1, 5), (5, 1), (7, 112), (13, 13), (448, 500), (90, 31)]
)
def test_bilinear_weights_are_those_of_torch(old, new):
  import torch

  identity = torch.eye(old).double()[None, :, :, None]
  expected = torch.nn.functional.interpolate(
    identity, size=(new, 1), mode="bilinear", align_corners=False
  )[0, :, :, 0].T
  np.testing.assert_allclose(
    windows.bilinear_weights(old, new), expected, atol=1e-12
  )


@pytest.mark.parametrize("padding", ["floor", "center", "corner"])
def test_weights_of_an_axis_keep_a_constant(padding):
  for size, original in ((43, 100), (224, 31), (300, 300), (17, 1)):
    axis = windows.place_windows(
      size, window=43, stride=20, patch=16, padding=padding
    )
    weights = windows.axis_weights(axis, original)
    assert weights.shape == (original, len(axis.starts) * axis.tokens)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_overlapping_windows_are_averaged():
  """Three pixels, windows of two: the middle one is seen twice."""
  axis = windows.place_windows(3, window=2, stride=1, patch=1, padding="floor")
  np.testing.assert_allclose(
    windows.axis_weights(axis, 3),
    [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]],
  )
