"""Cleaning, ids and truncation; CLIP's real vocabulary where it is at hand."""

import gzip
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer

from s3_jax.clip.bpe import END, START, train_tokenizer
from s3_jax.clip.bpe_files import read_tokenizer
from s3_jax.clip.clean import clean_text
from s3_jax.clip.tokenizer import TextTokenizer, load_tokenizer
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
    "import sys; from s3_jax.clip.bpe import train_tokenizer;"
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


def document_of(tokenizer: Tokenizer) -> dict:
  return json.loads(tokenizer.to_str())


def put(*keys):
  """Sets the value at the end of the keys, which is the last of them."""
  *path, last, value = keys

  def apply(document):
    for key in path:
      document = document[key]
    document[last] = value

  return apply


def permute(document):
  vocab = document["model"]["vocab"]
  words = [word for word in vocab if not word.startswith("<|")]
  ids = [vocab[word] for word in words]
  np.random.default_rng(0).shuffle(ids)
  vocab |= dict(zip(words, ids, strict=True))


def swap_two_bytes(document):
  vocab = document["model"]["vocab"]
  vocab["a"], vocab["b"] = vocab["b"], vocab["a"]


def swap_two_merges(document):
  merges = document["model"]["merges"]
  merges[0], merges[1] = merges[1], merges[0]


def drop_the_last_merge(document):
  document["model"]["merges"].pop()


def add_a_token(document):
  token = {"id": 0, "content": "!", "special": True, "normalized": False}
  flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
  document["added_tokens"].append(token | flags)


SPLIT = {"type": "Split", "behavior": "Removed", "invert": True}
NOT_CLIPS = {
  "dropout": (put("model", "dropout", 0.5), "'dropout' 0.5"),
  "no merges": (put("model", "merges", []), "25 tokens that no merge makes"),
  "fewer merges": (drop_the_last_merge, "1 tokens that no merge makes"),
  "permuted": (permute, "which is token 0 in the order of bytes"),
  "two bytes": (swap_two_bytes, "the id 65 of 'a', which is token 64"),
  "two merges": (swap_two_merges, "in the order of bytes, merges"),
  "merge first": (put("model", "merges", [["um", "b"]]), "'um' in merge 0"),
  "no pair": (put("model", "merges", [["a", "b", "c"]]), "for a merge"),
  "ids": (put("model", "vocab", "a", True), "the id True of 'a'"),
  "vocab": (put("model", "vocab", []), "without a vocabulary"),
  "type": (put("model", "type", "WordPiece"), "'type' 'WordPiece'"),
  "suffix": (put("model", "end_of_word_suffix", ""), "end_of_word_suffix"),
  "prefix": (put("model", "continuing_subword_prefix", "##"), "prefix' '##'"),
  "fallback": (put("model", "byte_fallback", True), "'byte_fallback' True"),
  "ignored": (put("model", "ignore_merges", True), "'ignore_merges' True"),
  "model": (put("model", 3), "no model"),
  "normalizer": (put("normalizer", {"type": "NFKC"}), "normalizer that is not"),
  "no split": (put("pre_tokenizer", None), "pre_tokenizer that does not"),
  "words": (put("pre_tokenizer", {"type": "Whitespace"}), "pre_tokenizer that"),
  "pattern": (
    put(
      *("pre_tokenizer", "pretokenizers", 0),
      {**SPLIT, "pattern": {"Regex": r"(?:[a-z ]+)+\d"}},
    ),
    "pre_tokenizer that does not",
  ),
  "space": (
    put("pre_tokenizer", "pretokenizers", 1, "add_prefix_space", True),
    "pre_tokenizer that does not",
  ),
  "end": (
    put("post_processor", "sep", [START, 537]),
    "post_processor other than start, text, end",
  ),
  "post": (put("post_processor", {"type": "ByteLevel"}), "post_processor"),
  "added": (add_a_token, "the added token '!'"),
}


@pytest.mark.parametrize("fault", NOT_CLIPS)
def test_a_tokenizer_that_cannot_be_clips_is_refused(small, tmp_path, fault):
  """Each of these was read once, and gave other ids or other ones each time."""
  edit, words = NOT_CLIPS[fault]
  document = document_of(small)
  edit(document)
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(document))
  with pytest.raises(ValueError) as caught:
    load_tokenizer(path, spec_of(small))
  message = str(caught.value)
  assert message.startswith(f"{path} must be a tokenizer.json of CLIP, got: ")
  assert words in message
  assert message.isprintable() and len(message) - len(str(path)) < 250


