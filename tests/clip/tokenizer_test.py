"""Cleaning, ids and truncation; CLIP's real vocabulary where it is at hand."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer

from s3_jax.clip.tokenizer import (
  END,
  START,
  TextTokenizer,
  clean_text,
  load_tokenizer,
  read_tokenizer,
  train_tokenizer,
)
from s3_jax.clip.zoo import ModelSpec

# 25 pairs to merge, so a vocabulary of 514 + 25.
SIZE = 539
CAPTIONS = ["an umbrella", "umbrellas and more umbrellas", "the king's crown"]


def spec_of(tokenizer: Tokenizer, *, context_length: int = 10) -> ModelSpec:
  numbers = dict.fromkeys(ModelSpec._fields, 1)
  size = tokenizer.get_vocab_size()
  return ModelSpec(**numbers)._replace(
    name="test",
    vocab_size=size,
    context_length=context_length,
    start_token_id=size - 2,
    end_token_id=size - 1,
    pad_token_id=size - 1,
    tokenizer="bpe",
    text_cleaning="clip",
    school="openai",
  )


@pytest.fixture(scope="module")
def small() -> Tokenizer:
  return train_tokenizer(CAPTIONS, SIZE)


@pytest.mark.parametrize(
  ("raw", "clean"),
  [
    ("  A\tRed \n\n Fox ", "a red fox"),
    ("fish &amp;amp; chips", "fish & chips"),
    ("&lt;b&gt;", "<b>"),
    ("schÃ¶n", "schön"),
    ("the king’s", "the king's"),
    ("ﬁsh", "fish"),
    ("cafe\u0301", "café"),
    ("a\u00a0b", "a b"),
    ("", ""),
  ],
)
def test_cleaning(raw, clean):
  assert clean_text(raw) == clean


def test_layout_of_a_learned_vocabulary(small):
  vocab = small.get_vocab()
  tokens = sorted(vocab, key=vocab.get)
  assert sorted(vocab.values()) == list(range(len(vocab)))
  assert tokens[0] == "!"
  assert tokens[256:512] == [token + "</w>" for token in tokens[:256]]
  assert tokens[-2:] == [START, END]
  assert len(tokens) == SIZE
  assert "umbrella</w>" in vocab
  first = train_tokenizer(CAPTIONS, 520).get_vocab()
  assert sorted(first, key=first.get)[:-2] == tokens[:518]


def test_golden_ids(small):
  tokenize = TextTokenizer(small, spec_of(small))
  ids = tokenize(["Umbrella", "", "é!"])
  assert ids.dtype == np.int32
  start, end = SIZE - 2, SIZE - 1
  words = small.get_vocab()
  assert ids[0].tolist() == [start, words["umbrella</w>"]] + [end] * 8
  assert ids[1].tolist() == [start] + [end] * 9
  # é is two bytes, of which the second ends a word.
  assert ids[2].tolist() == (
    [start, words["Ã"], words["©</w>"], words["!</w>"]] + [end] * 6
  )


def test_unseen_scripts_have_ids_of_their_own(small):
  tokenize = TextTokenizer(small, spec_of(small, context_length=60))
  texts = ["日本の傘", "зонт", "☂️ 🦊", "x7"]
  ids = tokenize(texts)
  for text, row in zip(texts, ids, strict=True):
    inside = row[1 : np.argmax(row == SIZE - 1)]
    decoded = small.decode(inside.tolist()).replace("</w>", "")
    assert decoded.replace(" ", "") == text.replace(" ", "")


def test_surrogates_are_mended_or_replaced(small):
  tokenize = TextTokenizer(small, spec_of(small))
  ids = tokenize(["\ud83e\udd8a", "🦊", "\ud800x", "\ufffdx"]).tolist()
  assert ids[0] == ids[1] != ids[2] == ids[3]
  plain = spec_of(small)._replace(text_cleaning="none")
  ids = TextTokenizer(small, plain)(["\ud800x", "?x"]).tolist()
  assert ids[0] == ids[1]


def test_truncation_keeps_the_end_and_is_counted(small):
  tokenize = TextTokenizer(small, spec_of(small, context_length=5))
  # One, three, four and forty tokens; three fit.
  texts = ["a", "a b c", "a b c d", "a " * 40]
  ids = tokenize(texts)
  assert ids.shape == (4, 5)
  np.testing.assert_array_equal(ids[:, 0], SIZE - 2)
  np.testing.assert_array_equal(
    np.argmax(ids == SIZE - 1, axis=1), [2, 4, 4, 4]
  )
  assert tokenize.count_truncated(texts) == 2
  assert tokenize.count_truncated([]) == 0
  assert tokenize([]).shape == (0, 5)


def test_order_of_captions_and_process_change_nothing(small):
  assert train_tokenizer(CAPTIONS[::-1], SIZE).to_str() == small.to_str()
  script = (
    "import sys; from s3_jax.clip.tokenizer import train_tokenizer;"
    f"sys.stdout.write(train_tokenizer({CAPTIONS!r}, {SIZE}).to_str())"
  )
  done = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, check=True, timeout=120
  )
  assert done.stdout.decode() == small.to_str()


def test_vocabulary_is_no_larger_than_the_captions_allow():
  assert train_tokenizer(CAPTIONS, 600).get_vocab_size() == SIZE
  assert train_tokenizer([], 600).get_vocab_size() == 514
  assert train_tokenizer(["ab"], 600).get_vocab_size() == 515
  with pytest.raises(ValueError, match="`vocab_size` must be at least 514"):
    train_tokenizer([], 513)


def test_transformers_reads_a_learned_tokenizer(small, tmp_path):
  import transformers

  small.save(str(tmp_path / "tokenizer.json"))
  theirs = transformers.CLIPTokenizerFast.from_pretrained(tmp_path)
  tokenize = load_tokenizer(tmp_path / "tokenizer.json", spec_of(small))
  texts = ["An umbrella", "the king's crown", "isn't it 1984?!", "ünder"]
  expected = theirs(texts, padding="max_length", max_length=10, truncation=True)
  np.testing.assert_array_equal(tokenize(texts), expected["input_ids"])


def test_files_of_another_vocabulary_are_refused(small, tmp_path):
  path = tmp_path / "tokenizer.json"
  small.save(str(path))
  spec = spec_of(small)
  for change in (
    {"vocab_size": SIZE + 1},
    {"start_token_id": 0},
    {"end_token_id": SIZE - 2},
  ):
    with pytest.raises(ValueError, match=f"{path} must have .*, got 53[789]."):
      load_tokenizer(path, spec._replace(**change))
  plain = Tokenizer.from_str(small.to_str().replace(START, "<s>"))
  plain.save(str(path))
  with pytest.raises(ValueError, match=r"must have <\|startoftext\|>"):
    read_tokenizer(path)


def test_a_broken_list_of_merges_is_refused(tmp_path):
  path = tmp_path / "merges.txt.gz"
  with pytest.raises(ValueError, match="readable file, got: No such file"):
    read_tokenizer(path)
  whole = gzip.compress(b"#version\n" + b"a b\n" * 100)
  for content, what in (
    (b"", "got 0; fetch"),
    (b"no archive", "OpenAI's list of merges, got: Not a gzipped file"),
    (whole[:-9], "OpenAI's list of merges, got: Compressed file ended"),
    (whole, "at least 48894 merges of two tokens, got 100"),
    (gzip.compress(b"#version\n\xff"), "OpenAI's list of merges, got: 'utf-8'"),
    (gzip.compress(b"#\n" + b"no pair here\n" * 50000), "tokens, got 0"),
    (gzip.compress(b"#\n" + b"zz yy\n" * 50000), "merge tokens that it has"),
  ):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what):
      read_tokenizer(path)


def test_an_unpacked_list_of_merges_is_read(reference, tmp_path):
  packed = reference / "clip_bpe_vocab_16e6.txt.gz"
  path = tmp_path / "merges.txt"
  path.write_bytes(gzip.decompress(packed.read_bytes()))
  assert read_tokenizer(path).to_str() == read_tokenizer(packed).to_str()


def test_ids_of_clips_own_vocabulary(reference):
  """Against `transformers` on texts that cleaning leaves alone, and golden."""
  import transformers

  path = reference / "clip_tokenizer.json"
  tokenizer = read_tokenizer(path)
  tokenize = load_tokenizer(path, spec_of(tokenizer, context_length=77))
  theirs = transformers.CLIPTokenizerFast(tokenizer_file=str(path))
  texts = [
    "a photo of a tabby cat.",
    "résumé, naïve, Zürich",
    "they should've seen 3,000 o'clock's & the dogs'",
    "日本の傘 ☂ 🦊",
    "semi-detached  house\twith\nspaces",
    "word " * 100,
    "",
  ]
  expected = theirs(
    texts, padding="max_length", max_length=77, truncation=True
  )["input_ids"]
  np.testing.assert_array_equal(tokenize(texts), expected)
  # "a photo of a cat" in every implementation of CLIP.
  golden = [49406, 320, 1125, 539, 320, 2368, 49407]
  for text in ("a photo of a cat", "A  photo of a&#32;CAT "):
    assert tokenize([text])[0, :7].tolist() == golden
