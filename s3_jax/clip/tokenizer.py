"""CLIP's text to token ids, and a byte-pair encoding in CLIP's form.

A text is cleaned as OpenAI's code does (ftfy, HTML entities unescaped twice,
white space collapsed, lower case), split and encoded by what tokenizer.json
says, and put between a start and an end token.
"""

import html
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import ftfy
import numpy as np
from jaxtyping import Int32
from tokenizers import (
  AddedToken,
  Regex,
  Tokenizer,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
  trainers,
)

from s3_jax.clip.zoo import ModelSpec

START = "<|startoftext|>"
END = "<|endoftext|>"
SUFFIX = "</w>"

# What CLIP calls a word: a special token, an English contraction's tail, a run
# of letters, a single digit, or a run of anything else but white space.
_WORDS = (
  r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
  r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


class TextTokenizer:
  """Texts to padded token ids; call it with a list of texts.

  Attributes:
    tokenizer: the byte-pair encoding, as read from tokenizer.json.
    spec: the checkpoint's settings.
  """

  def __init__(self, tokenizer: Tokenizer, spec: ModelSpec):
    self.tokenizer = tokenizer
    self.spec = spec

  def __call__(
    self, texts: Sequence[str]
  ) -> Int32[np.ndarray, "texts context"]:
    """Tokenises texts.

    Args:
      texts: texts of any length; a text with more tokens than fit loses its
        last ones, never the end token.

    Returns:
      Ids, one row a text: start, the text, end, then padding.
    """
    spec = self.spec
    shape = (len(texts), spec.context_length)
    token_ids = np.full(shape, spec.pad_token_id, np.int32)
    for row, ids in zip(token_ids, self._encode(texts), strict=True):
      ids = [spec.start_token_id, *ids[: spec.context_length - 2]]
      row[: len(ids) + 1] = [*ids, spec.end_token_id]
    return token_ids

  def count_truncated(self, texts: Sequence[str]) -> int:
    """Counts the texts that lose tokens because they are too long.

    Args:
      texts: texts of any length.

    Returns:
      How many of them have more tokens than the context length holds.
    """
    longest = self.spec.context_length - 2
    return sum(len(ids) > longest for ids in self._encode(texts))

  def _encode(self, texts: Sequence[str]) -> list[list[int]]:
    cleaned = [clean_text(text) for text in texts]
    batch = self.tokenizer.encode_batch(cleaned, add_special_tokens=False)
    return [encoding.ids for encoding in batch]


def clean_text(text: str) -> str:
  """Cleans a text as CLIP's training did.

  Args:
    text: any text.

  Returns:
    The text with broken Unicode mended, HTML entities resolved twice, white
    space collapsed, in lower case.

  References:
    OpenAI's CLIP, simple_tokenizer.py.
  """
  text = html.unescape(html.unescape(ftfy.fix_text(text)))
  return re.sub(r"\s+", " ", text).strip().lower()


def read_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
  """Reads a tokenizer.json and checks that it has CLIP's special tokens.

  Args:
    path: the file.

  Returns:
    The byte-pair encoding, without truncation and padding of its own.

  Raises:
    ValueError: the file is missing or broken, or a special token is missing.
  """
  path = pathlib.Path(path)
  try:
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  except Exception as error:  # the library raises nothing more special
    raise ValueError(
      f"{path} must be a tokenizer.json, got: {error}."
    ) from error
  try:
    special_ids(tokenizer)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  tokenizer.no_truncation()
  tokenizer.no_padding()
  return tokenizer


def special_ids(tokenizer: Tokenizer) -> tuple[int, int]:
  """Looks up the tokens that open and close a text.

  Args:
    tokenizer: a byte-pair encoding.

  Returns:
    Their ids.

  Raises:
    ValueError: the vocabulary lacks one of them.
  """
  start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
  if start is None or end is None:
    raise ValueError(
      f"the vocabulary must have {START} and {END}, got {start} and {end}."
    )
  return start, end


def load_tokenizer(
  path: str | os.PathLike[str], spec: ModelSpec
) -> TextTokenizer:
  """Reads a tokenizer.json as the function that feeds the text tower.

  Args:
    path: the file.
    spec: the checkpoint's settings, whose token ids the file must share.

  Returns:
    A function of a list of texts that returns i32[texts, context].

  Raises:
    ValueError: the file is missing, broken, or of another vocabulary.
  """
  tokenizer = read_tokenizer(path)
  start, end = special_ids(tokenizer)
  for rule, want, got in (
    ("a vocabulary of size", spec.vocab_size, tokenizer.get_vocab_size()),
    (f"{START} as id", spec.start_token_id, start),
    (f"{END} as id", spec.end_token_id, end),
  ):
    if want != got:
      raise ValueError(f"{path} must have {rule} {want}, got {got}.")
  return TextTokenizer(tokenizer, spec)


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> Tokenizer:
  """Learns a byte-pair encoding in CLIP's form.

  The vocabulary is laid out as CLIP's: the 256 bytes, the 256 bytes that end a
  word, the learned merges, the start and the end token. So every text can be
  encoded, whatever letters the captions have. Equal captions, in any order,
  give an equal tokenizer.

  Args:
    captions: the texts to learn from.
    vocab_size: most entries, at least 514; fewer when the captions have no more
      pairs to merge.

  Returns:
    The tokenizer; its `save` writes a tokenizer.json that `transformers` reads.

  Raises:
    ValueError: `vocab_size` is too small for the bytes and special tokens.
  """
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  endings = [byte + SUFFIX for byte in alphabet]
  smallest = len(alphabet) + len(endings) + 2
  if vocab_size < smallest:
    raise ValueError(
      f"`vocab_size` must be at least {smallest}, got {vocab_size}."
    )
  learner = _split_as_clip(models.BPE(end_of_word_suffix=SUFFIX))
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size - 2,
    initial_alphabet=alphabet,
    # Named here because the trainer would number them in an order that changes
    # from run to run, and ties between merges follow the numbers.
    special_tokens=endings,
    end_of_word_suffix=SUFFIX,
    show_progress=False,
  )
  learner.train_from_iterator(map(clean_text, captions), trainer)
  known = learner.get_vocab()
  learned = sorted(
    set(known) - {*alphabet, *endings}, key=lambda token: known[token]
  )
  tokens = [*alphabet, *endings, *learned, START, END]
  merges = json.loads(learner.to_str())["model"]["merges"]
  tokenizer = _split_as_clip(
    models.BPE(
      vocab={token: index for index, token in enumerate(tokens)},
      merges=[(left, right) for left, right in merges],
      unk_token=END,
      continuing_subword_prefix="",
      end_of_word_suffix=SUFFIX,
    )
  )
  tokenizer.add_special_tokens(
    [
      AddedToken(START, special=True, normalized=True),
      AddedToken(END, special=True, normalized=False),
    ]
  )
  tokenizer.post_processor = processors.RobertaProcessing(
    (END, len(tokens) - 1),
    (START, len(tokens) - 2),
    trim_offsets=False,
    add_prefix_space=False,
  )
  return tokenizer


def _split_as_clip(model: models.BPE) -> Tokenizer:
  """Puts CLIP's normalisation and its splitting into words before a model."""
  tokenizer = Tokenizer(model)
  tokenizer.normalizer = normalizers.Sequence(
    [
      normalizers.NFC(),
      normalizers.Replace(Regex(r"\s+"), " "),
      normalizers.Lowercase(),
    ]
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  tokenizer.decoder = decoders.ByteLevel()
  return tokenizer
