"""SigLIP's towers against `transformers`, and what its texts need."""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from s3_jax.clip.layouts import detect, from_params, to_params
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.towers import (
  embed_images,
  embed_texts,
  image_tower,
  normalize_images,
  text_tower,
)
from s3_jax.clip.zoo import ModelSpec

TOLERANCE = 1e-5
SPEC = ModelSpec(
  name="siglip",
  image_size=22,  # no multiple of the patch: 2 rows and columns are dropped
  patch_size=4,
  image_width=32,
  image_layers=2,
  image_heads=2,
  image_mlp_dim=48,
  text_width=24,
  text_layers=2,
  text_heads=3,
  text_mlp_dim=40,
  vocab_size=50,
  context_length=9,
  embed_dim=32,
  activation="gelu_tanh",
  layer_norm_eps=1e-6,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.25, 0.3, 0.2),
  resize_size=22,
  crop_size=22,
  interpolation="bicubic",
  school="transformers",
  start_token_id=None,
  end_token_id=1,
  pad_token_id=1,
  image_pooling="attention",
  pre_norm=False,
  patch_bias=True,
  image_projection=False,
  text_causal=False,
  text_pooling="last",
  text_projection_bias=True,
  logit_bias=True,
  tokenizer="sentencepiece",
  text_cleaning="canonical",
  resize_mode="squash",
)


