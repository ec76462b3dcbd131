"""Classes as they are given: names, between commas or not, files, tables.

Whatever takes classes takes them from here, so that the same list is the same
classes everywhere.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon import synonyms
from s3_jax.lexicon.answers import clean_text
from s3_jax.lexicon.class_lines import line_classes, without_numbers
from s3_jax.lexicon.class_lists import checked, is_table_of_ours
from s3_jax.lexicon.class_values import ListedClasses, value_classes
from s3_jax.lexicon.documents import (
  parse_brackets,
  parse_json,
  read_text,
  split_lines,
)
from s3_jax.lexicon.reading import ClassTexts, class_texts, read_own_classes
from s3_jax.lexicon.spelling import (
  comparison_key,
  first_spellings,
  shared_concepts,
)
from s3_jax.lexicon.synonyms import ClassEntry
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
    taken: what was read and how, in one line; "" for a packaged table.
    wnids: WordNet's ids, where a list has them, else None; one a class.
  """

  title: str
  names: tuple[str, ...]
  texts: tuple[tuple[str, ...], ...]
  unnamed: tuple[int, ...]
  repeated: int
  empty: int
  sha256: str
  taken: str = ""
  wnids: tuple[str | None, ...] = ()

  @property
  def concepts(self) -> tuple[tuple[str, ...], ...]:
    """What each vertex of a class is called: the first spelling of a name."""
    return tuple(map(first_spellings, self.texts))


def read_classes(
  source: str | os.PathLike[str] | Iterable[Any] | ClassList,
  field: str = "`classes`",
) -> ClassList:
  """Reads classes with all their texts; `field` is what messages call them."""
  if isinstance(source, ClassList):
    return source
  if isinstance(source, os.PathLike):
    source = os.fspath(source)
  title, taken = "classes", ""
  if isinstance(source, str) and os.path.isfile(source):
    title = pathlib.Path(source).stem
    names, read = read_own_classes(source)
    taken = _describe(pathlib.Path(source).name, read)
  elif isinstance(source, str) and _is_table(synonyms.split_kinds(source)[0]):
    title = source
    names, read = _of_lexicon(synonyms.read_lexicon(source))
  else:
    names, read = _given(source, field)
    taken = _describe(field, read) if read.notes else ""
  return _class_list(title, names, read, taken, field)


def read_written_classes(text: str, field: str = "`classes`") -> ClassList:
  """Reads classes from what a person has written; no file is opened.

  The text is what a file of classes would hold, names between commas, or the
  name of a packaged table.
  """
  text = text.strip()
  if synonyms.split_kinds(text, files=False)[0] in _packaged():
    lexicon = synonyms.read_lexicon(text)
    return _class_list(text, *_of_lexicon(lexicon), "", field)
  if text[:1] == "{" and is_table_of_ours(parse_json(text, field)):
    lexicon = synonyms.parse_lexicon(text.encode(), field).only()
    return _class_list("classes", *_of_lexicon(lexicon), "", field)
  if len(split_lines(text)) > 1:
    found = checked(line_classes(split_lines(text), field), field)
    names, read = class_texts(found, pathlib.Path(field))
  elif re.match(r"[^,;{\[]+:", text):  # one line "cat: cat, kitten"
    found = checked(line_classes([text], field, several=True), field)
    names, read = class_texts(found, pathlib.Path(field))
  else:
    names, read = _given(text, field)
  return _class_list("classes", names, read, _describe(field, read), field)


def _of_lexicon(
  lexicon: synonyms.Lexicon,
) -> tuple[tuple[str, ...], ClassTexts]:
  names = tuple(entry.name for entry in lexicon.classes)
  texts = synonyms.texts_of_classes(lexicon)
  return names, ClassTexts(texts, len(names), (), (), (), 0, 0)


