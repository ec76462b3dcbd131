"""Our embeddings against those of `transformers`, from the same files.

These checkpoints are tiny; benchmarks/parity.py does it at full size.
"""

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

import s3_jax.clip
from s3_jax.clip.bpe import END
from s3_jax.clip.towers import image_tower, text_tower

TEXTS = (
  "an umbrella",
  "",
  "A Snowman's teacup & 19 red airplanes under the old king's sun " * 9,
  "日本の傘 ☂",
)
TOLERANCE = 1e-5


def pictures() -> list[PIL.Image.Image]:
  """Smooth and rough pictures, none of them square."""
  rng = np.random.default_rng(0)
  images = []
  for rows, cols in ((61, 40), (33, 150), (250, 243)):
    coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = PIL.Image.fromarray(coarse).resize((cols, rows))
    rough = rng.integers(0, 60, (rows, cols, 3), np.uint8)
    pixels = np.minimum(np.asarray(smooth) // 2 + rough, 255)
    images.append(PIL.Image.fromarray(pixels.astype(np.uint8)))
  return images


def reference_embeddings(folder, model, images, texts):
  import torch
  import transformers

  processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
  tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder)
  pixels = processor(images, return_tensors="pt")["pixel_values"]
  tokens = tokenizer(
    texts,
    padding="max_length",
    truncation=True,
    max_length=model.config.text_config.max_position_embeddings,
    return_tensors="pt",
  )
  with torch.no_grad():
    output = model(pixel_values=pixels, **tokens)
  return output.image_embeds.numpy(), output.text_embeds.numpy()


@pytest.mark.parametrize("name", ["patch_4", "patch_8"])
def test_parity_with_transformers(request, name):
  reference = request.getfixturevalue(name)
  images, texts = pictures(), list(TEXTS)
  expected_images, expected_texts = reference_embeddings(
    *reference, images, texts
  )
  clip = s3_jax.clip.load_clip(reference.folder)
  pixels = np.stack([clip.preprocess(image) for image in images])
  ours = s3_jax.clip.embed_images(clip.spec, clip.params, pixels)
  assert np.abs(ours - expected_images).max() <= TOLERANCE
  ours = s3_jax.clip.embed_texts(clip.spec, clip.params, clip.tokenize(texts))
  assert np.abs(ours - expected_texts).max() <= TOLERANCE
  # The comparison can fail: the texts and pictures are told apart.
  for expected in (expected_images, expected_texts):
    assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["patch_4", "patch_8"])
def test_parity_before_the_embeddings_are_made_unit_vectors(request, name):
  import torch

  folder, model = request.getfixturevalue(name)
  clip = s3_jax.clip.load_clip(folder)
  pixels = np.stack([clip.preprocess(image) for image in pictures()])
  images = s3_jax.clip.normalize_images(clip.spec, pixels)
  token_ids = clip.tokenize(TEXTS)
  with torch.no_grad():
    expected_images = model.get_image_features(
      pixel_values=torch.tensor(np.moveaxis(np.asarray(images), -1, 1))
    )
    expected_texts = model.get_text_features(input_ids=torch.tensor(token_ids))
  for tower, params, inputs, expected in (
    (image_tower, clip.params["image"], images, expected_images),
    (text_tower, clip.params["text"], jnp.asarray(token_ids), expected_texts),
  ):
    ours = jax.jit(tower(clip.spec).apply)({"params": params}, inputs)
    error = np.abs(ours - expected.pooler_output.numpy())
    assert error.max() <= TOLERANCE


def test_spec_is_read_from_the_folder(patch_4, bpe):
  spec = s3_jax.clip.load_clip(patch_4.folder).spec
  assert spec == s3_jax.clip.ModelSpec(
    name=patch_4.folder.name,
    image_size=20,
    patch_size=4,
    image_width=32,
    image_layers=3,
    image_heads=2,
    image_mlp_dim=48,
    text_width=24,
    text_layers=2,
    text_heads=3,
    text_mlp_dim=56,
    vocab_size=bpe.get_vocab_size(),
    context_length=12,
    embed_dim=16,
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.4, 0.3),
    image_std=(0.25, 0.3, 0.2),
    resize_size=20,
    crop_size=20,
    interpolation="bicubic",
    school="transformers",
    start_token_id=bpe.get_vocab_size() - 2,
    end_token_id=bpe.token_to_id(END),
    pad_token_id=bpe.token_to_id(END),
  )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["patch_4", "patch_8"])
def test_what_save_clip_writes_is_read_alike(
  request, tmp_path, bpe, name, dtype
):
  import transformers

  reference = request.getfixturevalue(name)
  clip = s3_jax.clip.load_clip(reference.folder)
  folder = tmp_path / reference.folder.name
  s3_jax.clip.save_clip(folder, clip.spec, clip.params, bpe, dtype=dtype)
  again = s3_jax.clip.load_clip(folder)
  assert again.spec == clip.spec
  model = transformers.CLIPModel.from_pretrained(folder).eval()
  images, texts = pictures(), list(TEXTS)
  expected_images, expected_texts = reference_embeddings(
    folder, model, images, texts
  )
  pixels = np.stack([again.preprocess(image) for image in images])
  ours = s3_jax.clip.embed_images(again.spec, again.params, pixels)
  assert np.abs(ours - expected_images).max() <= TOLERANCE
  ours = s3_jax.clip.embed_texts(
    again.spec, again.params, again.tokenize(texts)
  )
  assert np.abs(ours - expected_texts).max() <= TOLERANCE
  scale = reference.model.logit_scale.item()
  assert float(again.params["logit_scale"]) == scale
  same = s3_jax.clip.embed_texts(clip.spec, clip.params, clip.tokenize(texts))
  assert np.abs(ours - same).max() <= (0 if dtype == "float32" else 5e-3)
  assert len(again.sha256) == 64
  if dtype == "float16":
    assert again.sha256 != clip.sha256


def test_the_embedded_checkpoint_is_read_alike():
  import transformers

  name = "s3_jax/pictographs"
  folder = s3_jax.clip.MODELS[name]
  model = transformers.CLIPModel.from_pretrained(folder).eval()
  images, texts = pictures(), ["an umbrella", "A red aeroplane!", "x7 ☂"]
  expected_images, expected_texts = reference_embeddings(
    folder, model, images, texts
  )
  clip = s3_jax.clip.load_clip(name)
  assert clip.spec.name == name
  pixels = np.stack([clip.preprocess(image) for image in images])
  ours = s3_jax.clip.embed_images(clip.spec, clip.params, pixels)
  assert np.abs(ours - expected_images).max() <= TOLERANCE
  ours = s3_jax.clip.embed_texts(clip.spec, clip.params, clip.tokenize(texts))
  assert np.abs(ours - expected_texts).max() <= TOLERANCE
