"""The drawn world: sheets, placements, scenes."""

import numpy as np
import pytest

from s3_jax.data import emoji
from s3_jax.lexicon.synonyms import load_lexicon

TABLE = load_lexicon("emoji")


def stream(seed=0):
  return np.random.default_rng(seed)


@pytest.fixture
def square():
  """A cell with a red square of 32 x 32 opaque pixels in its middle."""
  cell = np.zeros((64, 64, 4), np.uint8)
  cell[16:48, 16:48] = (255, 0, 0, 255)
  return cell


@pytest.mark.parametrize("artist", emoji.ARTISTS)
def test_a_sheet_has_a_cell_for_each_class(artist):
  cells = emoji.drawings(artist)
  rest = cells[len(TABLE.classes) :]
  assert cells.shape[1:] == (64, 64, 4) and not rest[..., 3].any()
  assert len(rest) < emoji.COLUMNS
  drawn = emoji.drawn_classes(artist)
  assert len(drawn) == (295 if artist == "fxemoji" else 374)
  assert list(drawn) == sorted(set(drawn)) and drawn[-1] < 374
  for label in drawn:
    alpha = cells[label][..., 3]
    rows, cols = (np.flatnonzero((alpha > 8).any(axis)) for axis in (1, 0))
    spans = (np.ptp(rows) + 1, np.ptp(cols) + 1)
    # Fitted and centred: what is cropped at 8 of 255 may fade at its edge.
    assert 57 <= max(spans) <= 64, (artist, label)
    for found in (rows, cols):
      assert abs(found[0] + found[-1] - 63) <= 6, (artist, label)


def test_a_team_stands_on_one_side_and_nothing_trained_is_share_alike():
  sides = {}
  for artist in emoji.ARTISTS.values():
    sides.setdefault(artist.team, set()).add(artist.trained)
    assert "SA" not in artist.licence and artist.link.startswith("https://")
  assert all(len(side) == 1 for side in sides.values())
  assert len(emoji.TRAINED) == 5 and emoji.UNSEEN == ("emojione", "fxemoji")


def test_artists_draw_the_same_things():
  """A dog is brown or white, a banana yellow, whoever draws it."""
  labels = {entry.name: entry.label for entry in TABLE.classes}
  for name, (more, less) in {
    "banana": (0, 2),
    "strawberry": (0, 1),
    "frog": (1, 2),
    "whale": (2, 0),
  }.items():
    for artist in ("noto", "fluent-emoji-flat", "twemoji", *emoji.UNSEEN):
      cell = emoji.drawings(artist)[labels[name]].astype(float)
      color = np.average(
        cell[..., :3].reshape(-1, 3), axis=0, weights=cell[..., 3].ravel()
      )
      assert color[more] > color[less] + 15, (name, artist)


def test_an_unknown_artist_is_named_with_the_known_ones():
  with pytest.raises(
    ValueError, match="`artist` must be one of noto, .*'apple"
  ):
    emoji.drawings("apple")


def test_an_image_is_a_function_of_its_stream(square):
  first = emoji.render(square, emoji.image_generator(1, "test", "noto", 2, 3))
  again = emoji.render(square, emoji.image_generator(1, "test", "noto", 2, 3))
  np.testing.assert_array_equal(first, again)
  others = [
    emoji.render(square, emoji.image_generator(*key))
    for key in (
      (2, "test", "noto", 2, 3),
      (1, "train", "noto", 2, 3),
      (1, "test", "twemoji", 2, 3),
      (1, "test", "noto", 3, 3),
      (1, "test", "noto", 2, 4),
    )
  ]
  assert len({image.tobytes() for image in (first, *others)}) == 6


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_images_of_any_strength_are_images(square, strength):
  for seed in range(30):
    image = emoji.render(square, stream(seed), strength=strength)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert image.std() > 1


def test_held_out_images_keep_the_drawing(square):
  """Its colour, its size within the range of placements, no hole in it."""
  for seed in range(20):
    image = emoji.render(square, stream(seed)).astype(int)
    red = (image[..., 0] > 200) & (image[..., 1:] < 40).all(2)
    # 32 of 64 pixels, 0.75 to 0.95 of the image, a little sheared; the edge
    # blends into the ground.
    assert 18**2 <= red.sum() <= 34**2
    rows, cols = np.nonzero(red)
    fill = red.sum() / ((np.ptp(rows) + 1) * (np.ptp(cols) + 1))
    assert fill > 0.6


def test_edges_blend_into_the_ground(monkeypatch):
  """No fringe of another colour: white on white leaves nothing but grain."""
  cell = np.full((64, 64, 4), 255, np.uint8)
  rows, cols = np.mgrid[:64, :64]
  inside = np.clip(28.5 - np.hypot(rows - 31.5, cols - 31.5), 0, 1)
  cell[..., 3] = 255 * inside
  cell[inside == 0] = 0
  monkeypatch.setattr(
    emoji, "_ground", lambda _, span: np.ones((span, span, 3), np.float32)
  )
  for seed in range(10):
    image = emoji.render(cell, stream(seed))
    assert image.min() > 255 * (1 - 5 * 0.03)


def test_a_scene_has_the_mask_of_each_drawing(square):
  other = square[..., [1, 0, 2, 3]]  # a green one
  image, mask = emoji.render_scene([square, other], [7, 9], stream(2), size=128)
  assert image.shape == (128, 128, 3) and mask.shape == (128, 128)
  assert set(np.unique(mask)) == {0, 7, 9, emoji.IGNORE}
  for label, channel in ((7, 0), (9, 1)):
    inside = image[mask == label].astype(int)
    assert (mask == label).sum() > 300
    assert np.median(inside[:, channel]) > 220
    rest = np.delete(inside, channel, axis=1)
    assert np.median(rest) < 40
  edge = mask == emoji.IGNORE
  assert 0 < edge.sum() < (mask == 7).sum()
