"""Checkpoints as other programs leave them, which must be read as they are."""

import argparse
import json
import shutil
import zipfile

import jax
import numpy as np
import pytest

from s3_jax.clip import embed_texts, load_clip, save_clip
from s3_jax.clip.agreement import require_agreement
from s3_jax.clip.layouts import from_params
from s3_jax.clip.readers import read_arrays
from s3_jax.clip.zoo import identify

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"


def one_line_error(*args, **options) -> str:
  with pytest.raises(ValueError) as caught:
    load_clip(*args, **options)
  message = str(caught.value)
  assert message.isprintable()
  return message


@pytest.fixture
def folder(tmp_path, tiny, tiny_params, bpe):
  """A checkpoint in the Hugging Face layout."""
  path = tmp_path / "model"
  spec = tiny["clip"]._replace(school="transformers", pad_token_id=599)
  spec = spec._replace(pad_token_id=spec.end_token_id)
  save_clip(path, spec, tiny_params["clip"], bpe)
  return path


def settings(folder):
  return load_clip(folder).spec


def test_the_processor_config_of_transformers_5(folder):
  """Saved by the library itself; it leaves out preprocessor_config.json."""
  import transformers

  spec = settings(folder)
  processor = transformers.CLIPProcessor.from_pretrained(folder)
  (folder / PREPROCESSOR).unlink()
  (folder / "tokenizer.json").unlink()
  processor.save_pretrained(folder)
  assert not (folder / PREPROCESSOR).exists()
  assert settings(folder) == spec


def move_to_processor(folder, **changes):
  pixels = json.loads((folder / PREPROCESSOR).read_text()) | changes
  document = {"image_processor": pixels, "processor_class": "CLIPProcessor"}
  (folder / PROCESSOR).write_text(json.dumps(document))


def test_two_files_about_the_pixels_must_agree(folder):
  spec = settings(folder)
  (folder / PROCESSOR).write_text('{"processor_class": "CLIPProcessor"}')
  assert settings(folder) == spec  # as version 4 wrote it
  move_to_processor(folder)
  assert settings(folder) == spec
  move_to_processor(folder, image_mean=[0.1, 0.2, 0.3])
  message = one_line_error(folder)
  assert f"{folder / PROCESSOR} and {PREPROCESSOR} must say the same" in message
  (folder / PREPROCESSOR).unlink()
  assert settings(folder) == spec._replace(image_mean=(0.1, 0.2, 0.3))
  (folder / PROCESSOR).write_text('{"image_processor": {"size": 3}}')
  assert f"{folder / PROCESSOR}: image_processor." in one_line_error(folder)


def test_the_names_of_arguments_that_version_4_40_wrote(folder):
  spec = settings(folder)
  path = folder / PREPROCESSOR
  document = json.loads(path.read_text())
  document["_valid_processor_keys"] = ["images", "do_resize", "size"]
  path.write_text(json.dumps(document))
  assert settings(folder) == spec


