"""Loading bare weights files of every form, and what is refused."""

import gzip
import shutil

import flax.serialization
import flax.traverse_util
import jax
import numpy as np
import PIL.Image
import pytest
import safetensors.numpy

from s3_jax.clip import ZOO, load_clip
from s3_jax.clip.layouts import from_params
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


def nested(arrays):
  return flax.traverse_util.unflatten_dict(arrays, sep="/")


@pytest.fixture
def bpe_file(bpe, tmp_path):
  path = tmp_path / "vocabulary" / "bpe.json"
  path.parent.mkdir()
  bpe.save(str(path))
  return path


def torchscript(arrays, path):
  """Saves arrays as the parameters of a scripted module, as OpenAI did."""
  import torch

  class Holder(torch.nn.Module):
    """A module of parameters and modules."""

    def forward(self, x):
      return x

  root = Holder()
  for name, value in arrays.items():
    *above, leaf = name.split(".")
    module = root
    for word in above:
      if word not in dict(module.named_children()):
        module.add_module(word, Holder())
      module = getattr(module, word)
    tensor = torch.tensor(value)
    if value.dtype.kind == "f":
      module.register_parameter(leaf, torch.nn.Parameter(tensor))
    else:
      module.register_buffer(leaf, tensor)
  torch.jit.save(torch.jit.script(root.eval()), str(path))


def torch_bin(arrays, path):
  import torch

  state = {name: torch.tensor(value) for name, value in arrays.items()}
  torch.save(state, path)


def npy(arrays, path):
  np.save(path, arrays, allow_pickle=True)


def npz(arrays, path):
  np.savez(path, **arrays)


def msgpack(arrays, path):
  path.write_bytes(flax.serialization.msgpack_serialize(nested(arrays)))


def train_state(arrays, path):
  tree = nested(arrays)
  state = {
    "params": tree["params"],
    "model_state": {"batch_stats": tree.get("batch_stats", {})},
    "opt_state": {"0": tree["params"]},
    "global_step": 7,
  }
  path.write_bytes(flax.serialization.msgpack_serialize(state))


