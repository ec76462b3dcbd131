"""Plain JPEGs through simplejpeg: Pillow's pixels, or Pillow itself."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from s3_jax.clip import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data import jpeg
from s3_jax.data.decoding import BadImage, decode_image, decoded_image
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.views import make_views

pytest.importorskip("simplejpeg")


def picture(mode="RGB", size=(97, 83)):
  shades = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
  image = Image.fromarray(shades).resize(size, Image.Resampling.BICUBIC)
  return image.convert(mode)


def encode(image, **options) -> bytes:
  file = io.BytesIO()
  image.save(file, "JPEG", **options)
  return file.getvalue()


def arrays(data):
  with decoded_image(data, arrays=True) as image:
    return image


@pytest.mark.parametrize("size", [(97, 83), (1, 1), (16, 8), (300, 5)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_pillows(size, subsampling, progressive):
  data = encode(
    picture(size=size),
    subsampling=subsampling,
    progressive=progressive,
    optimize=True,
  )
  found = arrays(data)
  assert isinstance(found, np.ndarray)
  np.testing.assert_array_equal(found, np.asarray(decode_image(data)))


def turned() -> bytes:
  exif = Image.Exif()
  exif[0x0112] = 6
  return encode(picture(), exif=exif)


def upright() -> bytes:
  exif = Image.Exif()
  exif[0x0112] = 1
  return encode(picture(), exif=exif)


def test_upright_pictures_are_arrays_and_others_stay_pictures():
  assert isinstance(arrays(upright()), np.ndarray)
  for data in (turned(), encode(picture("L")), encode(picture("CMYK"))):
    found = arrays(data)
    assert isinstance(found, Image.Image)
    assert found.mode == decode_image(data).mode
    assert found.tobytes() == decode_image(data).tobytes()
  several = io.BytesIO()
  picture().save(several, "MPO", save_all=True, append_images=[picture()])
  assert isinstance(arrays(several.getvalue()), Image.Image)


def test_other_colours_and_samplings_are_left_to_pillow():
  data = encode(picture(), subsampling="4:2:0")
  start = data.index(b"\xff\xc0")
  rgb = bytearray(data)  # names of components by which libjpeg takes RGB
  for number, name in enumerate(b"RGB"):
    rgb[start + 10 + 3 * number] = name
  scan = data.index(b"\xff\xda")
  for number, name in enumerate(b"RGB"):
    rgb[scan + 5 + 2 * number] = name
  assert isinstance(arrays(bytes(rgb)), Image.Image)
  tall = bytearray(data)
  assert tall[start + 11] == 0x22
  tall[start + 11] = 0x12  # chroma of half the height alone
  with contextlib.suppress(BadImage):  # its data are others
    assert isinstance(arrays(bytes(tall)), Image.Image)


def damaged() -> dict[str, bytes]:
  data = encode(picture(size=(200, 200)))
  noise = bytes(np.random.default_rng(1).integers(0, 255, 200, np.uint8))
  middle = len(data) // 2
  return {
    "cut": data[:middle],
    "noise": data[:middle] + noise + data[middle + 200 :],
    "tail": data + b"more",
    "endless": data[:-2],
  }


@pytest.mark.parametrize("kind", list(damaged()))
def test_damaged_files_are_what_they_are_to_pillow(kind):
  data = damaged()[kind]
  try:
    expected = np.asarray(decode_image(data))
  except BadImage as error:
    with pytest.raises(BadImage) as raised:
      arrays(data)
    assert raised.value.reason == error.reason
  else:
    np.testing.assert_array_equal(np.asarray(arrays(data)), expected)


def test_limits_come_before_the_pixels():
  limited = decoded_image(encode(picture()), max_pixels=100, arrays=True)
  with pytest.raises(BadImage, match="more than 100 in all"), limited:
    pass


def test_a_build_that_differs_is_not_used(monkeypatch):
  decode = jpeg._decode
  monkeypatch.setattr(jpeg, "_decode", lambda data: decode(data) + 1)
  jpeg.is_exact.cache_clear()
  try:
    assert not jpeg.is_exact()
    assert isinstance(arrays(encode(picture())), Image.Image)
  finally:
    monkeypatch.undo()
    jpeg.is_exact.cache_clear()
  assert jpeg.is_exact()


def test_without_the_library_pillow_decodes(monkeypatch):
  monkeypatch.setattr(jpeg.importlib.util, "find_spec", lambda name: None)
  jpeg.is_exact.cache_clear()
  try:
    assert isinstance(arrays(encode(picture())), Image.Image)
  finally:
    monkeypatch.undo()
    jpeg.is_exact.cache_clear()


@pytest.mark.parametrize(
  "name", ["openai/clip-vit-base-patch16", "google/siglip-base-patch16-224"]
)
def test_batches_and_views_are_the_same(name):
  def prepare(image):
    return preprocess_image(ZOO[name], image)

  data = [encode(picture(size=size)) for size in ((260, 300), (97, 83))]
  data += [turned(), encode(picture("L"))]
  records = [{"image": each, "label": 0} for each in data]
  old, new = (
    next(padded_batches(records, prepare, batch_size=4, arrays=arrays))
    for arrays in (False, True)
  )
  np.testing.assert_array_equal(new["image"], old["image"])
  for each in data:
    first, second = (
      make_views(image, prepare, count=5, augmix=True, seed=1, index=2)
      for image in (decode_image(each), arrays(each))
    )
    np.testing.assert_array_equal(first, second)