def template(end: int) -> dict:
  """How newer files write start, text, end."""
  pair = {START: end - 1, END: end}
  return {
    "type": "TemplateProcessing",
    "single": [
      {"SpecialToken": {"id": START, "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": END, "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {
      token: {"id": token, "ids": [index], "tokens": [token]}
      for token, index in pair.items()
    },
  }


def merges_as_words(document):
  merges = document["model"]["merges"]
  document["model"]["merges"] = [" ".join(pair) for pair in merges]


def plain_words(document):
  pattern = document["pre_tokenizer"]["pretokenizers"][0]["pattern"]
  pattern["Regex"] = pattern["Regex"].partition("oftext")[0] and (
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
  )


CLIPS = {
  "merges as words": merges_as_words,
  "words without special tokens": plain_words,
  "no normalizer": put("normalizer", None),
  "no post_processor": put("post_processor", None),
  "a template": put("post_processor", template(SIZE - 1)),
  "no added tokens": put("added_tokens", []),
  "another decoder": put("decoder", None),
  "truncation and padding": lambda document: document.update(
    truncation={
      "direction": "Right",
      "max_length": 1,
      "strategy": "LongestFirst",
      "stride": 0,
    },
    padding={
      "strategy": {"Fixed": 77},
      "direction": "Right",
      "pad_to_multiple_of": None,
      "pad_id": 0,
      "pad_type_id": 0,
      "pad_token": "!",
    },
  ),
  "old keys": lambda document: [
    document["model"].pop(key) for key in ("byte_fallback", "ignore_merges")
  ],
  "dropout 0": put("model", "dropout", 0.0),
}


@pytest.mark.parametrize("form", CLIPS)
def test_forms_of_clips_own_tokenizer(small, tmp_path, form):
  document = document_of(small)
  CLIPS[form](document)
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(document), encoding="utf-8-sig")
  tokenize = load_tokenizer(path, spec_of(small))
  texts = [*CAPTIONS, "isn't it 1984?!", "ünder", "a " * 40]
  expected = TextTokenizer(small, spec_of(small))(texts)
  np.testing.assert_array_equal(tokenize(texts), expected)
  assert tokenize.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("given", ["vocab.json", "merges.txt"])
@pytest.mark.parametrize("version", ["#version: 0.2\n", ""])
def test_a_vocabulary_in_two_files(small, tmp_path, given, version):
  model = document_of(small)["model"]
  (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
  lines = [" ".join(pair) for pair in model["merges"]]
  (tmp_path / "merges.txt").write_text(version + "\n".join(lines) + "\n")
  tokenize = load_tokenizer(tmp_path / given, spec_of(small))
  assert tokenize.tokenizer.to_str() == small.to_str()
  digests = [
    hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    for name in ("vocab.json", "merges.txt")
  ]
  joined = hashlib.sha256("".join(digests).encode()).hexdigest()
  assert tokenize.sha256 == joined
  (tmp_path / "merges.txt").write_text(version + "\n".join(lines[:-1]))
  with pytest.raises(ValueError, match=r"merges.txt must be one vocabulary"):
    load_tokenizer(tmp_path / given, spec_of(small))
  (tmp_path / "merges.txt").unlink()
  with pytest.raises(ValueError, match=r"merges.txt must be a readable file"):
    load_tokenizer(tmp_path / "vocab.json", spec_of(small))


def test_openais_list_in_another_order_is_refused(reference, tmp_path):
  packed = reference / "clip_bpe_vocab_16e6.txt.gz"
  lines = gzip.decompress(packed.read_bytes()).split(b"\n")
  lines[1:48895] = lines[48894:0:-1]
  path = tmp_path / "merges.txt.gz"
  path.write_bytes(gzip.compress(b"\n".join(lines)))
  with pytest.raises(ValueError, match="merge tokens that it has, got: the"):
    read_tokenizer(path)


def test_one_text_is_no_list_of_texts(small):
  tokenize = TextTokenizer(small, spec_of(small))
  with pytest.raises(ValueError, match=r'got a str; write \["a cat"\]'):
    tokenize("a cat")
  with pytest.raises(ValueError, match=r"list of texts, got a str"):
    tokenize.count_truncated("a cat")
