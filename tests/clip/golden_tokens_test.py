"""Two hundred texts whose ids in CLIP's own vocabulary are known.

golden_tokens.json holds the texts, their ids, and the merges that they use. A
word's encoding takes the best merge at each step, so the merges that are never
taken can be left out: the small vocabulary gives the ids of the whole one, and
the test runs where the whole one is absent.
"""

import gzip
import html
import json
import pathlib
import unicodedata

import ftfy
import numpy as np
import pytest
from tokenizers import Tokenizer

from s3_jax.clip.bpe import train_tokenizer
from s3_jax.clip.bpe_files import read_tokenizer
from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.clean import clean_text
from s3_jax.clip.tokenizer import TextTokenizer, load_tokenizer

OPENAI = ZOO["openai/ViT-B/32"]
HUGGING_FACE = ZOO["openai/clip-vit-base-patch32"]
GOLDEN = json.loads(
  pathlib.Path(__file__).with_name("golden_tokens.json").read_text("utf-8")
)
TEXTS = [text for text, _ in GOLDEN["texts"]]
IDS = [ids for _, ids in GOLDEN["texts"]]


def padded(ids: list[list[int]], pad: int) -> np.ndarray:
  rows = np.full((len(ids), 77), pad, np.int32)
  for row, inside in zip(rows, ids, strict=True):
    whole = [49406, *inside[:75], 49407]
    row[: len(whole)] = whole
  return rows


class PlainTokenizer:
  """CLIP's tokenizer once more: slow, and with no library's help."""

  def __init__(self, path: pathlib.Path):
    content = gzip.decompress(path.read_bytes()).decode()
    lines = content.split("\n")[1:48895]
    merges = [tuple(line.split()) for line in lines]
    bytes_ = [*range(33, 127), *range(161, 173), *range(174, 256)]
    self.letters = {byte: chr(byte) for byte in bytes_}
    for byte in sorted(set(range(256)) - set(bytes_)):
      bytes_.append(byte)
      self.letters[byte] = chr(256 + len(bytes_) - 189)
    tokens = [self.letters[byte] for byte in bytes_]
    tokens += [token + "</w>" for token in tokens]
    tokens += ["".join(merge) for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    self.ids = {token: index for index, token in enumerate(tokens)}
    self.ranks = {merge: rank for rank, merge in enumerate(merges)}

  def encode(self, text: str) -> list[int]:
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    text = " ".join(text.split()).lower()
    return [token for word in self.words(text) for token in self.pieces(word)]

  def words(self, text: str):
    special = ("<|startoftext|>", "<|endoftext|>")
    tails = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
    while text := text.lstrip():
      known = [start for start in special + tails if text.startswith(start)]
      size = len(known[0]) if known else self.run(text)
      yield text[:size]
      text = text[size:]

  def run(self, text: str) -> int:
    kinds = [
      " " if letter.isspace() else unicodedata.category(letter)[0]
      for letter in text
    ]
    kinds = ["P" if kind not in "LN " else kind for kind in kinds]
    if kinds[0] == "N":
      return 1
    others = (at for at, kind in enumerate(kinds) if kind != kinds[0])
    return next(others, len(text))

  def pieces(self, word: str) -> list[int]:
    if word in ("<|startoftext|>", "<|endoftext|>"):
      return [self.ids[word]]
    parts = [self.letters[byte] for byte in word.encode()]
    parts[-1] += "</w>"
    while len(parts) > 1:
      pairs = zip(parts, parts[1:], strict=False)
      ranks = [self.ranks.get(pair, len(self.ranks)) for pair in pairs]
      if min(ranks) == len(self.ranks):
        break
      at = ranks.index(min(ranks))
      parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [self.ids[part] for part in parts]


@pytest.fixture(scope="module")
def small() -> Tokenizer:
  """CLIP's vocabulary without the merges that no golden text takes."""
  document = json.loads(train_tokenizer([], 514).to_str())
  vocab = document["model"]["vocab"]
  for rank, left, right in GOLDEN["merges"]:
    vocab[left + right] = 512 + rank
  for token, added in zip(
    (49406, 49407), document["added_tokens"], strict=True
  ):
    vocab[added["content"]] = added["id"] = token
  document["model"]["merges"] = [merge[1:] for merge in GOLDEN["merges"]]
  return Tokenizer.from_str(json.dumps(document))


def test_there_are_two_hundred_of_many_kinds():
  assert len(set(TEXTS)) == len(TEXTS) >= 200
  letters = "".join(TEXTS)
  # A curly apostrophe, an entity, a fox, full width, a bell, Greek, Chinese.
  for letter in ("\u2019", "&amp;", "\U0001f98a", "\uff21", "\x07", "Σ", "猫"):
    assert letter in letters
  assert sum(len(ids) > 75 for ids in IDS) >= 5


@pytest.mark.parametrize("spec", [OPENAI, HUGGING_FACE], ids=lambda s: s.school)
def test_ids(small, spec):
  tokenize = TextTokenizer(small, spec)
  expected = padded(IDS, spec.pad_token_id)
  for text, row, known in zip(TEXTS, tokenize(TEXTS), expected, strict=True):
    assert row.tolist() == known.tolist(), text
  assert tokenize.count_truncated(TEXTS) == sum(len(ids) > 75 for ids in IDS)


def test_the_golden_ids_themselves(reference):
  plain = PlainTokenizer(reference / "clip_bpe_vocab_16e6.txt.gz")
  for text, ids in GOLDEN["texts"]:
    assert plain.encode(text) == ids, text


@pytest.mark.parametrize(
  "file", ["clip_bpe_vocab_16e6.txt.gz", "clip_tokenizer.json"]
)
def test_ids_of_either_file(reference, file):
  tokenize = load_tokenizer(reference / file, OPENAI)
  np.testing.assert_array_equal(tokenize(TEXTS), padded(IDS, 0))


def test_both_files_hold_one_tokenizer(reference):
  merges = read_tokenizer(reference / "clip_bpe_vocab_16e6.txt.gz")
  document = read_tokenizer(reference / "clip_tokenizer.json")
  assert merges.to_str() == document.to_str()


def test_transformers_agrees_on_cleaned_texts(reference):
  import transformers

  theirs = transformers.CLIPTokenizerFast(
    tokenizer_file=str(reference / "clip_tokenizer.json")
  )
  tokenize = load_tokenizer(reference / "clip_tokenizer.json", HUGGING_FACE)
  # It composes accents after the cleaning, which OpenAI's code does not.
  texts = [
    text for text in TEXTS if unicodedata.is_normalized("NFC", clean_text(text))
  ]
  assert len(texts) == len(TEXTS) - 1
  expected = theirs(
    list(map(clean_text, texts)),
    padding="max_length",
    max_length=77,
    truncation=True,
  )["input_ids"]
  np.testing.assert_array_equal(tokenize(texts), expected)
