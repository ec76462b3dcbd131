"""Thumbnails: size, conversions, and what does not travel with them."""

import io

import numpy as np
import pytest
from PIL import Image

from s3_jax.data.thumbnails import SIDE, make_thumbnail, turn_upright


def show(image, **options):
  small = Image.open(io.BytesIO(make_thumbnail(image, **options)))
  assert (small.format, small.mode) == ("JPEG", "RGB")
  return small


@pytest.mark.parametrize(
  ("size", "expected"),
  [
    ((640, 320), (160, 80)),
    ((320, 640), (80, 160)),
    ((160, 160), (160, 160)),
    ((20, 30), (20, 30)),
    ((1, 1), (1, 1)),
    ((40_000, 200), (160, 1)),
  ],
)
def test_the_whole_picture_at_most_so_large(size, expected):
  assert show(Image.new("RGB", size, "red")).size == expected
  assert SIDE == 160
  assert max(show(Image.new("RGB", size, "red"), side=8).size) <= 8


@pytest.mark.parametrize(
  ("mode", "color", "expected"),
  [
    ("RGB", (10, 200, 30), (10, 200, 30)),
    ("L", 90, (90, 90, 90)),
    ("1", 1, (255, 255, 255)),
    ("I;16", 25_700, (100, 100, 100)),
    ("I", 25_700, (100, 100, 100)),
    ("RGBA", (10, 200, 30, 255), (10, 200, 30)),
    ("RGBA", (10, 200, 30, 0), (255, 255, 255)),
    ("LA", (90, 0), (255, 255, 255)),
    ("PA", (0, 0), (255, 255, 255)),
    ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
    ("HSV", (0, 0, 120), (120, 120, 120)),
  ],
)
def test_colours_of_every_mode(mode, color, expected):
  small = np.asarray(show(Image.new(mode, (300, 200), color)), int)
  assert small.shape == (107, 160, 3)
  assert np.abs(small - expected).max() <= 4


def test_a_transparent_palette_lies_on_white():
  image = Image.new("P", (30, 20), 1)
  image.putpalette([200, 0, 0, 0, 0, 200])
  assert np.asarray(show(image.copy()), int)[5, 5, 2] > 190
  image.info["transparency"] = 1
  assert np.asarray(show(image), int).min() > 250


def test_metadata_stays_behind():
  image = Image.new("RGB", (30, 20), "red")
  image.info["comment"] = b"secret place"
  image.info["icc_profile"] = b"secret profile"
  image.getexif()[0x010E] = "secret text"
  data = make_thumbnail(image)
  assert b"secret" not in data and b"Exif" not in data


def test_orientation_is_followed_where_it_can_be():
  image = Image.new("RGB", (30, 20), "white")
  image.paste("red", (0, 0, 10, 20))  # left third
  data = io.BytesIO()
  exif = Image.Exif()
  exif[0x0112] = 6
  image.save(data, "PNG", exif=exif)
  turned = turn_upright(Image.open(data))
  assert turned.size == (20, 30)
  assert turned.getpixel((10, 2)) == (255, 0, 0)  # now the upper third
  assert turn_upright(image).size == (30, 20)


@pytest.mark.parametrize("tags", [b"Exif\0\0XX*\0", b"Exif\0\0II*\0\xff", b"E"])
def test_damaged_tags_are_ignored(tags):
  image = Image.new("RGB", (30, 20), "white")
  image.info["exif"] = tags
  assert turn_upright(image).size == (30, 20)
