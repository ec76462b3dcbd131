"""Where the files of a checkpoint are: fetched, in a folder, or bare."""

import os
import pathlib
from typing import NamedTuple

from s3_jax.clip.bpe_files import VOCAB
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.documents import shown
from s3_jax.clip.hf_config import (
  CONFIG,
  PREPROCESSOR,
  TOKENIZER_CONFIG,
  read_spec,
  tokenizer_kind,
)
from s3_jax.clip.hub import commit_of, download, fetch_file
from s3_jax.clip.open_clip_config import (
  OPEN_CLIP_CONFIG,
  open_clip_tokenizer_kind,
  read_open_clip_spec,
)
from s3_jax.clip.zoo import MODELS, ModelSpec
from s3_jax.files import default_cache_dir
from s3_jax.messages import nearest

HUGGING_FACE, OPEN_CLIP = "hugging_face", "open_clip"

# Weights of a folder, the first one that is there.
_WEIGHTS = {
  HUGGING_FACE: (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
  ),
  OPEN_CLIP: (
    "open_clip_model.safetensors",
    "open_clip_model.safetensors.index.json",
    "open_clip_pytorch_model.bin",
  ),
}
_CONFIGS = {HUGGING_FACE: CONFIG, OPEN_CLIP: OPEN_CLIP_CONFIG}
# OpenAI's list of merges, which its bare files need.
_MERGES = "bpe_simple_vocab_16e6.txt.gz"
_MERGES_ADDRESS = f"https://openaipublic.azureedge.net/clip/{_MERGES}"
MERGES_SHA256 = (
  "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
)
# Names of the tokenizer's file beside the weights, the first that is there.
VOCABULARIES = {
  "bpe": ("tokenizer.json", _MERGES, VOCAB),
  "sentencepiece": ("spiece.model", "tokenizer.model", "tokenizer.json"),
}


class Location(NamedTuple):
  """The files of one checkpoint.

  Attributes:
    weights: the file, or the index of several.
    layout: `HUGGING_FACE` or `OPEN_CLIP` where the settings lie beside the
      weights, None for a bare file.
    name: what to call the checkpoint.
    row: of the zoo, where it is known by its name.
    commit: of the hub, where it comes from there.
    vocabulary: the tokenizer's file, where it is not beside the weights.
  """

  weights: pathlib.Path
  layout: str | None
  name: str
  row: ModelSpec | None = None
  commit: str | None = None
  vocabulary: pathlib.Path | None = None

  @property
  def config(self) -> pathlib.Path:
    """The file of the settings; the weights where they are bare."""
    if self.layout is None:
      return self.weights
    return self.weights.parent / _CONFIGS[self.layout]


def find_location(
  source: str | os.PathLike[str],
  *,
  cache_dir: pathlib.Path | None = None,
  revision: str | None = None,
  fetch_vocabulary: bool = True,
) -> Location:
  """Finds a checkpoint, fetching what is not on this machine."""
  word = os.fspath(source)
  row = ZOO.get(word)
  if row is not None and row.source.repository:
    return _from_hub(row, cache_dir, revision, fetch_vocabulary)
  if revision is not None:
    raise ValueError(
      "`revision` must be left out unless `source` is a name of the hub, got"
      f" {revision!r} with {word!r}."
    )
  if row is not None:
    return _from_address(row, cache_dir, fetch_vocabulary)
  if word in MODELS:
    return _in_folder(MODELS[word], word)
  path = pathlib.Path(source)
  if path.is_dir():
    return _in_folder(path, path.resolve().name)
  if path.is_file():
    return _at_file(path)
  # The end of a path says more than its beginning.
  tail = word if len(word) <= 60 else f"…{word[-58:]}"
  raise ValueError(
    "`source` must be a folder in the Hugging Face or open_clip layout, a"
    f" weights file, or one of {nearest([*MODELS, *ZOO], word)}; got"
    f" {shown(tail)}."
  )


