"""Random checkpoints: by `transformers`, the reference, and tiny ones."""

import io
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from s3_jax.clip import ModelSpec
from s3_jax.clip.bpe import END, START, train_tokenizer
from s3_jax.clip.layouts import param_shapes

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
def pieces(tmp_path_factory) -> pathlib.Path:
  """A SentencePiece model with SigLIP's special pieces: end 1, unknown 2."""
  import sentencepiece

  content = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(CAPTIONS * 5),
    model_writer=content,
    vocab_size=48,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    minloglevel=2,
  )
  path = tmp_path_factory.mktemp("pieces") / "spiece.model"
  path.write_bytes(content.getvalue())
  return path


@pytest.fixture(scope="session")
def tiny(bpe) -> dict[str, ModelSpec]:
  """The smallest checkpoint of each family, as OpenAI and Google have them."""
  size = bpe.get_vocab_size()
  clip = ModelSpec(
    name="tiny clip",
    image_size=16,
    patch_size=8,
    image_width=64,
    image_layers=1,
    image_heads=1,
    image_mlp_dim=24,
    text_width=24,
    text_layers=2,
    text_heads=3,
    text_mlp_dim=40,
    vocab_size=size,
    context_length=12,
    embed_dim=20,
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.4, 0.3),
    image_std=(0.25, 0.3, 0.2),
    resize_size=16,
    crop_size=16,
    interpolation="bicubic",
    school="openai",
    start_token_id=size - 2,
    end_token_id=size - 1,
    pad_token_id=0,
  )
  resnet = clip._replace(
    name="tiny resnet",
    image_size=32,
    resize_size=32,
    crop_size=32,
    patch_size=32,
    image_width=4,
    image_layers=5,
    image_heads=2,
    image_mlp_dim=0,
    image_tower="resnet",
    image_stages=(1, 2, 1, 1),
    image_pooling="attention",
    pre_norm=False,
    image_projection=False,
  )
  siglip = clip._replace(
    name="tiny siglip",
    image_size=20,  # no multiple of the patch: 4 rows and columns are dropped
    resize_size=20,
    crop_size=20,
    image_width=32,
    image_heads=2,
    vocab_size=48,
    embed_dim=32,
    activation="gelu_tanh",
    layer_norm_eps=1e-6,
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
  return {"clip": clip, "resnet": resnet, "siglip": siglip}


@pytest.fixture(scope="session")
def tiny_params(tiny) -> dict[str, Any]:
  """Random parameters that float16 holds exactly, none of them 0 or 1."""
  rng = np.random.default_rng(0)

  def draw(shape):
    values = rng.uniform(0.05, 0.2, shape).astype("f2")
    return jnp.asarray(values, jnp.float32)

  return {
    name: unflatten_dict(
      {path: draw(shape) for path, shape in param_shapes(spec).items()}
    )
    for name, spec in tiny.items()
  }
