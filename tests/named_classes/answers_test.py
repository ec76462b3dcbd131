"""Images to names: hand-worked numbers, every kind of image, bad ones."""

import functools
import math
import pathlib

import numpy as np
import pytest
from PIL import Image

import s3_jax

WORDS = {"jet": ["jet", "airplane", "plane"], "cat": ["cat", "kitten"]}


@pytest.fixture(scope="module")
def space(clip):
  return s3_jax.embed_classes(clip, WORDS)


@pytest.fixture(scope="module")
def plane():
  """Two classes in the plane: along the axes, and along the diagonal."""
  rows = {"axes": np.array([[1.0, 0], [0, 1]]), "half": np.array([[1.0, 1]])}
  return s3_jax.embed_classes(None, rows, logit_scale=math.log(10))


def test_numbers_by_hand(plane):
  # 3-4-5: cosines 0.6 and 0.8 with the axes, 1.4 / sqrt(2) with the diagonal.
  found = s3_jax.classify(
    None, plane, np.array([[3.0, 4], [5, 0]]), metric="nearest_point"
  )
  half = [1.4 / math.sqrt(2), 1 / math.sqrt(2)]
  np.testing.assert_allclose(
    found.scores, [[0.8, half[0]], [1.0, half[1]]], atol=1e-6
  )
  assert found.labels.tolist() == [1, 0]
  assert found.names == ("half", "axes")
  assert found.texts == ("text 0", "text 0")
  np.testing.assert_allclose(found.cosines, [half[0], 1.0], atol=1e-6)
  shares = [1 / (1 + math.exp(10 * (0.8 - half[0])))]
  shares += [1 / (1 + math.exp(10 * (half[1] - 1)))]
  np.testing.assert_allclose(found.probabilities[0, 1], shares[0], rtol=1e-5)
  np.testing.assert_allclose(found.probabilities[1, 0], shares[1], rtol=1e-5)
  np.testing.assert_allclose(
    found.probabilities,
    s3_jax.probabilities(found.scores, plane.logit_scale),
    rtol=1e-6,
  )


def test_probabilities_are_a_softmax_whatever_they_are_given():
  scores = np.array([[0.25, 0.3, -1.0]])
  logits = np.exp(100 * scores)
  np.testing.assert_allclose(
    s3_jax.probabilities(scores, math.log(100)),
    logits / logits.sum(),
    rtol=1e-4,
    atol=1e-9,
  )
  assert s3_jax.probabilities(np.float32([3.0]), 0).tolist() == [1.0]


def test_the_deciding_text_is_the_second_where_that_is_nearer(plane):
  options = {"metric": "nearest_point"}
  found = s3_jax.classify(None, plane, np.array([-1.0, 9.0]), **options)
  assert (found.names, found.texts) == (("axes",), ("text 1",))


def test_a_text_outside_the_core_never_decides(plane):
  mask = np.array([[True, False], [True, False]])
  pruned = plane._replace(space=plane.space._replace(mask=mask))
  assert pruned.left_out == (("text 1",), ())
  found = s3_jax.classify(
    None, pruned, np.array([-1.0, 9.0]), metric="nearest_point"
  )
  assert (found.names, found.texts) == (("half",), ("text 0",))


def test_a_metric_is_a_name_or_a_function(plane):
  points = np.random.default_rng(0).normal(size=(300, 2))
  metric = functools.partial(s3_jax.point_to_local_center, neighbors=1)
  function = s3_jax.classify(None, plane, points, metric=metric)
  named = s3_jax.classify(
    None, plane, points, metric="local_center", neighbors=1
  )
  wide = s3_jax.classify(None, plane, points, metric="local_center")
  np.testing.assert_allclose(function.scores, named.scores, atol=1e-6)
  assert np.abs(wide.scores - named.scores).max() > 0.05
  complexes = s3_jax.classify(None, plane, points[:3], metric="complex")
  assert np.isfinite(complexes.scores).all()
  with pytest.raises(ValueError, match="one of center, star_center"):
    s3_jax.classify(None, plane, points, metric="centre")


