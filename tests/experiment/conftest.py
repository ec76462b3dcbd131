"""A tiny checkpoint and small test sets of the real ninety classes."""

import pathlib
import runpy
from collections.abc import Callable
from typing import Any

import jax
import pytest

from s3_jax.clip import ModelSpec, init_params, save_clip, train_tokenizer
from s3_jax.data import datasets, drawn_sets
from s3_jax.data.glyphs import glyph_fields
from s3_jax.lexicon.synonyms import load_lexicon

PER_CLASS = 2


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> pathlib.Path:
  """A folder with random towers of one layer, which differ class by class."""
  folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
  names = [
    name
    for entry in load_lexicon("pictographs").classes
    for name in entry.names
  ]
  tokenizer = train_tokenizer(names, 530)
  spec = ModelSpec(
    name="tiny",
    image_size=16,
    patch_size=8,
    image_width=16,
    image_layers=1,
    image_heads=2,
    image_mlp_dim=32,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_mlp_dim=32,
    vocab_size=tokenizer.get_vocab_size(),
    context_length=32,
    embed_dim=16,
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.5, 0.5),
    image_std=(0.25, 0.25, 0.25),
    resize_size=16,
    crop_size=16,
    interpolation="bicubic",
    school="transformers",
    start_token_id=528,
    end_token_id=529,
    pad_token_id=529,
  )
  params = init_params(jax.random.key(5), spec)
  # Larger than a new network's: different tokens give different embeddings.
  text = dict(params["text"])
  text["token_embedding"] = 50 * text["token_embedding"]
  save_clip(folder, spec, {**params, "text": text}, tokenizer)
  return folder


@pytest.fixture(scope="session")
def records() -> Callable[[Any], list[dict[str, Any]]]:
  """Draws the first images of every class as the builder does."""
  from s3_jax.data import pictograph_builder

  classes = load_lexicon("pictographs").classes
  drawn: dict[str, list[dict[str, Any]]] = {}

  def draw(spec):
    if spec.name not in drawn:
      fields = glyph_fields(tuple(entry.codepoint for entry in classes))
      examples = pictograph_builder._single(
        fields, spec.split, spec.tfds.config, PER_CLASS
      )
      drawn[spec.name] = [
        {"image": example["image"].getvalue(), "label": example["label"]}
        for example in examples
      ]
    return drawn[spec.name]

  return draw


@pytest.fixture(scope="session")
def make_small(records):
  """Puts two images a class behind every data set's name, under a patch."""

  def make(patch: pytest.MonkeyPatch, module: Any = None) -> list[str]:
    opened: list[str] = []

    def open_small(spec, folder):
      del folder
      opened.append(spec.name)
      return records(spec)

    for name, spec in datasets.DATASETS.items():
      if spec.lexicon == "pictographs":
        examples = spec.classes * PER_CLASS
        patch.setitem(datasets.DATASETS, name, spec._replace(examples=examples))
    for index in (module, drawn_sets):
      if hasattr(index, "open_drawn"):
        patch.setattr(index, "open_drawn", open_small)
    return opened

  return make


@pytest.fixture(scope="session")
def read_config(repository):
  """Reads one of the repository's configs, unlocked for changes."""

  def read(name, **changes):
    module = runpy.run_path(str(repository / "configs" / f"{name}.py"))
    config = module["get_config"]().unlock()
    for field, value in changes.items():
      config[field] = value
    return config

  return read