FORMS = {
  "OpenAI": ("open_clip", "ViT.pt", torchscript, ("clip", "resnet")),
  "torch": ("open_clip", "x.bin", torch_bin, ("clip", "resnet", "siglip")),
  "hub": ("hugging_face", "x.bin", torch_bin, ("clip", "siglip")),
  "safe": (
    "open_clip",
    "x.safetensors",
    safetensors.numpy.save_file,
    ("clip", "resnet", "siglip"),
  ),
  "Scenic": ("open_clip", "vit_b32.npy", npy, ("clip", "resnet")),
  "Flax": ("scenic", "x.msgpack", msgpack, ("clip", "resnet")),
  "training": ("scenic", "checkpoint_7", train_state, ("clip", "resnet")),
  "big_vision": ("big_vision", "x.npz", npz, ("siglip",)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
  ("form", "family"),
  [(form, family) for form in FORMS for family in FORMS[form][3]],
)
def test_bare_files_of_every_form(
  tmp_path, tiny, tiny_params, bpe_file, pieces, form, family
):
  layout, name, write, _ = FORMS[form]
  spec, params = tiny[family], tiny_params[family]
  arrays = {
    name: value.astype("f2" if value.size > 1 else "f4")
    for name, value in from_params(params, spec, layout).items()
  }
  if form == "OpenAI":
    arrays["input_resolution"] = np.asarray(spec.image_size)
    arrays["context_length"] = np.asarray(spec.context_length)
    arrays["vocab_size"] = np.asarray(spec.vocab_size)
  path = tmp_path / name
  write(arrays, path)
  tokenizer = pieces if family == "siglip" else bpe_file
  clip = load_clip(path, spec=spec, tokenizer=tokenizer)
  assert clip.spec == spec
  assert clip.revision is None
  assert_equal(clip.params, params)
  assert {leaf.dtype.name for leaf in jax.tree.leaves(clip.params)} == {
    "float32"
  }
  assert clip.tokenize(TEXTS).shape == (3, spec.context_length)
  assert clip.preprocess(image()).shape == (spec.crop_size, spec.crop_size, 3)


def test_parameters_do_not_hang_on_the_file(
  tmp_path, tiny, tiny_params, bpe_file
):
  spec, params = tiny["clip"], tiny_params["clip"]
  path = tmp_path / "x.safetensors"
  arrays = from_params(params, spec, "open_clip")
  safetensors.numpy.save_file(arrays, path)
  clip = load_clip(path, spec=spec, tokenizer=bpe_file)
  with open(path, "r+b") as file:
    file.write(bytes(path.stat().st_size))
  assert_equal(clip.params, params)


@pytest.fixture
def bare(tmp_path, tiny, tiny_params):
  path = tmp_path / "x.safetensors"
  arrays = from_params(tiny_params["clip"], tiny["clip"], "open_clip")
  safetensors.numpy.save_file(arrays, path)
  return path


@pytest.fixture
def in_zoo(monkeypatch, tiny):
  """Puts a row into the zoo, where load_clip looks its names up."""

  def put(name, **fields):
    row = tiny["clip"]._replace(name=name, **fields)
    monkeypatch.setitem(ZOO, name, row)
    return row

  return put


def test_a_bare_file_needs_settings(bare, in_zoo):
  message = one_line_error(bare)
  assert "`spec` must be given" in message
  assert "no name of the zoo: give a ModelSpec" in message
  in_zoo("tiny/clip")
  in_zoo("tiny/clip-gelu", activation="gelu")
  in_zoo("tiny/deeper", text_layers=3)
  in_zoo("tiny/larger", image_size=24)
  message = one_line_error(bare)
  assert "those of tiny/clip, tiny/clip-gelu." in message
  assert "`spec` must be a ModelSpec or one of" in one_line_error(
    bare, spec="x"
  )


def test_a_name_of_the_zoo_is_settings(bare, in_zoo, bpe_file):
  row = in_zoo("tiny/clip-gelu", activation="gelu")
  clip = load_clip(bare, spec="tiny/clip-gelu", tokenizer=bpe_file)
  assert clip.spec == row


def test_a_known_file_needs_no_settings(bare, in_zoo, bpe_file):
  sha256 = load_clip(bare, spec=in_zoo("tiny/x"), tokenizer=bpe_file).sha256
  row = in_zoo("tiny/clip", source=Source(sha256=sha256))
  assert load_clip(bare, tokenizer=bpe_file).spec == row
  # Other settings for a known file name both sides; another school is a choice.
  school = row._replace(school="transformers", pad_token_id=3)
  assert load_clip(bare, spec=school, tokenizer=bpe_file).spec == school
  other = row._replace(activation="gelu")
  message = one_line_error(bare, spec=other, tokenizer=bpe_file)
  assert "tiny/clip, got activation='gelu' for 'quick_gelu';" in message


def test_settings_that_do_not_fit_the_file(bare, tiny, bpe_file):
  spec = tiny["clip"]._replace(text_layers=1)
  message = one_line_error(bare, spec=spec, tokenizer=bpe_file)
  assert f"{bare} must hold the parameters of tiny clip" in message
  assert "left over: transformer.resblocks.1." in message


def test_a_bare_file_needs_a_tokenizer(bare, tiny, bpe_file, reference):
  spec = tiny["clip"]
  message = one_line_error(bare, spec=spec)
  assert "`tokenizer` must be given" in message
  assert "tokenizer.json or bpe_simple_vocab_16e6.txt.gz" in message
  shutil.copy(bpe_file, bare.parent / "tokenizer.json")
  assert load_clip(bare, spec=spec).tokenize(TEXTS).shape == (3, 12)
  # OpenAI's list of merges is of another vocabulary than this checkpoint.
  merges = reference / "clip_bpe_vocab_16e6.txt.gz"
  message = one_line_error(bare, spec=spec, tokenizer=merges)
  assert f"vocabulary of size {spec.vocab_size}, got 49408" in message


def test_a_tokenizer_that_is_broken(bare, tiny, tmp_path):
  path = tmp_path / "merges.txt.gz"
  path.write_bytes(gzip.compress(b"version\na b\n"))
  assert str(path) in one_line_error(bare, spec=tiny["clip"], tokenizer=path)


def test_values_that_are_not_finite(bare, tiny, bpe_file):
  arrays = safetensors.numpy.load_file(bare)
  arrays["visual.proj"][0, 0] = np.nan
  safetensors.numpy.save_file(arrays, bare)
  message = one_line_error(bare, spec=tiny["clip"], tokenizer=bpe_file)
  assert f"{bare}" in message
  assert "not finite: visual.proj" in message
