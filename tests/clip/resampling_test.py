"""Pixels of `resize_part` are those of Pillow's resize and crop, every one."""

import concurrent.futures

import numpy as np
import PIL
import pytest
from PIL import Image

from s3_jax.clip import resampling
from s3_jax.clip.resampling import resize_part

FILTERS = {
  "bicubic": Image.Resampling.BICUBIC,
  "bilinear": Image.Resampling.BILINEAR,
}


def pillow(pixels, size, part, interpolation="bicubic"):
  image = Image.fromarray(pixels).resize(size, FILTERS[interpolation])
  return np.asarray(image.crop(part))


def drawn(rng, rows, cols):
  """Draws noise, black and white, a smooth picture, or one colour."""
  kind = rng.integers(4)
  if kind == 0:
    return rng.integers(0, 256, (rows, cols, 3), np.uint8)
  if kind == 1:
    return 255 * rng.integers(0, 2, (rows, cols, 3), np.uint8)
  if kind == 2:
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
    return np.asarray(coarse.resize((cols, rows), FILTERS["bilinear"]))
  return np.full((rows, cols, 3), rng.integers(256), np.uint8)


def span(rng, length):
  begin = int(rng.integers(length))
  return begin, int(rng.integers(begin + 1, length + 1))


@pytest.mark.parametrize("most", [12, 60, 300])
@pytest.mark.parametrize("interpolation", list(FILTERS))
def test_pixels_are_pillows(interpolation, most):
  rng = np.random.default_rng(most)
  for _ in range(12_000 // most):
    rows, cols, new_rows, new_cols = map(int, rng.integers(1, most, 4))
    pixels = drawn(rng, rows, cols)
    (top, bottom), (left, right) = span(rng, new_rows), span(rng, new_cols)
    size, part = (new_cols, new_rows), (left, top, right, bottom)
    np.testing.assert_array_equal(
      resize_part(pixels, size, part, interpolation=interpolation),
      pillow(pixels, size, part, interpolation),
      err_msg=f"{pixels.shape} to {size}, {part}",
    )


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ((480, 420), (256, 224)),
    ((375, 500), (224, 298)),
    ((500, 375), (298, 224)),
    ((2000, 1500), (298, 224)),
    ((60, 900), (224, 3360)),
    ((1500, 20), (298, 4)),
    ((20, 1500), (4, 300)),
    ((97, 231), (97, 224)),
    ((97, 231), (110, 231)),
    ((64, 64), (64, 64)),
  ],
)
def test_sizes_of_photographs(old, new):
  pixels = drawn(np.random.default_rng(2), *old)
  size = (new[1], new[0])
  middle = [max(0, (side - 224) // 2) for side in size]
  part = (
    *middle,
    *(min(s, m + 224) for s, m in zip(size, middle, strict=True)),
  )
  for area in (part, (0, 0, *size)):
    found = resize_part(pixels, size, area)
    np.testing.assert_array_equal(found, pillow(pixels, size, area))
    assert found.flags.writeable and not np.shares_memory(found, pixels)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_the_order_of_the_passes_is_this_pillows(step):
  """Pillow 13 takes the rows first where they shrink by much more."""
  rng = np.random.default_rng(0)
  for fewer in (3, 10, 40):
    old = (60 + 2 * fewer + step, 50 + fewer)
    pixels = 255 * rng.integers(0, 2, (*old, 3), np.uint8)
    area = (0, 0, 50, 60)
    found = resize_part(pixels, (50, 60), area)
    np.testing.assert_array_equal(found, pillow(pixels, (50, 60), area))


def test_sums_next_to_a_half_are_made_again(monkeypatch):
  """Without the exact sums some pixels would be Pillow's no longer."""
  pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
  args = (pixels, (298, 224), (37, 0, 261, 224))
  made = []
  exact = resampling._sum_exactly

  def count(taken, weights):
    made.append(len(taken))
    return exact(taken, weights)

  monkeypatch.setattr(resampling, "_sum_exactly", count)
  np.testing.assert_array_equal(resize_part(*args), pillow(*args))
  assert 0 < sum(made) < 0.01 * pixels.size
  monkeypatch.setattr(
    resampling, "_sum_exactly", lambda taken, _: np.zeros(len(taken))
  )
  assert not np.array_equal(resize_part(*args), pillow(*args))


def test_slices_and_threads():
  rng = np.random.default_rng(3)
  whole = rng.integers(0, 256, (240, 320, 3), np.uint8)
  sizes = [(int(a), int(b)) for a, b in rng.integers(20, 200, (40, 2))]

  def run(size):
    top = size[0] % 40
    slice_ = whole[top : top + 150, 10:300:2]
    found = resize_part(slice_, size, (0, 0, *size))
    return np.array_equal(
      found, pillow(np.ascontiguousarray(slice_), size, (0, 0, *size))
    )

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(run, sizes))


@pytest.mark.parametrize(
  "part", [(0, 0, 0, 4), (0, 0, 6, 4), (-1, 0, 3, 3), (2, 3, 4, 3)]
)
def test_parts_lie_inside(part):
  with pytest.raises(ValueError, match="must lie in the resized image"):
    resize_part(np.zeros((8, 8, 3), np.uint8), (5, 5), part)


def test_other_filters_and_unknown_pillows():
  with pytest.raises(ValueError, match="must be bicubic or bilinear"):
    resize_part(
      np.zeros((8, 8, 3), np.uint8),
      (5, 5),
      (0, 0, 5, 5),
      interpolation="lanczos",
    )
  assert resampling.is_known(PIL.__version__)
  assert not resampling.is_known("99.0.0") and not resampling.is_known("9.5.0")
