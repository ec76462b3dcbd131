"""Label maps against the steps of the papers' codes in float64."""

import cv2
import jax
import numpy as np
import PIL.Image
import pytest

from s3_jax.clip import embed_patches
from s3_jax.point_to_space import POINT_TO_SPACE, point_to_local_center
from s3_jax.segmentation import (
  SEGMENTATION_PROTOCOLS,
  NameClassifier,
  embed_windows,
  label_map,
  label_windows,
  segment_image,
  window_embedding,
)
from s3_jax.sharding import local_mesh, replicated
from s3_jax.space import build_space
from tests.segmentation.torch_segmentation import torch_segmentation


def draw_image(rows, cols, seed=0):
  """Patches of colour with a ramp and noise over them."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
  image = np.asarray(PIL.Image.fromarray(coarse).resize((cols, rows)), int)
  image += rng.integers(-20, 20, image.shape)
  return np.clip(image, 0, 255).astype(np.uint8)


def check(tower, names, image, protocol):
  """Compares one image, and returns its labels."""
  rows, cols = image.shape[:2]
  factor = min(
    protocol.long_side / max(rows, cols), protocol.short_side / min(rows, cols)
  )
  size = (int(cols * factor + 0.5), int(rows * factor + 0.5))
  resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
  expected = torch_segmentation(
    tower.model, resized, (rows, cols), protocol, *names
  )
  labels = segment_image(
    tower.spec, tower.params, image, NameClassifier(*names), protocol=protocol
  )
  assert labels.dtype == np.int32
  different = (labels != expected.labels) & expected.decided
  assert not different.any(), f"{different.sum()} decided pixels differ"
  assert np.mean(~expected.decided) < 0.01
  return labels


SLIDING = {
  "sclip": ("sclip", {}),
  "sclip/voc21": ("sclip/voc21", {"prob_threshold": 0.16}),
  "clearclip": ("clearclip", {}),
  "clearclip/voc21": ("clearclip/voc21", {"prob_threshold": 0.16}),
  "clearclip/cityscapes": ("clearclip/cityscapes", {}),
  "maskclip": ("maskclip", {"short_side": 250}),
  "vanilla": ("sclip", {"attention": "vanilla", "short_side": 250}),
}


@pytest.mark.parametrize("name", SLIDING)
def test_labels_of_a_synthetic_image(tower, names, name):
  """The windows of 230 x 330 pixels overlap, and patches do not fill them."""
  row, changes = SLIDING[name]
  protocol = SEGMENTATION_PROTOCOLS[row]._replace(**changes)
  labels = check(tower, names, draw_image(230, 330), protocol)
  # The comparison can fail: no class is everywhere.
  shares = np.bincount(labels.ravel(), minlength=5) / labels.size
  assert shares.max() < 0.97 and (shares > 0.01).sum() >= 2, shares


@pytest.mark.parametrize(
  ("row", "photo"),
  [
    ("sclip", "segment_original"),
    ("sclip/voc21", "segment_sclip_exact"),
    ("sclip", "segment_sclip_resized"),
    ("clearclip", "segment_original"),
    ("clearclip", "segment_clearclip_exact"),
    ("clearclip/voc21", "segment_clearclip_resized"),
  ],
)
def test_labels_of_a_photograph(tower, names, reference, row, photo):
  path = reference / "photos" / f"{photo}.png"
  image = np.array(PIL.Image.open(path).convert("RGB"))
  check(tower, names, image, SEGMENTATION_PROTOCOLS[row])


def test_small_windows_are_used_as_they_are(tower, names):
  """The image is narrower than a window, and patches do not fill it."""
  for row in ("sclip", "clearclip"):
    protocol = SEGMENTATION_PROTOCOLS[row]._replace(short_side=91)
    check(tower, names, draw_image(91, 131, seed=1), protocol)


def test_area_threshold_gives_small_classes_up(tower, names):
  image = draw_image(230, 330)
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(short_side=230)
  plain = check(tower, names, image, protocol)
  areas = np.bincount(plain.ravel(), minlength=5)
  present = np.flatnonzero(areas[1:]) + 1
  smallest = present[np.argmin(areas[present])]
  share = (areas[smallest] + 0.5) / areas[1:].sum()
  cleared = check(tower, names, image, protocol._replace(area_threshold=share))
  assert smallest not in cleared
  # With every foreground class too small, all is background.
  assert not check(tower, names, image, protocol._replace(area_threshold=1.0))[
    0
  ].any()


def test_blocks_of_rows_change_nothing(tower, names, monkeypatch):
  """Nor does the number of windows that go through the tower at once."""
  image = draw_image(100, 140)
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(short_side=230)
  target = NameClassifier(*names)
  arguments = tower.spec, tower.params, image, target
  whole = segment_image(*arguments, protocol=protocol)
  # 192 columns of nine names: seven rows a block, the last block filled up.
  monkeypatch.setattr(label_map, "_MAX_NUMBERS", 7 * 9 * 192)
  np.testing.assert_array_equal(
    segment_image(*arguments, protocol=protocol), whole
  )
  monkeypatch.setattr(label_map, "_MAX_NUMBERS", 1)
  monkeypatch.setattr(window_embedding, "_MAX_WINDOWS", 3)
  np.testing.assert_array_equal(
    segment_image(*arguments, protocol=protocol), whole
  )


@pytest.mark.parametrize("threshold", [np.float32(0.1), None])
@pytest.mark.parametrize(("names", "rows"), [(10, 512), (171, 38), (2000, 3)])
def test_memory_of_a_block_is_bounded(names, rows, threshold):
  """Of an image of 640 columns whose windows have 42 columns of patches."""
  block = label_map.block_rows(480, 640, names, 42)
  compiled = label_map._label_block.lower(
    np.zeros((28, names, 42), np.float32),
    np.zeros((block, 28), np.float32),
    np.zeros((640, 42), np.float32),
    np.arange(names, dtype=np.int32),
    np.ones(names, bool),
    np.float32(1),
    threshold,
  ).compile()
  memory = compiled.memory_analysis()
  assert memory is not None
  assert memory.temp_size_in_bytes <= 33 * 2**20
  assert block == rows


def test_targets_share_the_patches_of_an_image(tower, names):
  """And settings of the decision change without another run of the tower."""
  image = draw_image(112, 160)
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(
    short_side=112, window=64, stride=40
  )
  (patches,) = embed_windows(
    tower.spec, tower.params, [image], protocol=protocol
  )
  assert patches.embeddings.shape == (3, 4, 4, 4, tower.spec.embed_dim)
  assert patches.to_rows.shape == (112, 12)
  assert patches.to_cols.shape == (160, 16)
  embeddings, class_index = names
  for target, changes in (
    (NameClassifier(embeddings, class_index), {}),
    (NameClassifier(embeddings[:3], np.arange(3)), {"logit_factor": 9.0}),
    (NameClassifier(embeddings, class_index), {"prob_threshold": 0.2}),
  ):
    changed = protocol._replace(**changes)
    np.testing.assert_array_equal(
      label_windows(patches, target, protocol=changed),
      segment_image(tower.spec, tower.params, image, target, protocol=changed),
    )


def test_windows_of_many_images_share_batches(tower, monkeypatch):
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(
    short_side=80, window=48, stride=32
  )
  images = [draw_image(*size) for size in ((80, 112), (96, 80), (40, 130))]
  alone = [
    embed_windows(tower.spec, tower.params, [image], protocol=protocol)[0]
    for image in images
  ]
  sizes = []

  def counted(spec, params, windows, **options):
    sizes.append(windows.shape)
    return embed_patches(spec, params, windows, **options)

  monkeypatch.setattr(window_embedding, "embed_patches", counted)
  together = embed_windows(tower.spec, tower.params, images, protocol=protocol)
  for one, other in zip(alone, together, strict=True):
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)
    np.testing.assert_array_equal(one.to_rows, other.to_rows)
  total = sum(
    part.embeddings.shape[0] * part.embeddings.shape[1] for part in alone
  )
  assert len(set(sizes)) == 1, "one compiled shape"
  assert len(sizes) == -(-total // 8) and sizes[0][0] == 8


@pytest.mark.parametrize("sides", [(112, 112), (224, 400)])
def test_devices_share_windows(tower, sides):
  """One window, and more than the devices take at once."""
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(
    short_side=112, window=112, stride=16
  )
  images = [draw_image(*sides, seed=seed) for seed in range(2)]
  alone = embed_windows(tower.spec, tower.params, images, protocol=protocol)
  mesh = local_mesh(8, model=2)
  params = jax.device_put(tower.params, replicated(mesh))
  shared = embed_windows(
    tower.spec, params, images, protocol=protocol, mesh=mesh
  )
  for one, other in zip(alone, shared, strict=True):
    assert one.embeddings.shape == other.embeddings.shape
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)


def test_pixel_statistics_of_the_checkpoint(tower, names):
  image = draw_image(112, 112)
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(short_side=112)
  spec = tower.spec
  own, stated = (
    segment_image(
      spec,
      tower.params,
      image,
      NameClassifier(*names),
      protocol=protocol._replace(pixel_mean=mean, pixel_std=std),
    )
    for mean, std in (
      (None, None),
      (
        tuple(255 * value for value in spec.image_mean),
        tuple(255 * value for value in spec.image_std),
      ),
    )
  )
  np.testing.assert_array_equal(own, stated)


def test_a_space_of_one_text_is_a_name(tower, names):
  image = draw_image(112, 160)
  protocol = SEGMENTATION_PROTOCOLS["clearclip"]._replace(
    short_side=112, prob_threshold=0.2
  )
  points = names[0]
  space = build_space(points[:, None], np.ones((9, 1), bool), scale=None)
  target = NameClassifier(points, np.arange(9))
  arguments = tower.spec, tower.params, image
  expected = segment_image(*arguments, target, protocol=protocol)
  assert len(np.unique(expected)) > 2
  for metric in ("nearest_point", point_to_local_center):
    labels = segment_image(*arguments, (space, metric), protocol=protocol)
    # Rounding moves at most the border between two classes.
    assert np.mean(labels != expected) < 1e-3


def test_spaces_are_scored_patch_by_patch(tower, names):
  """A metric's scores, brought to the pixels, softmax over classes."""
  import torch

  points = names[0].reshape(3, 3, -1)
  mask = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1]], bool)
  space = build_space(points, mask, scale=None)
  image = draw_image(112, 112)
  protocol = SEGMENTATION_PROTOCOLS["clearclip"]._replace(
    short_side=112, prob_threshold=0.6
  )
  seen = []

  def spying(patches, space):
    seen.append(POINT_TO_SPACE["local_center"](patches, space))
    return seen[-1]

  arguments = tower.spec, tower.params, image
  labels = segment_image(*arguments, (space, spying), protocol=protocol)
  by_name = (space, "local_center")
  np.testing.assert_array_equal(
    segment_image(*arguments, by_name, protocol=protocol), labels
  )
  (scores,) = seen
  pixels = torch.nn.functional.interpolate(
    torch.tensor(np.array(scores)[0]).double().permute(0, 3, 1, 2),
    size=(112, 112),
    mode="bilinear",
  )[0]
  logits = pixels * protocol.logit_factor
  top, expected = logits.softmax(dim=0).max(dim=0)
  expected[top < 0.6] = 0
  first, second = logits.topk(2, dim=0).values
  decided = (first - second > 1e-4) & ((top - 0.6).abs() > 1e-5)
  assert decided.double().mean() > 0.99
  assert len(expected.unique()) == 3
  different = (torch.tensor(labels) != expected) & decided
  assert not different.any()


