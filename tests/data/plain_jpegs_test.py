"""Plain JPEGs have Pillow's pixels; all else, and all reasons, are Pillow's."""

import io

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from s3_jax import resampling
from s3_jax.data import plain_jpegs
from s3_jax.data.decoding import BadImage, decode_image, decoded_image
from s3_jax.data.plain_jpegs import decode_plain_jpeg

simplejpeg = pytest.importorskip("simplejpeg")


def picture(width=50, height=37, seed=0):
  rng = np.random.default_rng(seed)
  coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
  return coarse.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image=None, **options):
  buffer = io.BytesIO()
  (image or picture()).save(buffer, "JPEG", **options)
  return buffer.getvalue()


def decoded(data, size=(50, 37)):
  return decode_plain_jpeg(data, size)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (129, 67)])
def test_pixels_are_pillows(size, mode, subsampling, progressive):
  for quality in (20, 75, 95):
    data = jpeg(
      picture(*size).convert(mode),
      subsampling=subsampling,
      progressive=progressive,
      quality=quality,
    )
    np.testing.assert_array_equal(decoded(data, size), decode_image(data))


def altered(data, old, new):
  assert data.count(old) == 1
  return data.replace(old, new)


FRAME = b"\xff\xc0\x00\x11\x08"


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"\xff\xd8",
    jpeg(picture().convert("CMYK")),
    jpeg(keep_rgb=True),
    altered(jpeg(subsampling=0), b"\x01\x11\x00", b"\x01\x41\x00"),  # 4:1:1
    altered(jpeg(), FRAME, b"\xff\xc1\x00\x11\x08"),  # extended
    altered(jpeg(), FRAME, b"\xff\xc9\x00\x11\x08"),  # arithmetic
    altered(jpeg(), FRAME, b"\xff\xc0\x00\x11\x0c"),  # 12 bits
    altered(jpeg(), b"\x03\x01\x22", b"\x03\x00\x22"),  # names 0, 2, 3
    jpeg()[:2] + b"\xff\xee\x00\x0eAdobe" + bytes(7) + jpeg()[2:],  # RGB
    jpeg()[:2] + b"\xff" + jpeg()[2:],  # a byte between
  ],
)
def test_others_are_left_to_pillow(data):
  assert decoded(data) is None


def test_the_size_must_be_the_one_that_was_checked():
  assert decoded(jpeg(), (50, 37)) is not None
  assert decoded(jpeg(), (37, 50)) is None


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
  progressive=strategies.booleans(),
  flips=strategies.lists(
    strategies.tuples(strategies.floats(0, 1), strategies.integers(0, 255)),
    max_size=3,
  ),
  cut=strategies.floats(0.1, 1),
)
def test_damaged_files_are_as_pillow_has_them(progressive, flips, cut):
  data = bytearray(jpeg(progressive=progressive))
  data = data[: 2 + round(cut * (len(data) - 2))]
  for place, value in flips:
    data[min(2 + int(place * (len(data) - 2)), len(data) - 1)] = value
  outcomes = []
  for to_resize in (False, True):
    try:
      with decoded_image(bytes(data), to_resize=to_resize) as image:
        pixels = resampling._kept_pixels(image)
        outcomes.append(np.asarray(image if pixels is None else pixels))
    except BadImage as error:
      outcomes.append(error.reason)
  first, second = outcomes
  assert type(first) is type(second)
  assert np.array_equal(first, second)


@pytest.fixture(autouse=True, scope="module")
def compiled():
  """As if a resize had been compiled, which is when arrays are of use."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("s3_jax.data.decoding.is_compiled", lambda: True)
    yield


def test_the_picture_keeps_what_the_file_says():
  exif = Image.Exif()
  exif[0x0112] = 6
  data = jpeg(exif=exif, dpi=(72, 72))
  with decoded_image(data, to_resize=True) as image:
    assert resampling._kept_pixels(image) is not None
    assert image.getexif()[0x0112] == 6
    assert image.size == (50, 37) and image.mode == "RGB"
    np.testing.assert_array_equal(image, decode_image(data))
    assert resampling._kept_pixels(image) is None  # it is loaded now


def test_only_who_resizes_gets_an_array():
  with decoded_image(jpeg()) as image:
    assert not image.tile  # loaded
  assert not decode_image(jpeg()).tile


def test_the_limit_of_pixels_comes_first(monkeypatch):
  def fail(*args, **options):
    raise AssertionError("decoded")

  monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
  reader = decoded_image(jpeg(), max_pixels=100, to_resize=True)
  with (
    pytest.raises(BadImage, match="50 x 37 .*, more than 100 in all"),
    reader,
  ):
    pass


def test_a_library_that_differs_is_not_used(monkeypatch):
  real = simplejpeg.decode_jpeg

  def other(data, colours):
    pixels = real(data, colours).copy()
    pixels[-1, -1] ^= 1
    return pixels

  data = jpeg()
  for name, value in (
    ("simplejpeg.decode_jpeg", other),
    ("PIL.features.version_feature", lambda name: "2.0.6"),
    ("PIL.features.version_feature", lambda name: None),
  ):
    with monkeypatch.context() as patch:
      patch.setattr(name, value)
      plain_jpegs._agrees.cache_clear()
      assert decoded(data) is None
  plain_jpegs._agrees.cache_clear()
  assert decoded(data) is not None


def test_a_large_jpeg_is_made_smaller_and_looks_alike():
  image = picture(640, 480)
  with decoded_image(jpeg(image, quality=95), shortest=60) as small:
    assert small.size == (80, 60)  # an eighth
  with decoded_image(jpeg(image, quality=95), shortest=100) as small:
    assert small.size == (160, 120)  # two
  with decoded_image(jpeg(image, quality=95), shortest=300) as whole:
    assert whole.size == (640, 480)  # five save nothing
  with decoded_image(jpeg(image, quality=95), shortest=100) as small:
    expected = image.resize((160, 120), Image.Resampling.BOX)
    difference = np.subtract(small, expected, dtype=int)
    assert np.abs(difference).mean() < 1.5


def test_a_small_jpeg_keeps_its_size():
  with decoded_image(jpeg(), shortest=60) as image:
    assert image.size == (50, 37)
    kept = resampling._kept_pixels(image).astype(int)
    assert 0 < np.abs(kept - decode_image(jpeg())).mean() < 8


@pytest.mark.parametrize(
  "data", [jpeg(picture().convert("CMYK")), jpeg()[:300], b"\xff\xd8\xff"]
)
def test_what_cannot_be_made_smaller_is_pillows(data):
  outcomes = []
  for shortest in (0, 8):
    try:
      with decoded_image(data, shortest=shortest) as image:
        outcomes.append((image.size, image.mode, image.tobytes()))
    except BadImage as error:
      outcomes.append(error.reason)
  assert outcomes[0] == outcomes[1]


def test_a_smaller_picture_keeps_its_orientation():
  exif = Image.Exif()
  exif[0x0112] = 3
  data = jpeg(picture(640, 480), exif=exif)
  with decoded_image(data, shortest=60) as image:
    assert image.getexif()[0x0112] == 3
