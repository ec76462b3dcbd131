"""Tables of class names, synonyms and descriptors: read, check, choose.

A table is a JSON file:
`{"schema": 2, "dataset", "provenance", "subsets"?, "classes": [{"index",
"wnid"?, "name", "synonyms", "descriptors", "polluted"?, "associations"?,
"captioned"?, "frequencies"?, "codepoint"?, "source"?}]}`.
`name` is spelled as the benchmark spells it ("apple_pie"); texts are made with
blanks for its underscores. `synonyms` leaves out the name itself: an object of
kind -> texts, or a list, all of which are common names (schema 1 has lists
alone). Classes are keyed by index, never by name: real label sets repeat names.
`subsets` names lists of class indices, such as those of ImageNet-A.
"""

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, NoReturn

from s3_jax.fields import Rule, Where, read
from s3_jax.lexicon.spelling import comparison_key, group_spellings
from s3_jax.messages import nearest

TABLES = pathlib.Path(__file__).parent / "tables"
BENCHMARK_TABLES = (
  *("imagenet", "caltech101", "oxford_pets", "stanford_cars"),
  *("oxford_flowers102", "food101", "fgvc_aircraft", "sun397", "dtd"),
  *("eurosat", "ucf101", "voc", "pascal_context", "coco_object"),
  *("coco_stuff", "cityscapes", "ade20k"),
)
"""Packaged tables of public benchmarks, in the order of reports."""

SCHEMA = 2
SCHEMAS = (1, SCHEMA)  # that are read
KINDS = {
  "common": "another name in the English of today",
  "spelling": "the official or a common name, spelled or ordered otherwise",
  "scientific": "the Latin name",
  "brand": "a make that stands for the thing",
  "code": "a type or chassis code, an acronym",
  "subtype": "the name of a part of the class",
  "foreign": "a word of another language without use in English",
  "archaic": "a name that is out of use",
}
"""What a synonym may be."""
DEFAULT_KINDS = ("common", "spelling")
"""Kinds that are taken where none are asked for."""
ALL_KINDS = "all"
MAX_WORDS = 5  # of a synonym [paper: synonyms of at most five words]


class _InTable(Where):
  """Where a value lies in a table: its file, the class, the key."""

  mapping = "must be an object"
  listing = "must be a list"
  closed = False

  def __init__(self, path: str, key: str = ""):
    super().__init__(path)
    self.key = key

  def at(self, key: str | int) -> Where:
    """Returns where a value of this object lies."""
    return _InTable(self.path, str(key))

  def refuse(self, rule: str, value: Any) -> NoReturn:
    """Raises the error of a value that breaks a rule."""
    label = f"{self.path}: `{self.key}`" if self.key else self.path
    raise ValueError(f"{label} {rule}, got {value!r:.60}.")

  def refuse_absent(self, key: str, given: Mapping[str, Any]) -> NoReturn:
    """Raises the error of a key that is not there."""
    self.at(key).refuse("must be there", given.get(key))


def _is_said(text: Any) -> bool:
  return isinstance(text, str) and bool(text.strip())


def _read_synonyms(given: Any, where: Where) -> tuple[str, ...]:
  """Lists the texts of all kinds, one kind after the other."""
  if isinstance(given, list | tuple):
    return _read_texts(tuple(given), where)
  if not isinstance(given, dict):
    where.refuse("must be a list or an object of kind -> list", given)
  for kind, texts in given.items():
    if kind not in KINDS:
      where.refuse(f"must have kinds of {', '.join(KINDS)}", kind)
    if not isinstance(texts, list):
      where.at(kind).refuse("must be a list", texts)
  listed = [text for kind in KINDS for text in given.get(kind, ())]
  return _read_texts(tuple(listed), where)


def _read_texts(texts: tuple[Any, ...], where: Where) -> tuple[str, ...]:
  for text in texts:
    if not _is_said(text):
      where.refuse("must not hold an empty text", text)
  return texts


Name = Annotated[str, Rule("must not be empty", _is_said)]
Texts = Annotated[tuple[str, ...], Rule(given=tuple, read=_read_texts)]
Synonyms = Annotated[tuple[str, ...], Rule(given=Any, read=_read_synonyms)]


