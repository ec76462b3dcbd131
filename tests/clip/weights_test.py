"""Reading and writing checkpoint folders: what is refused and how."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from s3_jax.clip import MODELS, load_clip, save_clip


@pytest.fixture
def folder(patch_4, tmp_path):
  """A copy of a good checkpoint, to break."""
  return shutil.copytree(patch_4.folder, tmp_path / "checkpoint")


def tensors_of(folder):
  return safetensors.numpy.load_file(folder / "model.safetensors")


def replace_tensors(folder, tensors):
  safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def one_line_error(folder) -> str:
  with pytest.raises(ValueError) as caught:
    load_clip(folder)
  message = str(caught.value)
  assert "\n" not in message
  return message


def edit(path, keys, value):
  """Sets (or, for None, drops) an inner entry of a JSON file."""
  document = json.loads(path.read_text())
  inner = document
  for key in keys[:-1]:
    inner = inner[key]
  inner[keys[-1]] = value
  if value is None:
    del inner[keys[-1]]
  path.write_text(json.dumps(document))


def test_every_wrong_tensor_is_named_at_once(folder):
  tensors = tensors_of(folder)
  del tensors["visual_projection.weight"]
  missing = "text_model.encoder.layers.1.mlp.fc2.bias"
  del tensors[missing]
  tensors["vision_model.encoder.layers.3.mlp.fc2.bias"] = np.zeros(32, "f4")
  shape = "text_model.embeddings.position_embedding.weight"
  tensors[shape] = tensors[shape][:7]
  tensors["text_projection.weight"][3, 2] = np.nan
  tensors["vision_model.post_layernorm.bias"][0] = np.inf
  replace_tensors(folder, tensors)
  message = one_line_error(folder)
  assert str(folder / "model.safetensors") in message
  for part in (
    f"missing: {missing}, visual_projection.weight",
    "left over: vision_model.encoder.layers.3.mlp.fc2.bias",
    f"mis-shaped: {shape} [7, 24] for [12, 24]",
    "not finite: text_projection.weight, vision_model.post_layernorm.bias",
  ):
    assert part in message


def test_transposed_square_kernels_would_be_noticed(folder, patch_4):
  # Square kernels have no shape to tell a transposition by: parity_test does.
  weight = tensors_of(folder)[
    "text_model.encoder.layers.0.self_attn.q_proj.weight"
  ]
  kernel = load_clip(folder).params["text"]["block_0"]["attention"]["query"]
  np.testing.assert_array_equal(kernel["kernel"], weight.T)


def test_old_index_buffers_are_skipped(folder):
  tensors = tensors_of(folder)
  tensors["text_model.embeddings.position_ids"] = np.arange(12)[None]
  tensors["vision_model.embeddings.position_ids"] = np.arange(26)[None]
  replace_tensors(folder, tensors)
  assert load_clip(folder).spec.context_length == 12


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_number_formats_become_float32(folder, patch_4, dtype):
  import torch

  state = {
    name: value.to(getattr(torch, dtype)).contiguous()
    for name, value in patch_4.model.state_dict().items()
  }
  safetensors.torch.save_file(state, folder / "model.safetensors")
  params = load_clip(folder).params
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("f4")}
  stored = state["text_projection.weight"].to(torch.float32).numpy()
  np.testing.assert_array_equal(
    params["text"]["projection"]["kernel"], stored.T
  )


@pytest.mark.parametrize("length", [0, 5, 400, -1])
def test_truncated_weights(folder, length):
  path = folder / "model.safetensors"
  path.write_bytes(path.read_bytes()[:length])
  message = one_line_error(folder)
  assert str(path) in message
  assert "whole safetensors file" in message


@pytest.mark.parametrize(
  "name",
  [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "model.safetensors",
  ],
)
def test_missing_and_broken_files(folder, name):
  (folder / name).write_bytes(b"{]")
  assert str(folder / name) in one_line_error(folder)
  (folder / name).unlink()
  message = one_line_error(folder)
  assert str(folder / name) in message
  assert "No such file" in message


def test_unknown_source_lists_the_names(tmp_path):
  message = one_line_error(tmp_path / "nowhere")
  assert "s3_jax/pictographs" in message
  assert "nowhere" in message


def test_zoo_folders_are_in_the_package():
  import s3_jax

  package = os.path.dirname(s3_jax.__file__)
  for folder in MODELS.values():
    assert str(folder).startswith(package + os.sep)


CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


@pytest.mark.parametrize(
  ("name", "keys", "value"),
  [
    (CONFIG, ["model_type"], "siglip2"),
    (CONFIG, ["model_type"], None),
    (CONFIG, ["quantization_config"], {"bits": 4}),
    (CONFIG, ["projection_dim"], 0),
    (CONFIG, ["text_config"], 3),
    (CONFIG, ["text_config", "hidden_act"], "gelu"),
    (CONFIG, ["vision_config", "hidden_act"], "gelu_new"),
    (CONFIG, ["vision_config", "layer_norm_eps"], 1e-6),
    (CONFIG, ["vision_config", "num_channels"], 1),
    (CONFIG, ["vision_config", "image_size"], [20, 24]),
    (CONFIG, ["vision_config", "image_size"], 21),
    (CONFIG, ["vision_config", "patch_size"], "4"),
    (CONFIG, ["vision_config", "num_attention_heads"], 5),
    (CONFIG, ["text_config", "num_attention_heads"], 7),
    (CONFIG, ["text_config", "num_hidden_layers"], 1.5),
    (CONFIG, ["text_config", "vocab_size"], 49408),
    (CONFIG, ["text_config", "eos_token_id"], 7),
    (PREPROCESSOR, ["do_resize"], False),
    (PREPROCESSOR, ["do_center_crop"], False),
    (PREPROCESSOR, ["do_normalize"], False),
    (PREPROCESSOR, ["do_pad"], True),
    (PREPROCESSOR, ["resample"], 2),
    (PREPROCESSOR, ["rescale_factor"], 1 / 127.5),
    (PREPROCESSOR, ["size"], {"height": 20, "width": 20}),
    (PREPROCESSOR, ["size"], 19),
    (PREPROCESSOR, ["size"], None),
    (PREPROCESSOR, ["crop_size"], {"height": 20, "width": 24}),
    (PREPROCESSOR, ["crop_size"], 16),
    (PREPROCESSOR, ["image_mean"], [0.5, 0.5]),
    (PREPROCESSOR, ["image_mean"], None),
    (PREPROCESSOR, ["image_std"], [0.5, 0.5, 0.0]),
  ],
)
def test_unsupported_settings_name_file_key_and_value(
  folder, name, keys, value
):
  edit(folder / name, keys, value)
  message = one_line_error(folder)
  assert str(folder / name) in message
  # Two towers that differ, or two sizes that do not fit: either may be named.
  partner = {"image_size": "patch_size", "num_attention_heads": "hidden_size"}
  key = keys[-1]
  if key in message:
    got = "nothing" if value is None else json.dumps(value)
    assert f"got {got}." in message or key == "hidden_act"
  else:
    assert partner[key] in message


def test_settings_of_old_files(folder):
  """Plain sizes, the config's second copy, and an end id of 2."""
  spec = load_clip(folder).spec
  edit(folder / PREPROCESSOR, ["size"], 20)
  edit(folder / PREPROCESSOR, ["crop_size"], 20)
  for key in ("do_rescale", "rescale_factor", "do_convert_rgb"):
    edit(folder / PREPROCESSOR, [key], None)
  config = json.loads((folder / CONFIG).read_text())
  config["text_config"]["eos_token_id"] = 2
  config["vision_config_dict"] = config.pop("vision_config")
  config["vision_config"] = {"hidden_size": 7}
  config["text_config_dict"] = None
  (folder / CONFIG).write_text(json.dumps(config))
  assert load_clip(folder).spec == spec


