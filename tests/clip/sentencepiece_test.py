"""SigLIP's texts: a SentencePiece model trained here, and its JSON cousin."""

import io
import json
import pathlib
import string

import numpy as np
import pytest

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.clean import clean_text
from s3_jax.clip.tokenizer import TextTokenizer, load_tokenizer, tokenizer_file

SIZE = 300
TEXTS = [
  text
  for text, _ in json.loads(
    pathlib.Path(__file__).with_name("golden_tokens.json").read_text("utf-8")
  )["texts"]
]
SIGLIP = ZOO["google/siglip-base-patch16-224"]._replace(vocab_size=SIZE)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> pathlib.Path:
  """A unigram model with SigLIP's special pieces: pad 0, end 1, unknown 2."""
  import sentencepiece

  path = tmp_path_factory.mktemp("siglip") / "spiece.model"
  content = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([text.lower() for text in TEXTS if text] * 3),
    model_writer=content,
    vocab_size=SIZE,
    character_coverage=0.98,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    minloglevel=2,
  )
  path.write_bytes(content.getvalue())
  return path


@pytest.mark.parametrize(
  ("school", "clean"),
  [
    ("transformers", "the fish chips snakecase"),
    ("openai", "the fish chips snake case"),
  ],
)
def test_canonical_text(school, clean):
  text = "  The <fish>\t& \n'chips!', snake_case"
  assert clean_text(text, cleaning="canonical", school=school) == clean
  assert not clean_text(string.punctuation, cleaning="canonical", school=school)


def test_only_open_clip_mends_before_it_takes_punctuation_off():
  text = "caf&eacute; schÃ¶n"
  canonical = [
    clean_text(text, cleaning="canonical", school=school)
    for school in ("openai", "transformers")
  ]
  assert canonical == ["café schön", "cafeacute schã¶n"]


def test_lower_alone():
  text = "  The <fish>\t& ÜBER ΟΔΟΣ"
  assert clean_text(text, cleaning="lower") == "  the <fish>\t& über οδοσ"
  assert clean_text(text, cleaning="none") == text
  with pytest.raises(ValueError, match="must be one of clip, canonical"):
    clean_text(text, cleaning="upper")


def test_lower_as_the_library_that_siglip_2_uses():
  from tokenizers import normalizers

  lower = normalizers.Lowercase()
  for text in TEXTS:
    assert clean_text(text, cleaning="lower") == lower.normalize_str(text)


@pytest.mark.parametrize("school", ["transformers", "openai"])
def test_ids_are_the_librarys_closed_and_padded(model, school):
  import sentencepiece

  spec = SIGLIP._replace(school=school)
  library = sentencepiece.SentencePieceProcessor(model_file=str(model))
  ids = load_tokenizer(model, spec)(TEXTS)
  assert ids.shape == (len(TEXTS), 64) and ids.dtype == np.int32
  for text, row in zip(TEXTS, ids.tolist(), strict=True):
    clean = clean_text(text, cleaning="canonical", school=school)
    inside = library.encode(clean)[:63]
    assert row == inside + [1] * (64 - len(inside)), text


def test_ids_of_transformers(model):
  import transformers

  theirs = transformers.SiglipTokenizer(vocab_file=str(model))
  texts = [*TEXTS, "a\u2581b \u2581 c", " \u2581d"]
  expected = theirs(texts, padding="max_length", truncation=True)["input_ids"]
  np.testing.assert_array_equal(load_tokenizer(model, SIGLIP)(texts), expected)


def test_the_end_is_kept_and_counted(model):
  spec = SIGLIP._replace(context_length=5, pad_token_id=0)
  tokenize = load_tokenizer(model, spec)
  lengths = [len(tokenize.tokenizer.encode([t])[0]) for t in ("a", "a a a a a")]
  assert lengths == [1, 5]
  texts = ["a", "a a a a", "a a a a a", "a " * 90, ""]
  ids = tokenize(texts)
  assert (ids[:, 0] != 0).all()
  np.testing.assert_array_equal((ids == 1).argmax(1), [1, 4, 4, 4, 0])
  assert ids[0, 2:].tolist() == [0, 0, 0]
  assert tokenize.count_truncated(texts) == 2


def test_the_name_of_a_control_piece_is_text(model):
  ids = load_tokenizer(model, SIGLIP._replace(text_cleaning="none"))
  row = ids(["a </s> <pad> b"])[0]
  assert (row == 1).argmax() > 4
  assert 0 not in row


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> pathlib.Path:
  """A tokenizer.json in the form of SigLIP 2's, with a few merges."""
  import transformers

  letters = [*"▁abcdefghijklmnopqrstuvwxyz.,!?é", "ph", "▁c", "▁ca"]
  special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
  tokenizer = transformers.Siglip2Tokenizer(
    vocab={token: index for index, token in enumerate([*special, *letters])},
    merges=[("p", "h"), ("▁", "c"), ("▁c", "a")],
  )
  path = tmp_path_factory.mktemp("siglip2") / "tokenizer.json"
  tokenizer.backend_tokenizer.save(str(path))
  return path


def second_spec(second: pathlib.Path):
  size = len(json.loads(second.read_text("utf-8"))["model"]["vocab"])
  return ZOO["google/siglip2-base-patch16-224"]._replace(vocab_size=size)