class ClassEntry(NamedTuple):
  """What the lexicon knows of one class."""

  label: int  # the class index
  name: Name  # the benchmark's official name
  synonyms: Synonyms  # without the name itself
  descriptors: Texts
  polluted: Texts = ()  # entries known to be wrong; drawn worlds only
  captioned: Texts = ()  # names that captions use most, by frequency
  codepoint: Any = None  # of the pictograph or emoji; drawn worlds only
  wnid: Any = None  # WordNet's id of the class; ImageNet only
  source: Any = None  # of the texts, in a table that a person has a hand in
  kinds: tuple[str, ...] = ()  # of the synonyms, one each; (): all are common
  frequencies: tuple[float, ...] = ()  # of `captioned`; (): by their rank
  associations: Texts = ()  # what goes with the thing; drawn worlds only

  @property
  def names(self) -> tuple[str, ...]:
    """The official name, underscores as blanks, followed by its synonyms."""
    return (self.name.replace("_", " "), *self.synonyms)

  @property
  def concepts(self) -> tuple[tuple[str, ...], ...]:
    """The names, the spellings of one name together: one vertex each."""
    return group_spellings(self.names)

  @property
  def by_kind(self) -> dict[str, tuple[str, ...]]:
    """The synonyms of each kind that there is."""
    kinds = self.kinds or ("common",) * len(self.synonyms)
    found: dict[str, tuple[str, ...]] = {}
    for text, kind in zip(self.synonyms, kinds, strict=True):
      found[kind] = (*found.get(kind, ()), text)
    return found

  def only(self, kinds: Collection[str] = DEFAULT_KINDS) -> "ClassEntry":
    """Leaves out the synonyms of other kinds."""
    kept = {kind: t for kind, t in self.by_kind.items() if kind in kinds}
    return self._replace(
      synonyms=tuple(text for texts in kept.values() for text in texts),
      kinds=tuple(kind for kind, texts in kept.items() for _ in texts),
    )


class Lexicon(NamedTuple):
  """A checked table: one entry a class, in index order."""

  dataset: str
  provenance: str
  classes: tuple[ClassEntry, ...]
  sha256: str  # of the file
  subsets: dict[str, tuple[int, ...]]  # class indices, ascending

  def only(self, kinds: Collection[str] = DEFAULT_KINDS) -> "Lexicon":
    """Leaves out the synonyms of other kinds."""
    classes = tuple(entry.only(kinds) for entry in self.classes)
    return self._replace(classes=classes)


class _Table(NamedTuple):
  """The parts of a table's file."""

  dataset: str
  provenance: dict
  classes: tuple
  subsets: dict = {}


_MOST_KINDS = 2 * len(KINDS)


def split_kinds(
  source: str, *, files: bool = True
) -> tuple[str, tuple[str, ...]]:
  """Splits "imagenet+scientific" into the table and the kinds of synonyms.

  The kinds of `DEFAULT_KINDS` are always among them; "all" stands for all. A
  source that is a file itself, or names no table before "+", stays whole; no
  file is looked for if `files` is False.
  """
  base, kinds = source, []
  while len(kinds) < _MOST_KINDS:
    before, sign, kind = base.rpartition("+")
    if not sign or not kind.isidentifier():
      break
    base = before
    kinds.insert(0, kind)
  is_file = os.path.isfile if files else lambda path: False
  is_table = not base or f"{base}.json" in os.listdir(TABLES) or is_file(base)
  if not kinds or not is_table or is_file(source):
    return source, DEFAULT_KINDS
  for kind in kinds:
    if kind not in (*KINDS, ALL_KINDS):
      raise ValueError(
        f"lexicon {source!r:.60} must name kinds of"
        f' {", ".join((*KINDS, ALL_KINDS))} after "+", got {kind!r:.40}.'
      )
  if ALL_KINDS in kinds:
    return base, tuple(KINDS)
  return base, tuple(k for k in KINDS if k in (*DEFAULT_KINDS, *kinds))


def load_lexicon(source: str | pathlib.Path) -> Lexicon:
  """Reads and checks a table that comes with the package, or a JSON file."""
  path = pathlib.Path(source)
  if not path.suffix:
    path = TABLES / f"{source}.json"
  if not path.is_file():
    tables = sorted(table.stem for table in TABLES.glob("*.json"))
    known = nearest(tables, path.stem)
    raise ValueError(
      f"lexicon {str(source)!r} must be a packaged table ({known}) or the path"
      " of a JSON file, and no such file exists."
    )
  return parse_lexicon(path.read_bytes(), str(path))


def read_lexicon(source: str) -> Lexicon:
  """Reads a table as a run takes it, with the kinds that `source` asks for."""
  table, kinds = split_kinds(source)
  return load_lexicon(table).only(kinds)


