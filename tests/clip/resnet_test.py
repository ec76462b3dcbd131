"""OpenAI's modified ResNet against its definition written down in torch."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from s3_jax.clip.layouts import LAYOUTS, from_params, to_params
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.resnet import BATCH, convolve
from s3_jax.clip.towers import embed_images, image_tower, normalize_images
from s3_jax.clip.zoo import ModelSpec

TOLERANCE = 1e-5
SPEC = ModelSpec(
  name="resnet",
  image_size=96,
  patch_size=32,
  image_width=8,
  image_layers=6,
  image_heads=4,
  image_mlp_dim=0,
  text_width=8,
  text_layers=1,
  text_heads=1,
  text_mlp_dim=8,
  vocab_size=5,
  context_length=4,
  embed_dim=24,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.25, 0.3, 0.2),
  resize_size=96,
  crop_size=96,
  interpolation="bicubic",
  school="openai",
  start_token_id=3,
  end_token_id=4,
  pad_token_id=0,
  image_tower="resnet",
  image_stages=(2, 1, 2, 1),
  image_pooling="attention",
)


@pytest.fixture(scope="module")
def arrays():
  """Random weights under OpenAI's names; no bias is 0 and no variance 1."""
  rng = np.random.default_rng(0)
  drawn = {}
  for name, tensor in LAYOUTS["open_clip"].tensors(SPEC).items():
    shape = tensor.theirs
    value = rng.normal(size=shape)
    if len(shape) > 1 and "embedding" not in name:
      value *= (2 / np.prod(shape[1:])) ** 0.5
    if name.endswith("running_var"):
      value = rng.uniform(0.5, 2, shape)
    elif len(shape) == 1:
      value = 0.2 * value + name.endswith("weight") * 0.7
    drawn[name] = np.asarray(value, np.float32)
  return drawn


@pytest.fixture(scope="module")
def params(arrays):
  return to_params(arrays, SPEC, "open_clip", "the arrays")


@pytest.fixture(scope="module")
def images():
  """Pixels of pictures that are not square."""
  rng = np.random.default_rng(1)
  pictures = [
    # Smooth ones: the network's many means would make all noise alike.
    PIL.Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).resize(size)
    for size in ((131, 97), (60, 210), (96, 96))
  ]
  return np.stack([preprocess_image(SPEC, picture) for picture in pictures])


def test_embeddings(arrays, params, images):
  from tests.clip.torch_resnet import modified_resnet

  normalised = normalize_images(SPEC, images)
  expected = modified_resnet(arrays, np.asarray(normalised), SPEC.image_heads)
  raw = jax.jit(image_tower(SPEC).apply)(
    {"params": params["image"]}, normalised
  )
  assert np.abs(raw - expected).max() <= TOLERANCE
  expected /= np.linalg.norm(expected, axis=1, keepdims=True)
  unit = embed_images(SPEC, params, images)
  assert np.abs(unit - expected).max() <= TOLERANCE
  assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE


def test_what_is_written_is_what_was_read(arrays, params):
  written = from_params(params, SPEC, "open_clip")
  assert written.keys() == arrays.keys()
  for name, value in written.items():
    np.testing.assert_array_equal(value, arrays[name])