def test_ids_of_a_json_in_the_form_of_siglip_2(second):
  import transformers

  spec = second_spec(second)
  theirs = transformers.Siglip2Tokenizer.from_pretrained(second.parent)
  texts = ["A Photo of a CAT.", "Élan!  two  cats", "ΟΔΟΣ 7", "word " * 40, ""]
  ids = load_tokenizer(second, spec)(texts)
  for text, row in zip(texts, ids.tolist(), strict=True):
    inside = theirs.encode(text, add_special_tokens=False)[:63]
    assert row == [*inside, 1, *[0] * (63 - len(inside))], text
  assert (ids[0] == spec.vocab_size - 1).any()  # the last merge is taken


def test_special_tokens_in_a_text_of_siglip_2_are_text(second):
  spec = second_spec(second)
  row = load_tokenizer(second, spec)(["a <eos> b"])[0]
  assert (row == 1).argmax() > 5
  assert row[: (row == 1).argmax()].min() > 1


@pytest.mark.parametrize("kind", ["model", "second"])
def test_what_is_written_is_read_again(kind, request, tmp_path):
  path = request.getfixturevalue(kind)
  spec = SIGLIP if kind == "model" else second_spec(path)
  tokenize = load_tokenizer(path, spec)
  name, content = tokenizer_file(tokenize.tokenizer)
  assert name == path.name
  (tmp_path / name).write_bytes(content)
  again = load_tokenizer(tmp_path / name, spec)
  assert isinstance(again, TextTokenizer)
  np.testing.assert_array_equal(tokenize(TEXTS[:20]), again(TEXTS[:20]))


def test_wrong_files_are_refused(model, second, tmp_path):
  with pytest.raises(ValueError, match="size 299, got 300"):
    load_tokenizer(model, SIGLIP._replace(vocab_size=SIZE - 1))
  with pytest.raises(ValueError, match="</s> or <eos> as id 2, got '<unk>'"):
    load_tokenizer(model, SIGLIP._replace(end_token_id=2))
  with pytest.raises(ValueError, match="as id 900, got None"):
    load_tokenizer(model, SIGLIP._replace(end_token_id=900))
  with pytest.raises(ValueError, match="as id 3, got '<unk>'"):
    load_tokenizer(second, second_spec(second)._replace(end_token_id=3))
  with pytest.raises(ValueError, match="readable file, got: No such file"):
    load_tokenizer(tmp_path / "spiece.model", SIGLIP)
  whole = model.read_bytes()
  for content in (b"", b"no model", whole[:-1], whole[: len(whole) // 2]):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(ValueError, match="must be a SentencePiece model"):
      load_tokenizer(tmp_path / "spiece.model", SIGLIP)


def put(*keys):
  *path, last, value = keys

  def apply(document):
    for key in path:
      document = document[key]
    document[last] = value

  return apply


def pattern(words):
  return {"type": "Replace", "pattern": {"Regex": words}, "content": ""}


BROKEN = {
  "dropout": (put("model", "dropout", 0.5), "dropout 0.5"),
  "merges": (put("model", "merges", []), "no merges"),
  "ids": (put("model", "vocab", "a", 7), "ids of tokens that are not 0, 1, 2"),
  "type": (put("model", "type", "WordPiece"), "a model of type 'WordPiece'"),
  "no type": (put("model", "type", ["BPE"]), "a model of type"),
  "prefix": (put("model", "continuing_subword_prefix", "##"), "prefix '##'"),
  "normalizer": (
    put("normalizer", {"type": "BertNormalizer"}),
    "normalizer of",
  ),
  "list": (put("normalizer", {"type": ["NFC"]}), "a normalizer of type"),
  "split": (put("pre_tokenizer", {"type": "Digits"}), "pre_tokenizer of type"),
  "slow": (put("normalizer", pattern(r"(?:[a-z ]+)+\d")), "with the pattern"),
  "charsmap": (
    put("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "a broken precompiled_charsmap",
  ),
  "token": (put("model", "merges", [["\n", "zz"]]), "out of vocabulary"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_json_that_no_siglip_has_is_refused(second, tmp_path, fault, capfd):
  """In one line of ours: the library would panic on some of them."""
  edit, words = BROKEN[fault]
  document = json.loads(second.read_text("utf-8"))
  edit(document)
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(document))
  with pytest.raises(ValueError) as caught:
    load_tokenizer(path, second_spec(second))
  message = str(caught.value)
  assert message.startswith(f"{path} must be a tokenizer.json, got: ")
  assert words in message and message.isprintable()
  assert not capfd.readouterr().err


def test_pieces_in_another_order_are_refused(model, tmp_path):
  """Two pieces change places: their ids were taken for each other."""
  content = model.read_bytes()
  import sentencepiece

  library = sentencepiece.SentencePieceProcessor(model_file=str(model))
  scores = [library.get_score(index) for index in range(SIZE)]
  first, second = (np.float32(scores[index]).tobytes() for index in (5, 40))
  assert content.count(first) == content.count(second) == 1
  swapped = content.replace(first, b"####").replace(second, first)
  path = tmp_path / "spiece.model"
  path.write_bytes(swapped.replace(b"####", second))
  with pytest.raises(ValueError, match="from the best score down"):
    load_tokenizer(path, SIGLIP)


def test_a_panic_of_the_library_is_one_line():
  """It is no `Exception`, and has the name alone to be told by."""
  from s3_jax.clip.bpe_files import ask_library

  class PanicException(BaseException):
    """Stands for the library's own."""

  def panic():
    raise PanicException("index out of\n range \x1b")

  with pytest.raises(ValueError, match=r"^index out of range \?$"):
    ask_library(panic)

  def stop():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    ask_library(stop)
