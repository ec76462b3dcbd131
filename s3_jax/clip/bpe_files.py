"""CLIP's byte-pair encoding in its three kinds of file, checked as a whole.

A checkpoint's text tower knows one numbering of one list of merges, so nothing
of a file is taken on trust: its vocabulary must be the one that its merges
make, and what it says of splitting and cleaning must be CLIP's. A file that
holds anything else encodes texts in numbers that the tower never saw.
"""

import gzip
import hashlib
import io
import json
import pathlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tokenizers import Tokenizer

from s3_jax.clip.bpe import (
  END,
  START,
  SUFFIX,
  WORDS,
  clip_bpe,
  clip_vocabulary,
)
from s3_jax.clip.documents import parse_object, read_content, shown
from s3_jax.files import texts_sha256

VOCAB, MERGES = "vocab.json", "merges.txt"
"""The names of an encoding in two files."""

LARGEST = 1 << 26  # bytes; several times the largest public file
MOST_VALUES = 1 << 23
# OpenAI's file lists more merges than CLIP's vocabulary of 49408 has room for
# beside 2 x 256 bytes and 2 special tokens.
_OPENAI_MERGES = 49408 - 512 - 2
_OPENAI_BYTES = 2**24  # several times its size: no archive fills the memory

# What a model may say, None for a key that may be absent.
_MODEL = {
  "type": ("BPE", None),
  "dropout": (None, 0),
  "unk_token": (END, None),
  "continuing_subword_prefix": ("", None),
  "end_of_word_suffix": (SUFFIX,),
  "fuse_unk": (False, True, None),  # no byte is unknown
  "byte_fallback": (False, None),
  "ignore_merges": (False, None),
}
# Converters of the form wrote the words without the special tokens, which are
# found before a text is split.
_WORDS = (WORDS, WORDS.removeprefix(r"<\|startoftext\|>|<\|endoftext\|>|"))
# They change where tokens are said to lie, or nothing after CLIP's own split.
_OFFSETS = {"trim_offsets", "use_regex"}

_Result = TypeVar("_Result")


def read_tokenizer(path: pathlib.Path) -> Tokenizer:
  """Reads a byte-pair encoding and checks that it can be CLIP's."""
  if files := _pair(path):
    return _read_pair(*files)
  if path.suffix in (".gz", ".txt"):
    return _read_merges(path)
  document = read_vocabulary(path)
  try:
    return _from_document(document)
  except ValueError as error:
    raise ValueError(
      f"{path} must be a tokenizer.json of CLIP, got: {error}; take the file"
      " that was published with the weights."
    ) from error


def read_vocabulary(path: pathlib.Path) -> dict[str, Any]:
  """Reads a tokenizer's file in JSON, of bounded size."""
  content = read_content(path, limit=LARGEST)
  return parse_object(content, path, most=MOST_VALUES)


def vocabulary_sha256(path: pathlib.Path) -> str:
  """Returns the sha256 of a tokenizer's file in hexadecimal."""
  digests = [
    hashlib.sha256(read_content(file, limit=LARGEST)).hexdigest()
    for file in _pair(path) or (path,)
  ]
  if len(digests) == 1:
    return digests[0]
  return texts_sha256(digests, separator="")


def _pair(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path] | None:
  """Returns both files of an encoding in two, None for another kind."""
  vocabulary, merges = path.with_name(VOCAB), path.with_name(MERGES)
  in_two = path.name == VOCAB or (path.name == MERGES and vocabulary.is_file())
  return (vocabulary, merges) if in_two else None


def _read_pair(vocabulary: pathlib.Path, merges: pathlib.Path) -> Tokenizer:
  numbers = read_vocabulary(vocabulary)
  pairs = _split_lines(_decode(read_content(merges, limit=LARGEST), merges))
  try:
    _check_vocabulary(numbers, pairs)
    return clip_bpe(pairs)
  except ValueError as error:
    raise ValueError(
      f"{vocabulary} and {merges.name} must be one vocabulary of CLIP, got:"
      f" {error}; take both as they were published with the weights."
    ) from error


def _read_merges(path: pathlib.Path) -> Tokenizer:
  """Reads OpenAI's vocabulary: a line of its version, then one merge a line."""
  content = read_content(path, limit=LARGEST)
  try:
    if path.suffix == ".gz":
      with gzip.open(io.BytesIO(content)) as file:
        content = file.read(_OPENAI_BYTES)
  except (EOFError, OSError, zlib.error) as error:
    raise ValueError(
      f"{path} must be OpenAI's list of merges, got: {error}."
    ) from error
  lines = _decode(content, path).split("\n")[1 : _OPENAI_MERGES + 1]
  pairs = _split_lines("\n".join(lines))
  if len(pairs) != _OPENAI_MERGES:
    raise ValueError(
      f"{path} must list at least {_OPENAI_MERGES} merges of two tokens, got"
      f" {len(pairs)}; fetch the file again."
    )
  try:
    return clip_bpe(pairs)
  except ValueError as error:
    raise ValueError(
      f"{path} must merge tokens that it has, got: {error}."
    ) from error


def _decode(content: bytes, path: pathlib.Path) -> str:
  try:
    return content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} must be OpenAI's list of merges, got: 'utf-8' has no byte"
      f" {error.object[error.start]:#04x} at {error.start}."
    ) from error


def _split_lines(text: str) -> list[tuple[str, str]]:
  """Takes the pairs of a list of merges, without the line of its version."""
  lines = [line.rstrip("\r") for line in text.split("\n")]
  if lines and lines[0].startswith("#version"):
    del lines[0]
  words = [line.split(" ") for line in lines]
  return [(pair[0], pair[1]) for pair in words if len(pair) == 2]


