"""CLIP's byte-pair encoding: read from OpenAI's file, or learned.

Its vocabulary is the 256 bytes, the 256 bytes that end a word, the merges in
the order in which they were learned, the start and the end token.
"""

import gzip
import json
import pathlib
import zlib
from collections.abc import Iterable, Sequence

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

from s3_jax.clip.clean import clean_text

START = "<|startoftext|>"
END = "<|endoftext|>"
SUFFIX = "</w>"

# What CLIP calls a word: a special token, an English contraction's tail, a run
# of letters, a single digit, or a run of anything else but white space.
_WORDS = (
  r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
  r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
# OpenAI's file lists more merges than CLIP's vocabulary of 49408 has room for
# beside 2 x 256 bytes and 2 special tokens.
_OPENAI_MERGES = 49408 - 512 - 2
_OPENAI_BYTES = 2**24  # several times its size: no archive fills the memory


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


def read_merges(path: pathlib.Path) -> Tokenizer:
  """Reads OpenAI's vocabulary: a line of its version, then one merge a line.

  Args:
    path: the file `bpe_simple_vocab_16e6.txt.gz`, or the same unpacked.

  Returns:
    The byte-pair encoding that the tokenizer.json of a CLIP checkpoint holds.

  Raises:
    ValueError: the file is missing or broken.
  """
  try:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
      content = file.read(_OPENAI_BYTES)
    lines = content.decode("utf-8").split("\n")[1 : _OPENAI_MERGES + 1]
  except (EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
    raise ValueError(
      f"{path} must be OpenAI's list of merges, got: {error}."
    ) from error
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  merges = [tuple(line.split(" ")) for line in lines]
  pairs = [(merge[0], merge[1]) for merge in merges if len(merge) == 2]
  if len(pairs) != _OPENAI_MERGES:
    raise ValueError(
      f"{path} must list at least {_OPENAI_MERGES} merges of two tokens, got"
      f" {len(pairs)}; fetch the file again."
    )
  try:
    return _clip_bpe([left + right for left, right in pairs], pairs)
  except Exception as error:  # the library raises nothing more special
    raise ValueError(
      f"{path} must merge tokens that it has, got: {error}."
    ) from error


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
  merges = json.loads(learner.to_str())["model"]["merges"]
  return _clip_bpe(learned, [(left, right) for left, right in merges])


def _clip_bpe(
  learned: Sequence[str], merges: Sequence[tuple[str, str]]
) -> Tokenizer:
  """Puts CLIP's vocabulary together: bytes, bytes that end a word, the rest."""
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  endings = [byte + SUFFIX for byte in alphabet]
  tokens = [*alphabet, *endings, *learned, START, END]
  tokenizer = _split_as_clip(
    models.BPE(
      vocab={token: index for index, token in enumerate(tokens)},
      merges=[*merges],
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
