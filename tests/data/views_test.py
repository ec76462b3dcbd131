"""Views: functions of seed, index and view, and drawn as torchvision draws."""

import io
import math
import threading

import numpy as np
import pytest
from PIL import Image

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data.augmix import mix_augmented
from s3_jax.data.decoding import decode_image
from s3_jax.data.views import crop_box, make_views, view_batches

SIZE = 12


def picture(width=40, height=30, seed=0):
  y, x = np.mgrid[:height, :width]
  noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
  base = np.stack([5 * x, 6 * y, 2 * x + 3 * y], -1)
  return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))


def preprocess(image):
  return np.asarray(image.convert("RGB").resize((SIZE, SIZE)))


def stream(view, seed=3, index=7):
  """The random stream of a view."""
  sequence = np.random.SeedSequence(seed, spawn_key=(index, view))
  return np.random.Generator(np.random.Philox(sequence))


def views(image=None, **options):
  options = {"count": 5, "seed": 3, "index": 7} | options
  return make_views(image or picture(), preprocess, **options)


@pytest.mark.parametrize("augmix", [False, True])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_view_0_is_the_preprocessed_image(augmix, count):
  made = views(count=count, augmix=augmix)
  assert made.shape == (count, SIZE, SIZE, 3) and made.dtype == np.uint8
  np.testing.assert_array_equal(made[0], preprocess(picture()))
  assert len({view.tobytes() for view in made}) == count


@pytest.mark.parametrize("augmix", [False, True])
def test_a_view_does_not_depend_on_how_many_there_are(augmix):
  many = views(count=20, augmix=augmix)
  np.testing.assert_array_equal(views(count=4, augmix=augmix), many[:4])
  np.testing.assert_array_equal(views(count=20, augmix=augmix), many)


def test_views_depend_on_seed_index_and_view():
  seen = set()
  for seed in (0, 1, 2**40):
    for index in (0, 1, 2**31 - 1):
      seen |= {v.tobytes() for v in views(count=6, seed=seed, index=index)[1:]}
  assert len(seen) == 3 * 3 * 5


def test_seed_and_index_are_not_added_up():
  a = views(seed=0, index=1)[1:]
  for other in ({"seed": 1, "index": 0}, {"seed": 2**32, "index": 1}):
    assert not (a == views(**other)[1:]).all(axis=(1, 2, 3)).any()


def test_the_numbers_are_these():
  # A change of numpy's or ours in what is drawn would change every result.
  rng = stream(1)
  assert crop_box(500, 375, rng) == (65, 6, 493, 329)
  assert rng.random() == pytest.approx(0.49125851334656434, abs=1e-12)


def reference_box(width, height, rng):
  """Does what torchvision documents, as a loop of its own."""
  area = width * height
  low, high = math.log(3.0 / 4.0), math.log(4.0 / 3.0)
  tried = 0
  while tried < 10:
    tried += 1
    part = area * rng.uniform(0.08, 1.0)
    aspect = np.exp(rng.uniform(low, high))
    w = int(round(float(np.sqrt(part * aspect))))
    h = int(round(float(np.sqrt(part / aspect))))
    if 1 <= w <= width and 1 <= h <= height:
      return (
        int(rng.integers(0, width - w + 1)),
        int(rng.integers(0, height - h + 1)),
        w,
        h,
      )
  if width / height < 3 / 4:
    w, h = width, int(round(width / (3 / 4)))
  elif width / height > 4 / 3:
    w, h = int(round(height * (4 / 3))), height
  else:
    w, h = width, height
  return (width - w) // 2, (height - h) // 2, w, h


