"""Loading checkpoint folders in the layouts of Hugging Face and open_clip."""

import json
import shutil

import jax
import numpy as np
import PIL.Image
import pytest
import safetensors.numpy

from s3_jax.clip import ZOO, embed_images, embed_texts, load_clip
from s3_jax.clip.layouts import from_params
from s3_jax.clip.open_clip_files import open_clip_files
from s3_jax.clip.zoo import Source

TEXTS = ["an umbrella", "A Snowman's teacup, old!", ""]


def image():
  pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
  return PIL.Image.fromarray(pixels)


def one_line_error(*args, **options) -> str:
  with pytest.raises(ValueError) as caught:
    load_clip(*args, **options)
  message = str(caught.value)
  assert "\n" not in message
  return message


def assert_equal(ours, expected):
  jax.tree.map(np.testing.assert_array_equal, dict(ours), dict(expected))


def open_clip_folder(folder, spec, params, *, safe=True):
  """Writes a folder as open_clip does."""
  folder.mkdir(exist_ok=True)
  arrays = from_params(params, spec, "open_clip")
  if safe:
    path = folder / "open_clip_model.safetensors"
    safetensors.numpy.save_file(arrays, path)
  else:
    import torch

    state = {name: torch.tensor(value) for name, value in arrays.items()}
    torch.save(state, folder / "open_clip_pytorch_model.bin")
  document = json.loads(open_clip_files(spec)["open_clip_config.json"])
  del document["s3_jax"]
  (folder / "open_clip_config.json").write_text(json.dumps(document))
  return folder


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("family", ["clip", "resnet"])
def test_open_clip_folders(tmp_path, tiny, tiny_params, bpe, family, safe):
  spec, params = tiny[family], tiny_params[family]
  folder = open_clip_folder(tmp_path / "model", spec, params, safe=safe)
  bpe.save(str(folder / "tokenizer.json"))
  clip = load_clip(folder)
  assert clip.spec == spec._replace(name="model")
  assert_equal(clip.params, params)


def test_the_settings_of_open_clip(tmp_path, tiny, tiny_params, bpe):
  folder = open_clip_folder(
    tmp_path / "model", tiny["clip"], tiny_params["clip"]
  )
  bpe.save(str(folder / "tokenizer.json"))
  path = folder / "open_clip_config.json"
  document = json.loads(path.read_text())
  model, pixels = document["model_cfg"], document["preprocess_cfg"]
  del model["quick_gelu"]  # absent, as in most of its files: not quick
  pixels |= {"resize_mode": "squash", "interpolation": "bilinear"}
  path.write_text(json.dumps(document))
  spec = load_clip(folder).spec
  assert spec.activation == "gelu"
  assert (spec.resize_mode, spec.interpolation) == ("squash", "bilinear")


@pytest.mark.parametrize(
  ("section", "key", "value"),
  [
    ("model_cfg", "quick_gelu", 1),
    ("model_cfg", "embed_dim", 0),
    ("model_cfg", "multimodal_cfg", {"layers": 2}),
    ("vision_cfg", "layers", [1, 2, 3]),
    ("vision_cfg", "layers", "12"),
    ("vision_cfg", "head_width", 60),
    ("vision_cfg", "patch_size", 7),
    ("vision_cfg", "attentional_pool", True),
    ("vision_cfg", "ls_init_value", 0.1),
    ("vision_cfg", "no_ln_pre", True),
    ("vision_cfg", "pool_type", "avg"),
    ("vision_cfg", "timm_model_name", "convnext_base"),
    ("text_cfg", "hf_model_name", "xlm-roberta-base"),
    ("text_cfg", "no_causal_mask", True),
    ("text_cfg", "pool_type", "last"),
    ("text_cfg", "proj_bias", True),
    ("text_cfg", "heads", 5),
    ("text_cfg", "vocab_size", 49408),
    ("preprocess_cfg", "mean", [0.5]),
    ("preprocess_cfg", "std", [0.5, 0.5, 0]),
    ("preprocess_cfg", "interpolation", "nearest"),
    ("preprocess_cfg", "resize_mode", "longest"),
    ("preprocess_cfg", "mode", "L"),
    ("preprocess_cfg", "size", 32),
  ],
)
def test_open_clip_settings_that_are_not_supported(
  tmp_path, tiny, tiny_params, bpe, section, key, value
):
  folder = open_clip_folder(
    tmp_path / "model", tiny["clip"], tiny_params["clip"]
  )
  bpe.save(str(folder / "tokenizer.json"))
  path = folder / "open_clip_config.json"
  document = json.loads(path.read_text())
  parent = document
  if section in ("vision_cfg", "text_cfg"):
    parent = document["model_cfg"]
  parent[section][key] = value
  path.write_text(json.dumps(document))
  message = one_line_error(folder)
  assert str(path) in message
  # Heads divide a width, and either may be named.
  assert key in message or (key == "heads" and "width" in message)


