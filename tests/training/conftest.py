"""A lexicon of four classes and towers of one layer."""

import json

import pytest

from s3_jax.clip.zoo import ModelSpec
from s3_jax.lexicon.synonyms import load_lexicon

CLASSES = {
  9728: ("sun", "sunshine", "sol"),
  9730: ("umbrella", "brolly"),
  9875: ("anchor", "ship anchor"),
  9986: ("scissors", "shears", "pair of scissors"),
}


@pytest.fixture(scope="session")
def lexicon(tmp_path_factory):
  path = tmp_path_factory.mktemp("lexicon") / "four.json"
  table = {
    "schema": 1,
    "dataset": "pictographs",
    "provenance": {},
    "classes": [
      {
        "index": index,
        "name": names[-1],
        "synonyms": list(names[:-1]),
        "captioned": list(names),
        "descriptors": ["made of lines", "seen from the side"],
        "codepoint": codepoint,
      }
      for index, (codepoint, names) in enumerate(CLASSES.items())
    ],
  }
  path.write_text(json.dumps(table), encoding="utf-8")
  return load_lexicon(path)


@pytest.fixture(scope="session")
def spec():
  return ModelSpec(
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
    vocab_size=530,
    context_length=24,
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
