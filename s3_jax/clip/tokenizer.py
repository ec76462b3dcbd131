"""A checkpoint's text to token ids.

A text is cleaned as the checkpoint's own code does, split and encoded by its
vocabulary file, closed with an end token, opened with a start token where the
checkpoint has one, and padded. Files that are read: tokenizer.json, vocab.json
with merges.txt, OpenAI's list of merges (`bpe_simple_vocab_16e6.txt.gz`), and
SentencePiece; `bpe_files` and `sentencepiece` check what they hold.
"""

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32
from tokenizers import Tokenizer

from s3_jax.clip.bpe import END, START, special_ids
from s3_jax.clip.bpe_files import (
  ask_library,
  read_tokenizer,
  vocabulary_sha256,
)
from s3_jax.clip.clean import clean_text
from s3_jax.clip.sentencepiece import (
  SentencePiece,
  read_piece_json,
  read_sentencepiece,
)
from s3_jax.clip.zoo import ModelSpec

# What SentencePiece vocabularies call the token that closes a text.
_PIECE_ENDS = ("</s>", "<eos>")


class Tokens(NamedTuple):
  """What a text tower is given for texts.

  Attributes:
    token_ids: padded.
    is_cut: whether a text lost tokens because it is too long.
  """

  token_ids: Int32[np.ndarray, "texts context"]
  is_cut: Bool[np.ndarray, " texts"]


class TextTokenizer:
  """Texts to padded token ids; call it with a list of texts.

  Attributes:
    tokenizer: the vocabulary, as read from its file.
    spec: the checkpoint's settings.
    sha256: of the vocabulary's file, hexadecimal; "" where there is none.
  """

  def __init__(
    self,
    tokenizer: Tokenizer | SentencePiece,
    spec: ModelSpec,
    *,
    sha256: str = "",
  ):
    self.tokenizer = tokenizer
    self.spec = spec
    self.sha256 = sha256
    self._encode_cleaned = _encoder(tokenizer, spec)

  def __call__(
    self, texts: Sequence[str]
  ) -> Int32[np.ndarray, "texts context"]:
    """Tokenises texts."""
    return self.encode(texts).token_ids

  def count_truncated(self, texts: Sequence[str]) -> int:
    """Counts the texts that lose tokens because they are too long."""
    return int(self.encode(texts).is_cut.sum())

  def encode(self, texts: Sequence[str]) -> Tokens:
    """Tokenises texts, and says which of them were cut."""
    _check_texts(texts)
    spec = self.spec
    shape = (len(texts), spec.context_length)
    token_ids = np.full(shape, spec.pad_token_id, np.int32)
    is_cut = np.zeros((len(texts),), bool)
    start = [] if spec.start_token_id is None else [spec.start_token_id]
    for index, whole in enumerate(self._encode(texts)):
      ids = [*start, *whole[: self._longest], spec.end_token_id]
      token_ids[index, : len(ids)] = ids
      is_cut[index] = len(whole) > self._longest
    return Tokens(token_ids, is_cut)

  @property
  def _longest(self) -> int:
    """Tokens of a text's own that fit."""
    special = 1 if self.spec.start_token_id is None else 2
    return self.spec.context_length - special

  def _encode(self, texts: Sequence[str]) -> list[list[int]]:
    cleaned = [
      clean_text(
        text, cleaning=self.spec.text_cleaning, school=self.spec.school
      )
      # A surrogate that the cleaning left alone is no Unicode text.
      .encode("utf-8", "replace")
      .decode()
      for text in texts
    ]
    return self._encode_cleaned(cleaned)


def _check_texts(texts: Sequence[str]) -> None:
  """Refuses a text where a list of texts is expected."""
  if isinstance(texts, str):
    example = texts if len(texts) <= 60 else f"{texts[:60]}..."
    raise ValueError(
      "`texts` must be a list of texts, got a str; write"
      f" [{json.dumps(example)}] for one text."
    )
  if not hasattr(texts, "__len__") or not hasattr(texts, "__iter__"):
    raise ValueError(
      f"`texts` must be a list of texts, got {type(texts).__name__}."
    )
  for index, text in enumerate(texts):
    if not isinstance(text, str):
      raise ValueError(
        "`texts` must be a list of texts, got"
        f" {type(text).__name__} at index {index}."
      )


def _encoder(
  tokenizer: Tokenizer | SentencePiece, spec: ModelSpec
) -> Callable[[list[str]], list[list[int]]]:
  """Returns cleaned texts to ids, without start, end and padding."""
  if isinstance(tokenizer, SentencePiece):
    return tokenizer.encode
  # A copy, because what is set here must not be written with the tokenizer.
  copy = Tokenizer.from_str(tokenizer.to_str())
  if spec.text_cleaning == "clip":
    # OpenAI's code has no further normalisation: composing the accents that
    # come out of HTML entities, as tokenizer.json asks for, changes the ids.
    # Its type does not say that None is allowed.
    setattr(copy, "normalizer", None)  # noqa: B010
  if spec.tokenizer == "sentencepiece":
    # As in SentencePiece itself: `<eos>` in a text is four words, not the end.
    copy.encode_special_tokens = True

  def encode(texts: list[str]) -> list[list[int]]:
    batch = ask_library(
      lambda: copy.encode_batch(texts, add_special_tokens=False)
    )
    return [encoding.ids for encoding in batch]

  return encode


def load_tokenizer(
  path: str | os.PathLike[str], spec: ModelSpec
) -> TextTokenizer:
  """Reads a vocabulary file as the function that feeds the text tower."""
  path = pathlib.Path(path)
  if spec.tokenizer == "sentencepiece":
    tokenizer: Tokenizer | SentencePiece = _read_pieces(path, spec)
  else:
    tokenizer = _read_bpe(path, spec)
  return TextTokenizer(tokenizer, spec, sha256=vocabulary_sha256(path))


def _read_bpe(path: pathlib.Path, spec: ModelSpec) -> Tokenizer:
  tokenizer = read_tokenizer(path)
  start, end = special_ids(tokenizer)
  for rule, want, got in (
    ("a vocabulary of size", spec.vocab_size, tokenizer.get_vocab_size()),
    (f"{START} as id", spec.start_token_id, start),
    (f"{END} as id", spec.end_token_id, end),
  ):
    if want != got:
      raise ValueError(f"{path} must have {rule} {want}, got {got}.")
  return tokenizer


def _read_pieces(
  path: pathlib.Path, spec: ModelSpec
) -> Tokenizer | SentencePiece:
  if path.suffix == ".json":
    pieces = read_piece_json(path)
    size = pieces.get_vocab_size()
    word = pieces.id_to_token
  else:
    pieces = read_sentencepiece(path)
    size = pieces.processor.get_piece_size()
    word = pieces.processor.id_to_piece
  end = word(spec.end_token_id) if 0 <= spec.end_token_id < size else None
  if size != spec.vocab_size:
    raise ValueError(
      f"{path} must have a vocabulary of size {spec.vocab_size}, got {size}."
    )
  if end not in _PIECE_ENDS:
    raise ValueError(
      f"{path} must have {' or '.join(_PIECE_ENDS)} as id {spec.end_token_id},"
      f" got {end!r}."
    )
  return pieces


def tokenizer_file(tokenizer: Tokenizer | SentencePiece) -> tuple[str, bytes]:
  """Writes a vocabulary as the file that `load_tokenizer` reads."""
  if isinstance(tokenizer, SentencePiece):
    return "spiece.model", tokenizer.content
  return "tokenizer.json", tokenizer.to_str(pretty=True).encode()
