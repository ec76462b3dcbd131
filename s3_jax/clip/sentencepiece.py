"""SentencePiece models, the vocabulary of SigLIP.

A `.model` file is a unigram or byte-pair model with its own normalisation
inside; Google's `sentencepiece` runs it. The same vocabulary is published as a
tokenizer.json as well.
"""

import base64
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from s3_jax.clip.bpe_files import LARGEST, ask_library, read_vocabulary
from s3_jax.clip.documents import read_content, shown

# Steps of a tokenizer.json that say the same of every text.
_NORMALIZERS = {
  *("Sequence", "Precompiled", "Replace", "Lowercase", "Strip", "Prepend"),
  *("NFC", "NFKC", "NFD", "NFKD", "Nmt"),
}
_SPLITS = {"Sequence", "Metaspace", "WhitespaceSplit", "Split"}
# A group that is repeated may be matched in exponentially many ways.
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_TEXTS = ["", "a photo of a cat.", "\u00e9 \u65e5\u672c \U0001f98a\n7"]


class SentencePiece(NamedTuple):
  """A SentencePiece model.

  Attributes:
    processor: of the library `sentencepiece`.
    content: the file's bytes, so that the model can be written elsewhere.
  """

  processor: Any
  content: bytes

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    """Cuts texts into pieces.

    The names of control pieces, such as `</s>`, are ordinary text here.
    """
    return self.processor.encode(list(texts))


def read_sentencepiece(path: str | os.PathLike[str]) -> SentencePiece:
  """Reads a SentencePiece model."""
  import sentencepiece

  path = pathlib.Path(path)
  content = read_content(path, limit=LARGEST)
  processor = sentencepiece.SentencePieceProcessor()
  try:
    processor.LoadFromSerializedProto(content)
  except RuntimeError as error:
    raise ValueError(
      f"{path} must be a SentencePiece model, got {len(content)} bytes that"
      " are none; fetch the file again."
    ) from error
  ids = range(processor.get_piece_size())
  _check_order(map(processor.get_score, ids), path)
  return SentencePiece(processor, content)


def _check_order(scores: Iterator[float], path: pathlib.Path) -> None:
  """Refuses pieces in another order than the trainer's, best score first.

  Pieces that are not learned, such as `</s>`, have the score 0.
  """
  learned = [(index, score) for index, score in enumerate(scores) if score]
  for (_, one), (index, other) in itertools.pairwise(learned):
    if not other <= one:
      raise ValueError(
        f"{path} must list its pieces from the best score down, as"
        f" SentencePiece writes them, got {other:g} after {one:g} at id"
        f" {index}; take the file that was published with the weights."
      )


def read_piece_json(path: pathlib.Path) -> Tokenizer:
  """Reads a SentencePiece vocabulary in the form of a tokenizer.json."""
  document = read_vocabulary(path)
  try:
    _check_document(document, path)
    whole = json.dumps(document)
    tokenizer = ask_library(lambda: Tokenizer.from_str(whole))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ask_library(lambda: tokenizer.encode_batch(_TEXTS))
  except ValueError as error:
    if str(error).startswith(str(path)):
      raise
    raise ValueError(
      f"{path} must be a tokenizer.json, got: {error}; take the file that was"
      " published with the weights."
    ) from error
  return tokenizer


def _check_document(document: Mapping[str, Any], path: pathlib.Path) -> None:
  model = document.get("model")
  if not isinstance(model, dict):
    raise ValueError("no model")
  if model.get("dropout") not in (None, 0):
    raise ValueError(f"dropout {shown(model['dropout'])}")
  for key in ("continuing_subword_prefix", "end_of_word_suffix"):
    if model.get(key) not in (None, ""):
      raise ValueError(f"{key} {shown(model[key])}")
  vocabulary, merges = model.get("vocab"), model.get("merges")
  if model.get("type") == "Unigram":
    pieces = vocabulary if isinstance(vocabulary, list) else []
    if not all(isinstance(piece, list) and len(piece) == 2 for piece in pieces):
      raise ValueError("pieces without their scores")
    scores = (score for _, score in pieces)
    _check_order(
      (score if isinstance(score, float) else 0.0 for score in scores), path
    )
  elif model.get("type") in ("BPE", None):
    if not isinstance(vocabulary, dict) or not isinstance(merges, list):
      raise ValueError("a model without a vocabulary and its merges")
    ids = [value for value in vocabulary.values() if type(value) is int]
    if sorted(ids) != list(range(len(vocabulary))):
      raise ValueError("ids of tokens that are not 0, 1, 2, ...")
    if not merges:
      raise ValueError("no merges")
  else:
    raise ValueError(f"a model of type {shown(model.get('type'))}")
  for step, known in (("normalizer", _NORMALIZERS), ("pre_tokenizer", _SPLITS)):
    _check_step(document.get(step), step, known)


def _check_step(given: Any, step: str, known: set[str], depth: int = 0) -> None:
  """Refuses steps, and patterns in them, that no published vocabulary has."""
  if given is None:
    return
  kind = given.get("type") if isinstance(given, dict) else None
  if not isinstance(kind, str) or kind not in known or depth > 8:
    raise ValueError(f"a {step} of type {shown(kind)}")
  pattern = given.get("pattern")
  words = pattern.get("Regex", "") if isinstance(pattern, dict) else ""
  if not isinstance(words, str) or _REPEATED_GROUP.search(words):
    raise ValueError(f"a {step} with the pattern {shown(words)}")
  if kind == "Precompiled":
    _check_charsmap(given.get("precompiled_charsmap"))
  for key in ("normalizers", "pretokenizers"):
    inner = given.get(key, [])
    for one in inner if isinstance(inner, list) else [inner]:
      _check_step(one, step, known, depth + 1)


def _check_charsmap(given: Any) -> None:
  """Refuses a table of letters on which the library would panic.

  Four bytes say how long a trie of 32-bit words is, a text follows it.
  """
  try:
    table = base64.b64decode(given, validate=True)
    size = int.from_bytes(table[:4], "little")
    table[4 + size :].decode("utf-8")
    whole = len(table) >= 4 + size and size > 0 and size % 4 == 0
  except (TypeError, ValueError):
    whole = False
  if not whole:
    raise ValueError("a broken precompiled_charsmap")