@pytest.mark.parametrize(
  ("width", "height"), [(500, 375), (300, 300), (120, 480), (640, 90)]
)
def test_crops_are_distributed_as_torchvisions(width, height):
  """Compares quantiles of two samples; a sample's error is about 0.02."""
  draws = 4000
  rng = np.random.default_rng(0)
  ours = np.array([crop_box(width, height, rng) for _ in range(draws)], float)
  ours[:, 2:] -= ours[:, :2]
  other = np.random.default_rng(1)
  theirs = np.array(
    [reference_box(width, height, other) for _ in range(draws)], float
  )
  for box in (ours, theirs):
    assert (box[:, :2] >= 0).all() and (box[:, 2:] >= 1).all()
    assert (box[:, 0] + box[:, 2] <= width).all()
    assert (box[:, 1] + box[:, 3] <= height).all()

  def facts(box):
    left, top, w, h = box.T
    yield w * h / (width * height)
    yield np.log(w / h)
    yield left / np.maximum(width - w, 1)
    yield top / np.maximum(height - h, 1)
    yield w / width
    yield h / height

  for mine, its in zip(facts(ours), facts(theirs), strict=True):
    # Kolmogorov and Smirnov's distance; 0.1 % exceed 1.95 sqrt(2 / draws).
    # Ties fall together: both are looked at behind them.
    points = np.union1d(mine, its)
    distance = np.abs(
      np.searchsorted(np.sort(mine), points, "right")
      - np.searchsorted(np.sort(its), points, "right")
    ).max()
    assert distance / draws < 1.95 * math.sqrt(2 / draws)


def test_the_square_shows_the_ranges_themselves():
  rng = np.random.default_rng(0)
  boxes = np.array([crop_box(1000, 1000, rng) for _ in range(4000)], float)
  w, h = (boxes[:, 2:] - boxes[:, :2]).T
  share, ratio = w * h / 1e6, w / h
  assert 0.079 < share.min() < 0.085 and 0.95 < share.max() <= 1
  assert 0.745 < ratio.min() < 0.755 and 1.325 < ratio.max() < 1.345
  assert np.log(ratio).mean() == pytest.approx(0, abs=0.01)
  # Where no draw is turned down (area below 3/4), area is uniform.
  small = share[share < 0.74]
  assert small.mean() == pytest.approx((0.08 + 0.74) / 2, abs=0.012)


class Top(np.random.Generator):
  """Draws that ask for all of the area at 4:3."""

  def random(self):
    return 1 - 2**-53


@pytest.mark.parametrize(
  ("size", "box"),
  [
    ((1000, 10), (493, 0, 506, 10)),  # 13 wide: 10 x 4/3
    ((10, 1000), (0, 493, 10, 506)),
    ((256, 1), (127, 0, 128, 1)),
    ((1, 1), (0, 0, 1, 1)),
  ],
)
def test_what_no_draw_fits_gives_the_middle(size, box):
  assert crop_box(*size, Top(np.random.Philox(0))) == box


def test_views_are_crops_by_hand():
  image = picture()
  made = views(count=40)
  flipped = 0
  for view in range(1, 40):
    rng = stream(view)
    part = image.crop(crop_box(40, 30, rng))
    part = part.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pixels = np.asarray(part)
    if rng.random() < 0.5:
      pixels = pixels[:, ::-1]
      flipped += 1
    np.testing.assert_array_equal(made[view], pixels)
    mixed = mix_augmented(Image.fromarray(np.ascontiguousarray(pixels)), rng)
    if view < 10:
      alone = views(count=view + 1, augmix=True)[view]
      np.testing.assert_array_equal(alone, mixed)
  assert 8 < flipped < 31


def test_half_of_the_views_are_flipped():
  """A picture that is bright on its right half and dark on its left."""
  pixels = np.zeros((64, 64, 3), np.uint8)
  pixels[:] = np.arange(64, dtype=np.uint8)[None, :, None]
  made = views(Image.fromarray(pixels), count=1500)[1:].astype(int)
  rises = made[:, 0, -1, 0] > made[:, 0, 0, 0]
  # Three standard errors.
  assert rises.mean() == pytest.approx(0.5, abs=0.04)


