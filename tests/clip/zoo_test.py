"""The zoo's rows: complete, consistent, and the size that was published."""

import re

import pytest

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.clean import CLEANINGS
from s3_jax.clip.towers import check_spec
from s3_jax.clip.zoo import MODELS, ModelSpec
from s3_jax.experiment.tasks.models import count_parameters

OPENAI = ("ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px")
RESNETS = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64")
PROMISED = (
  "openai/clip-vit-base-patch32",
  "openai/clip-vit-base-patch16",
  "openai/clip-vit-large-patch14",
  "openai/clip-vit-large-patch14-336",
  *(f"openai/{name}" for name in (*OPENAI, *RESNETS)),
  "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
  "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
  "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
  "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
  "laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
  "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
  "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
  "facebook/metaclip-b32-fullcc2.5b",
  "facebook/metaclip-b16-fullcc2.5b",
  "facebook/metaclip-l14-fullcc2.5b",
  "apple/DFN2B-CLIP-ViT-B-16",
  "apple/DFN2B-CLIP-ViT-L-14",
  "apple/DFN5B-CLIP-ViT-H-14",
  *(f"google/siglip-base-patch16-{size}" for size in (224, 256, 384)),
  *(f"google/siglip-large-patch16-{size}" for size in (256, 384)),
  *(f"google/siglip-so400m-patch14-{size}" for size in (224, 384)),
  *(f"google/siglip2-base-patch16-{size}" for size in (224, 256, 384)),
  *(f"google/siglip2-large-patch16-{size}" for size in (256, 384)),
  *(f"google/siglip2-so400m-patch14-{size}" for size in (224, 384)),
)

# Millions of parameters as open_clip's docs/model_profile.csv has them: both
# towers, the image tower, the text tower. The names are ours.
PUBLISHED = {
  "openai/ViT-B/32": (151.28, 87.85, 63.43),
  "openai/ViT-B/16": (149.62, 86.19, 63.43),
  "openai/ViT-L/14": (427.62, 303.97, 123.65),
  "openai/ViT-L/14@336px": (427.94, 304.29, 123.65),
  "openai/RN50": (102.01, 38.32, 63.69),
  "openai/RN101": (119.69, 56.26, 63.43),
  "openai/RN50x4": (178.3, 87.14, 91.16),
  "openai/RN50x16": (290.98, 167.33, 123.65),
  "openai/RN50x64": (623.26, 420.38, 202.88),
  "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": (986.11, 632.08, 354.03),
  "laion/CLIP-ViT-g-14-laion2B-s34B-b88K": (1366.68, 1012.65, 354.03),
  "apple/DFN5B-CLIP-ViT-H-14-378": (986.71, 632.68, 354.03),
  "google/siglip-base-patch16-224": (203.16, 92.88, 110.27),
  "google/siglip-base-patch16-256": (203.2, 92.93, 110.27),
  "google/siglip-base-patch16-384": (203.45, 93.18, 110.27),
  "google/siglip-base-patch16-512": (203.79, 93.52, 110.27),
  "google/siglip-large-patch16-256": (652.15, 315.96, 336.19),
  "google/siglip-large-patch16-384": (652.48, 316.28, 336.19),
  "google/siglip-so400m-patch14-224": (877.36, 427.68, 449.68),
  "google/siglip-so400m-patch14-384": (877.96, 428.23, 449.73),
}


def test_the_promised_names_are_there():
  assert not set(PROMISED) - ZOO.keys()
  assert not ZOO.keys() & MODELS.keys()
  assert "s3_jax/pictographs" in MODELS


@pytest.mark.parametrize("name", ZOO)
def test_a_row_agrees_with_itself(name):
  spec = ZOO[name]
  assert spec.name == name and hash(spec)
  check_spec(spec)
  assert spec.crop_size == spec.image_size == spec.resize_size
  assert spec.text_cleaning in CLEANINGS
  assert 0 <= spec.pad_token_id < spec.vocab_size
  assert spec.end_token_id < spec.vocab_size
  assert (spec.start_token_id is None) == (spec.tokenizer == "sentencepiece")
  assert spec.text_mlp_dim in (4 * spec.text_width, 4304)


@pytest.mark.parametrize("name", ZOO)
def test_a_row_says_where_it_comes_from(name):
  source = ZOO[name].source
  assert re.fullmatch(r"https://\S+", source.reference)
  assert source.revision is None or re.fullmatch(
    "[0-9a-f]{40}", source.revision
  )
  if source.repository:
    assert source.repository == name
    assert re.fullmatch(r"[a-z_]+\.(safetensors|bin)", source.file)
    assert source.sha256 is None
  else:
    # OpenAI's addresses hold the sha256 of what lies there.
    assert re.fullmatch("[0-9a-f]{64}", source.sha256 or "")
    assert f"/{source.sha256}/" in source.file
    assert source.file.endswith(".pt")