def _from_document(document: Mapping[str, Any]) -> Tokenizer:
  model = document.get("model")
  if not isinstance(model, dict):
    raise ValueError("no model")
  for key, value in model.items():
    if key not in ("vocab", "merges") and value not in _MODEL.get(key, ()):
      raise ValueError(f"{shown(key)} {shown(value)} in the model")
  for key, values in _MODEL.items():
    if key not in model and None not in values:
      raise ValueError(f"a model without {key!r}")
  vocabulary, listed = model.get("vocab"), model.get("merges")
  if not isinstance(vocabulary, dict) or not isinstance(listed, list):
    raise ValueError("a model without a vocabulary and its merges")
  ids = _check_vocabulary(vocabulary, [_as_pair(merge) for merge in listed])
  _check_steps(document, ids)
  # What is handed on has nothing but what was looked at.
  checked = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": document.get("added_tokens") or [],
    "normalizer": document.get("normalizer"),
    "pre_tokenizer": document["pre_tokenizer"],
    "post_processor": {
      "type": "RobertaProcessing",
      "sep": [END, ids[END]],
      "cls": [START, ids[START]],
      "trim_offsets": False,
      "add_prefix_space": False,
    },
    "decoder": json.loads(clip_bpe([]).to_str())["decoder"],
    "model": {"type": "BPE", **model, "dropout": None},
  }
  text = json.dumps(checked)
  return ask_library(lambda: Tokenizer.from_str(text))


def _as_pair(merge: Any) -> tuple[str, str]:
  """Reads a merge in either of its two forms."""
  pair = merge.split(" ") if isinstance(merge, str) else merge
  good = isinstance(pair, list) and len(pair) == 2
  if not good or not all(isinstance(token, str) for token in pair):
    raise ValueError(f"{shown(merge)} for a merge")
  return pair[0], pair[1]


def _check_vocabulary(
  vocabulary: Mapping[str, Any], merges: list[tuple[str, str]]
) -> dict[str, int]:
  """Refuses ids that are not those that the merges imply; returns the ids."""
  missing = [token for token in (START, END) if token not in vocabulary]
  if missing:
    raise ValueError(f"must have {START} and {END}, {missing[0]} is missing")
  implied = clip_vocabulary(merges)
  if extra := vocabulary.keys() - implied.keys():
    raise ValueError(
      f"{len(extra)} tokens that no merge makes, such as {shown(min(extra))}"
    )
  for token, index in implied.items():
    found = vocabulary.get(token)
    if type(found) is not int or found != index:
      raise ValueError(
        f"the id {shown(found)} of {shown(token)}, which is token {index} in"
        " the order of bytes, merges, start and end"
      )
  return implied


def _check_steps(document: Mapping[str, Any], ids: Mapping[str, int]) -> None:
  """Refuses steps before and after the model that are not CLIP's."""
  own = json.loads(clip_bpe([]).to_str())
  normalizer = document.get("normalizer")
  if normalizer is not None and normalizer != own["normalizer"]:
    raise ValueError("a normalizer that is not CLIP's")
  if not _same_split(document.get("pre_tokenizer"), own["pre_tokenizer"]):
    raise ValueError("a pre_tokenizer that does not split into CLIP's words")
  if not _ends_as_clip(document.get("post_processor"), ids):
    raise ValueError("a post_processor other than start, text, end")
  added = document.get("added_tokens")
  if not isinstance(added, list | None):
    raise ValueError(f"{shown(added)} for the added tokens")
  for token in added or []:
    content = token.get("content") if isinstance(token, dict) else None
    if content not in (START, END) or token.get("id") != ids[content]:
      raise ValueError(f"the added token {shown(content)}")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    if not all(isinstance(token.get(flag), bool) for flag in flags):
      raise ValueError(f"the added token {content} without all its flags")


def _same_split(given: Any, own: Mapping[str, Any]) -> bool:
  steps = given.get("pretokenizers") if isinstance(given, dict) else None
  if not isinstance(steps, list) or len(steps) != 2:
    return False
  split, in_bytes = steps
  if given.get("type") != "Sequence" or not isinstance(in_bytes, dict):
    return False
  wanted, letters = own["pretokenizers"]
  known = [{**wanted, "pattern": {"Regex": words}} for words in _WORDS]
  same = {key: in_bytes.get(key) for key in letters if key not in _OFFSETS}
  flags = all(isinstance(in_bytes.get(key, True), bool) for key in _OFFSETS)
  return (
    split in known
    and flags
    and in_bytes.keys() <= letters.keys()
    and same == {key: letters[key] for key in same}
  )


def _ends_as_clip(given: Any, ids: Mapping[str, int]) -> bool:
  if given is None:
    return True
  if not isinstance(given, dict):
    return False
  if given.get("type") == "RobertaProcessing":
    both = given.get("cls"), given.get("sep")
    return both == ([START, ids[START]], [END, ids[END]])
  if given.get("type") == "TemplateProcessing":
    special = {
      token: {"id": token, "ids": [ids[token]], "tokens": [token]}
      for token in (START, END)
    }
    single = [
      {"SpecialToken": {"id": START, "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": END, "type_id": 0}},
    ]
    return (
      given.get("single") == single and given.get("special_tokens") == special
    )
  return False


def ask_library(call: Callable[[], _Result]) -> _Result:
  """Calls `tokenizers`, whose panics are no `Exception`."""
  try:
    return call()
  except BaseException as error:
    panic = type(error).__name__ == "PanicException"
    if not panic and not isinstance(error, Exception):
      raise  # a key that stops the program
    words = " ".join(str(error).split())[:120].rstrip(".")
    reason = "".join(char if char.isprintable() else "?" for char in words)
    raise ValueError(reason or "an error without words") from error
