"""Random checkpoints written by `transformers`, the independent reference."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from s3_jax.clip.tokenizer import END, START, train_tokenizer

CAPTIONS = (
  "a photo of an umbrella",
  "two red airplanes, under the sun!",
  "the king's chess-piece; isn't it old? 1984",
  "a snowman beside a teacup",
)


class Reference(NamedTuple):
  """A checkpoint folder and the reference model it was written from."""

  folder: pathlib.Path
  model: Any


@pytest.fixture(scope="session")
def bpe():
  return train_tokenizer(CAPTIONS, 600)


@pytest.fixture(scope="session")
def write_reference(bpe) -> Callable[..., Reference]:
  """Writes a random CLIPModel with biases and scales off their defaults."""
  import torch
  import transformers

  transformers.utils.logging.disable_progress_bar()
  transformers.utils.logging.set_verbosity_error()

  def write(folder: pathlib.Path, *, text: dict, vision: dict, dim: int):
    torch.manual_seed(sum(folder.name.encode()))
    torch.set_num_threads(1)
    text = {
      "vocab_size": bpe.get_vocab_size(),
      "bos_token_id": bpe.token_to_id(START),
      "eos_token_id": bpe.token_to_id(END),
      **text,
    }
    config = transformers.CLIPConfig(
      text_config=text, vision_config=vision, projection_dim=dim
    )
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
      for name, value in model.named_parameters():
        if value.ndim == 1:
          value += 0.2 * torch.randn_like(value)
        elif "position_embedding" in name:
          value += 0.1 * torch.randn_like(value)
    model.save_pretrained(folder)
    size = model.config.vision_config.image_size
    processor = transformers.CLIPImageProcessorPil(
      size={"shortest_edge": size},
      crop_size={"height": size, "width": size},
      image_mean=[0.5, 0.4, 0.3],
      image_std=[0.25, 0.3, 0.2],
    )
    processor.save_pretrained(folder)
    bpe.save(str(folder / "tokenizer.json"))
    return Reference(folder, model)

  return write


@pytest.fixture(scope="session")
def patch_4(write_reference, tmp_path_factory) -> Reference:
  """Quick GELU, patches of 4 pixels, towers of different widths."""
  return write_reference(
    tmp_path_factory.mktemp("patch_4"),
    text={
      "hidden_size": 24,
      "intermediate_size": 56,
      "num_hidden_layers": 2,
      "num_attention_heads": 3,
      "max_position_embeddings": 12,
      "hidden_act": "quick_gelu",
    },
    vision={
      "hidden_size": 32,
      "intermediate_size": 48,
      "num_hidden_layers": 3,
      "num_attention_heads": 2,
      "image_size": 20,
      "patch_size": 4,
      "hidden_act": "quick_gelu",
    },
    dim=16,
  )


@pytest.fixture(scope="session")
def patch_8(write_reference, tmp_path_factory) -> Reference:
  """Exact GELU, patches of 8 pixels, another epsilon of the layer norms."""
  return write_reference(
    tmp_path_factory.mktemp("patch_8"),
    text={
      "hidden_size": 32,
      "intermediate_size": 32,
      "num_hidden_layers": 1,
      "num_attention_heads": 1,
      "max_position_embeddings": 16,
      "hidden_act": "gelu",
      "layer_norm_eps": 1e-6,
    },
    vision={
      "hidden_size": 24,
      "intermediate_size": 96,
      "num_hidden_layers": 2,
      "num_attention_heads": 4,
      "image_size": 32,
      "patch_size": 8,
      "hidden_act": "gelu",
      "layer_norm_eps": 1e-6,
    },
    dim=20,
  )


@pytest.fixture(scope="session")
def vit_b_16(write_reference, tmp_path_factory) -> Reference:
  """The full ViT-B/16, but for its vocabulary."""
  return write_reference(
    tmp_path_factory.mktemp("vit_b_16"),
    text={},
    vision={"patch_size": 16},
    dim=512,
  )
