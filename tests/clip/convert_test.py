"""Any checkpoint to one folder, which others read as well."""

import json
import runpy

import jax
import numpy as np
import PIL.Image
import pytest
import safetensors
import safetensors.numpy

from s3_jax import experiment
from s3_jax.clip import ZOO, embed_images, embed_texts, load_clip, save_clip
from s3_jax.clip.hf_files import hf_kind
from s3_jax.clip.layouts import from_params
from s3_jax.clip.open_clip_files import fits_open_clip
from s3_jax.files import file_sha256

TEXTS = ["an umbrella", "A Snowman's teacup, old!", ""]


@pytest.fixture
def source(tmp_path, tiny, tiny_params, bpe, pieces, monkeypatch):
  """Writes a bare file of a family and puts its settings into the zoo."""

  def write(family, **fields):
    spec = tiny[family]._replace(name=f"tiny/{family}", **fields)
    folder = tmp_path / "source"
    folder.mkdir()
    arrays = from_params(tiny_params[family], spec, "open_clip")
    safetensors.numpy.save_file(arrays, folder / "x.safetensors")
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "spiece.model").write_bytes(pieces.read_bytes())
    monkeypatch.setitem(ZOO, spec.name, spec)
    return spec, str(folder / "x.safetensors")

  return write


@pytest.fixture
def convert(repository, tmp_path):
  """Runs the config as main.py would."""

  def run(**changes):
    path = repository / "configs" / "convert.py"
    config = runpy.run_path(str(path))["get_config"]().unlock()
    for name, value in changes.items():
      config[name] = value
    workdir = tmp_path / "workdir"
    experiment.run(config, str(workdir))
    return json.loads((workdir / "conversion.json").read_text())

  return run


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("family", ["clip", "resnet", "siglip"])
def test_what_is_written_is_what_was_read(
  source, convert, tmp_path, tiny_params, family, dtype
):
  """The parameters are exact in float16, so the round trip is in both."""
  spec, path = source(family)
  to = tmp_path / "new" / "folder"
  written = convert(source=path, model_spec=spec.name, to=str(to), dtype=dtype)
  clip = load_clip(to)
  assert clip.spec == spec._replace(name="folder")
  jax.tree.map(np.testing.assert_array_equal, clip.params, tiny_params[family])
  before = load_clip(path, spec=spec)
  np.testing.assert_array_equal(clip.tokenize(TEXTS), before.tokenize(TEXTS))
  weights = {
    "resnet": "open_clip_model.safetensors",
    "clip": "model.safetensors",
    "siglip": "model.safetensors",
  }[family]
  assert written["files"] == {
    path.name: file_sha256(path) for path in to.iterdir()
  }
  assert clip.sha256 == written["files"][weights]
  assert written["model"]["sha256"] == before.sha256
  with safetensors.safe_open(to / weights, framework="numpy") as file:
    notes = file.metadata()
    kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
  assert notes == {
    "format": "pt",
    "source_name": spec.name,
    "source_sha256": before.sha256,
  }
  assert kinds == ({"F32"} if dtype == "float32" else {"F16", "F32"})
  assert [child.name for child in to.parent.iterdir()] == ["folder"]


def test_bfloat16_is_stored_and_read(source, convert, tmp_path, tiny_params):
  spec, path = source("clip")
  to = str(tmp_path / "to")
  convert(source=path, model_spec=spec.name, to=to, dtype="bfloat16")
  clip = load_clip(to)
  rounded = jax.tree.map(
    lambda leaf: (
      leaf.astype("bfloat16").astype("float32") if leaf.ndim else leaf
    ),
    tiny_params["clip"],
  )
  jax.tree.map(np.testing.assert_array_equal, clip.params, rounded)