def test_equal_scores_go_to_the_lowest_class(tower):
  one = np.ones((3, tower.spec.embed_dim), np.float32) / 24**0.5
  protocol = SEGMENTATION_PROTOCOLS["sclip"]._replace(short_side=112)
  image = draw_image(112, 112)
  arguments = tower.spec, tower.params, image
  target = NameClassifier(one, np.array([2, 1, 0]))
  assert not segment_image(*arguments, target, protocol=protocol).any()
  target = NameClassifier(one[:1], np.array([0]))
  assert not segment_image(*arguments, target, protocol=protocol).any()


def test_wrong_inputs_are_named(tower, names):
  image = draw_image(40, 60)
  protocol = SEGMENTATION_PROTOCOLS["sclip"]
  embeddings, class_index = names
  target = NameClassifier(embeddings, class_index)

  def segment(image=image, target=target, protocol=protocol):
    segment_image(tower.spec, tower.params, image, target, protocol=protocol)

  space = build_space(embeddings[:4, None], np.ones((4, 1), bool), scale=None)
  gap = np.where(class_index == 3, 5, class_index)
  for options, message in (
    ({"image": image[:0]}, "`image` must have pixels, got 0 x 60"),
    (
      {"protocol": protocol._replace(short_side=8)},
      "at least 16 pixels.*got 8 x 12",
    ),
    (
      {"protocol": protocol._replace(padding="same")},
      "`padding` of the protocol must be one of floor, center, corner",
    ),
    (
      {"target": NameClassifier(embeddings[:, :5], class_index)},
      r"dim, 24.*got embeddings \[9, 5\] and 9 classes",
    ),
    (
      {"target": NameClassifier(embeddings[:0], class_index[:0])},
      "at least one name, got 0",
    ),
    (
      {"target": NameClassifier(embeddings, class_index - 1)},
      "`class_index` of `target` must be >= 0, got -1",
    ),
    (
      {"target": NameClassifier(embeddings, gap)},
      "every class from 0 to 5, got none of class 3",
    ),
    ({"target": (space, "centre")}, "one of nearest_point, .*got 'centre'"),
    (
      {"target": NameClassifier(embeddings * np.nan, class_index)},
      "scores of patches must be finite",
    ),
  ):
    with pytest.raises(ValueError, match=message):
      segment(**options)