def parse_lexicon(data: bytes, path: str) -> Lexicon:
  """Checks a table; `path` is what messages call it."""
  try:
    table = json.loads(data, object_pairs_hook=_once)
  except ValueError as error:
    raise ValueError(f"lexicon {path} must be JSON: {error}.") from error
  if not isinstance(table, dict) or table.get("schema") not in SCHEMAS:
    got = table.get("schema") if isinstance(table, dict) else table
    raise ValueError(
      f"lexicon {path}: `schema` must be {' or '.join(map(str, SCHEMAS))}, got"
      f" {got!r:.60}."
    )
  dataset, provenance, classes, subsets = read(
    _Table, table, _InTable(f"lexicon {path}")
  )
  entries = tuple(
    _entry(_InTable(f"lexicon {path}, class {position}"), position, record)
    for position, record in enumerate(classes)
  )
  _check(path, entries)
  return Lexicon(
    dataset=dataset,
    provenance=json.dumps(provenance, sort_keys=True),
    classes=entries,
    sha256=hashlib.sha256(data).hexdigest(),
    subsets={
      name: _subset(f"lexicon {path}, subset {name!r}", indices, len(entries))
      for name, indices in subsets.items()
    },
  )


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  """Makes an object of its pairs, none of which may hide another."""
  found: dict[str, Any] = {}
  for key, value in pairs:
    if key in found:
      raise ValueError(f"key {key!r:.40} must stand once in an object")
    found[key] = value
  return found


def _subset(where: str, indices: Any, classes: int) -> tuple[int, ...]:
  is_list = isinstance(indices, list) and all(type(i) is int for i in indices)
  if not is_list or indices != sorted(set(indices)):
    raise ValueError(
      f"{where} must list class indices in ascending order, got"
      f" {indices!r:.60}."
    )
  if indices and not 0 <= indices[0] <= indices[-1] < classes:
    raise ValueError(
      f"{where} must lie in 0 to {classes - 1}, got {indices[0]} to"
      f" {indices[-1]}."
    )
  return tuple(indices)


def _entry(where: _InTable, position: int, record: Any) -> ClassEntry:
  if isinstance(record, dict):
    index = record.get("index")
    if type(index) is not int or index != position:
      where.at("index").refuse("must count 0, 1, 2, ... in order", index)
    kinds: tuple[str, ...] = ()
    if isinstance(given := record.get("synonyms"), dict):
      kinds = tuple(k for k in KINDS for _ in _listed(given.get(k)))
    record = {**record, "label": index, "kinds": kinds}
  return read(ClassEntry, record, where)


def _listed(texts: Any) -> list[Any]:
  return texts if isinstance(texts, list) else []


def _check(path: str, entries: Sequence[ClassEntry]) -> None:
  if not entries:
    raise ValueError(f"lexicon {path} must hold at least one class, got 0.")
  for entry in entries:
    where = f"lexicon {path}, class {entry.label}"
    texts = (*entry.names, *entry.polluted)
    for synonym in entry.synonyms:
      if len(synonym.split()) > MAX_WORDS:
        raise ValueError(
          f"{where}: a synonym has at most {MAX_WORDS} words, got"
          f" {synonym!r:.80}."
        )
    keys = [comparison_key(text) for text in texts]
    for position, key in enumerate(keys):
      if key in keys[:position]:
        raise ValueError(f"{where}: {texts[position]!r} occurs twice.")
    stray = [name for name in entry.captioned if name not in entry.names]
    if stray:
      raise ValueError(
        f"{where}: `captioned` must repeat names of the class, got {stray!r}."
      )
    shares = entry.frequencies
    if shares and (len(shares) != len(entry.captioned) or min(shares) <= 0):
      raise ValueError(
        f"{where}: `frequencies` must be a number > 0 for each name of"
        f" `captioned`, got {shares!r:.80}."
      )


@functools.cache
def classes_by_wnid() -> dict[str, ClassEntry]:
  """Returns the packaged classes that have WordNet ids, by these ids."""
  classes = load_lexicon("imagenet").classes
  return {entry.wnid: entry for entry in classes if entry.wnid}


def texts_of_classes(lexicon: Lexicon) -> tuple[tuple[str, ...], ...]:
  """Lists every class's texts, the official name first."""
  return tuple(entry.names for entry in lexicon.classes)


def most_frequent_names(classes: Sequence[ClassEntry]) -> tuple[str, ...]:
  """Returns each class's name that training captions use most."""
  for entry in classes:
    if not entry.captioned:
      raise ValueError(
        f"class {entry.label} ({entry.name!r:.60}) must have `captioned` names"
        " in the lexicon, of which the first is the most frequent, and has"
        " none."
      )
  return tuple(entry.captioned[0] for entry in classes)
