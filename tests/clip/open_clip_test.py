"""Names, shapes and embeddings of open_clip's own networks, recorded.

open_clip needs torchvision, so the tests do without it: open_clip_golden.json
holds what its networks, at tiny sizes, gave for weights that `draw` makes
again. Where open_clip is installed, the recorded numbers are checked as well.
"""

import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.clip.layouts import LAYOUTS, detect, from_params, to_params
from s3_jax.clip.towers import (
  embed_images,
  embed_texts,
  image_tower,
  text_tower,
)
from s3_jax.clip.zoo import ModelSpec

GOLDEN = pathlib.Path(__file__).with_name("open_clip_golden.json")
RECORDS = json.loads(GOLDEN.read_text("utf-8"))["networks"]
END, CONTEXT, VOCABULARY = 49, 8, 50
TOLERANCE = 1e-5

_VIT = ModelSpec(
  name="vit",
  image_size=12,
  patch_size=4,
  image_width=32,
  image_layers=2,
  image_heads=2,
  image_mlp_dim=128,
  text_width=24,
  text_layers=2,
  text_heads=3,
  text_mlp_dim=96,
  vocab_size=VOCABULARY,
  context_length=CONTEXT,
  embed_dim=16,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.5, 0.5),
  image_std=(0.5, 0.5, 0.5),
  resize_size=12,
  crop_size=12,
  interpolation="bicubic",
  school="openai",
  start_token_id=48,
  end_token_id=END,
  pad_token_id=0,
)
SPECS = {
  "vit": _VIT,
  "resnet": _VIT._replace(
    name="resnet",
    image_tower="resnet",
    image_stages=(2, 1, 1, 1),
    image_layers=5,
    image_width=4,
    image_heads=4,
    image_mlp_dim=0,
    image_pooling="attention",
    patch_size=32,
    image_size=64,
    resize_size=64,
    crop_size=64,
  ),
  "siglip": _VIT._replace(
    name="siglip",
    image_mlp_dim=48,
    text_mlp_dim=48,
    embed_dim=32,
    activation="gelu_tanh",
    layer_norm_eps=1e-6,
    image_pooling="attention",
    pre_norm=False,
    patch_bias=True,
    image_projection=False,
    text_causal=False,
    text_pooling="last",
    text_projection_bias=True,
    logit_bias=True,
  ),
}


def draw(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
  """Draws each array by its name alone; no bias is 0 and no scale 1."""
  arrays = {}
  for name, shape in shapes.items():
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    value = 2 * rng.random(shape) - 1
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 16
    value *= np.sqrt(3 / fan_in)
    if name.endswith(("running_var", "norm.weight", "norm1.weight")) or (
      len(shape) == 1 and name.endswith("weight")
    ):
      value = 1 + value / 2
    arrays[name] = np.asarray(value, np.float32)
  return arrays


def inputs(spec: ModelSpec) -> tuple[np.ndarray, np.ndarray]:
  """Draws two normalised images and three texts."""
  rng = np.random.default_rng(0)
  size = (2, spec.image_size, spec.image_size, 3)
  images = (4 * rng.random(size) - 2).astype(np.float32)
  token_ids = rng.integers(1, END - 1, (3, CONTEXT)).astype(np.int32)
  token_ids[0, 3:] = [END, 0, 0, 0, 0]
  token_ids[1:, -1] = END
  return images, token_ids


@pytest.mark.parametrize("name", RECORDS)
def test_names_and_shapes(name):
  tensors = LAYOUTS["open_clip"].tensors(SPECS[name])
  ours = {name: list(tensor.theirs) for name, tensor in tensors.items()}
  theirs = RECORDS[name]["shapes"]
  counters = {name for name in theirs if name.endswith("num_batches_tracked")}
  assert len(counters) == (3 + 5 * 3 + 4 if name == "resnet" else 0)
  assert ours == {
    name: shape for name, shape in theirs.items() if name not in counters
  }


@pytest.mark.parametrize("name", RECORDS)
def test_embeddings(name):
  spec, record = SPECS[name], RECORDS[name]
  arrays = draw(record["shapes"])
  assert detect(arrays) == "open_clip"
  params = to_params(arrays, spec, "open_clip", "open_clip's network")
  images, token_ids = inputs(spec)
  raw_images = jax.jit(image_tower(spec).apply)(
    {"params": params["image"]}, jnp.asarray(images)
  )
  raw_texts = jax.jit(text_tower(spec).apply)(
    {"params": params["text"]}, jnp.asarray(token_ids)
  )
  for raw, unit, expected in (
    (raw_images, embed_images(spec, params, images), record["images"]),
    (raw_texts, embed_texts(spec, params, token_ids), record["texts"]),
  ):
    expected = np.asarray(expected)
    assert np.abs(raw - expected).max() <= TOLERANCE
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(unit - expected).max() <= TOLERANCE
    assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE
  for key, value in from_params(params, spec, "open_clip").items():
    np.testing.assert_array_equal(value, arrays[key])


def networks():
  """Makes open_clip's networks at the sizes of `SPECS`."""
  import open_clip.model
  import timm.models
  from timm.models.vision_transformer import VisionTransformer

  @timm.models.register_model
  def tiny_siglip(pretrained=False, pretrained_cfg=None, **options):
    return VisionTransformer(
      img_size=12,
      patch_size=4,
      embed_dim=32,
      depth=2,
      num_heads=2,
      mlp_ratio=1.5,
      class_token=False,
      act_layer="gelu_tanh",
      **{
        key: value
        for key, value in options.items()
        if key in ("num_classes", "global_pool")
      },
    )

  text = {
    "context_length": CONTEXT,
    "vocab_size": VOCABULARY,
    "width": 24,
    "heads": 3,
    "layers": 2,
  }
  return {
    "vit": open_clip.model.CLIP(
      16,
      {
        "image_size": 12,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 4,
      },
      text,
      quick_gelu=True,
    ),
    "resnet": open_clip.model.CLIP(
      16,
      {
        "image_size": 64,
        "layers": (2, 1, 1, 1),
        "width": 4,
        "head_width": 32,
      },
      text,
      quick_gelu=True,
    ),
    "siglip": open_clip.model.CustomTextCLIP(
      32,
      {
        "image_size": 12,
        "timm_model_name": "tiny_siglip",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
      },
      {
        **text,
        "mlp_ratio": 2.0,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
      },
      init_logit_bias=-10,
    ),
  }


def record() -> dict:
  """Computes what open_clip_golden.json holds."""
  import torch

  records = {}
  for name, network in networks().items():
    shapes = {
      name: list(value.shape) for name, value in network.state_dict().items()
    }
    state = {name: torch.tensor(value) for name, value in draw(shapes).items()}
    network.load_state_dict(state)
    images, token_ids = inputs(SPECS[name])
    with torch.no_grad():
      network.eval()
      records[name] = {
        "shapes": shapes,
        "images": network.encode_image(
          torch.tensor(images).permute(0, 3, 1, 2)
        ).tolist(),
        "texts": network.encode_text(torch.tensor(token_ids)).tolist(),
      }
  return records


def test_recorded_numbers_are_those_of_open_clip():
  pytest.importorskip("open_clip", exc_type=ImportError)
  for name, network in record().items():
    assert network["shapes"] == RECORDS[name]["shapes"]
    for key in ("images", "texts"):
      np.testing.assert_allclose(network[key], RECORDS[name][key], atol=1e-6)
