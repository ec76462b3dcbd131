"""Patch embeddings against the formulas in torch, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s3_jax.clip
from s3_jax.clip.dense import (
  ATTENTIONS,
  _bicubic,
  embed_patches,
  middle_blocks,
)
from tests.clip.torch_patches import torch_patches

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def loaded(patch_4):
  """Our tower and the reference, from one folder."""
  import torch

  clip = s3_jax.clip.load_clip(patch_4.folder)
  model = type(patch_4.model)(patch_4.model.config)
  model.load_state_dict(patch_4.model.state_dict())
  return clip, model.to(torch.float64).eval()


def draw_pixels(height, width, batch=2):
  rng = np.random.default_rng(height * width)
  return rng.normal(size=(batch, height, width, 3)).astype(np.float32)


def expected_patches(model, pixels, attention, **options):
  import torch

  layers = model.config.vision_config.num_hidden_layers
  options = {"middle": middle_blocks(layers), **options}
  pixels = torch.tensor(np.moveaxis(pixels, -1, 1).astype(np.float64))
  return torch_patches(model, pixels, attention, **options)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_is_the_formula(loaded, attention):
  """At a window of 3 x 8 patches that leaves rows and columns over."""
  clip, model = loaded
  pixels = draw_pixels(14, 33)
  expected = expected_patches(model, pixels, attention)
  ours = embed_patches(clip.spec, clip.params, pixels, attention=attention)
  assert ours.shape == (2, 3, 8, clip.spec.embed_dim)
  assert ours.dtype == jnp.float32
  assert np.abs(ours - expected).max() <= TOLERANCE
  np.testing.assert_allclose(jnp.linalg.norm(ours, axis=-1), 1, atol=1e-6)
  for other in ATTENTIONS:
    if other != attention:
      far = expected_patches(model, pixels, other)
      assert np.abs(ours - far).max() > 100 * TOLERANCE


@pytest.mark.parametrize(
  ("height", "width", "offset"),
  [(20, 20, 0.1), (4, 100, 0.1), (4, 4, 0.1), (40, 12, 0.0), (68, 28, 0.1)],
)
def test_positions_of_other_grids(loaded, height, width, offset):
  """The checkpoint's own grid, as many patches in a row, one, fewer, more."""
  clip, model = loaded
  pixels = draw_pixels(height, width, batch=1)
  expected = expected_patches(model, pixels, "clearclip", offset=offset)
  ours = embed_patches(clip.spec, clip.params, pixels, position_offset=offset)
  assert np.abs(ours - expected).max() <= TOLERANCE


def test_the_offset_and_the_kernel_matter(loaded):
  clip, model = loaded
  pixels = draw_pixels(40, 12)
  expected = expected_patches(model, pixels, "clearclip", offset=0.1)
  ours = embed_patches(clip.spec, clip.params, pixels, position_offset=0.0)
  assert np.abs(ours - expected).max() > 100 * TOLERANCE


def test_vanilla_at_the_native_size_is_the_tower_before_pooling(loaded):
  """Pooling the class token and keeping the patches share all parameters."""
  import torch

  clip, model = loaded
  pixels = draw_pixels(20, 20)
  with torch.no_grad():
    hidden = model.vision_model(
      pixel_values=torch.tensor(np.moveaxis(pixels, -1, 1).astype(np.float64))
    ).last_hidden_state[:, 1:]
    hidden = model.visual_projection(model.vision_model.post_layernorm(hidden))
    hidden = hidden / hidden.norm(dim=-1, keepdim=True)
  ours = embed_patches(clip.spec, clip.params, pixels, attention="vanilla")
  expected = hidden.reshape(ours.shape).numpy()
  assert np.abs(ours - expected).max() <= TOLERANCE


@pytest.mark.parametrize("attention", ["clearclip", "sclip"])
def test_given_weights_replace_the_attention(loaded, attention):
  import torch

  clip, model = loaded
  pixels = draw_pixels(14, 33)
  rng = np.random.default_rng(0)
  affinity = rng.dirichlet(np.ones(24), size=(2, 24))
  expected = expected_patches(
    model, pixels, attention, affinity=torch.tensor(affinity)
  )
  ours = embed_patches(
    clip.spec,
    clip.params,
    pixels,
    attention=attention,
    affinity=affinity.astype(np.float32),
  )
  assert np.abs(ours - expected).max() <= TOLERANCE


def test_bytes_are_normalised_as_the_checkpoint_was_trained(loaded):
  clip, _ = loaded
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (1, 14, 33, 3), np.uint8)
  normalised = s3_jax.clip.normalize_images(clip.spec, pixels)
  np.testing.assert_allclose(
    embed_patches(clip.spec, clip.params, pixels),
    embed_patches(clip.spec, clip.params, normalised),
    atol=1e-6,
  )


def test_what_no_patch_fills_is_not_seen(loaded):
  clip, _ = loaded
  pixels = draw_pixels(14, 33)
  whole = embed_patches(clip.spec, clip.params, pixels)
  cut = embed_patches(clip.spec, clip.params, pixels[:, :12, :32])
  np.testing.assert_array_equal(whole, cut)


