"""The numbers of the towers, by version: stored embeddings rest on them."""

import json
import pathlib

import jax
import numpy as np
import pytest

from s3_jax.clip import embed_images, embed_texts, init_params
from s3_jax.clip.towers import TOWERS_VERSION
from s3_jax.clip.zoo import ModelSpec

FILE = pathlib.Path(__file__).with_name("towers_version.json")
STORED = json.loads(FILE.read_text("utf-8"))

CLIP = ModelSpec(
  name="golden",
  image_size=24,
  patch_size=8,
  image_width=16,
  image_layers=2,
  image_heads=2,
  image_mlp_dim=32,
  text_width=16,
  text_layers=2,
  text_heads=2,
  text_mlp_dim=32,
  vocab_size=64,
  context_length=12,
  embed_dim=8,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.25, 0.26, 0.27),
  resize_size=24,
  crop_size=24,
  interpolation="bicubic",
  school="transformers",
  start_token_id=62,
  end_token_id=63,
  pad_token_id=63,
)
SPECS = {
  "clip": CLIP,
  "gelu, mean": CLIP._replace(activation="gelu", image_pooling="mean"),
  "siglip": CLIP._replace(
    activation="gelu_tanh",
    image_pooling="attention",
    pre_norm=False,
    patch_bias=True,
    image_projection=False,
    image_width=8,
    text_causal=False,
    text_pooling="last",
    text_projection_bias=True,
    logit_bias=True,
  ),
  "resnet": CLIP._replace(
    image_tower="resnet",
    image_size=64,
    patch_size=32,
    image_width=2,
    image_stages=(1, 1, 1, 1),
    image_layers=4,
    image_mlp_dim=0,
    image_heads=1,
    image_pooling="attention",
    pre_norm=False,
    image_projection=False,
    resize_size=64,
    crop_size=64,
  ),
}


def numbers(spec):
  """Embeds two drawn pictures and two texts under drawn parameters."""
  draw = np.random.default_rng(20_261_130)
  shapes = jax.eval_shape(lambda key: init_params(key, spec), jax.random.key(0))

  def drawn(path, leaf):
    low = 0.1 if "var" in str(path[-1]) else -0.5  # of a ResNet's norms
    return (draw.random(leaf.shape) + low).astype(leaf.dtype)

  params = jax.tree_util.tree_map_with_path(drawn, shapes)
  size = spec.image_size
  images = (256 * draw.random((2, size, size, 3))).astype(np.uint8)
  texts = np.array(
    [[62, 5, 9, 63, *[63] * 8], [62, 1, 2, 3, 4, 5, 63, *[63] * 5]], np.int32
  )
  return {
    "image": np.asarray(embed_images(spec, params, images)),
    "text": np.asarray(embed_texts(spec, params, texts)),
  }


@pytest.mark.parametrize("name", SPECS)
def test_other_numbers_are_another_version(name):
  found = numbers(SPECS[name])
  known = STORED.get(str(TOWERS_VERSION), {}).get(name)
  advice = (
    "the towers give other numbers than when version"
    f" {TOWERS_VERSION} was stored: raise the version (TOWERS_VERSION in"
    f" s3_jax/clip/towers.py), and store under it in {FILE.name}:"
    f" { ({tower: rows.tolist() for tower, rows in found.items()}) }"
  )
  assert known is not None, advice
  for tower, rows in found.items():
    assert np.ptp(rows) > 0.1, "numbers that say something"
    np.testing.assert_allclose(rows, known[tower], atol=2e-5, err_msg=advice)


def test_versions_differ():
  """A version whose numbers are those of another one was raised for nothing."""
  images = [tuple(v["clip"]["image"][0]) for v in STORED.values()]
  texts = [tuple(v["clip"]["text"][0]) for v in STORED.values()]
  assert len(set(zip(images, texts, strict=True))) == len(STORED)
