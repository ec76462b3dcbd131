"""The quick resize makes the very pixels of Pillow's."""

import builtins
import functools
import io

import numpy as np
import pytest
from PIL import Image

from s3_jax import resampling
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.input_pipeline import padded_batches
from s3_jax.data.views import make_views
from s3_jax.resampling import keep_pixels, resize_crop

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def uncompiled():
  """The sums as Python runs them: slow, and the same everywhere."""
  return resampling._weigh_along_rows, resampling._weigh_along_columns


def use(monkeypatch, kernels):
  monkeypatch.setattr(resampling, "_compiled", lambda: kernels)
  resampling._agrees.cache_clear()


@pytest.fixture
def quick(monkeypatch):
  """Resizes by compiled sums from the first on; without Numba, by slow ones."""
  kernels = resampling._compile() or uncompiled()
  use(monkeypatch, kernels)
  yield kernels
  resampling._agrees.cache_clear()


def pictures(rng, width, height):
  """Noise, black and white, few grey values next to each other, and smooth."""
  noise = rng.integers(0, 256, (height, width, 3), np.uint8)
  coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
  yield Image.fromarray(noise)
  yield Image.fromarray((noise > 127).astype(np.uint8) * 255)
  yield Image.fromarray((noise & 1) + np.uint8(rng.integers(0, 255)))
  yield coarse.resize((width, height), BICUBIC)
  yield Image.fromarray(noise).convert("L")


def plans(rng, count, longest):
  """Any size to any other, and any part of what comes out."""

  def sides(top):
    return np.exp(rng.uniform(0, np.log(top), 2)).astype(int).tolist()

  for _ in range(count):
    width, height = sides(longest)
    size = new_width, new_height = sides(longest)
    left, top = rng.integers(0, new_width), rng.integers(0, new_height)
    right = rng.integers(left + 1, new_width + 1)
    bottom = rng.integers(top + 1, new_height + 1)
    box = tuple(map(int, (left, top, right, bottom)))
    for image in pictures(rng, width, height):
      kernel = (BICUBIC, BILINEAR)[rng.integers(2)]
      yield (
        image,
        resampling._Plan((0, 0, width, height), tuple(size), box, kernel),
      )


def of_pillow(image, size, box, kernel):
  """What is promised, in Pillow's words."""
  return np.asarray(image.resize(size, kernel).crop(box).convert("RGB"))


def check_all(kernels, count, longest, seed):
  seen = tall = 0
  for image, plan in plans(np.random.default_rng(seed), count, longest):
    if not resampling._fits(image.mode, plan):
      assert plan.size == image.size
      continue
    made = resampling._quickly(kernels, image, plan)
    expected = of_pillow(image, plan.size, plan.box, plan.kernel)
    np.testing.assert_array_equal(made, expected, err_msg=f"{plan}")
    seen, tall = seen + 1, tall + resampling._is_tall(plan)
  assert seen > 4 * count and tall > count // 10


def test_the_sums_are_pillows():
  check_all(uncompiled(), 30, 24, seed=0)


def test_the_compiled_sums_are_pillows():
  pytest.importorskip("numba")
  kernels = resampling._compile()
  check_all(kernels, 300, 700, seed=1)
  check_all(kernels, 20, 4000, seed=2)


@pytest.mark.parametrize("kernel", [BICUBIC, BILINEAR])
@pytest.mark.parametrize(
  "source, size", [((900, 3), (7, 2)), ((2, 700), (5, 9))]
)
def test_extreme_ratios(kernel, source, size):
  kernels = resampling._compile() or uncompiled()
  for image in pictures(np.random.default_rng(3), *source):
    plan = resampling._Plan((0, 0, *source), size, (0, 0, *size), kernel)
    np.testing.assert_array_equal(
      resampling._quickly(kernels, image, plan),
      of_pillow(image, size, (0, 0, *size), kernel),
    )