def picture():
  pixels = np.random.default_rng(1).integers(0, 256, (37, 61, 3), np.uint8)
  return PIL.Image.fromarray(pixels)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_transformers_reads_what_is_written(source, convert, tmp_path, family):
  import torch
  import transformers

  transformers.utils.logging.disable_progress_bar()
  transformers.utils.logging.set_verbosity_error()
  spec, path = source(family, school="transformers")
  if family == "clip":
    spec = spec._replace(pad_token_id=spec.end_token_id)
    ZOO[spec.name] = spec
  to = tmp_path / "to"
  convert(source=path, model_spec=spec.name, to=str(to))
  clip = load_clip(to)
  model, processor, tokenizer = {
    "clip": ("CLIPModel", "CLIPImageProcessorPil", "CLIPTokenizerFast"),
    "siglip": ("SiglipModel", "SiglipImageProcessorPil", "SiglipTokenizer"),
  }[family]
  model = getattr(transformers, model).from_pretrained(to).eval()
  processor = getattr(transformers, processor).from_pretrained(to)
  tokenizer = getattr(transformers, tokenizer).from_pretrained(to)
  tokens = tokenizer(
    TEXTS,
    padding="max_length",
    truncation=True,
    max_length=spec.context_length,
    return_tensors="pt",
  )["input_ids"]
  np.testing.assert_array_equal(clip.tokenize(TEXTS), tokens.numpy())
  pixels = processor([picture()], return_tensors="pt")["pixel_values"]
  with torch.no_grad():
    output = model(pixel_values=pixels, input_ids=tokens)
  ours = embed_texts(clip.spec, clip.params, tokens.numpy().astype("i4"))
  assert np.abs(ours - output.text_embeds.numpy()).max() <= 1e-5
  image = clip.preprocess(picture())[None]
  ours = embed_images(clip.spec, clip.params, image)
  assert np.abs(ours - output.image_embeds.numpy()).max() <= 1e-5


def test_a_folder_in_use_is_left_alone(source, convert, tmp_path):
  spec, path = source("clip")
  (tmp_path / "to").mkdir()
  convert(source=path, model_spec=spec.name, to=str(tmp_path / "to"))
  before = sorted(file.name for file in (tmp_path / "to").iterdir())
  with pytest.raises(ValueError, match="`config.to` must be a new or empty"):
    convert(source=path, model_spec=spec.name, to=str(tmp_path / "to"))
  with pytest.raises(ValueError, match="`config.to` must be a new or empty"):
    convert(source=path, model_spec=spec.name, to=path)
  assert sorted(file.name for file in (tmp_path / "to").iterdir()) == before


def test_a_failed_conversion_leaves_nothing(
  source, convert, tmp_path, monkeypatch
):
  spec, path = source("clip")

  def fail(*args, **options):
    raise OSError("disk full")

  monkeypatch.setattr(safetensors.numpy, "save_file", fail)
  with pytest.raises(OSError, match="disk full"):
    convert(source=path, model_spec=spec.name, to=str(tmp_path / "new" / "to"))
  assert not list((tmp_path / "new").iterdir())


def test_settings_without_words_are_refused(
  source, convert, tmp_path, tiny, tiny_params, bpe
):
  odd = tiny["clip"]._replace(image_pooling="mean", text_cleaning="none")
  with pytest.raises(ValueError, match="has words for"):
    save_clip(tmp_path / "to", odd, tiny_params["clip"], bpe)
  spec, path = source("clip", text_cleaning="none")
  with pytest.raises(ValueError, match="has words for"):
    convert(source=path, model_spec=spec.name, to=str(tmp_path / "to"))
  assert not (tmp_path / "to").exists()


def test_every_row_of_the_zoo_can_be_written():
  for name, spec in ZOO.items():
    assert hf_kind(spec) is not None or fits_open_clip(spec), name


def test_settings_of_the_zoo_survive_the_layouts(tmp_path, bpe, pieces):
  """All but the vocabulary's size, which the files here do not have."""
  from s3_jax.clip.hf_config import read_spec
  from s3_jax.clip.hf_files import hf_files
  from s3_jax.clip.open_clip_config import read_open_clip_spec
  from s3_jax.clip.open_clip_files import open_clip_files
  from s3_jax.clip.sentencepiece import read_sentencepiece

  vocabulary = tmp_path / "tokenizer.json"
  bpe.save(str(vocabulary))
  size = bpe.get_vocab_size()
  for spec in ZOO.values():
    pieced = spec.tokenizer == "sentencepiece"
    spec = spec._replace(vocab_size=48, source=ZOO["openai/RN50"].source)
    if not pieced:
      padded = spec.pad_token_id == spec.end_token_id
      spec = spec._replace(
        vocab_size=size,
        start_token_id=size - 2,
        end_token_id=size - 1,
        pad_token_id=size - 1 if padded else 0,
      )
    layouts = []
    if hf_kind(spec):
      tokenizer = read_sentencepiece(pieces) if pieced else bpe
      layouts.append((hf_files(spec, tokenizer), read_spec))
    if fits_open_clip(spec):
      layouts.append((open_clip_files(spec), read_open_clip_spec))
    assert layouts
    for files, read in layouts:
      for name, content in files.items():
        (tmp_path / name).write_bytes(content)
      file = pieces if pieced else vocabulary
      again = read(tmp_path, file, name=spec.name)
      assert again._replace(source=spec.source) == spec
