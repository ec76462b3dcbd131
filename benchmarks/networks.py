"""Random networks at full size, for the benchmarks of the towers."""

from typing import Any

import numpy as np
import torch
import transformers

from s3_jax.clip.layouts import LAYOUTS
from s3_jax.clip.zoo import ModelSpec

# Names of the benchmarks, and the rows of the zoo that they stand for.
ROWS = {
  "ViT-B/32": "openai/clip-vit-base-patch32",
  "ViT-B/16": "openai/clip-vit-base-patch16",
  "ViT-L/14": "openai/clip-vit-large-patch14",
  "RN50": "openai/RN50",
  "SigLIP-B/16": "google/siglip-base-patch16-224",
}


def transformers_model(spec: ModelSpec) -> torch.nn.Module:
  """Draws a network of `transformers` for a row of the zoo."""
  text: dict[str, Any] = {
    "hidden_size": spec.text_width,
    "intermediate_size": spec.text_mlp_dim,
    "num_hidden_layers": spec.text_layers,
    "num_attention_heads": spec.text_heads,
    "vocab_size": spec.vocab_size,
    "max_position_embeddings": spec.context_length,
    "eos_token_id": spec.end_token_id,
  }
  vision = {
    "hidden_size": spec.image_width,
    "intermediate_size": spec.image_mlp_dim,
    "num_hidden_layers": spec.image_layers,
    "num_attention_heads": spec.image_heads,
    "image_size": spec.image_size,
    "patch_size": spec.patch_size,
  }
  if spec.logit_bias:
    text["projection_size"] = spec.embed_dim
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    model = transformers.SiglipModel(config)
  else:
    config = transformers.CLIPConfig(
      text_config=text, vision_config=vision, projection_dim=spec.embed_dim
    )
    model = transformers.CLIPModel(config)
  with torch.no_grad():
    for name, value in model.named_parameters():
      if value.ndim == 1:
        value += 0.2 * torch.randn_like(value)
      elif "position_embedding" in name:
        value += 0.05 * torch.randn_like(value)
  return model.eval()


def draw_resnet(spec: ModelSpec) -> dict[str, np.ndarray]:
  """Draws weights under OpenAI's names; no variance is 1, no bias 0."""
  rng = np.random.default_rng(0)
  arrays = {}
  for name, tensor in LAYOUTS["open_clip"].tensors(spec).items():
    shape = tensor.theirs
    value = rng.standard_normal(shape, np.float32)
    if name.endswith("running_var"):
      value = rng.uniform(0.5, 2, shape)
    elif len(shape) == 1:
      value = 0.2 * value + 0.7 * name.endswith("weight")
    elif "embedding" in name or name == "visual.proj":
      value = 0.05 * value
    elif len(shape) > 1:
      gain = 2 if name.startswith("visual") else 0.5
      value *= (gain / np.prod(shape[1:])) ** 0.5
    arrays[name] = np.asarray(value, np.float32)
  return arrays
