"""CLIP's byte-pair encoding: learned, or put together from its merges.

Its vocabulary is the 256 bytes, the 256 bytes that end a word, the merges in
the order in which they were learned, the start and the end token.
"""

import json
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
WORDS = (
  r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
  r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def special_ids(tokenizer: Tokenizer) -> tuple[int, int]:
  """Looks up the tokens that open and close a text."""
  start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
  if start is None or end is None:
    raise ValueError(
      f"the vocabulary must have {START} and {END}, got {start} and {end}."
    )
  return start, end


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> Tokenizer:
  """Learns a byte-pair encoding in CLIP's form.

  The vocabulary is laid out as CLIP's: the 256 bytes, the 256 bytes that end a
  word, the learned merges, the start and the end token. So every text can be
  encoded, whatever letters the captions have. Equal captions, in any order,
  give an equal tokenizer.
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
  merges = json.loads(learner.to_str())["model"]["merges"]
  return clip_bpe([(left, right) for left, right in merges])


def clip_vocabulary(merges: Iterable[tuple[str, str]]) -> dict[str, int]:
  """Numbers the tokens that merges make, in the order of CLIP's vocabulary."""
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  endings = [byte + SUFFIX for byte in alphabet]
  tokens = {token: index for index, token in enumerate([*alphabet, *endings])}
  for number, (left, right) in enumerate(merges):
    if left not in tokens or right not in tokens:
      unknown = right if left in tokens else left
      raise ValueError(
        f"the token {unknown[:40]!r} in merge {number}, before it is made"
      )
    # Two pairs may make one token, which is numbered once.
    tokens.setdefault(left + right, len(tokens))
  for token in (START, END):
    tokens[token] = len(tokens)
  return tokens


def clip_bpe(merges: Sequence[tuple[str, str]]) -> Tokenizer:
  """Makes CLIP's byte-pair encoding of its merges."""
  vocabulary = clip_vocabulary(merges)
  tokenizer = _split_as_clip(
    models.BPE(
      vocab=vocabulary,
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
    (END, vocabulary[END]),
    (START, vocabulary[START]),
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
      pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  tokenizer.decoder = decoders.ByteLevel()
  return tokenizer
