"""Classes from values of JSON, YAML or Python, as people write them."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax.lexicon.cells import RANKS, are_running, header_word, is_id_word

WNID = re.compile(r"n\d{8}")
"""WordNet's id of a noun."""

_WRAPPERS = ("id2label", "names", "class_names", "classes", "labels")
_WRAPPERS += ("categories",)


class ListedClass(NamedTuple):
  """A class of a list.

  Attributes:
    name: as the list spells it.
    texts: that the list gives for it; None where its name is its text.
    wnid: WordNet's id, where the list has one.
  """

  name: str
  texts: tuple[str, ...] | None = None
  wnid: str | None = None


class ListedClasses(NamedTuple):
  """The classes of a list, in label order, and what was made of it.

  Attributes:
    classes: the entries.
    notes: what was taken as what, a few words each.
  """

  classes: tuple[ListedClass, ...]
  notes: tuple[str, ...] = ()


def value_classes(value: Any, where: str) -> ListedClasses:
  """Reads classes from a value of JSON, YAML or Python."""
  if isinstance(value, dict):
    value = {str(key): item for key, item in value.items()}
    key = _wrapper(value)
    if key:
      found = value_classes(value[key], f"{where}, {key!r}")
      return found._replace(notes=(f"the list under {key!r}", *found.notes))
    return _object_classes(value, where)
  if not isinstance(value, list | tuple):
    raise ValueError(
      f"{where} must hold a list of names or an object of class names, got"
      f" {value!r:.40}."
    )
  if value and all(isinstance(item, dict) for item in value):
    return _records(value, where)
  if value and all(map(_is_id_pair, value)):
    classes = [_with_id(item[0], list(item[1:]), where) for item in value]
    return ListedClasses(tuple(classes), ("WordNet ids before the names",))
  for number, item in enumerate(value):
    if not isinstance(item, str):
      raise ValueError(
        f"{where} must hold a list of names, got {item!r:.40} as class"
        f" {number}: put it between quotes."
      )
  return split_ids(value)


def split_ids(names: Sequence[str]) -> ListedClasses:
  """Takes names as they are, but for WordNet ids before them."""
  classes, count = [], 0
  for name in names:
    match = re.fullmatch(r"(n\d{8})[\s,:]+(\S.*)", name.strip(), re.DOTALL)
    count += match is not None
    if match:
      classes.append(ListedClass(match[2], None, match[1]))
    else:
      classes.append(ListedClass(name))
  notes = ("WordNet ids before the names",) if count else ()
  return ListedClasses(tuple(classes), notes)


def _wrapper(value: dict[str, Any]) -> str:
  """Returns the key of an object under which the classes are, or ""."""
  for key in _WRAPPERS:
    inner = value.get(key)
    if not isinstance(inner, list | dict) or not inner:
      continue
    listed = isinstance(inner, list) and isinstance(inner[0], dict)
    if key == "id2label" or len(value) == 1 or listed:
      return key
    others = [item for name, item in value.items() if name != key]
    if not all(map(_are_texts, others)) or isinstance(inner, dict):
      return key
    if key == "names" and value.keys() & {"nc", "train", "val", "path"}:
      return key
  return ""


def _are_texts(value: Any) -> bool:
  if isinstance(value, str):
    return True
  return isinstance(value, list | tuple) and all(
    isinstance(text, str) for text in value
  )