def siglip_config(spec, *, trunk):
  """open_clip's words for a SigLIP, as its model_configs have them."""
  return {
    "model_cfg": {
      "embed_dim": spec.embed_dim,
      "init_logit_bias": -10,
      "custom_text": True,
      "vision_cfg": {
        "image_size": spec.image_size,
        "timm_model_name": trunk,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
      },
      "text_cfg": {
        "context_length": spec.context_length,
        "vocab_size": spec.vocab_size,
        "hf_tokenizer_name": "timm/x",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": spec.text_width,
        "heads": spec.text_heads,
        "layers": spec.text_layers,
        "mlp_ratio": spec.text_mlp_dim / spec.text_width,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
      },
    },
    "preprocess_cfg": {
      "mean": [0.5, 0.5, 0.5],
      "std": [0.5, 0.5, 0.5],
      "interpolation": "bicubic",
      "resize_mode": "squash",
    },
  }


def siglip_tokens(folder, pieces, **changes):
  shutil.copy(pieces, folder / "spiece.model")
  config = {
    "tokenizer_class": "SiglipTokenizer",
    "eos_token": "</s>",
    "pad_token": {"content": "</s>", "lstrip": True},
    **changes,
  }
  (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_the_settings_of_open_clip_siglip(tmp_path, pieces):
  """The words of a real file; only the vocabulary is smaller."""
  from s3_jax.clip.open_clip_config import read_open_clip_spec

  row = ZOO["google/siglip-so400m-patch14-384"]
  spec = row._replace(vocab_size=48)
  path = tmp_path / "open_clip_config.json"
  document = siglip_config(spec, trunk="vit_so400m_patch14_siglip_384")
  document["model_cfg"]["text_cfg"]["mlp_ratio"] = 3.7362
  path.write_text(json.dumps(document))
  siglip_tokens(tmp_path, pieces)
  read = read_open_clip_spec(tmp_path, tmp_path / "spiece.model", name=row.name)
  # open_clip computes the exact GELU where Google's network did not.
  assert read == spec._replace(
    activation="gelu", school="openai", source=Source()
  )
  # SigLIP 2's files say so of the text tower alone.
  document["model_cfg"]["text_cfg"]["act_kwargs"] = {"approximate": "tanh"}
  path.write_text(json.dumps(document))
  second = read_open_clip_spec(
    tmp_path, tmp_path / "spiece.model", name=row.name
  )
  assert second == read._replace(text_activation="gelu_tanh")
  document["model_cfg"]["text_cfg"]["act_kwargs"] = {"approximate": "erf"}
  path.write_text(json.dumps(document))
  with pytest.raises(ValueError, match="act_kwargs must be"):
    read_open_clip_spec(tmp_path, tmp_path / "spiece.model", name="x")


@pytest.fixture
def siglip_folder(tmp_path, tiny, pieces):
  """A folder that `transformers` wrote, and its model."""
  import torch
  import transformers

  transformers.utils.logging.disable_progress_bar()
  transformers.utils.logging.set_verbosity_error()
  torch.manual_seed(3)
  spec, folder = tiny["siglip"], tmp_path / "siglip"
  text = {
    "hidden_size": spec.text_width,
    "intermediate_size": spec.text_mlp_dim,
    "num_hidden_layers": spec.text_layers,
    "num_attention_heads": spec.text_heads,
    "vocab_size": spec.vocab_size,
    "max_position_embeddings": spec.context_length,
    "projection_size": spec.embed_dim,
  }
  vision = {
    "hidden_size": spec.image_width,
    "intermediate_size": spec.image_mlp_dim,
    "num_hidden_layers": spec.image_layers,
    "num_attention_heads": spec.image_heads,
    "image_size": spec.image_size,
    "patch_size": spec.patch_size,
  }
  config = transformers.SiglipConfig(text_config=text, vision_config=vision)
  model = transformers.SiglipModel(config).eval()
  with torch.no_grad():
    for value in model.parameters():
      value += 0.1 * torch.randn_like(value)
  model.save_pretrained(folder)
  size = {"height": spec.image_size, "width": spec.image_size}
  transformers.SiglipImageProcessorPil(
    size=size, image_mean=[0.5, 0.4, 0.3], image_std=[0.25, 0.3, 0.2]
  ).save_pretrained(folder)
  siglip_tokens(folder, pieces)
  return folder, model


def test_siglip_folders_are_read_as_transformers_reads_them(
  siglip_folder, tiny
):
  import torch
  import transformers

  folder, model = siglip_folder
  clip = load_clip(folder)
  assert clip.spec == tiny["siglip"]._replace(name="siglip")
  processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
  tokenizer = transformers.SiglipTokenizer(str(folder / "spiece.model"))
  tokens = tokenizer(
    TEXTS,
    padding="max_length",
    truncation=True,
    max_length=clip.spec.context_length,
    return_tensors="pt",
  )["input_ids"]
  ours = clip.tokenize(TEXTS)
  np.testing.assert_array_equal(ours, tokens.numpy())
  pixels = processor([image()], return_tensors="pt")["pixel_values"]
  with torch.no_grad():
    output = model(pixel_values=pixels, input_ids=tokens)
  embedded = embed_texts(clip.spec, clip.params, ours)
  assert np.abs(embedded - output.text_embeds.numpy()).max() <= 1e-5
  embedded = embed_images(
    clip.spec, clip.params, clip.preprocess(image())[None]
  )
  assert np.abs(embedded - output.image_embeds.numpy()).max() <= 1e-5
  bias, scale = clip.params["logit_bias"], clip.params["logit_scale"]
  assert float(bias) == model.logit_bias.item()
  assert float(scale) == model.logit_scale.item()


@pytest.mark.parametrize(
  ("name", "key", "value"),
  [
    ("config.json", "vision_use_head", False),
    ("config.json", "hidden_size", 24),
    ("preprocessor_config.json", "size", {"height": 20, "width": 24}),
    ("preprocessor_config.json", "size", {"shortest_edge": 20}),
    ("preprocessor_config.json", "do_center_crop", True),
    ("preprocessor_config.json", "resample", 0),
    ("tokenizer_config.json", "tokenizer_class", "BertTokenizer"),
    ("tokenizer_config.json", "do_lower_case", False),
    ("tokenizer_config.json", "eos_token", "<eos>"),
    ("tokenizer_config.json", "pad_token", None),
  ],
)
def test_siglip_settings_that_are_not_supported(
  siglip_folder, name, key, value
):
  folder, _ = siglip_folder
  document = json.loads((folder / name).read_text())
  parent = document["vision_config"] if name == "config.json" else document
  parent[key] = value
  (folder / name).write_text(json.dumps(document))
  message = one_line_error(folder)
  assert str(folder / name) in message
  # The text tower projects to the image tower's width, and is named for it.
  assert key in message or (key == "hidden_size" and "projection" in message)


def test_siglip_2_is_told_by_its_files(siglip_folder):
  folder, _ = siglip_folder
  for name, key, value in (
    ("preprocessor_config.json", "resample", 2),
    ("tokenizer_config.json", "tokenizer_class", "GemmaTokenizer"),
    ("tokenizer_config.json", "pad_token", "<pad>"),
  ):
    document = json.loads((folder / name).read_text())
    document[key] = value
    (folder / name).write_text(json.dumps(document))
  (folder / "spiece.model").rename(folder / "tokenizer.model")
  spec = load_clip(folder).spec
  assert (spec.interpolation, spec.text_cleaning) == ("bilinear", "lower")
  assert (spec.end_token_id, spec.pad_token_id) == (1, 0)


def test_a_folder_of_two_layouts(patch_4, tmp_path, tiny, tiny_params):
  folder = shutil.copytree(patch_4.folder, tmp_path / "both")
  open_clip_folder(folder, tiny["clip"], tiny_params["clip"])
  message = one_line_error(folder)
  files = [folder / "model.safetensors", folder / "open_clip_model.safetensors"]
  for path in files:
    assert str(path) in message
  first, second = map(load_clip, files)
  assert (first.spec.school, second.spec.school) == ("transformers", "openai")
  assert first.spec.image_width == 32
  assert second.spec.image_width == 64
  # With the weights of one layout alone there is nothing to choose.
  files[0].unlink()
  assert load_clip(folder).spec == second.spec


def test_sharded_folders(patch_4, tmp_path):
  folder = shutil.copytree(patch_4.folder, tmp_path / "sharded")
  whole = load_clip(folder)
  tensors = safetensors.numpy.load_file(folder / "model.safetensors")
  (folder / "model.safetensors").unlink()
  names = sorted(tensors)
  parts = names[:40], names[40:]
  weight_map = {}
  for number, part in enumerate(parts):
    shard = f"model-0000{number + 1}-of-00002.safetensors"
    safetensors.numpy.save_file({n: tensors[n] for n in part}, folder / shard)
    weight_map |= dict.fromkeys(part, shard)
  index = folder / "model.safetensors.index.json"
  index.write_text(json.dumps({"weight_map": weight_map}))
  clip = load_clip(folder)
  assert_equal(clip.params, whole.params)
  assert clip.sha256 != whole.sha256
  del weight_map["logit_scale"]
  index.write_text(json.dumps({"weight_map": weight_map}))
  assert "first 'logit_scale'" in one_line_error(folder)


def test_folders_without_a_file(tmp_path, tiny, tiny_params, bpe):
  folder = open_clip_folder(
    tmp_path / "model", tiny["clip"], tiny_params["clip"]
  )
  message = one_line_error(folder)
  assert f"{folder / 'tokenizer.json'} must be a readable file" in message
  bpe.save(str(folder / "tokenizer.json"))
  (folder / "open_clip_model.safetensors").unlink()
  message = one_line_error(folder)
  assert str(folder / "open_clip_model.safetensors") in message


def test_a_folder_must_have_the_settings_asked_for(patch_4, monkeypatch):
  settings = load_clip(patch_4.folder).spec
  row = settings._replace(name="tiny/clip")
  monkeypatch.setitem(ZOO, row.name, row)
  assert load_clip(patch_4.folder, spec="tiny/clip").spec == row
  other = row._replace(name="tiny/gelu", activation="gelu")
  message = one_line_error(patch_4.folder, spec=other)
  assert str(patch_4.folder / "config.json") in message
  assert "tiny/gelu, got activation='quick_gelu' for 'gelu';" in message


def test_a_revision_goes_with_the_hub(patch_4):
  message = one_line_error(patch_4.folder, revision="main")
  assert "`revision`" in message