@pytest.fixture(scope="module")
def model():
  """A random SiglipModel with biases and scales off their defaults."""
  import torch
  import transformers

  transformers.utils.logging.set_verbosity_error()
  torch.manual_seed(0)
  torch.set_num_threads(1)
  text = {
    "hidden_size": SPEC.text_width,
    "intermediate_size": SPEC.text_mlp_dim,
    "num_hidden_layers": SPEC.text_layers,
    "num_attention_heads": SPEC.text_heads,
    "vocab_size": SPEC.vocab_size,
    "max_position_embeddings": SPEC.context_length,
    "projection_size": SPEC.embed_dim,
    "bos_token_id": 2,
    "eos_token_id": 1,
  }
  vision = {
    "hidden_size": SPEC.image_width,
    "intermediate_size": SPEC.image_mlp_dim,
    "num_hidden_layers": SPEC.image_layers,
    "num_attention_heads": SPEC.image_heads,
    "image_size": SPEC.image_size,
    "patch_size": SPEC.patch_size,
  }
  config = transformers.SiglipConfig(text_config=text, vision_config=vision)
  model = transformers.SiglipModel(config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if value.ndim == 1:
        value += 0.2 * torch.randn_like(value)
      elif "position_embedding" in name or "probe" in name:
        value += 0.1 * torch.randn_like(value)
  return model


@pytest.fixture(scope="module")
def arrays(model):
  return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def params(arrays):
  assert detect(arrays) == "hugging_face"
  return to_params(arrays, SPEC, "hugging_face", "the model")


@pytest.fixture(scope="module")
def token_ids():
  """Ids with padding of different lengths, ended by id 1."""
  ids = np.random.default_rng(0).integers(2, 50, (3, 9)).astype(np.int32)
  ids[0, 3:] = 1
  ids[1, -1] = 1
  return ids


def pictures() -> list[PIL.Image.Image]:
  rng = np.random.default_rng(1)
  return [
    PIL.Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
    for size in ((31, 77), (90, 23), (22, 22))
  ]


def test_images(model, params):
  import torch
  import transformers

  processor = transformers.SiglipImageProcessorPil(
    size={"height": SPEC.image_size, "width": SPEC.image_size},
    image_mean=list(SPEC.image_mean),
    image_std=list(SPEC.image_std),
  )
  pixels = processor(pictures(), return_tensors="pt")["pixel_values"]
  with torch.no_grad():
    expected = model.get_image_features(pixel_values=pixels).pooler_output
  expected = expected.numpy()
  images = np.stack([preprocess_image(SPEC, image) for image in pictures()])
  raw = jax.jit(image_tower(SPEC).apply)(
    {"params": params["image"]}, normalize_images(SPEC, images)
  )
  assert np.abs(raw - expected).max() <= TOLERANCE
  expected /= np.linalg.norm(expected, axis=1, keepdims=True)
  unit = embed_images(SPEC, params, images)
  assert np.abs(unit - expected).max() <= TOLERANCE
  assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE


def test_texts(model, params, token_ids):
  import torch

  with torch.no_grad():
    expected = model.get_text_features(input_ids=torch.tensor(token_ids))
  expected = expected.pooler_output.numpy()
  raw = jax.jit(text_tower(SPEC).apply)(
    {"params": params["text"]}, jnp.asarray(token_ids)
  )
  assert np.abs(raw - expected).max() <= TOLERANCE
  expected /= np.linalg.norm(expected, axis=1, keepdims=True)
  unit = embed_texts(SPEC, params, token_ids)
  assert np.abs(unit - expected).max() <= TOLERANCE
  assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE


def test_logits(model, params, token_ids):
  """Scale and bias mean here what they mean there."""
  import torch

  images = np.stack([preprocess_image(SPEC, image) for image in pictures()])
  pixels = np.moveaxis(np.asarray(normalize_images(SPEC, images)), -1, 1)
  with torch.no_grad():
    output = model(
      input_ids=torch.tensor(token_ids), pixel_values=torch.tensor(pixels)
    )
  cosines = embed_images(SPEC, params, images) @ (
    embed_texts(SPEC, params, token_ids).T
  )
  logits = np.exp(params["logit_scale"]) * cosines + params["logit_bias"]
  expected = output.logits_per_image.numpy()
  assert params["logit_bias"] != 0
  np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_the_padding_is_seen_and_cannot_be_cut(params, token_ids):
  changed = token_ids.copy()
  changed[0, 5] = 7  # behind the end
  difference = embed_texts(SPEC, params, changed) - embed_texts(
    SPEC, params, token_ids
  )
  assert np.abs(difference[0]).max() > 1e-3
  with pytest.raises(ValueError, match="9 columns, as the text tower.*got 5"):
    embed_texts(SPEC, params, token_ids[:, :5])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_bfloat16_is_close(params, token_ids, count):
  """Also the attention of a single query, in parameters of half the size."""
  half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
  images = np.stack([preprocess_image(SPEC, image) for image in pictures()])
  for embed, inputs in ((embed_images, images), (embed_texts, token_ids)):
    exact = embed(SPEC, params, inputs[:count])
    rough = embed(SPEC, half, inputs[:count], dtype="bfloat16")
    assert rough.shape == (count, 32) and rough.dtype == jnp.float32
    assert (jnp.sum(exact * rough, axis=1) > 0.998).all()


def test_what_is_written_is_what_was_read(arrays, params):
  written = from_params(params, SPEC, "hugging_face")
  assert written.keys() == arrays.keys()
  for name, value in written.items():
    np.testing.assert_array_equal(value, arrays[name])


@pytest.mark.parametrize("layout", ["big_vision", "big_vision_scanned"])
def test_arrays_of_big_vision_are_those_of_transformers(arrays, params, layout):
  """Translated here by the rules of the converter of `transformers`."""
  state, pooling = {}, {}
  for name, value in from_params(params, SPEC, layout).items():
    for inner, part in split_blocks(name, value):
      width = SPEC.image_width if "/img/" in name else SPEC.text_width
      if "MAPHead_0/MultiHead" in name and "/out/" not in name:
        pooling[tuple(name.split("/")[-2:])] = part.reshape(-1, width)
      else:
        state.update([to_hugging_face(inner, part, width)])
  joined = "vision_model.head.attention.in_proj"
  maps = ("query", "key", "value")
  state[f"{joined}_weight"] = np.concatenate(
    [pooling[name, "kernel"].T for name in maps]
  )
  state[f"{joined}_bias"] = np.concatenate(
    [pooling[name, "bias"].reshape(-1) for name in maps]
  )
  assert state.keys() == arrays.keys()
  for name, value in state.items():
    np.testing.assert_array_equal(value, arrays[name], err_msg=name)


def split_blocks(name, value):
  """Yields each block of a scanned array under a name of its own."""
  if "/encoderblock/" not in name:
    yield name, value
    return
  for index, part in enumerate(value):
    yield name.replace("encoderblock", f"encoderblock_{index}"), part


# In the order in which they are replaced.
WORDS = {
  "params/img/embedding": "vision_model.embeddings.patch_embedding",
  "params/img/pos_embedding": (
    "vision_model.embeddings.position_embedding/kernel"
  ),
  "params/img/Transformer/encoder_norm": "vision_model.post_layernorm",
  "params/img/Transformer/encoderblock_": "vision_model.encoder.layers.",
  "params/img/MAPHead_0/LayerNorm_0": "vision_model.head.layernorm",
  "params/img/MAPHead_0/MultiHeadDotProductAttention_0/out": (
    "vision_model.head.attention.out_proj"
  ),
  "params/img/MAPHead_0": "vision_model.head",
  "params/txt/Embed_0/embedding": (
    "text_model.embeddings.token_embedding/kernel"
  ),
  "params/txt/pos_embedding": "text_model.embeddings.position_embedding/kernel",
  "params/txt/Encoder_0/encoder_norm": "text_model.final_layer_norm",
  "params/txt/Encoder_0/encoderblock_": "text_model.encoder.layers.",
  "params/txt/head": "text_model.head",
  "params/t": "logit_scale",
  "params/b": "logit_bias",
  "LayerNorm_0": "layer_norm1",
  "LayerNorm_1": "layer_norm2",
  "MlpBlock_0/Dense_0": "mlp.fc1",
  "MlpBlock_0/Dense_1": "mlp.fc2",
  "MultiHeadDotProductAttention_0/query": "self_attn.q_proj",
  "MultiHeadDotProductAttention_0/key": "self_attn.k_proj",
  "MultiHeadDotProductAttention_0/value": "self_attn.v_proj",
  "MultiHeadDotProductAttention_0/out": "self_attn.out_proj",
  "/kernel": "/weight",
  "/scale": "/weight",
}


def to_hugging_face(name, value, width):
  """Translates one array of big_vision, but for the pooling's three maps."""
  embedding = "embedding" in name.split("/", 2)[-1] and value.ndim < 4
  for word, other in WORDS.items():
    name = name.replace(word, other)
  if "attention" in name or "self_attn" in name:
    value = value.reshape(-1, width)
  if name.endswith("patch_embedding/weight"):
    value = value.transpose(3, 2, 0, 1)
  elif embedding and name.endswith("weight"):
    value = value.reshape(-1, width)
  elif name.endswith("weight") and value.ndim == 2:
    value = value.T
  elif name.endswith("bias") and name != "logit_bias":
    value = value.reshape(-1)
  return name.replace("/", "."), value