def test_bfloat16_is_close(loaded):
  clip, _ = loaded
  pixels = draw_pixels(14, 33)
  exact = embed_patches(clip.spec, clip.params, pixels, attention="sclip")
  rough = embed_patches(
    clip.spec, clip.params, pixels, attention="sclip", dtype="bfloat16"
  )
  assert 0 < jnp.abs(rough - exact).max() < 0.1


@pytest.mark.parametrize(("old", "new"), [(5, 3), (5, 9), (14, 28), (1, 4)])
def test_weights_of_the_resampling_sum_to_one(old, new):
  weights = _bicubic(old, new, 0.1)
  assert weights.shape == (new, old)
  np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_wrong_inputs_are_named(loaded, tiny, tiny_params):
  clip, _ = loaded
  pixels = draw_pixels(8, 8)
  for options, message in (
    ({"attention": "csa"}, "`attention` must be one of vanilla, .*got 'csa'"),
    ({"position_offset": 1.0}, "`position_offset` must be >= 0 and < 1"),
    ({"dtype": "float16"}, "`dtype` must be one of .*got 'float16'"),
    ({"affinity": np.ones((2, 5, 5), np.float32)}, "of 4 patches.*got 5"),
  ):
    with pytest.raises(ValueError, match=message):
      embed_patches(clip.spec, clip.params, pixels, **options)
  with pytest.raises(ValueError, match="at least 4 x 4 pixels.*got 3 x 8"):
    embed_patches(clip.spec, clip.params, pixels[:, :3])
  for name in ("resnet", "siglip"):
    with pytest.raises(ValueError, match=f"class token, got tiny {name}"):
      embed_patches(tiny[name], tiny_params[name], pixels)
  mean = clip.spec._replace(image_pooling="mean")
  with pytest.raises(ValueError, match="mean pooling"):
    embed_patches(mean, clip.params, pixels)


def test_gradients_reach_the_patches(loaded):
  clip, _ = loaded

  def loss(pixels):
    return embed_patches(clip.spec, clip.params, pixels)[0, 0, 0, 0]

  gradient = jax.grad(loss)(jnp.asarray(draw_pixels(8, 12)))
  assert jnp.isfinite(gradient).all() and jnp.abs(gradient).max() > 0


@pytest.mark.parametrize(
  ("attention", "options"),
  [
    ("naclip", {"neighbor_std": 1.5}),
    ("resclip_rcs", {"residual_share": 0.6}),
    ("resclip_rcs", {"neighbor_std": 0.7, "residual_share": 1.0}),
  ],
)
def test_numbers_of_neighbors_and_residual(loaded, attention, options):
  clip, model = loaded
  pixels = draw_pixels(14, 33)
  names = {"neighbor_std": "std", "residual_share": "share"}
  expected = expected_patches(
    model, pixels, attention, **{names[k]: v for k, v in options.items()}
  )
  ours = embed_patches(
    clip.spec, clip.params, pixels, attention=attention, **options
  )
  assert np.abs(ours - expected).max() <= TOLERANCE
  usual = embed_patches(clip.spec, clip.params, pixels, attention=attention)
  assert np.abs(ours - usual).max() > 100 * TOLERANCE


def test_a_wide_gaussian_adds_a_constant_between_patches(loaded):
  clip, _ = loaded
  pixels = draw_pixels(20, 20)

  def embed(attention, **options):
    return np.asarray(
      embed_patches(
        clip.spec, clip.params, pixels, attention=attention, **options
      )
    )

  near = embed("naclip", neighbor_std=1e-3)
  far = embed("naclip", neighbor_std=1e6)
  assert np.abs(near - far).max() > 100 * TOLERANCE
  np.testing.assert_allclose(
    embed("naclip", neighbor_std=1e6),
    embed("naclip", neighbor_std=1e7),
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("layers", "blocks"),
  [(12, [5, 6, 7, 8]), (24, list(range(10, 18))), (3, [1]), (2, [0]), (1, [0])],
)
def test_middle_blocks(layers, blocks):
  assert list(middle_blocks(layers)) == blocks


@pytest.mark.parametrize(
  ("options", "rule"),
  [
    ({"neighbor_std": 0.0}, "`neighbor_std` must be > 0"),
    ({"residual_share": 1.1}, r"`residual_share` must be in \[0, 1\]"),
  ],
)
def test_numbers_out_of_range(loaded, options, rule):
  clip, _ = loaded
  with pytest.raises(ValueError, match=rule):
    embed_patches(clip.spec, clip.params, draw_pixels(8, 8), **options)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_no_image_gives_no_patches(loaded, attention):
  clip, _ = loaded
  found = embed_patches(
    clip.spec, clip.params, draw_pixels(14, 33)[:0], attention=attention
  )
  assert found.shape == (0, 3, 8, clip.spec.embed_dim)
