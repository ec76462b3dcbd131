"""Pixels of both schools against those of the originals, mode by mode."""

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.zoo import ModelSpec

MODES = ("RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "PA", "YCbCr", "HSV")
SIZES = [
  (32, 32),
  (33, 32),
  (32, 47),
  (64, 45),
  (7, 90),
  (301, 5),
  (1, 1),
  (59, 97),
]
FILTERS = {
  "bicubic": PIL.Image.Resampling.BICUBIC,
  "bilinear": PIL.Image.Resampling.BILINEAR,
}


def spec_of(
  school: str = "transformers",
  *,
  resize: int,
  crop: int | None = None,
  mode: str = "shortest",
  interpolation: str = "bicubic",
) -> ModelSpec:
  return ZOO["openai/ViT-B/32"]._replace(
    school=school,
    resize_size=resize,
    crop_size=crop or resize,
    resize_mode=mode,
    interpolation=interpolation,
  )


def picture(width: int, height: int) -> PIL.Image.Image:
  rng = np.random.default_rng([width, height])
  pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
  return PIL.Image.fromarray(pixels)


def in_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
  if mode in ("LA", "PA"):
    return image.convert("LA").convert(mode)
  return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def theirs(spec: ModelSpec, image: PIL.Image.Image) -> np.ndarray:
  """Runs the original: a processor of `transformers`, or OpenAI's steps."""
  if spec.school == "openai":
    return openai_pixels(spec, image)
  import transformers

  options = {
    "resample": FILTERS[spec.interpolation],
    "do_rescale": False,
    "do_normalize": False,
  }
  sides = ("height", "width")
  if spec.resize_mode == "squash":
    size = dict.fromkeys(sides, spec.resize_size)
    processor = transformers.SiglipImageProcessorPil(size=size, **options)
  else:
    processor = transformers.CLIPImageProcessorPil(
      size={"shortest_edge": spec.resize_size},
      crop_size=dict.fromkeys(sides, spec.crop_size),
      **options,
    )
  pixels = processor(image, return_tensors="np")["pixel_values"][0]
  return np.moveaxis(pixels, 0, -1)


def openai_pixels(spec: ModelSpec, image: PIL.Image.Image) -> np.ndarray:
  """Resize, CenterCrop and convert("RGB"), as torchvision orders Pillow."""
  width, height = image.size
  if spec.resize_mode == "squash":
    width = height = spec.resize_size
  else:
    long = int(spec.resize_size * max(image.size) / min(image.size))
    width, height = (
      (spec.resize_size, long) if width <= height else (long, spec.resize_size)
    )
  if (width, height) != image.size:
    image = image.resize((width, height), FILTERS[spec.interpolation])
  top = int(round((height - spec.crop_size) / 2.0))
  left = int(round((width - spec.crop_size) / 2.0))
  box = (left, top, left + spec.crop_size, top + spec.crop_size)
  return np.asarray(image.crop(box).convert("RGB"))


def check(spec: ModelSpec, image: PIL.Image.Image) -> np.ndarray:
  ours = preprocess_image(spec, image)
  assert ours.shape == (spec.crop_size, spec.crop_size, 3)
  np.testing.assert_array_equal(ours, theirs(spec, image))
  return ours


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_of_any_size(school, interpolation, size):
  image = picture(*size).convert("RGB")
  options = {"interpolation": interpolation}
  whole = check(spec_of(school, resize=32, **options), image)
  cropped = check(spec_of(school, resize=32, crop=27, **options), image)
  squashed = check(spec_of(school, resize=32, mode="squash", **options), image)
  # Only a square image looks alike in both modes.
  assert (whole == squashed).all() == (size[0] == size[1])
  assert cropped.shape == (27, 27, 3)


def test_the_filters_differ():
  image = picture(50, 37).convert("RGB")
  cubic, linear = (
    preprocess_image(spec_of(resize=24, interpolation=name), image)
    for name in FILTERS
  )
  assert (cubic != linear).any()


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_any_mode(school, resize_mode, mode):
  image = in_mode(picture(50, 37), mode)
  assert image.mode == mode
  check(spec_of(school, resize=24, mode=resize_mode), image)
  assert image.mode == mode, "the caller's image stays what it is"


@pytest.mark.parametrize(
  ("spare", "transformers", "openai"),
  [(1, 0, 0), (2, 1, 1), (3, 1, 2), (5, 2, 2), (7, 3, 4)],
)
def test_offsets_of_the_crop(spare, transformers, openai):
  """Rounded down, or half to even."""
  columns = np.arange(9 + spare, dtype=np.uint8)
  image = PIL.Image.fromarray(np.tile(columns, (9, 1))).convert("RGB")
  for school, left in (("transformers", transformers), ("openai", openai)):
    ours = preprocess_image(spec_of(school, resize=9), image)
    assert ours[0, :, 0].tolist() == list(range(left, left + 9))


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("kind", ["index", "bytes"])
def test_a_palette_with_transparency(school, kind):
  image = picture(50, 37).convert("RGB").convert("P")
  pixel = image.getpixel((20, 20))
  alphas = bytes(0 if index == pixel else 255 for index in range(256))
  image.info["transparency"] = pixel if kind == "index" else alphas
  spec = spec_of(school, resize=37)
  plain = image.copy()
  del plain.info["transparency"]
  if school == "transformers":
    assert (check(spec, image)[20, 14] == 255).all()
  else:
    np.testing.assert_array_equal(
      preprocess_image(spec, image), theirs(spec, plain)
    )
  assert "transparency" in image.info, "the caller's image stays what it is"


def test_transparency_is_laid_on_white_or_dropped():
  image = PIL.Image.new("RGBA", (9, 9), (200, 100, 0, 0))
  assert (preprocess_image(spec_of(resize=9), image) == 255).all()
  dropped = preprocess_image(spec_of("openai", resize=9), image)
  assert (dropped == (200, 100, 0)).all()


def test_a_palette_is_interpolated_by_one_school_only():
  colours = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]], "u1")
  image = PIL.Image.fromarray(
    np.random.default_rng(0).integers(0, 4, (40, 30), np.uint8)
  )
  image = image.convert("P")
  image.putpalette(colours.tobytes())
  own, mixed = (
    preprocess_image(spec_of(school, resize=16), image).reshape(-1, 3)
    for school in ("openai", "transformers")
  )
  known = set(map(tuple, colours.tolist()))
  assert set(map(tuple, own.tolist())) <= known
  assert len(set(map(tuple, mixed.tolist())) - known) > 50


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_16_bits_are_scaled_not_clipped(school, mode):
  values = np.array([[0, 128, 129], [257, 40000, 65535], [256, 514, 32768]])
  dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "i4"}[mode]
  image = PIL.Image.frombytes(mode, (3, 3), values.astype(dtype).tobytes())
  ours = preprocess_image(spec_of(school, resize=3), image)
  expected = np.round(values / 257).astype(np.uint8)
  np.testing.assert_array_equal(ours, np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize(
  ("mode", "value"), [("F", 0.5), ("I", 65536), ("I", -1)]
)
def test_an_unknown_range_is_refused(mode, value):
  image = PIL.Image.new(mode, (4, 4), value)
  with pytest.raises(ValueError, match=f"got mode '{mode}'"):
    preprocess_image(spec_of(resize=4), image)


@pytest.mark.parametrize("field", ["school", "resize_mode", "interpolation"])
def test_an_unknown_word_is_refused(field):
  spec = spec_of(resize=4)._replace(**{field: "other"})
  with pytest.raises(ValueError, match=f"`{field}` .* got 'other'"):
    preprocess_image(spec, picture(4, 4))


def test_the_right_size_is_not_resampled(monkeypatch):
  def fail(*args, **options):
    raise AssertionError("resampled")

  monkeypatch.setattr(PIL.Image.Image, "resize", fail)
  image = picture(32, 40).convert("RGB")
  for school in ("transformers", "openai"):
    ours = preprocess_image(spec_of(school, resize=32), image)
    np.testing.assert_array_equal(ours, np.asarray(image)[4:36])
    ours[:] = 0  # a copy of the image's own memory, free to write on
  preprocess_image(
    spec_of(resize=32, mode="squash"), image.crop((0, 0, 32, 32))
  )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_followed_on_request_only(orientation, tmp_path):
  image = picture(20, 12).convert("RGB")
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  image.save(tmp_path / "turned.png", exif=exif)
  spec = spec_of(resize=12)
  with PIL.Image.open(tmp_path / "turned.png") as opened:
    ignored = preprocess_image(spec, opened)
    turned = preprocess_image(spec, opened, exif_orientation=True)
  np.testing.assert_array_equal(ignored, theirs(spec, image))
  # What each tag undoes, by hand: rows and columns, then the two mirrors.
  pixels = np.asarray(image)[:, 4:16]
  if orientation >= 5:
    pixels = pixels.swapaxes(0, 1)
  if orientation in (3, 4, 7, 8):
    pixels = pixels[::-1]
  if orientation in (2, 3, 6, 7):
    pixels = pixels[:, ::-1]
  np.testing.assert_array_equal(turned, pixels)


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
def test_reference_photographs(reference, school, resize_mode):
  """Awkward files: CMYK, grey, palette, very wide, smaller than the crop."""
  spec = spec_of(school, resize=64, mode=resize_mode)
  seen = set()
  for path in sorted((reference / "photos").iterdir()):
    with PIL.Image.open(path) as image:
      seen.add(image.mode)
      if image.mode.startswith("I"):
        # Clipped, nearly all of it would be white.
        assert (preprocess_image(spec, image) == 255).mean() < 0.05
      else:
        check(spec, image)
  assert {"RGB", "L", "CMYK", "RGBA", "P", "I;16"} <= seen


def test_the_schools_differ_on_photographs(reference):
  """Some crops lie a pixel apart."""
  differ = 0
  paths = sorted((reference / "images").iterdir())[:24]
  for path in paths:
    with PIL.Image.open(path) as image:
      one, other = (
        preprocess_image(spec_of(school, resize=64), image)
        for school in ("transformers", "openai")
      )
    differ += (one != other).any()
  assert 0 < differ < len(paths)