def test_a_tokenizer_in_two_files(folder):
  clip = load_clip(folder)
  model = json.loads((folder / "tokenizer.json").read_text())["model"]
  (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
  lines = [" ".join(pair) for pair in model["merges"]]
  text = "#version: 0.2\n" + "\n".join(lines) + "\n"
  (folder / "merges.txt").write_text(text)
  (folder / "tokenizer.json").unlink()
  again = load_clip(folder)
  assert again.spec == clip.spec
  texts = ["a photo of an umbrella", "the king's teacup"]
  np.testing.assert_array_equal(again.tokenize(texts), clip.tokenize(texts))
  assert again.tokenizer_sha256 not in ("", clip.tokenizer_sha256)


# What training scripts put around the weights.


@pytest.fixture
def weights(tiny, tiny_params):
  import torch

  arrays = from_params(tiny_params["clip"], tiny["clip"], "open_clip")
  return {name: torch.tensor(value) for name, value in arrays.items()}


def renamed(state, prefix):
  return {f"{prefix}{name}": value for name, value in state.items()}


class Averages:
  """An object of a training script."""

  def __init__(self):
    self.decay = 0.999


def forms(state):
  import torch

  yield "numpy scalar", {"state_dict": state, "best": np.float64(0.5)}
  yield "numpy array", {"state_dict": state, "curve": np.arange(3.0)}
  yield "namespace", {"state_dict": state, "args": argparse.Namespace(lr=0.1)}
  yield "object", {"state_dict": state, "average": Averages()}
  yield "set and keys", {"state_dict": state, "done": {1, 2}, "t": {(0, 1): 2}}
  yield "tensor beside", {"state_dict": state, "rng": torch.get_rng_state()}
  yield "device", {"state_dict": state, "at": torch.device("cpu")}
  yield "model", {"model": state, "epoch": 3}
  yield "model and its name", {"state_dict": state, "model": "ViT-B-32"}
  yield "model and its config", {"state_dict": state, "model": {"width": 3}}
  yield "model_state_dict", {"model_state_dict": state, "optimizer": {}}
  yield "twice", {"model": {"state_dict": state}}
  yield "number among tensors", {**state, "epoch": 3, "best": np.float32(1)}
  yield "compiled", {"state_dict": renamed(state, "_orig_mod.")}
  yield "several processes", renamed(state, "module.")
  yield "compiled in several", renamed(state, "module._orig_mod.")
  yield "several compiled", renamed(state, "_orig_mod.module.")
  yield "inside a model", renamed(state, "model.")
  yield (
    "a compiled tower",
    {
      name.replace("visual.", "visual._orig_mod."): state[name]
      for name in state
    },
  )


FORMS = [name for name, _ in forms({})]


@pytest.mark.parametrize("form", FORMS)
def test_weights_as_training_scripts_save_them(
  weights, tiny, tiny_params, bpe, tmp_path, form
):
  import torch

  torch.save(dict(forms(weights))[form], tmp_path / "weights.pt")
  bpe.save(str(tmp_path / "tokenizer.json"))
  clip = load_clip(tmp_path / "weights.pt", spec=tiny["clip"])
  jax.tree.map(np.testing.assert_array_equal, clip.params, tiny_params["clip"])


def test_weights_that_are_there_twice(weights, tmp_path, tiny, bpe):
  import torch

  path = tmp_path / "weights.pt"
  torch.save({"model": weights, "state_dict": weights}, path)
  assert "both state_dict and model" in one_line_error(path, spec=tiny["clip"])
  torch.save({**weights, **renamed(weights, "module.")}, path)
  bpe.save(str(tmp_path / "tokenizer.json"))
  assert "twice: module." in one_line_error(path, spec=tiny["clip"])


class Payload:
  """What would run a program where a file is unpickled."""

  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    import os

    return os.system, (f"touch {self.marker}",)


def test_a_payload_beside_the_weights_is_named_and_not_run(weights, tmp_path):
  import torch

  path, marker = tmp_path / "weights.pt", tmp_path / "executed"
  torch.save({"state_dict": weights, "args": Payload(marker)}, path)
  with pytest.raises(ValueError, match=r"posix\.system, which is not allowed"):
    read_arrays(path)
  assert not marker.exists()


def test_a_tensor_of_another_kind_is_named(tmp_path):
  import torch

  path = tmp_path / "weights.pt"
  sparse = torch.eye(3).to_sparse()
  torch.save({"a": torch.ones(2), "b": sparse}, path)
  with pytest.raises(ValueError, match="_rebuild_sparse_tensor for the tensor"):
    read_arrays(path)


def test_an_archive_of_nothing(tmp_path):
  path = tmp_path / "weights.pt"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("x/data.pkl", b"\x80\x02}X\1\0\0\0aK\1s.")
  with pytest.raises(ValueError, match="int for the tensor 'a'"):
    read_arrays(path)


# One activation a tower.


def test_each_tower_has_its_activation(tiny, tiny_params, pieces, tmp_path):
  from s3_jax.clip.tokenizer import load_tokenizer

  spec, params = tiny["siglip"], tiny_params["siglip"]
  mixed = spec._replace(activation="gelu", text_activation="gelu_tanh")
  ids = load_tokenizer(pieces, spec)(["an umbrella"])
  exact = spec._replace(activation="gelu")
  tanh = embed_texts(spec, params, ids)
  np.testing.assert_array_equal(embed_texts(mixed, params, ids), tanh)
  assert np.abs(embed_texts(exact, params, ids) - tanh).max() > 0
  tokenizer = load_tokenizer(pieces, spec).tokenizer
  save_clip(tmp_path / "mixed", mixed, params, tokenizer)
  again = load_clip(tmp_path / "mixed").spec
  assert again == mixed._replace(name="mixed")
  with pytest.raises(ValueError, match="text_activation='gelu_tanh' for None"):
    require_agreement(again, exact, where="x")
  same = exact._replace(text_activation="gelu")
  require_agreement(same, exact, where="x")


def test_a_new_setting_that_says_nothing_changes_no_key(tiny):
  spec = tiny["siglip"]
  assert "text_activation" not in identify(spec)
  mixed = spec._replace(text_activation="gelu")
  assert identify(mixed)["text_activation"] == "gelu"


def test_an_unknown_activation_is_refused(tiny, tiny_params):
  spec = tiny["clip"]._replace(text_activation="relu")
  with pytest.raises(ValueError, match="`text_activation` of tiny clip must"):
    embed_texts(spec, tiny_params["clip"], np.zeros((1, 12), np.int32))


# Files that git left behind.

POINTER = (
  "version https://git-lfs.github.com/spec/v1\n"
  f"oid sha256:{'0' * 64}\nsize 605247071\n"
)


@pytest.mark.parametrize(
  "name",
  [
    "model.safetensors",
    "tokenizer.json",
    "config.json",
    "preprocessor_config.json",
  ],
)
def test_a_pointer_of_git_lfs_is_called_so(folder, name):
  (folder / name).write_text(POINTER)
  message = one_line_error(folder)
  assert message == (
    f"{folder / name} must be the file itself, got a pointer of Git LFS to it;"
    " run `git lfs pull` in that clone, or download the file."
  )


@pytest.mark.parametrize("name", ["x.pt", "x.npz", "x.npy", "x.msgpack"])
def test_a_pointer_in_the_place_of_bare_weights(tmp_path, name, tiny):
  (tmp_path / name).write_text(POINTER)
  assert "git lfs pull" in one_line_error(tmp_path / name, spec=tiny["clip"])


def test_a_pointer_in_the_place_of_pieces_or_a_shard(folder, pieces, tmp_path):
  from s3_jax.clip.tokenizer import load_tokenizer

  shutil.copy(pieces, tmp_path / "spiece.model")
  (tmp_path / "spiece.model").write_text(POINTER)
  spec = settings(folder)._replace(tokenizer="sentencepiece")
  with pytest.raises(ValueError, match="git lfs pull"):
    load_tokenizer(tmp_path / "spiece.model", spec)
  (folder / "model.safetensors").rename(folder / "a.safetensors")
  (folder / "a.safetensors").write_text(POINTER)
  index = {"weight_map": {"logit_scale": "a.safetensors"}}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  assert "git lfs pull" in one_line_error(folder)