def test_settings_that_may_be_left_out(folder):
  """What is absent has the layout's own value, as in `transformers`."""
  edit(folder / CONFIG, ["text_config", "hidden_act"], None)
  edit(folder / CONFIG, ["vision_config", "hidden_act"], None)
  assert load_clip(folder).spec.activation == "quick_gelu"
  edit(folder / CONFIG, ["text_config", "num_hidden_layers"], None)
  assert "missing: text_model.encoder.layers.10" in one_line_error(folder)


def test_save_refuses_what_it_cannot_store(folder, bpe, tmp_path):
  clip = load_clip(folder)
  target = tmp_path / "target"
  with pytest.raises(ValueError, match="`dtype`.*'int8'"):
    save_clip(target, clip.spec, clip.params, bpe, dtype="int8")
  large = jax.tree.map(lambda leaf: leaf * 1e6, clip.params)
  with pytest.raises(ValueError, match="finite in float16"):
    save_clip(target, clip.spec, large, bpe)
  with pytest.raises(
    ValueError, match="as those of checkpoint have, got nothing"
  ):
    save_clip(target, clip.spec, {"image": clip.params["image"]}, bpe)
  other = clip.spec._replace(embed_dim=8)
  with pytest.raises(ValueError, match="shape .* at image/projection/kernel"):
    save_clip(target, other, clip.params, bpe)
  assert not target.exists()


def test_a_failed_write_leaves_the_old_files(
  folder, bpe, monkeypatch, tmp_path
):
  clip = load_clip(folder)
  target = tmp_path / "target"
  save_clip(target, clip.spec, clip.params, bpe)
  before = {path.name: path.read_bytes() for path in target.iterdir()}
  assert sorted(before) == [
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ]

  def fail(descriptor):
    raise OSError("disk full")

  monkeypatch.setattr(os, "fsync", fail)
  changed = jax.tree.map(lambda leaf: leaf + 1, clip.params)
  with pytest.raises(OSError, match="disk full"):
    save_clip(target, clip.spec, changed, bpe)
  assert before == {path.name: path.read_bytes() for path in target.iterdir()}
