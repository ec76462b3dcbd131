"""Position embeddings for another image size, against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from s3_jax.clip.layouts import param_shapes
from s3_jax.clip.positions import resize_positions
from s3_jax.clip.towers import embed_images
from s3_jax.clip.zoo import ModelSpec

VIT = ModelSpec(
  name="tiny",
  image_size=20,
  patch_size=4,
  image_width=16,
  image_layers=1,
  image_heads=2,
  image_mlp_dim=8,
  text_width=8,
  text_layers=1,
  text_heads=1,
  text_mlp_dim=8,
  vocab_size=5,
  context_length=4,
  embed_dim=12,
  activation="gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.5, 0.5),
  image_std=(0.5, 0.5, 0.5),
  resize_size=24,
  crop_size=20,
  interpolation="bicubic",
  school="openai",
  start_token_id=3,
  end_token_id=4,
  pad_token_id=0,
)
PATCHES = VIT._replace(image_pooling="mean")
RESNET = VIT._replace(
  image_tower="resnet",
  image_stages=(1, 1, 1, 1),
  image_layers=4,
  image_width=4,
  image_pooling="attention",
  patch_size=32,
  image_size=96,
  resize_size=96,
  crop_size=96,
)


def draw(spec: ModelSpec) -> dict:
  rng = np.random.default_rng(0)
  return unflatten_dict(
    {
      path: jnp.asarray(rng.uniform(0.1, 1, shape), jnp.float32)
      for path, shape in param_shapes(spec).items()
    }
  )


def positions_of(params) -> np.ndarray:
  owner = params["image"].get("pooling", params["image"])
  return np.asarray(owner["position_embedding"])


def interpolate(positions, first, old, new):
  """What open_clip does when it loads a checkpoint at another size."""
  import torch

  grid = torch.tensor(positions[first:]).reshape(1, old, old, -1)
  grid = torch.nn.functional.interpolate(
    grid.permute(0, 3, 1, 2),
    size=(new, new),
    mode="bicubic",
    antialias=True,
    align_corners=False,
  )
  grid = grid.permute(0, 2, 3, 1).reshape(new * new, -1).numpy()
  return np.concatenate([positions[:first], grid])


@pytest.mark.parametrize("size", [4, 8, 12, 16, 24, 28, 40, 68])
@pytest.mark.parametrize(("spec", "first"), [(VIT, 1), (PATCHES, 0)])
def test_grid_of_a_vit(spec, first, size):
  params = draw(spec)
  before = positions_of(params)
  resized, changed = resize_positions(spec, params, size)
  expected = interpolate(before, first, 5, size // 4)
  np.testing.assert_allclose(positions_of(changed), expected, atol=1e-6)
  assert resized == spec._replace(
    image_size=size, crop_size=size, resize_size=round(24 * size / 20)
  )
  np.testing.assert_array_equal(positions_of(params), before)


@pytest.mark.parametrize("size", [64, 160])
def test_cells_of_a_resnet(size):
  params = draw(RESNET)
  before = positions_of(params)
  resized, changed = resize_positions(RESNET, params, size)
  expected = interpolate(before, 1, 3, size // 32)
  np.testing.assert_allclose(positions_of(changed), expected, atol=1e-6)
  np.testing.assert_array_equal(positions_of(params), before)
  assert resized.image_size == size


@pytest.mark.parametrize(("spec", "size"), [(VIT, 30), (RESNET, 64)])
def test_images_of_the_new_size_are_embedded(spec, size):
  params = draw(spec)
  images = jnp.zeros((1, size, size, 3))
  with pytest.raises(ValueError, match="`resize_positions` makes the tower"):
    embed_images(spec, params, images)
  resized, changed = resize_positions(spec, params, size)
  assert embed_images(resized, changed, images).shape == (1, 12)


def test_antialiasing_matters_here():
  """Without it torch gives other numbers, in growing as in shrinking."""
  import torch

  grid = torch.tensor(positions_of(draw(VIT))[1:]).reshape(1, 5, 5, -1)
  grid = grid.permute(0, 3, 1, 2)
  for size in (3, 9):
    one, other = (
      torch.nn.functional.interpolate(
        grid, size=(size, size), mode="bicubic", antialias=antialias
      )
      for antialias in (True, False)
    )
    assert (one - other).abs().max() > 1e-2


def test_the_same_grid_stays_what_it_is():
  params = draw(VIT)
  # 22 pixels hold 5 patches of 4, as 20 do.
  for size in (20, 22):
    spec, same = resize_positions(VIT, params, size)
    assert spec.image_size == size
    jax.tree.map(np.testing.assert_array_equal, same, params)


def test_stored_type_stays_what_it_is():
  params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), draw(VIT))
  _, changed = resize_positions(VIT, params, 32)
  assert changed["image"]["position_embedding"].dtype == jnp.bfloat16
  expected = interpolate(positions_of(params).astype(np.float32), 1, 5, 8)
  np.testing.assert_allclose(
    positions_of(changed).astype(np.float32), expected, rtol=2**-8
  )


@pytest.mark.parametrize(
  ("spec", "size", "rule"),
  [
    (VIT, 3, "`patch_size` of tiny must be 1 to 3, its image_size, got 4"),
    (RESNET, 100, "`image_size` of tiny must be divisible by.*32, got 100"),
  ],
)
def test_a_size_without_a_grid_is_refused(spec, size, rule):
  with pytest.raises(ValueError, match=rule):
    resize_positions(spec, draw(spec), size)