def test_every_bare_file_is_another():
  digests = [spec.source.sha256 for spec in ZOO.values() if spec.source.sha256]
  assert len(set(digests)) == len(digests) == len(OPENAI) + len(RESNETS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_were_published(name):
  counts = count_parameters(ZOO[name])
  total, image, text = PUBLISHED[name]
  assert counts["total"] / 1e6 == pytest.approx(total, abs=0.006)
  assert counts["image"] / 1e6 == pytest.approx(image, abs=0.006)
  assert counts["text"] / 1e6 == pytest.approx(text, abs=0.006)


@pytest.mark.parametrize(
  ("name", "total"),
  [
    # OpenAI's notebook prints it.
    ("openai/ViT-B/32", 151_277_313),
    # What the Hugging Face pages of the others show.
    ("openai/clip-vit-base-patch16", 149_620_737),
    ("google/siglip-base-patch16-224", 203_155_970),
    ("google/siglip2-base-patch16-224", 375_187_970),
    ("google/siglip2-so400m-patch14-384", 1_136_008_498),
  ],
)
def test_exact_counts(name, total):
  assert count_parameters(ZOO[name])["total"] == total


def same_but_for(one: ModelSpec, other: ModelSpec) -> set[str]:
  fields = one._asdict().keys() - {"name", "source"}
  return {name for name in fields if getattr(one, name) != getattr(other, name)}


def test_two_forms_of_one_checkpoint_differ_outside_the_towers_only():
  hub = ("base-patch32", "base-patch16", "large-patch14", "large-patch14-336")
  for name, bare in zip(hub, OPENAI, strict=True):
    one, other = ZOO[f"openai/clip-vit-{name}"], ZOO[f"openai/{bare}"]
    assert same_but_for(one, other) == {"school", "pad_token_id"}
    assert one.pad_token_id == one.end_token_id == 49407
    assert other.pad_token_id == 0


def test_activations_go_with_who_trained():
  """The mistake that put wrong numbers into papers."""
  for name, spec in ZOO.items():
    quick = name.startswith(("openai/", "facebook/", "apple/"))
    if name.startswith("google/"):
      expected = "gelu_tanh"
    elif quick and name != "apple/DFN2B-CLIP-ViT-L-14-39B":
      expected = "quick_gelu"
    else:
      expected = "gelu"
    assert spec.activation == expected, name


def test_settings_that_are_easily_missed():
  squashed = {n for n, spec in ZOO.items() if spec.resize_mode == "squash"}
  assert {n for n in squashed if not n.startswith("google/")} == {
    "apple/DFN5B-CLIP-ViT-H-14",
    "apple/DFN5B-CLIP-ViT-H-14-378",
  }
  halves = {n for n, spec in ZOO.items() if spec.image_mean == (0.5,) * 3}
  assert {n for n in halves if not n.startswith("google/")} == {
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
  }
  assert ZOO["google/siglip-so400m-patch14-224"].context_length == 16
  assert ZOO["google/siglip2-so400m-patch14-224"].context_length == 64
  one, two = (
    ZOO[f"google/{n}-base-patch16-224"] for n in ("siglip", "siglip2")
  )
  assert same_but_for(one, two) == {
    "vocab_size",
    "pad_token_id",
    "text_cleaning",
    "interpolation",
  }


def test_rows_against_the_defaults_of_transformers():
  """Its CLIP defaults are ViT-B/32, its SigLIP defaults B/16 at 224."""
  import transformers

  clip, siglip = transformers.CLIPConfig(), transformers.SiglipConfig()
  for config, name in (
    (clip, "openai/clip-vit-base-patch32"),
    (siglip, "google/siglip-base-patch16-224"),
  ):
    spec, text, vision = ZOO[name], config.text_config, config.vision_config
    activation = {"gelu_pytorch_tanh": "gelu_tanh"}
    assert spec.text_width == text.hidden_size
    assert spec.text_layers == text.num_hidden_layers
    assert spec.text_heads == text.num_attention_heads
    assert spec.text_mlp_dim == text.intermediate_size
    assert spec.vocab_size == text.vocab_size
    assert spec.context_length == text.max_position_embeddings
    assert spec.image_width == vision.hidden_size
    assert spec.image_layers == vision.num_hidden_layers
    assert spec.image_heads == vision.num_attention_heads
    assert spec.image_mlp_dim == vision.intermediate_size
    assert spec.image_size == vision.image_size
    for tower in (text, vision):
      known = activation.get(tower.hidden_act, tower.hidden_act)
      assert spec.activation == known
      assert spec.layer_norm_eps == tower.layer_norm_eps
  assert ZOO["openai/clip-vit-base-patch32"].embed_dim == clip.projection_dim


def test_pixel_settings_against_the_defaults_of_transformers():
  import transformers

  clip = transformers.CLIPImageProcessorPil()
  spec = ZOO["openai/clip-vit-base-patch32"]
  assert list(spec.image_mean) == list(clip.image_mean)
  assert list(spec.image_std) == list(clip.image_std)
  siglip = transformers.SiglipImageProcessorPil()
  spec = ZOO["google/siglip-base-patch16-224"]
  assert list(spec.image_mean) == list(siglip.image_mean)
  assert list(spec.image_std) == list(siglip.image_std)
  assert siglip.resample.name.lower() == spec.interpolation == "bicubic"