def test_views_of_one_colour_are_that_colour():
  made = views(Image.new("RGB", (50, 20), (7, 100, 250)), count=10)
  assert (made == np.array([7, 100, 250], np.uint8)).all()


def test_rows_and_columns_may_differ():
  def wide(image):
    return np.asarray(image.resize((20, 8)))

  made = make_views(picture(), wide, count=3, augmix=True, seed=0, index=0)
  assert made.shape == (3, 8, 20, 3)


def saved(image, **options):
  buffer = io.BytesIO()
  image.save(buffer, "PNG", **options)
  return decode_image(buffer.getvalue())


def odd_images():
  """Pictures of every mode, and what they are in RGB."""
  rgb = picture()
  grey = rgb.convert("L")
  yield "L", saved(grey), grey.convert("RGB")
  bits = rgb.convert("1")
  yield "1", saved(bits), bits.convert("RGB")
  palette = rgb.quantize(16)
  yield "P", saved(palette), palette.convert("RGB")
  yield "P+", saved(palette, transparency=b"\0\x80"), palette.convert("RGB")
  alpha = rgb.copy()
  alpha.putalpha(Image.new("L", rgb.size, 90))
  yield "RGBA", saved(alpha), rgb
  both = grey.copy()
  both.putalpha(Image.new("L", rgb.size, 0))
  yield "LA", saved(both), grey.convert("RGB")
  yield "RGB+", saved(rgb, transparency=(0, 0, 0)), rgb
  yield "CMYK", rgb.convert("CMYK"), rgb.convert("CMYK").convert("RGB")
  deep = np.asarray(grey).astype(np.uint16) * 257
  yield "I;16", saved(Image.fromarray(deep)), grey.convert("RGB")


@pytest.mark.parametrize(
  ("image", "rgb"),
  [pytest.param(*rest, id=name) for name, *rest in odd_images()],
)
@pytest.mark.parametrize("school", ["openai", "transformers"])
def test_every_mode_is_cropped_in_rgb(image, rgb, school):
  spec = ZOO["openai/ViT-B/32"]._replace(
    resize_size=SIZE,
    crop_size=SIZE,
    school=school,
    resize_mode="shortest",
  )

  def own(image):
    return preprocess_image(spec, image)

  before = dict(image.info)
  made = make_views(image, own, count=4, seed=0, index=0)
  np.testing.assert_array_equal(made[0], own(image))
  transparent = "A" in image.mode or "transparency" in image.info
  if transparent and school == "transformers":
    # On white, as view 0; composed by hand.
    layer = np.asarray(image.convert("RGBA")).astype(np.int64)
    alpha = layer[..., 3:]
    mixed = (layer[..., :3] * alpha + 255 * (255 - alpha)) / 255
    rgb = Image.fromarray(np.rint(mixed).astype(np.uint8))
  expected = make_views(rgb, own, count=4, seed=0, index=0)
  # Pillow composes in whole numbers, one level off at most.
  off = int(transparent and school == "transformers")
  np.testing.assert_allclose(
    made[1:].astype(int), expected[1:].astype(int), atol=off
  )
  assert image.info == before


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (5, 200)])
@pytest.mark.parametrize("augmix", [False, True])
def test_tiny_images(size, augmix):
  made = views(picture(*size), count=12, augmix=augmix)
  assert made.shape == (12, SIZE, SIZE, 3)


@pytest.mark.parametrize(
  ("options", "rule"),
  [
    ({"count": 0}, "`count` must be >= 1, got 0; the image itself is a view"),
    ({"seed": -1}, "`seed` must be >= 0, got -1"),
    ({"index": -1}, "`index` must be >= 0, got -1"),
  ],
)
def test_options_have_rules(options, rule):
  with pytest.raises(ValueError, match=rule):
    views(**options)


def records_of(png, count=7):
  return [
    {"image": png(np.asarray(picture(seed=index))), "label": 10 + index}
    for index in range(count)
  ]