def find_vocabulary(location: Location) -> pathlib.Path:
  """Finds the tokenizer's file of a checkpoint with settings."""
  folder = location.weights.parent
  if location.layout == HUGGING_FACE:
    kind = tokenizer_kind(folder)
  else:
    kind = open_clip_tokenizer_kind(folder)
  return vocabulary_beside(location.weights, kind) or (
    folder / VOCABULARIES[kind][0]
  )


def vocabulary_beside(weights: pathlib.Path, kind: str) -> pathlib.Path | None:
  """Looks for a tokenizer's file in the folder of the weights."""
  paths = [weights.parent / name for name in VOCABULARIES[kind]]
  return next((path for path in paths if path.is_file()), None)


def read_settings(location: Location, vocabulary: pathlib.Path) -> ModelSpec:
  """Reads the settings that lie beside the weights."""
  read = read_spec if location.layout == HUGGING_FACE else read_open_clip_spec
  return read(location.weights.parent, vocabulary, name=location.name)


def _from_hub(
  row: ModelSpec,
  cache_dir: pathlib.Path | None,
  revision: str | None,
  fetch_vocabulary: bool,
) -> Location:
  source = row.source
  layout = OPEN_CLIP if source.file in _WEIGHTS[OPEN_CLIP] else HUGGING_FACE
  files = [_CONFIGS[layout]]
  if layout == HUGGING_FACE:
    files.append(PREPROCESSOR)
  if row.tokenizer == "sentencepiece":
    files.append(TOKENIZER_CONFIG)
  if fetch_vocabulary:
    pieces = row.tokenizer == "sentencepiece" and layout == HUGGING_FACE
    old = pieces and row.text_cleaning == "canonical"  # the first SigLIP
    files.append("spiece.model" if old else "tokenizer.json")
  folder = download(
    source.repository,
    [*files, source.file],
    revision=revision or source.revision,
    cache_dir=cache_dir,
  )
  weights = folder / source.file
  return Location(weights, layout, row.name, row, commit_of(folder))


def _from_address(
  row: ModelSpec, cache_dir: pathlib.Path | None, fetch_vocabulary: bool
) -> Location:
  source = row.source
  assert source.sha256 is not None  # a row without repository states it
  root = (cache_dir or default_cache_dir()) / "weights"
  vocabulary = None
  if fetch_vocabulary:
    vocabulary = fetch_file(_MERGES_ADDRESS, root, sha256=MERGES_SHA256)
  folder = root / source.sha256[:16]
  weights = fetch_file(source.file, folder, sha256=source.sha256)
  return Location(weights, None, row.name, row, vocabulary=vocabulary)


def _in_folder(folder: pathlib.Path, name: str) -> Location:
  weights = {
    layout: next(
      (folder / file for file in files if (folder / file).exists()), None
    )
    for layout, files in _WEIGHTS.items()
  }
  layouts = [
    layout
    for layout, config in _CONFIGS.items()
    if (folder / config).exists() and weights[layout] is not None
  ]
  if len(layouts) > 1:
    files = " or ".join(str(weights[layout]) for layout in layouts)
    raise ValueError(
      f"`source` must hold one layout, got a folder with {CONFIG} and"
      f" {OPEN_CLIP_CONFIG}; give {files} instead."
    )
  # Without any, reading it says what is missing.
  layout = next(iter(layouts), HUGGING_FACE)
  if not layouts and (folder / OPEN_CLIP_CONFIG).exists():
    layout = HUGGING_FACE if (folder / CONFIG).exists() else OPEN_CLIP
  file = weights[layout] or folder / _WEIGHTS[layout][0]
  return Location(file, layout, name)


def _at_file(path: pathlib.Path) -> Location:
  for layout, files in _WEIGHTS.items():
    if path.name in files and (path.parent / _CONFIGS[layout]).exists():
      return Location(path, layout, path.resolve().parent.name)
  return Location(path, None, path.name)