def _object_classes(value: dict[str, Any], where: str) -> ListedClasses:
  keys, items = list(value), list(value.values())
  if not keys:
    return ListedClasses(())
  if all(is_index(key) for key in keys):
    if all(isinstance(item, str) for item in items):
      names = [value[key] for key in _running(keys, where)]
      return split_ids(names)._replace(notes=("names by number",))
    if all(map(_is_id_pair, items)):  # Keras' imagenet_class_index.json
      pairs = [value[key] for key in _running(keys, where)]
      classes = [_with_id(pair[0], list(pair[1:]), where) for pair in pairs]
      note = "WordNet ids and names by number"
      return ListedClasses(tuple(classes), (note,))
  numbers = [str(item) for item in items if not isinstance(item, bool)]
  if len(numbers) == len(items) and all(map(is_index, numbers)):
    if len(set(numbers)) != len(numbers):
      raise ValueError(
        f"{where} must give each number to one class, got some twice: write"
        ' {"CLASS": ["TEXT", "TEXT"]} where several texts make one class.'
      )
    names = dict(zip(numbers, keys, strict=True))
    classes = [ListedClass(names[key]) for key in _running(numbers, where)]
    return ListedClasses(tuple(classes), ("numbers by name",))
  entries = text_entries(value, where)
  if all(WNID.fullmatch(name) for name, _ in entries):
    classes = [_with_id(wnid, texts, where) for wnid, texts in entries]
    return ListedClasses(tuple(classes), ("names by WordNet id",))
  classes = [ListedClass(name, tuple(texts)) for name, texts in entries]
  return ListedClasses(tuple(classes))


def text_entries(value: Any, where: str) -> list[tuple[str, list[str]]]:
  """Reads an object of class name -> text, or list of texts."""
  if not isinstance(value, dict):
    raise ValueError(
      f"{where} must map class names to lists of texts, got {value!r:.40}."
    )
  for name, texts in value.items():
    if not _are_texts(texts):
      raise ValueError(
        f"{where}: {name!r:.80} must hold a list of texts, got {texts!r:.60}."
      )
  return [
    (str(name), [texts] if isinstance(texts, str) else list(texts))
    for name, texts in value.items()
  ]


def is_index(text: str) -> bool:
  """Says whether a text is a whole number that may count classes."""
  return text.isascii() and text.isdecimal() and len(text) < 10


def _is_id_pair(value: Any) -> bool:
  return (
    isinstance(value, list | tuple)
    and len(value) > 1
    and _are_texts(value)
    and WNID.fullmatch(value[0]) is not None
  )


def _running(keys: Sequence[str], where: str) -> list[str]:
  """Sorts numbers, which must have no gap."""
  ordered = sorted(keys, key=int)
  if not are_running([str(int(key)) for key in ordered]):
    raise ValueError(
      f"{where} must number its names 0, 1, 2, ... or 1, 2, ... without gaps,"
      f" got {ordered[0]} to {ordered[-1]} for {len(ordered)}: number them"
      " anew, or make it a list of names."
    )
  return ordered


def _with_id(wnid: str, texts: Sequence[str], where: str) -> ListedClass:
  """Makes the class of a WordNet id, called by the first text."""
  texts = [text for text in texts if text.strip()]
  if not texts:
    raise ValueError(f"{where} must name the class of {wnid}, got no name.")
  spelled = tuple(text.replace("_", " ") for text in texts)
  return ListedClass(texts[0], spelled if len(texts) > 1 else None, wnid)


def _records(value: Sequence[dict[str, Any]], where: str) -> ListedClasses:
  """Reads objects of a name each, such as COCO's categories."""
  keys = {str(key): header_word(str(key)) for key in value[0]}
  named = [
    key
    for rank in (1, 2)
    for key, word in keys.items()
    if RANKS.get(word) == rank
    and all(isinstance(item.get(key), str) for item in value)
  ]
  if not named:
    raise ValueError(
      f"{where} must hold objects with a `name`, got {', '.join(keys)!r:.80}."
    )
  ids = next((key for key in keys if is_id_word(key)), "")
  records = list(value)
  if ids:
    numbers = [str(item.get(ids)) for item in records]
    if not all(map(is_index, numbers)) or len(set(numbers)) != len(numbers):
      raise ValueError(f"{where} must number each object once under {ids!r}.")
    by_number = dict(zip(numbers, records, strict=True))
    records = [by_number[key] for key in _running(numbers, where)]
  texts = next((k for k, word in keys.items() if RANKS.get(word) == 0), "")
  classes = []
  for item in records:
    extra = item.get(texts) or () if texts else None
    if extra is not None and not _are_texts(extra):
      raise ValueError(f"{where} must hold texts under {texts!r}.")
    extra = (extra,) if isinstance(extra, str) else extra
    classes.append(
      ListedClass(item[named[0]], None if extra is None else tuple(extra))
    )
  return ListedClasses(tuple(classes), (f"names under {named[0]!r}",))