def test_each_number_of_the_batch_norms_matters(params, images):
  """Scale, bias, mean and variance of the stem, a block and a shortcut."""

  def first(image_params):
    embeddings = embed_images(SPEC, {"image": image_params}, images[:1])
    return embeddings[0, 0]

  gradient = jax.grad(first)(params["image"])
  for norm in (
    gradient["stem"]["norm_2"],
    gradient["stage_2"]["block_0"]["norm_3"],
    gradient["stage_3"]["block_0"]["shortcut"]["norm"],
  ):
    for leaf in ("scale", "bias", "mean", "variance"):
      assert (jnp.abs(norm[leaf]) > 0).any()


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_bfloat16_is_close(params, images, stored):
  kept = jax.tree.map(lambda leaf: leaf.astype(stored), params)
  exact = embed_images(SPEC, params, images)
  rough = embed_images(SPEC, kept, images, dtype="bfloat16")
  assert rough.dtype == jnp.float32
  assert jnp.sum(exact * rough, axis=1).min() > 0.998
  assert jnp.abs(exact - rough).max() > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
  ("size", "stride", "shape"),
  [(1, 1, (5, 7)), (3, 1, (5, 7)), (3, 2, (6, 8)), (3, 2, (5, 7))],
)
def test_convolution(dtype, size, stride, shape):
  """Values and both gradients against torch in float64, of rounded inputs."""
  import torch

  rng = np.random.default_rng(size * stride)

  def draw(*axes):
    return jnp.asarray(rng.normal(size=axes), jnp.bfloat16).astype(jnp.float32)

  def to_torch(x, axes):
    value = torch.tensor(np.asarray(x), dtype=torch.float64)
    return value.permute(axes).contiguous().requires_grad_()

  x, kernel = draw(2, *shape, 4), draw(size, size, 4, 3)
  ours, backward = jax.vjp(
    lambda x, kernel: convolve(x, kernel, stride=stride, dtype=dtype), x, kernel
  )
  weight = draw(*ours.shape)
  their_x, their_kernel = (
    to_torch(x, (0, 3, 1, 2)),
    to_torch(kernel, (3, 2, 0, 1)),
  )
  theirs = torch.nn.functional.conv2d(
    their_x, their_kernel, stride=stride, padding=size // 2
  )
  theirs.backward(to_torch(weight, (0, 3, 1, 2)).detach())
  to_x, to_kernel = backward(weight)
  for got, expected in (
    (ours, theirs.detach().permute(0, 2, 3, 1)),
    (to_x, their_x.grad.permute(0, 2, 3, 1)),
    (to_kernel, their_kernel.grad.permute(2, 3, 1, 0)),
  ):
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


def test_convolution_rounds_and_keeps_the_type_of_gradients():
  third = jnp.full((1, 2, 2, 1), 1 / 3)
  kernel = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1)
  rounded = convolve(third, kernel, dtype="bfloat16")
  assert 1e-4 < jnp.abs(rounded - third).max() < 1e-3
  half = kernel.astype(jnp.bfloat16)
  gradient = jax.grad(lambda k: convolve(third, k, dtype="bfloat16").sum())
  assert gradient(half).dtype == jnp.bfloat16


def test_an_image_of_another_size_is_refused(params, images):
  with pytest.raises(ValueError, match="96 x 96 pixels.*got 96 x 64"):
    embed_images(SPEC, params, images[:, :, :64])


def test_a_batch_is_normalised_by_its_own_moments(params, images):
  """In training, where the collection of moments may be written."""
  tower = image_tower(SPEC)
  pixels = normalize_images(SPEC, images)
  trained, state = tower.apply(
    {"params": params["image"]}, pixels, mutable=[BATCH]
  )
  stem = params["image"]["stem"]
  first = np.asarray(
    convolve(pixels, stem["conv_1"]["kernel"], stride=2), np.float64
  )
  found = state[BATCH]["stem"]["norm_1"]
  np.testing.assert_allclose(found["mean"], first.mean((0, 1, 2)), atol=1e-5)
  np.testing.assert_allclose(found["variance"], first.var((0, 1, 2)), rtol=1e-4)

  def stored(kept, moments):
    if not isinstance(kept, dict):
      return moments
    return {
      name: stored(value, moments[name]) if name in moments else value
      for name, value in kept.items()
    }

  # What is stored afterwards is what inference normalises by.
  image = stored(params["image"], state[BATCH])
  assert jax.tree.structure(image) == jax.tree.structure(params["image"])
  np.testing.assert_allclose(
    tower.apply({"params": image}, pixels), trained, atol=1e-4, rtol=1e-4
  )
  norms = jax.tree.leaves(state[BATCH])
  assert len(norms) == 2 * (3 + 3 * sum(SPEC.image_stages) + 4)