def joined(batches):
  batches = list(batches)
  return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def run(records, **options):
  options = {"count": 4, "seed": 3, "batch_size": 3, "threads": 2} | options
  return view_batches(records, preprocess, **options)


@pytest.mark.parametrize(
  ("batch_size", "threads", "augmix"),
  [(1, 0, False), (2, 1, False), (3, 4, True), (16, 16, False), (7, 2, True)],
)
def test_batches_change_nothing(png, batch_size, threads, augmix):
  records = records_of(png)
  batches = list(
    run(records, batch_size=batch_size, threads=threads, augmix=augmix)
  )
  for batch in batches:
    assert batch["image"].shape == (batch_size, 4, SIZE, SIZE, 3)
    assert batch["image"].dtype == np.uint8
  rows = joined(batches)
  assert rows["index"][:7].tolist() == list(range(7))
  assert rows["label"][:7].tolist() == list(range(10, 17))
  assert rows["mask"].tolist() == [True] * 7 + [False] * (rows["mask"].size - 7)
  assert not rows["image"][7:].any()
  for index in range(7):
    expected = make_views(
      decode_image(records[index]["image"]),
      preprocess,
      count=4,
      augmix=augmix,
      seed=3,
      index=index,
    )
    np.testing.assert_array_equal(rows["image"][index], expected)


def test_some_of_a_data_set_have_the_views_of_the_whole(png):
  records = records_of(png)
  whole = joined(run(records))
  for hosts in (1, 2, 3):
    for host in range(hosts):
      numbers = np.arange(host, 7, hosts)
      some = joined(run([records[index] for index in numbers], numbers=numbers))
      used = numbers.size
      assert some["index"][:used].tolist() == list(range(used))
      np.testing.assert_array_equal(
        some["image"][:used], whole["image"][numbers]
      )


def test_bad_images_are_listed_and_black(png):
  records = records_of(png)
  good = joined(run(records))["image"]
  records[0] = {"image": b"", "label": 1}
  records[4] = {"image": records[4]["image"][:-40], "label": 2}
  bad = {}
  rows = joined(run(records, bad=bad))
  assert bad == {0: "empty file", 4: "cut off"}
  indices = [1, 2, 3, 5, 6]
  assert np.flatnonzero(rows["mask"]).tolist() == indices
  assert rows["index"][:7].tolist() == list(range(7))
  assert rows["label"][:7].tolist() == [1, 11, 12, 13, 2, 15, 16]
  np.testing.assert_array_equal(rows["image"][indices], good[indices])
  assert not rows["image"][[0, 4]].any()
  rule = "image 0 must be one that can be used: empty file"
  with pytest.raises(ValueError, match=rule):
    list(run(records))


def test_when_no_image_is_usable_the_size_is_still_known():
  bad = {}
  (batch,) = run([{"image": b"", "label": 7}] * 2, bad=bad)
  assert batch["image"].shape == (3, 4, SIZE, SIZE, 3)
  assert not batch["image"].any() and len(bad) == 2


def test_no_records_make_no_batches():
  assert list(run([])) == []


@pytest.mark.parametrize(
  ("options", "rule"),
  [
    ({"count": 0}, "`count` must be >= 1, got 0"),
    ({"seed": -1}, "`seed` must be >= 0, got -1"),
    (
      {"numbers": np.arange(6)},
      "`numbers` and `records` must agree on their length, got 6 and 7",
    ),
    ({"numbers": np.arange(-1, 6)}, "`numbers` must be >= 0, got -1"),
  ],
)
def test_options_of_batches_are_errors_at_once(png, options, rule):
  with pytest.raises(ValueError, match=rule):
    run(records_of(png), bad={}, **options)


def test_closing_stops_the_threads(png):
  batches = run(records_of(png) * 30, batch_size=1)
  next(batches)
  batches.close()
  for thread in threading.enumerate():
    if "grain" in thread.name:
      thread.join(10)
      assert not thread.is_alive()
