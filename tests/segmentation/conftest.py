"""A random tower with patches of 16 pixels, in our form and in torch's."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from s3_jax.clip import ModelSpec
from s3_jax.clip.layouts import to_params
from s3_jax.embeddings import l2_normalize

# Its own grid is 7 x 7: the windows of every protocol need other positions.
SPEC = ModelSpec(
  name="tiny",
  image_size=112,
  patch_size=16,
  image_width=32,
  image_layers=2,
  image_heads=2,
  image_mlp_dim=48,
  text_width=8,
  text_layers=1,
  text_heads=1,
  text_mlp_dim=8,
  vocab_size=12,
  context_length=5,
  embed_dim=24,
  activation="quick_gelu",
  layer_norm_eps=1e-5,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.25, 0.3, 0.2),
  resize_size=112,
  crop_size=112,
  interpolation="bicubic",
  school="transformers",
  start_token_id=10,
  end_token_id=11,
  pad_token_id=11,
)


class Tower(NamedTuple):
  """One network twice."""

  spec: ModelSpec
  params: Any
  model: Any  # transformers.CLIPModel, float64


@pytest.fixture(scope="session")
def tower() -> Tower:
  import torch
  import transformers

  transformers.utils.logging.set_verbosity_error()
  torch.manual_seed(0)
  torch.set_num_threads(1)
  config = transformers.CLIPConfig(
    text_config={
      "hidden_size": SPEC.text_width,
      "intermediate_size": SPEC.text_mlp_dim,
      "num_hidden_layers": SPEC.text_layers,
      "num_attention_heads": SPEC.text_heads,
      "vocab_size": SPEC.vocab_size,
      "max_position_embeddings": SPEC.context_length,
      "bos_token_id": SPEC.start_token_id,
      "eos_token_id": SPEC.end_token_id,
    },
    vision_config={
      "hidden_size": SPEC.image_width,
      "intermediate_size": SPEC.image_mlp_dim,
      "num_hidden_layers": SPEC.image_layers,
      "num_attention_heads": SPEC.image_heads,
      "image_size": SPEC.image_size,
      "patch_size": SPEC.patch_size,
    },
    projection_dim=SPEC.embed_dim,
  )
  model = transformers.CLIPModel(config).eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if value.ndim == 1:
        value += 0.2 * torch.randn_like(value)
      elif "position_embedding" in name:
        value += 0.3 * torch.randn_like(value)
      elif "patch_embedding" in name:
        value *= 4
  arrays = {name: value.numpy() for name, value in model.state_dict().items()}
  params = to_params(arrays, SPEC, "hugging_face", "the random model")
  return Tower(SPEC, params, model.to(torch.float64))


@pytest.fixture(scope="session")
def names(tower) -> tuple[np.ndarray, np.ndarray]:
  """Unit embeddings of nine names of five classes, and the classes.

  They lie around the mean patch of noise, as texts do around images, so that
  none of them wins everywhere; and they are not in the order of their classes.
  """
  from s3_jax.clip import embed_patches

  rng = np.random.default_rng(3)
  noise = rng.normal(size=(1, 112, 112, 3)).astype(np.float32)
  patches = embed_patches(tower.spec, tower.params, noise)
  mean = np.asarray(patches).mean(axis=(0, 1, 2))
  spread = rng.normal(size=(9, tower.spec.embed_dim))
  embeddings = np.asarray(l2_normalize(mean + 0.3 * spread))
  return embeddings, np.array([4, 0, 1, 0, 2, 3, 0, 2, 1], np.int32)
