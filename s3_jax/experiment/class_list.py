"""A config's `classes`: names between commas, files, packaged tables."""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon import synonyms
from s3_jax.lexicon.answers import clean_text
from s3_jax.lexicon.reading import read_class_names, read_own_classes
from s3_jax.lexicon.synonyms import comparison_key
from s3_jax.messages import nearest


class ClassList(NamedTuple):
  """Classes and the texts that stand for them.

  Attributes:
    title: what to call the list: a table's or a file's name, or "classes".
    names: as the user spells them, in label order.
    texts: of each class, at least one.
    unnamed: labels of the classes for which a file had no text, so that their
      own name is their text.
    repeated: texts that stood twice in one class and count once.
    empty: texts that were blank and were left out.
    sha256: of the texts, in order.
  """

  title: str
  names: tuple[str, ...]
  texts: tuple[tuple[str, ...], ...]
  unnamed: tuple[int, ...]
  repeated: int
  empty: int
  sha256: str


def read_classes(source: str | Sequence[Any]) -> ClassList:
  """Reads classes with all their texts.

  Args:
    source: names between commas ("dog," is one class); a file that
      `read_own_classes` reads; the name of a packaged table; or a list of
      names. Underscores in names are blanks in texts.

  Returns:
    The classes.

  Raises:
    ValueError: the source is none of these, names no class, or a name or a text
      cannot be read.
  """
  unnamed: tuple[int, ...] = ()
  repeated = empty = 0
  if isinstance(source, str) and os.path.isfile(source):
    title = pathlib.Path(source).stem
    names, read = read_own_classes(source)
    texts, unnamed = read.texts, read.without_texts
    repeated, empty = read.repeated, read.empty
  elif isinstance(source, str) and source in _packaged():
    lexicon = synonyms.load_lexicon(source)
    title = source
    names = tuple(entry.name for entry in lexicon.classes)
    texts = synonyms.texts_of_classes(lexicon)
  else:
    names, title = read_name_list(source)
    texts = tuple((" ".join(name.replace("_", " ").split()),) for name in names)
  _check_names(names)
  for label, of_class in enumerate(texts):
    for text in of_class:
      if not is_text(text) or not clean_text(text):
        raise ValueError(
          "`config.classes` must hold texts that can be read, got"
          f" {text!r} for class {label}."
        )
  digest = hashlib.sha256(json.dumps([names, texts]).encode()).hexdigest()
  return ClassList(title, names, texts, unnamed, repeated, empty, digest)


def shared_texts(
  texts: Sequence[Sequence[str]],
) -> tuple[tuple[str, tuple[int, ...]], ...]:
  """Lists the texts that several classes have, with those classes.

  Args:
    texts: of each class.

  Returns:
    Texts, as the first class spells them, and labels in ascending order.
  """
  owners: dict[str, dict[int, str]] = {}
  for label, of_class in enumerate(texts):
    for text in of_class:
      owners.setdefault(comparison_key(text), {}).setdefault(label, text)
  return tuple(
    (next(iter(spelt.values())), tuple(spelt))
    for spelt in owners.values()
    if len(spelt) > 1
  )


def read_name_list(
  source: str | Sequence[Any],
) -> tuple[tuple[str, ...], str]:
  """Reads class names alone.

  Args:
    source: names between commas ("dog," is one class); a file that
      `read_class_names` reads; the name of a packaged table; or a list of
      names.

  Returns:
    The names in label order, and what to call the list.

  Raises:
    ValueError: the source is none of these, names no class, or a name cannot be
      read.
  """
  title = "classes"
  if not isinstance(source, str):
    names = tuple(source)
  elif os.path.isfile(source):  # False for what is too long for a name
    names, title = read_class_names(source), pathlib.Path(source).stem
  elif source in _packaged():
    lexicon = synonyms.load_lexicon(source)
    names, title = tuple(entry.name for entry in lexicon.classes), source
  elif "," in source:
    parts = [name.strip() for name in source.split(",")]
    names = tuple(parts[:-1] if not parts[-1] else parts)  # "dog," is one class
  else:
    raise ValueError(
      "`config.classes` must be names between commas, a file of names, or a"
      f" packaged table ({nearest(_packaged(), source)}), got"
      f" {source!r:.80}: there is no such file or table; one class is "
      '"NAME,".'
    )
  _check_names(names)
  return names, title


def is_text(text: str) -> bool:
  """Tells whether a text is Unicode; arguments may be broken bytes."""
  return not any("\ud800" <= character <= "\udfff" for character in text)


def _packaged() -> list[str]:
  return sorted(path.stem for path in synonyms.TABLES.glob("*.json"))


def _check_names(names: Sequence[Any]) -> None:
  if not names:
    raise ValueError("`config.classes` must name at least one class, got none.")
  for label, name in enumerate(names):
    if (
      not isinstance(name, str)
      or not is_text(name)
      or not clean_text(name.replace("_", " "))
    ):
      raise ValueError(
        "`config.classes` must hold names that can be read, got"
        f" {name!r} as class {label}."
      )
