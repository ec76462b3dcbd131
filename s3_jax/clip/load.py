"""Any checkpoint as one `Clip`: settings, parameters, tokenizer, pixels.

A checkpoint is a name of the zoo, a folder in the layout of Hugging Face or
open_clip, or one bare file. Its settings are a row of the zoo or lie beside the
weights; where there are both they must agree, and where there is neither the
caller gives them. Nothing is guessed from a name or a shape.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from s3_jax.clip.agreement import fitting_names, require_agreement
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.documents import shown
from s3_jax.clip.layouts import detect, to_params
from s3_jax.clip.locations import (
  VOCABULARIES,
  Location,
  find_location,
  find_vocabulary,
  read_settings,
  vocabulary_beside,
)
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.readers import read_arrays
from s3_jax.clip.tokenizer import TextTokenizer, load_tokenizer
from s3_jax.clip.zoo import ModelSpec
from s3_jax.messages import nearest


class Clip(NamedTuple):
  """A checkpoint, ready to embed.

  Attributes:
    spec: its settings.
    params: its parameters, float32: {"image", "text", "logit_scale"}, and
      "logit_bias" where the checkpoint has one.
    tokenize: list of texts to i32[texts, context].
    preprocess: PIL image to u8[rows, cols, 3], resized and cropped.
    sha256: of the weights file, hexadecimal; of a sharded checkpoint the sha256
      of its shards' digests, joined in the order of their names.
    revision: the commit that the hub gave, None for local files.
    tokenizer_sha256: of the tokenizer's file, hexadecimal; of a vocab.json and
      its merges.txt the sha256 of both digests, joined.
  """

  spec: ModelSpec
  params: dict[str, Any]
  tokenize: TextTokenizer
  preprocess: Callable[[Image.Image], UInt8[np.ndarray, "rows cols 3"]]
  sha256: str
  revision: str | None = None
  tokenizer_sha256: str = ""

  def __repr__(self) -> str:
    """Says which checkpoint it is, in one line without its parameters."""
    spec = self.spec
    return (
      f"Clip({spec.name!r}, {spec.image_size} x {spec.image_size} pixels,"
      f" {spec.context_length} tokens, {spec.embed_dim} dimensions,"
      f" sha256 {self.sha256[:12]})"
    )


def load_clip(
  source: str | os.PathLike[str],
  *,
  spec: str | ModelSpec | None = None,
  tokenizer: str | os.PathLike[str] | None = None,
  cache_dir: str | os.PathLike[str] | None = None,
  revision: str | None = None,
) -> Clip:
  """Loads a CLIP or SigLIP checkpoint with everything that belongs to it.

  Args:
    source: a name of `MODELS` or `ZOO`, fetched on first use; a folder in the
      Hugging Face layout (config.json, and preprocessor_config.json or
      processor_config.json) or open_clip's
      (open_clip_config.json), with its weights and its tokenizer; or a file: a
      weights file of such a folder, or a bare one, that is OpenAI's .pt, a
      .safetensors or a torch .bin, big_vision's .npz, Scenic's .npy, a .msgpack
      or checkpoint_N of Flax.
    spec: the settings of a bare file, a name of `ZOO` or a `ModelSpec`; needed
      unless the file's sha256 stands in the zoo. Of anything else the settings
      that it must have.
    tokenizer: a tokenizer.json, a vocab.json with its merges.txt, OpenAI's list
      of merges or a SentencePiece .model; by default the one that lies beside
      the weights.
    cache_dir: where fetched files are kept; by default the hub's own cache, and
      the user's cache folder for files that are not of the hub.
    revision: commit, branch or tag of a hub repository; by default the zoo's,
      else the newest.

  Returns:
    The checkpoint.

  Raises:
    ValueError: no such name, folder or file; something is missing or broken;
      settings are not supported, not known, or not those of the zoo; tensors
      are missing, left over, mis-shaped or not finite. The message names the
      file, what is wrong and what would do.
  """
  expected = _expected(spec)
  location = find_location(
    source,
    cache_dir=None if cache_dir is None else pathlib.Path(cache_dir),
    revision=revision,
    fetch_vocabulary=tokenizer is None,
  )
  vocabulary = None if tokenizer is None else pathlib.Path(tokenizer)
  settings = None
  if location.layout is not None:  # what is quickly read is read first
    vocabulary = vocabulary or find_vocabulary(location)
    settings = read_settings(location, vocabulary)
    if location.row is not None:
      require_agreement(settings, location.row, where=location.config)
  settings = location.row or settings
  if settings is not None and expected is not None:
    require_agreement(settings, expected, where=location.config)
  arrays, sha256 = read_arrays(location.weights)
  settings = _settings_of_weights(
    location, expected or settings, arrays, sha256
  )
  vocabulary = vocabulary or _vocabulary_of_weights(location, settings)
  tokenize = load_tokenizer(vocabulary, settings)
  where = str(location.weights)
  layout = detect(arrays, where)
  return Clip(
    settings,
    to_params(arrays, settings, layout, where),
    tokenize,
    functools.partial(preprocess_image, settings),
    sha256,
    location.commit,
    tokenize.sha256,
  )


def _expected(spec: str | ModelSpec | None) -> ModelSpec | None:
  if spec is None or isinstance(spec, ModelSpec):
    return spec
  if spec not in ZOO:
    raise ValueError(
      f"`spec` must be a ModelSpec or one of {nearest(ZOO, spec)}; got"
      f" {shown(spec)}."
    )
  return ZOO[spec]


def _settings_of_weights(
  location: Location,
  given: ModelSpec | None,
  arrays: Mapping[str, np.ndarray],
  sha256: str,
) -> ModelSpec:
  """Checks settings against what is known of a file, or finds them by it."""
  stated = location.row.source.sha256 if location.row is not None else None
  if stated not in (None, sha256):
    raise ValueError(
      f"{location.weights} must have the sha256 {stated} of {location.name},"
      f" got {sha256}; delete it, so that it is fetched again."
    )
  known = [row for row in ZOO.values() if row.source.sha256 == sha256]
  if given is not None:
    for row in known:
      # Whose preprocessing to follow is the caller's choice.
      choice = ("school", "pad_token_id")
      require_agreement(given, row, where=location.weights, ignored=choice)
    return given
  if known:
    return known[0]
  names = fitting_names(arrays)
  raise ValueError(
    f"`spec` must be given for {location.weights}, which has no settings beside"
    f" it and a sha256, {sha256}, that the zoo does not know; its tensors are"
    f" those of {nearest(names) or 'no name of the zoo: give a ModelSpec'}."
  )


def _vocabulary_of_weights(location: Location, spec: ModelSpec) -> pathlib.Path:
  """Finds the tokenizer's file of a bare weights file."""
  found = location.vocabulary or vocabulary_beside(
    location.weights, spec.tokenizer
  )
  if found is None:
    names = " or ".join(VOCABULARIES[spec.tokenizer])
    raise ValueError(
      f"`tokenizer` must be given for {location.weights}, which has no {names}"
      " beside it."
    )
  return found