@pytest.mark.parametrize("school", ["transformers", "openai"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_preprocessing_makes_the_same_pixels(
  monkeypatch, quick, school, resize_mode, mode
):
  spec = ZOO["openai/clip-vit-base-patch16"]._replace(
    resize_size=20,
    crop_size=20,
    image_size=20,
    school=school,
    resize_mode=resize_mode,
  )
  for size in ((41, 33), (20, 25), (13, 60)):
    for image in pictures(np.random.default_rng(4), *size):
      image = image.convert(mode)
      ours = preprocess_image(spec, image)
      with monkeypatch.context() as patch:
        patch.setattr(resampling, "_compiled", lambda: None)
        np.testing.assert_array_equal(ours, preprocess_image(spec, image))


def test_a_box_outside_is_pillows(quick):
  image = next(pictures(np.random.default_rng(5), 9, 7))
  for box in ((-2, -1, 8, 9), (3, 3, 3, 5), (0, 0, 5, 40)):
    expected = of_pillow(image, (6, 8), box, BICUBIC)
    np.testing.assert_array_equal(
      resize_crop(image, (6, 8), box, BICUBIC), expected
    )


def test_a_part_is_cut_out_first(quick):
  image = next(pictures(np.random.default_rng(6), 40, 30))
  part = (5, 7, 29, 22)
  np.testing.assert_array_equal(
    resize_crop(image, (11, 12), (1, 2, 9, 11), BILINEAR, source=part),
    of_pillow(image.crop(part), (11, 12), (1, 2, 9, 11), BILINEAR),
  )


@pytest.mark.parametrize("off", [1, 2])
def test_another_pillow_does_its_work_itself(monkeypatch, off):
  """Sums that are off by one in one value, as those of another build are."""

  def other(pixels, *arguments):
    made = arguments[3] if len(arguments) > 3 else arguments[-1]
    (uncompiled()[0] if len(arguments) > 3 else uncompiled()[1])(
      pixels, *arguments
    )
    made[off, off] ^= 1

  image = next(pictures(np.random.default_rng(7), 40, 30))
  for kernels in ((other, uncompiled()[1]), (uncompiled()[0], other)):
    use(monkeypatch, kernels)
    assert not resampling._agrees(kernels, BICUBIC, False)
    np.testing.assert_array_equal(
      resize_crop(image, (15, 12), (0, 0, 15, 12), BICUBIC),
      of_pillow(image, (15, 12), (0, 0, 15, 12), BICUBIC),
    )
  resampling._agrees.cache_clear()


@pytest.mark.parametrize("augmix", [False, True])
def test_views_are_the_same(monkeypatch, quick, augmix):
  """From a picture, and from a JPEG whose pixels lie beside it."""
  buffer = io.BytesIO()
  next(pictures(np.random.default_rng(9), 60, 40)).save(buffer, "JPEG")
  spec = ZOO["openai/clip-vit-base-patch16"]._replace(
    resize_size=16, crop_size=16, image_size=16
  )

  def make(image):
    return make_views(
      image,
      functools.partial(preprocess_image, spec),
      count=9,
      augmix=augmix,
      seed=0,
      index=3,
    )

  picture, beside = Image.open(buffer), Image.open(buffer)
  picture.load()
  keep_pixels(beside, np.asarray(picture))
  found = make(picture), make(beside)
  assert beside.tile  # Pillow has not decoded it
  monkeypatch.setattr(resampling, "_compiled", lambda: None)
  for views in (*found, make(beside)):
    np.testing.assert_array_equal(views, make(picture))


def test_batches_are_the_same(monkeypatch, quick):
  records = []
  for seed in range(5):
    buffer = io.BytesIO()
    images = pictures(np.random.default_rng(seed), 40 + seed, 50 - 3 * seed)
    next(images).save(buffer, "JPEG")
    records.append({"image": buffer.getvalue(), "label": seed})
  records.append({"image": records[0]["image"][:500], "label": 5})
  spec = ZOO["openai/clip-vit-base-patch16"]._replace(
    resize_size=16, crop_size=16, image_size=16
  )

  def batches():
    bad = {}
    prepare = functools.partial(preprocess_image, spec)
    made = list(padded_batches(records, prepare, batch_size=3, bad=bad))
    return np.concatenate([batch["image"] for batch in made]), bad

  monkeypatch.setattr("s3_jax.data.decoding.is_compiled", lambda: True)
  images, bad = batches()
  monkeypatch.setattr("s3_jax.data.decoding.is_compiled", lambda: False)
  monkeypatch.setattr(resampling, "_compiled", lambda: None)
  expected, reasons = batches()
  np.testing.assert_array_equal(images, expected)
  assert bad == reasons == {5: "cut off"}


def test_the_first_resizes_import_nothing(monkeypatch):
  resampling._compile.cache_clear()
  monkeypatch.setattr(resampling, "_COUNT", iter(range(100)))
  monkeypatch.setattr(resampling, "FIRST_BY_PILLOW", 3)
  asked = []
  real = builtins.__import__

  def watch(name, *arguments, **options):
    if name == "numba":
      asked.append(name)
      raise ImportError(name)
    return real(name, *arguments, **options)

  monkeypatch.setattr(builtins, "__import__", watch)
  image = next(pictures(np.random.default_rng(8), 9, 7))
  for number in range(6):
    resize_crop(image, (6, 5), (0, 0, 6, 5), BICUBIC)
    # Once, whether it is there or not.
    assert len(asked) == (number >= 3)
    assert not resampling.is_compiled()
  resampling._compile.cache_clear()


def test_kept_pixels_stand_for_a_file_until_it_is_loaded(quick):
  buffer = io.BytesIO()
  Image.new("RGB", (30, 20), (9, 9, 9)).save(buffer, "JPEG")
  box, other = (0, 0, 6, 5), np.full((20, 30, 3), 77, np.uint8)
  for by_pillow in (False, True):
    image = Image.open(io.BytesIO(buffer.getvalue()))
    keep_pixels(image, other)
    size = image.size if by_pillow else (6, 5)  # one is not resized
    assert (resize_crop(image, size, box, BICUBIC) == 77).all()
    image.putpixel((0, 0), (9, 9, 9))  # which loads it
    assert (resize_crop(image, size, box, BICUBIC) == 9).all()