def test_every_kind_of_image_gives_the_same(clip, space, airplane, tmp_path):
  with Image.open(airplane) as image:
    picture = image.convert("RGB")
  path = tmp_path / "plane.png"
  picture.save(path)
  pixels = np.asarray(picture)
  kinds = (str(path), path, picture, pixels, [str(path)], pixels[None])
  expected = s3_jax.classify(clip, space, [path, picture, pixels, str(path)])
  assert expected.names == ("jet",) * 4 and expected.texts == ("airplane",) * 4
  assert expected.labels.tolist() == [0] * 4
  for image in kinds:
    found = s3_jax.classify(clip, space, image)
    np.testing.assert_allclose(found.scores, expected.scores[:1], atol=1e-6)
    assert found.problems == ("",)
  several = s3_jax.classify(clip, space, (each for each in [path] * 3))
  assert len(several.names) == 3


def test_embedded_images_are_those_of_the_tower(clip, space, airplane):
  pixels = clip.preprocess(Image.open(airplane))[None]
  embedded = s3_jax.embed_images(clip.spec, clip.params, pixels)
  found = s3_jax.classify(None, space, embedded)
  picture = s3_jax.classify(clip, space, airplane)
  np.testing.assert_allclose(found.scores, picture.scores, atol=1e-6)
  longer = s3_jax.classify(None, space, 7 * np.asarray(embedded))
  np.testing.assert_allclose(longer.cosines, picture.cosines, atol=1e-6)


def test_grey_and_transparent_pixels(clip, space, airplane):
  with Image.open(airplane) as image:
    grey = image.convert("L")
    clear = image.convert("RGBA")
  clear.putalpha(100)
  for picture in (grey, clear):
    as_image = s3_jax.classify(clip, space, picture)
    pixels = np.asarray(picture)
    found = s3_jax.classify(clip, space, pixels)
    np.testing.assert_allclose(found.scores, as_image.scores, atol=1e-6)
  deep = s3_jax.classify(clip, space, np.asarray(grey)[..., None])
  flat = s3_jax.classify(clip, space, grey)
  np.testing.assert_allclose(deep.scores, flat.scores, atol=1e-6)


def test_photographs_are_turned_upright(clip, space, airplane, tmp_path):
  with Image.open(airplane) as image:
    picture = image.convert("RGB")
  turned = picture.transpose(Image.Transpose.ROTATE_90)
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by a quarter to the right
  path = tmp_path / "turned.png"
  turned.save(path, exif=exif)
  upright = s3_jax.classify(clip, space, picture)
  as_stored = s3_jax.classify(clip, space, np.asarray(turned))
  assert np.abs(as_stored.scores - upright.scores).max() > 0.01
  with Image.open(path) as opened:
    for image in (path, opened):
      found = s3_jax.classify(clip, space, image)
      np.testing.assert_allclose(found.scores, upright.scores, atol=1e-6)
      found = s3_jax.classify(clip, space, image, exif_orientation=False)
      np.testing.assert_allclose(found.scores, as_stored.scores, atol=1e-6)


def test_batches_do_not_matter(clip, space):
  generator = np.random.default_rng(1)
  images = generator.integers(0, 256, (7, 40, 30, 3), dtype=np.uint8)
  whole = s3_jax.classify(clip, space, images)
  for batch_size in (1, 3, 7):
    found = s3_jax.classify(clip, space, images, batch_size=batch_size)
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-6)
  points = generator.normal(size=(600, 128))
  many = s3_jax.classify(None, space, points)
  last = s3_jax.classify(None, space, points[-1])
  np.testing.assert_allclose(last.scores, many.scores[-1:], atol=1e-6)
  assert many.scores.shape == (600, 2)


def test_no_image_is_no_row(clip, space):
  found = s3_jax.classify(clip, space, [])
  assert found.scores.shape == (0, 2) and found.names == ()