def _class_list(
  title: str,
  names: tuple[str, ...],
  read: ClassTexts,
  taken: str,
  field: str,
) -> ClassList:
  """Checks what was read, and gives it its sha256."""
  _check_names(names, field)
  for label, of_class in enumerate(read.texts):
    for text in of_class:
      if not is_text(text) or not clean_text(text):
        raise ValueError(
          f"{field} must hold texts that can be read, got {text!r} for class"
          f" {label}."
        )
  digest = hashlib.sha256(json.dumps([names, read.texts]).encode()).hexdigest()
  return ClassList(
    title=title,
    names=names,
    texts=read.texts,
    unnamed=read.without_texts,
    repeated=read.repeated,
    empty=read.empty,
    sha256=digest,
    taken=taken,
    wnids=read.wnids or (None,) * len(names),
  )


def _describe(title: str, read: ClassTexts) -> str:
  """Says what a list was read as."""
  classes, texts = len(read.texts), sum(map(len, read.texts))
  counts = (
    f"{title}: {classes:,} class{'' if classes == 1 else 'es'}, {texts:,}"
    f" text{'' if texts == 1 else 's'}"
  )
  return "; ".join((counts, *read.notes)) + "."


def _given(
  source: str | Iterable[Any], field: str
) -> tuple[tuple[str, ...], ClassTexts]:
  """Reads classes that are given themselves, and not where they stand."""
  if isinstance(source, Mapping):
    found = value_classes(dict(source), field)
  elif not isinstance(source, str):
    found = value_classes(list(source), field)
  elif source.lstrip()[:1] in ("[", "{"):
    found = value_classes(parse_brackets(source, field), field)
  elif "," in source:
    parts = [name.strip() for name in source.split(",")]
    parts = parts[:-1] if not parts[-1] else parts  # "dog," is one class
    notes: list[str] = []
    parts = without_numbers(parts, notes, field)
    found = value_classes(parts, field)
    found = ListedClasses(found.classes, (*notes, *found.notes))
  else:
    raise ValueError(
      f"{field} must be names between commas, a file of names, or a packaged"
      f" table ({nearest(_packaged(), source)}), got {source!r:.80}: there is"
      ' no such file or table; one class is "NAME,".'
    )
  _check_names([entry.name for entry in found.classes], field)
  found = checked(found, field)
  return class_texts(found, pathlib.Path(field))


def is_list(source: str) -> bool:
  """Says whether a source is a list of classes, no packaged table."""
  if not os.path.isfile(source):
    if synonyms.split_kinds(source)[0] != source:
      return False
    return "," in source or source.lstrip()[:1] in ("[", "{")
  if pathlib.Path(source).suffix.lower() != ".json":
    return True
  return not is_table_of_ours(parse_json(read_text(source), source))


def class_entries(classes: ClassList) -> tuple[ClassEntry, ...]:
  """Makes the entries that a table would have of a list of classes."""
  return tuple(
    ClassEntry(
      label=label,
      name=name,
      synonyms=tuple(
        text
        for text in texts
        if comparison_key(text) != comparison_key(name.replace("_", " "))
      ),
      descriptors=(),
      polluted=(),
      captioned=(),
      codepoint=None,
      wnid=wnid,
    )
    for label, (name, texts, wnid) in enumerate(
      zip(classes.names, classes.texts, classes.wnids, strict=True)
    )
  )


def shared_texts(
  texts: Sequence[Sequence[str]],
) -> tuple[tuple[str, tuple[int, ...]], ...]:
  """Lists the texts that several classes have, however they are spelled."""
  return tuple(
    (shared[0][0], tuple(label for _, label in shared))
    for shared in shared_concepts(texts)
  )


def is_text(text: str) -> bool:
  """Tells whether a text is Unicode; arguments may be broken bytes."""
  return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_table(source: str) -> bool:
  """Says whether a source is a packaged table, or a file with one of ours."""
  if not os.path.isfile(source):
    return source in _packaged()
  return is_list(source) is False


def _packaged() -> list[str]:
  return sorted(path.stem for path in synonyms.TABLES.glob("*.json"))


def _check_names(names: Sequence[Any], field: str) -> None:
  if not names:
    raise ValueError(f"{field} must name at least one class, got none.")
  for label, name in enumerate(names):
    if (
      not isinstance(name, str)
      or not is_text(name)
      or not clean_text(name.replace("_", " "))
    ):
      raise ValueError(
        f"{field} must hold names that can be read, got {name!r} as class"
        f" {label}."
      )
