"""Pixels against those of `transformers`, and what it gets wrong."""

import numpy as np
import PIL.Image
import pytest

from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.zoo import ModelSpec

MODES = ("RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "PA", "YCbCr", "HSV")


def spec_of(*, resize: int, crop: int) -> ModelSpec:
  numbers = dict.fromkeys(ModelSpec._fields, 1)
  return ModelSpec(**numbers)._replace(resize_size=resize, crop_size=crop)


def picture(width: int, height: int) -> PIL.Image.Image:
  rng = np.random.default_rng([width, height])
  pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
  return PIL.Image.fromarray(pixels)


def in_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
  if mode in ("LA", "PA"):
    return image.convert("LA").convert(mode)
  return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def theirs(image, *, resize: int, crop: int) -> np.ndarray:
  import transformers

  processor = transformers.CLIPImageProcessorPil(
    size={"shortest_edge": resize},
    crop_size={"height": crop, "width": crop},
    do_rescale=False,
    do_normalize=False,
  )
  pixels = processor(image, return_tensors="np")["pixel_values"][0]
  return np.moveaxis(pixels, 0, -1)


@pytest.mark.parametrize("crop", [32, 27])
@pytest.mark.parametrize(
  "size",
  [(32, 32), (33, 32), (32, 47), (64, 45), (7, 90), (301, 5), (1, 1), (59, 97)],
)
def test_pixels_of_any_size(size, crop):
  image = picture(*size).convert("RGB")
  ours = preprocess_image(spec_of(resize=32, crop=crop), image)
  assert ours.shape == (crop, crop, 3)
  np.testing.assert_array_equal(ours, theirs(image, resize=32, crop=crop))


@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_any_mode(mode):
  image = in_mode(picture(50, 37), mode)
  assert image.mode == mode
  ours = preprocess_image(spec_of(resize=24, crop=24), image)
  np.testing.assert_array_equal(ours, theirs(image, resize=24, crop=24))


def test_a_palette_with_a_transparent_colour():
  image = picture(50, 37).convert("RGB").convert("P")
  image.info["transparency"] = image.getpixel((20, 20))
  ours = preprocess_image(spec_of(resize=37, crop=37), image)
  np.testing.assert_array_equal(ours, theirs(image, resize=37, crop=37))
  assert (ours[20, 14] == 255).all()


def test_transparency_is_laid_on_white():
  image = PIL.Image.new("RGBA", (9, 9), (200, 100, 0, 0))
  assert (preprocess_image(spec_of(resize=9, crop=9), image) == 255).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_16_bits_are_scaled_not_clipped(mode):
  values = np.array([[0, 128, 129], [257, 40000, 65535], [256, 514, 32768]])
  dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "i4"}[mode]
  image = PIL.Image.frombytes(mode, (3, 3), values.astype(dtype).tobytes())
  ours = preprocess_image(spec_of(resize=3, crop=3), image)
  expected = np.round(values / 257).astype(np.uint8)
  np.testing.assert_array_equal(ours, np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize(
  ("mode", "value"), [("F", 0.5), ("I", 65536), ("I", -1)]
)
def test_an_unknown_range_is_refused(mode, value):
  image = PIL.Image.new(mode, (4, 4), value)
  with pytest.raises(ValueError, match=f"got mode '{mode}'"):
    preprocess_image(spec_of(resize=4, crop=4), image)


def test_the_right_size_is_not_resampled(monkeypatch):
  def fail(*args, **options):
    raise AssertionError("resampled")

  monkeypatch.setattr(PIL.Image.Image, "resize", fail)
  image = picture(32, 40).convert("RGB")
  ours = preprocess_image(spec_of(resize=32, crop=32), image)
  np.testing.assert_array_equal(ours, np.asarray(image)[4:36])
  ours[:] = 0  # a copy of the image's own memory, free to write on


def test_reference_photographs(reference):
  """Awkward files: CMYK, grey, palette, very wide, smaller than the crop."""
  paths = sorted((reference / "photos").iterdir())
  seen = set()
  for path in paths:
    try:
      image = PIL.Image.open(path)
    except PIL.UnidentifiedImageError:
      continue
    seen.add(image.mode)
    ours = preprocess_image(spec_of(resize=64, crop=64), image)
    assert ours.shape == (64, 64, 3)
    if not image.mode.startswith("I"):
      np.testing.assert_array_equal(ours, theirs(image, resize=64, crop=64))
  assert {"RGB", "L", "CMYK", "RGBA", "P"} <= seen
