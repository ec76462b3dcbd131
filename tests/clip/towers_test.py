"""Properties of the towers, and their values where settings are unusual.

The values of whole families are the business of parity_test, siglip_test,
resnet_test and open_clip_test.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from s3_jax.clip import (
  ModelSpec,
  embed_images,
  embed_texts,
  init_params,
  normalize_images,
)
from s3_jax.clip.layouts import param_shapes
from s3_jax.clip.towers import check_spec
from s3_jax.clip.transformer import ACTIVATIONS, contract

START, END = 48, 49
SPEC = ModelSpec(
  name="tiny",
  image_size=12,
  patch_size=4,
  image_width=32,
  image_layers=1,
  image_heads=2,
  image_mlp_dim=64,
  text_width=24,
  text_layers=1,
  text_heads=3,
  text_mlp_dim=48,
  vocab_size=50,
  context_length=9,
  embed_dim=16,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.25, 0.3, 0.2),
  resize_size=12,
  crop_size=12,
  interpolation="bicubic",
  school="transformers",
  start_token_id=START,
  end_token_id=END,
  pad_token_id=END,
)


@pytest.fixture(scope="module")
def params():
  return init_params(jax.random.key(0), SPEC)


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (3, 12, 12, 3), np.uint8)


@pytest.fixture(scope="module")
def token_ids():
  ids = np.full((3, 9), END, np.int32)
  ids[:, 0] = START
  ids[0, 1:3] = [5, 6]
  ids[1, 1:4] = [7, 8, 9]
  return ids


def test_tree_and_start_of_training(params):
  assert sorted(params) == ["image", "logit_scale", "text"]
  np.testing.assert_allclose(params["logit_scale"], np.log(1 / 0.07), rtol=1e-6)
  block = params["text"]["block_0"]
  assert block["attention"]["query"]["kernel"].shape == (24, 24)
  assert block["mlp"]["up"]["kernel"].shape == (24, 48)
  assert params["image"]["patch_embedding"]["kernel"].shape == (48, 32)
  assert params["image"]["position_embedding"].shape == (10, 32)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("f4")}
  again = init_params(jax.random.key(0), SPEC)
  jax.tree.map(np.testing.assert_array_equal, params, again)
  other = init_params(jax.random.key(1), SPEC)
  assert (
    jnp.abs(
      other["text"]["token_embedding"] - params["text"]["token_embedding"]
    ).min()
    > 0
  )


def test_uint8_images_are_normalised_inside(params, images):
  expected = (images / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.3, 0.2]
  pixels = normalize_images(SPEC, images)
  np.testing.assert_allclose(pixels, expected, atol=1e-6)
  np.testing.assert_allclose(
    embed_images(SPEC, params, images),
    embed_images(SPEC, params, expected.astype(np.float32)),
    atol=1e-6,
  )
  np.testing.assert_allclose(
    normalize_images(SPEC, images[0, 0]), expected[0, 0], atol=1e-6
  )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_embeddings_are_unit_float32(params, images, token_ids, count, dtype):
  for embeddings in (
    embed_images(SPEC, params, images[:count], dtype=dtype),
    embed_texts(SPEC, params, token_ids[:count], dtype=dtype),
  ):
    assert embeddings.shape == (count, 16)
    assert embeddings.dtype == jnp.float32
    np.testing.assert_allclose(
      jnp.linalg.norm(embeddings, axis=-1), 1, atol=1e-6
    )


def test_padding_columns_may_be_cut_off(params, token_ids):
  whole = embed_texts(SPEC, params, token_ids)
  for columns in (5, 7):
    short = embed_texts(SPEC, params, token_ids[:, :columns])
    np.testing.assert_allclose(short, whole, atol=1e-6)


def test_nothing_after_the_first_end_token_matters(params, token_ids):
  changed = token_ids.copy()
  changed[0, 4:] = [1, 2, 3, END, 4]
  np.testing.assert_allclose(
    embed_texts(SPEC, params, changed),
    embed_texts(SPEC, params, token_ids),
    atol=1e-6,
  )
  changed[0, 2] = 7
  difference = embed_texts(SPEC, params, changed) - embed_texts(
    SPEC, params, token_ids
  )
  assert jnp.abs(difference[0]).max() > 1e-3


def test_a_patch_is_seen_where_it_is(params, images):
  """Each of the nine patches matters, and their order does."""
  image = normalize_images(SPEC, images[:1])
  gradient = jax.grad(lambda x: embed_images(SPEC, params, x)[0, 0])(image)
  assert (jnp.abs(gradient) > 0).all()
  flipped = embed_images(SPEC, params, image[:, :, ::-1])
  swapped = jnp.concatenate([image[:, 4:8], image[:, :4], image[:, 8:]], 1)
  for other in (flipped, embed_images(SPEC, params, swapped)):
    assert jnp.abs(other - embed_images(SPEC, params, image)).max() > 1e-4


def test_bfloat16_is_close_in_values_and_gradients(params, images, token_ids):
  def loss(params, dtype):
    image = embed_images(SPEC, params, images, dtype=dtype)
    text = embed_texts(SPEC, params, token_ids, dtype=dtype)
    logits = jnp.exp(params["logit_scale"]) * image @ text.T
    return -jnp.trace(jax.nn.log_softmax(logits))

  gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  exact_value, exact = gradient(params, "float32")
  value, rough = gradient(params, "bfloat16")
  np.testing.assert_allclose(value, exact_value, rtol=2e-2)
  for (path, one), other in zip(
    jax.tree.leaves_with_path(exact), jax.tree.leaves(rough), strict=True
  ):
    assert other.dtype == jnp.float32
    # A bias of the keys moves all logits of a query alike: its gradient is 0.
    if "'key'" in jax.tree_util.keystr(path) and one.ndim == 1:
      continue
    error = jnp.linalg.norm(other - one) / jnp.linalg.norm(one)
    assert 0 < error < 0.05, path


@pytest.mark.parametrize(
  "equation", ["ai,io->ao", "abi,io->abo", "nqd,nkd->nqk", "nqk,nkd->nqd"]
)
@pytest.mark.parametrize("size", [1, 2, 33])
def test_contraction_in_bfloat16(equation, size):
  """Values and both gradients against float64 products of rounded inputs."""
  rng = np.random.default_rng(size)
  inputs, out = equation.split("->")
  left, right = inputs.split(",")
  sizes = dict(zip("abinokqd", [3, 2, size, 2, 5, 4, size, 8], strict=True))

  def draw(axes):
    shape = [sizes[axis] for axis in axes]
    values = jnp.asarray(rng.normal(size=shape), jnp.bfloat16)
    return values.astype(jnp.float32), np.asarray(values, np.float64)

  (lhs, lhs64), (rhs, rhs64), (weight, weight64) = map(draw, (left, right, out))
  value, backward = jax.vjp(
    lambda lhs, rhs: contract(equation, lhs, rhs, dtype="bfloat16"), lhs, rhs
  )
  to_lhs, to_rhs = backward(weight)
  for ours, expected in (
    (value, np.einsum(equation, lhs64, rhs64)),
    (to_lhs, np.einsum(f"{out},{right}->{left}", weight64, rhs64)),
    (to_rhs, np.einsum(f"{left},{out}->{right}", lhs64, weight64)),
  ):
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)
  # And the inputs are rounded: a third of eight bits is lost.
  third = contract(
    "ai,io->ao", jnp.full((1, 1), 1 / 3), jnp.ones((1, 1)), dtype="bfloat16"
  )
  assert 1e-4 < abs(float(third[0, 0]) - 1 / 3) < 1e-3


def test_wrong_inputs_are_named(params, images, token_ids):
  with pytest.raises(ValueError, match="12 x 12 pixels of tiny, got 12 x 8"):
    embed_images(SPEC, params, images[:, :, :8])
  with pytest.raises(ValueError, match="1 to 9 columns.*got 10"):
    embed_texts(SPEC, params, np.zeros((1, 10), np.int32))
  with pytest.raises(ValueError, match="got 0"):
    embed_texts(SPEC, params, token_ids[:, :0])
  for embed, inputs in ((embed_images, images), (embed_texts, token_ids)):
    with pytest.raises(ValueError, match="`dtype`.*got 'float16'"):
      embed(SPEC, params, inputs, dtype="float16")


@pytest.mark.parametrize(
  ("stored", "dtype"), [("bfloat16", "bfloat16"), ("float16", "float32")]
)
def test_parameters_of_half_precision(params, images, token_ids, stored, dtype):
  """The stored type rounds the parameters and nothing else."""
  half = jax.tree.map(lambda leaf: leaf.astype(stored), params)
  same = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half)
  for embed, inputs in ((embed_images, images), (embed_texts, token_ids)):
    got = embed(SPEC, half, inputs, dtype=dtype)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(
      got, embed(SPEC, same, inputs, dtype=dtype), atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_have_the_type_of_the_parameters(params, images, dtype):
  half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
  gradient = jax.grad(
    lambda params: embed_images(SPEC, params, images, dtype=dtype)[0, 0]
  )(half)["image"]
  assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {
    jnp.dtype(jnp.bfloat16)
  }
  assert jnp.abs(gradient["block_0"]["mlp"]["up"]["kernel"]).max() > 0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
  import torch

  x = torch.linspace(-6, 6, 101, dtype=torch.float64)
  expected = {
    "quick_gelu": x * torch.sigmoid(1.702 * x),
    "gelu": torch.nn.functional.gelu(x),
    "gelu_tanh": torch.nn.functional.gelu(x, approximate="tanh"),
  }[name]
  ours = ACTIVATIONS[name](jnp.asarray(x.numpy(), jnp.float32))
  np.testing.assert_allclose(ours, expected, atol=1e-6)


def _norm(x, params, eps):
  centred = x - x.mean(-1, keepdims=True)
  variance = (centred**2).mean(-1, keepdims=True)
  return centred / np.sqrt(variance + eps) * params["scale"] + params["bias"]


def _linear(x, params):
  return x @ params["kernel"] + params.get("bias", 0)


def _attend(queries, x, params, heads):
  mapped = {
    name: _linear(inputs, params[name])
    for name, inputs in (("query", queries), ("key", x), ("value", x))
  }
  query, key, value = (
    mapped[name].reshape(len(mapped[name]), heads, -1)
    for name in ("query", "key", "value")
  )
  logits = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(query.shape[-1])
  weights = np.exp(logits - logits.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  mixed = np.einsum("hqk,khd->qhd", weights, value)
  return _linear(mixed.reshape(len(queries), -1), params["out"])


def _mlp(x, params):
  hidden = _linear(x, params["up"])
  return _linear(hidden / (1 + np.exp(-1.702 * hidden)), params["down"])


def _vit(spec, params, image):
  """The network of one normalised image, in float64 numpy."""
  size, eps = spec.patch_size, spec.layer_norm_eps
  corners = range(0, spec.image_size - size + 1, size)
  patches = [
    image[row : row + size, col : col + size].reshape(-1)
    for row, col in itertools.product(corners, corners)
  ]
  x = _linear(np.stack(patches), params["patch_embedding"])
  if spec.image_pooling == "class_token":
    x = np.concatenate([params["class_embedding"][None], x])
  x = x + params["position_embedding"]
  if spec.pre_norm:
    x = _norm(x, params["pre_norm"], eps)
  for index in range(spec.image_layers):
    block = params[f"block_{index}"]
    inputs = _norm(x, block["norm_1"], eps)
    x = x + _attend(inputs, inputs, block["attention"], spec.image_heads)
    x = x + _mlp(_norm(x, block["norm_2"], eps), block["mlp"])
  x = _norm(x, params["post_norm"], eps)
  if spec.image_pooling == "class_token":
    x = x[0]
  elif spec.image_pooling == "mean":
    x = x.mean(0)
  else:
    head = params["pooling"]
    x = _attend(head["probe"][None], x, head["attention"], spec.image_heads)
    x = (x + _mlp(_norm(x, head["norm"], eps), head["mlp"]))[0]
  return _linear(x, params["projection"]) if spec.image_projection else x


@pytest.mark.parametrize(
  ("pooling", "pre_norm", "patch_bias", "projection"),
  [
    ("class_token", False, True, False),
    ("mean", True, False, True),
    ("attention", True, True, True),
  ],
)
def test_each_vit_by_hand(pooling, pre_norm, patch_bias, projection, images):
  """Also those that no school has; an image size of patches and a rest."""
  spec = SPEC._replace(
    patch_size=5,
    image_pooling=pooling,
    pre_norm=pre_norm,
    patch_bias=patch_bias,
    image_projection=projection,
    embed_dim=16 if projection else 32,
  )
  rng = np.random.default_rng(1)
  drawn = {}
  for path, shape in param_shapes(spec).items():
    value = rng.normal(size=shape) * (0.2 if len(shape) == 1 else 0.15)
    drawn[path] = jnp.asarray(value + (path[-1] == "scale"), jnp.float32)
  params = unflatten_dict(drawn)
  exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
  pixels = np.asarray(normalize_images(spec, images), np.float64)
  expected = np.stack([_vit(spec, exact["image"], image) for image in pixels])
  expected /= np.linalg.norm(expected, axis=1, keepdims=True)
  ours = embed_images(spec, params, images)
  np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_last_token_that_looks_back_only(params, token_ids):
  """A causal tower that pools the last token needs its padding, too."""
  spec = SPEC._replace(text_pooling="last")
  changed = token_ids.copy()
  changed[0, -1] = 7
  difference = embed_texts(spec, params, changed) - embed_texts(
    spec, params, token_ids
  )
  assert jnp.abs(difference[0]).max() > 1e-3
  with pytest.raises(ValueError, match="must have 9 columns.*got 8"):
    embed_texts(spec, params, token_ids[:, :8])


RESNET = SPEC._replace(
  image_tower="resnet",
  image_stages=(1, 2, 1, 1),
  image_layers=5,
  image_pooling="attention",
  patch_size=32,
  image_size=64,
)


def test_specs_that_are_sound():
  for spec in (SPEC, RESNET, RESNET._replace(pre_norm=False)):
    check_spec(spec)


@pytest.mark.parametrize(
  ("spec", "changes", "rule"),
  [
    (SPEC, {"image_tower": "swin"}, "one of vit, resnet, got 'swin'"),
    (SPEC, {"image_pooling": "max"}, "one of class_token, mean, attention"),
    (SPEC, {"text_pooling": "first"}, "one of end_token, last, got 'first'"),
    (SPEC, {"activation": "relu"}, "one of quick_gelu, gelu, gelu_tanh"),
    (SPEC, {"text_width": 25}, "divisible by its text_heads, 3, got 25"),
    (SPEC, {"image_width": 33}, "divisible by its image_heads, 2, got 33"),
    (SPEC, {"image_heads": 0, "image_width": 4}, "image_heads, 0"),
    (SPEC, {"patch_size": 13}, "1 to 12, its image_size, got 13"),
    (SPEC, {"patch_size": 0}, "1 to 12, its image_size, got 0"),
    (SPEC, {"image_projection": False}, "16, as no projection.*got 32"),
    (SPEC, {"image_stages": (1,)}, r"\(\), as its tower is a ViT, got \(1,\)"),
    (RESNET, {"patch_size": 16}, "32, as its tower is a ResNet, got 16"),
    (RESNET, {"image_size": 80}, "divisible by its patch_size, 32, got 80"),
    (RESNET, {"image_pooling": "mean"}, "attention, as its.*got 'mean'"),
    (RESNET, {"patch_bias": True}, "False, as its tower is a ResNet"),
    (RESNET, {"image_stages": (1, 2, 1)}, r"four counts.*got \(1, 2, 1\)"),
    (RESNET, {"image_stages": ()}, r"four counts.*got \(\)"),
    (RESNET, {"image_layers": 6}, r"add up to 6 layers, got \(1, 2, 1, 1\)"),
    (RESNET, {"image_width": 9}, "even, and 32 times it.*got 9"),
    (RESNET, {"image_heads": 6}, "divisible by 6 heads, got 32"),
  ],
)
def test_contradictions_are_refused_by_name(spec, changes, rule):
  wrong = spec._replace(**changes)
  with pytest.raises(ValueError, match=f"^`\\w+` of tiny must be .*{rule}"):
    check_spec(wrong)
  with pytest.raises(ValueError, match=rule):
    init_params(jax.random.key(0), wrong)


def test_start_of_siglips_scale_and_bias():
  params = init_params(jax.random.key(0), SPEC._replace(logit_bias=True))
  assert float(params["logit_scale"]) == pytest.approx(math.log(10))
  assert float(params["logit_bias"]) == -10
