"""AugMix against Pillow's calls by hand, and its mixture against a loop."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from s3_jax.data.augmix import OPERATIONS, mix_augmented

BILINEAR = Image.Resampling.BILINEAR
AFFINE = Image.Transform.AFFINE


def picture(rows=24, cols=36, seed=0):
  # Smooth, not over all levels, and of another range in each channel.
  y, x = np.mgrid[:rows, :cols]
  noise = np.random.default_rng(seed).integers(0, 30, (rows, cols, 3))
  base = np.stack([3 * x + y, 100 + 2 * y, 200 - x - y], -1)
  return Image.fromarray(np.clip(base + noise, 10, 240).astype(np.uint8))


def affine(image, *coefficients):
  return image.transform(image.size, AFFINE, coefficients, BILINEAR)


# Levels beyond 1 are no part of severity 1; they show the scale.
BY_HAND = [
  ("autocontrast", 0.5, ImageOps.autocontrast),
  ("autocontrast", -0.5, ImageOps.autocontrast),
  ("equalize", 0.5, ImageOps.equalize),
  ("posterize", 0.1, lambda x: ImageOps.posterize(x, 4)),
  ("posterize", 0.999, lambda x: ImageOps.posterize(x, 4)),
  ("posterize", -0.999, lambda x: ImageOps.posterize(x, 4)),
  ("posterize", 5.0, lambda x: ImageOps.posterize(x, 2)),
  ("rotate", 0.3, lambda x: x),
  ("rotate", 0.4, lambda x: x.rotate(1, BILINEAR)),
  ("rotate", -0.4, lambda x: x.rotate(-1, BILINEAR)),
  ("rotate", 0.999, lambda x: x.rotate(2, BILINEAR)),
  ("solarize", 0.999, lambda x: ImageOps.solarize(x, 231)),
  ("solarize", 0.1, lambda x: ImageOps.solarize(x, 254)),
  ("solarize", -5.0, lambda x: ImageOps.solarize(x, 128)),
  ("shear_x", 0.7, lambda x: affine(x, 1, 0.7 * 0.3 / 10, 0, 0, 1, 0)),
  ("shear_x", -0.7, lambda x: affine(x, 1, -0.7 * 0.3 / 10, 0, 0, 1, 0)),
  ("shear_y", 0.7, lambda x: affine(x, 1, 0, 0, 0.7 * 0.3 / 10, 1, 0)),
  ("shear_y", -8.0, lambda x: affine(x, 1, 0, 0, -0.24, 1, 0)),
  # A third of 36 columns or 24 rows at level 10.
  ("translate_x", 0.9, lambda x: affine(x, 1, 0, 1, 0, 1, 0)),
  ("translate_x", -0.9, lambda x: affine(x, 1, 0, -1, 0, 1, 0)),
  ("translate_x", 0.8, lambda x: x),
  ("translate_x", 5.0, lambda x: affine(x, 1, 0, 6, 0, 1, 0)),
  ("translate_y", 5.0, lambda x: affine(x, 1, 0, 0, 0, 1, 4)),
  ("translate_y", -5.0, lambda x: affine(x, 1, 0, 0, 0, 1, -4)),
  ("translate_y", 0.999, lambda x: x),
]


@pytest.mark.parametrize(("name", "level", "expected"), BY_HAND)
def test_operations_are_pillows(name, level, expected):
  image = picture()
  before = np.array(image)
  result = OPERATIONS[name](image, level)
  assert (result.size, result.mode) == (image.size, "RGB")
  np.testing.assert_array_equal(np.asarray(result), expected(picture()))
  np.testing.assert_array_equal(np.asarray(image), before)


def test_all_operations_are_there():
  assert {name for name, _, _ in BY_HAND} == set(OPERATIONS)


def test_what_comes_from_outside_is_black():
  white = Image.new("RGB", (30, 30), "white")
  pixels = np.asarray(OPERATIONS["translate_x"](white, 5.0))
  assert (pixels[:, :25] == 255).all() and (pixels[:, 25:] == 0).all()
  pixels = np.asarray(OPERATIONS["translate_y"](white, -5.0))
  assert (pixels[5:] == 255).all() and (pixels[:5] == 0).all()


class Draws(np.random.Generator):
  """A generator whose numbers are given."""

  def __init__(self, *numbers):
    super().__init__(np.random.Philox(0))
    self.left = list(numbers)

  def random(self, size=None):
    if size is None:
      return self.left.pop(0)
    return np.array([self.left.pop(0) for _ in range(size)])


def operation(name, level, *, negative=False):
  """The numbers that draw an operation, its level and its direction."""
  index = (list(OPERATIONS).index(name) + 0.5) / len(OPERATIONS)
  return [index, (level - 0.1) / 0.9, 0.7 if negative else 0.3]


def test_a_mixture_by_hand():
  image = picture()
  draws = Draws(
    *(0.7, 0.2),  # cuts: the chains weigh 0.2, 0.5 and 0.3
    0.25,  # of the picture itself
    *(0.1, *operation("equalize", 0.4)),
    *(0.5, *operation("rotate", 0.9, negative=True)),
    *operation("autocontrast", 0.4),
    *(0.9, *operation("solarize", 0.9), *operation("shear_y", 0.6)),
    *operation("posterize", 0.4),
  )
  mixed = mix_augmented(image, draws)
  assert not draws.left
  first = ImageOps.equalize(image)
  second = ImageOps.autocontrast(image.rotate(-2, BILINEAR))
  third = affine(ImageOps.solarize(image, 256 - 23), 1, 0, 0, 0.018, 1, 0)
  third = ImageOps.posterize(third, 4)
  expected = 0.25 * np.asarray(image, float)
  for weight, part in ((0.2, first), (0.5, second), (0.3, third)):
    expected += 0.75 * weight * np.asarray(part, float)
  assert mixed.dtype == np.uint8
  # Half a level, and float32's error.
  assert np.abs(mixed - expected).max() <= 0.5 + 1e-4
  assert np.abs(mixed - expected).max() > 0.4


@pytest.mark.parametrize("level", [0, 255])
def test_a_flat_picture_stays_in_range(level):
  image = Image.new("RGB", (8, 8), (level,) * 3)
  for seed in range(30):
    mixed = mix_augmented(image, np.random.default_rng(seed))
    assert mixed.shape == (8, 8, 3) and mixed.dtype == np.uint8
    # No operation leaves the middle of black other than black.
    if not level:
      assert not mixed.any()


def test_mixing_before_normalising_is_mixing_after():
  mean, std = np.array([0.48, 0.46, 0.41]), np.array([0.27, 0.26, 0.28])

  def normalise(x):
    return (np.asarray(x, float) / 255 - mean) / std

  image = picture()
  parts = [image, ImageOps.equalize(image), ImageOps.posterize(image, 4)]
  weights = np.random.default_rng(0).dirichlet(np.ones(3))
  after = sum(w * normalise(p) for w, p in zip(weights, parts, strict=True))
  before = sum(
    w * np.asarray(p, float) for w, p in zip(weights, parts, strict=True)
  )
  np.testing.assert_allclose(normalise(before), after, atol=1e-12)
  rounding = np.abs(normalise(np.rint(before)) - after)
  assert (rounding <= 0.5 / 255 / std + 1e-12).all()


def test_draws_follow_their_distributions(monkeypatch):
  chains, levels, names = [], [], []

  def record(name):
    def note(image, level):
      names.append(name)
      levels.append(level)
      return image

    return note

  for name in list(OPERATIONS):
    monkeypatch.setitem(OPERATIONS, name, record(name))
  image = Image.new("RGB", (1, 1))
  for seed in range(2000):
    before = len(names)
    mix_augmented(image, np.random.default_rng(seed))
    chains.append(len(names) - before)
  # Three chains of 2 operations on the average, at least 1 and at most 3.
  assert min(chains) == 3 and max(chains) == 9
  assert np.mean(chains) == pytest.approx(6, abs=0.15)
  counts = np.array([names.count(name) for name in OPERATIONS])
  assert np.abs(counts / len(names) - 1 / 9).max() < 0.015
  levels = np.array(levels)
  assert (np.abs(levels) >= 0.1).all() and (np.abs(levels) < 1).all()
  assert np.abs(levels).mean() == pytest.approx(0.55, abs=0.01)
  assert (levels < 0).mean() == pytest.approx(0.5, abs=0.02)


def test_weights_follow_their_distributions(monkeypatch):
  """Chains that end red, green and blue show their weights."""
  black = Image.new("RGB", (1, 1))
  colours = [
    Image.new("RGB", (1, 1), name) for name in ("#f00", "#0f0", "#00f")
  ]
  started = 0

  def colour(image, level):
    nonlocal started
    if image is not black:
      return image
    started += 1
    return colours[(started - 1) % 3]

  for name in list(OPERATIONS):
    monkeypatch.setitem(OPERATIONS, name, colour)
  draws = 3000
  pixels = np.concatenate(
    [mix_augmented(black, np.random.default_rng(i))[0] for i in range(draws)]
  )
  parts = pixels / 255
  # (1 - m) w_i: a uniform number times a part of Dirichlet(1, 1, 1).
  np.testing.assert_allclose(parts.mean(0), 1 / 6, atol=0.01)
  np.testing.assert_allclose((parts**2).mean(0), 1 / 18, atol=0.006)
  np.testing.assert_allclose(
    (parts[:, 0] * parts[:, 2]).mean(), 1 / 36, atol=0.003
  )
  own = 1 - parts.sum(1)
  assert own.mean() == pytest.approx(0.5, abs=0.02)
  assert own.std() == pytest.approx(12**-0.5, abs=0.02)


def test_copies_that_change_nothing_give_the_picture(monkeypatch):
  for name in list(OPERATIONS):
    monkeypatch.setitem(OPERATIONS, name, lambda image, level: image)
  image = picture()
  for seed in range(20):
    mixed = mix_augmented(image, np.random.default_rng(seed))
    np.testing.assert_array_equal(mixed, image)