def test_a_bad_image_is_named_or_listed(clip, space, airplane, tmp_path):
  cut = tmp_path / "cut.png"
  cut.write_bytes(airplane.read_bytes()[:200])
  images = [airplane, cut, tmp_path / "gone.png", airplane]
  with pytest.raises(ValueError, match=r"image 1, .*cut\.png: .*strict=False"):
    s3_jax.classify(clip, space, images)
  found = s3_jax.classify(clip, space, images, strict=False, batch_size=2)
  assert found.labels.tolist() == [0, -1, -1, 0]
  assert found.names == ("jet", "", "", "jet")
  assert found.texts == ("airplane", "", "", "airplane")
  assert [bool(each) for each in found.problems] == [False, True, True, False]
  assert "No such file" in found.problems[2]
  rows = (found.scores, found.probabilities, found.cosines[:, None])
  for values in rows:
    assert np.isnan(values).all(axis=1).tolist() == [False, True, True, False]
  large = s3_jax.classify(clip, space, airplane, strict=False, max_pixels=9)
  assert "more than 9 in all" in large.problems[0]


def test_images_in_memory_are_listed_as_files_are(clip, space, airplane):
  closed = Image.open(airplane)
  closed.close()
  images = [
    Image.new("RGB", (0, 3)),
    Image.new("F", (4, 4), 0.5),
    closed,
    "a\0.png",
    airplane,
  ]
  found = s3_jax.classify(clip, space, images, strict=False)
  assert found.labels.tolist() == [-1, -1, -1, -1, 0]
  says = ("0 x 3 pixels", "mode 'F'", "closed", "NUL", "")
  for problem, words in zip(found.problems, says, strict=True):
    assert words in problem and bool(problem) == bool(words)
  for number in range(4):
    with pytest.raises(ValueError, match="got image 0, .*strict=False"):
      s3_jax.classify(clip, space, images[number])


def test_another_checkpoints_classes_are_refused_before_images(clip, plane):
  with pytest.raises(ValueError, match="in the 2 dimensions .*, got 128 of"):
    s3_jax.classify(clip, plane, "no such file")


def test_an_embedding_without_direction_is_named_or_listed(plane):
  points = np.array([[1.0, 0], [0, 0], [np.nan, 1]])
  with pytest.raises(ValueError, match="image 1: its embedding is zero"):
    s3_jax.classify(None, plane, points)
  found = s3_jax.classify(None, plane, points, strict=False)
  assert found.labels.tolist() == [0, -1, -1]


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (3, "got int"),
    ([3], "got int among them"),
    (pathlib.Path("."), r"got the folder '\.'"),
    (np.zeros((3, 8, 8), np.uint8), r"uint8\[3, 8, 8\].*channels last"),
    (np.zeros((1, 8, 8, 3), np.float32), r"float32\[8, 8, 3\]"),
    ([np.zeros(128, np.float32)], r"float32\[128\]"),
    (np.ones((2, 5)), "the 128 dimensions of the classes, got 5"),
  ],
)
def test_what_is_no_image_is_refused(clip, space, images, message):
  # Also under strict=False: a mistake of the program, not of a file.
  with pytest.raises(ValueError, match=message):
    s3_jax.classify(clip, space, images, strict=False)


def test_pictures_need_a_checkpoint_and_a_batch(clip, space, airplane):
  with pytest.raises(ValueError, match="`clip` must be a checkpoint"):
    s3_jax.classify(None, space, airplane)
  with pytest.raises(ValueError, match="`batch_size` must be >= 1"):
    s3_jax.classify(clip, space, airplane, batch_size=0)


def test_printing_shows_names_and_shapes(plane):
  points = np.ones((500, 2))
  found = s3_jax.classify(None, plane, points, metric="nearest_point")
  shown = repr(found)
  assert "scores=float32[500, 2]" in shown
  assert "names=('half', 'half', … 500 in all)" in shown
  assert len(shown) < 400
