"""Classes found by what a folder, a file or a column calls them.

Every benchmark's names are spelled in many ways: with blanks, underscores or
neither, the year first or last, "/a/apse/indoor" for "indoor apse". Labels are
joined by name, never by the order of a listing.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from s3_jax.data.specs import DatasetSpec, official_names, wnids
from s3_jax.lexicon.matching import by_concept, index_names, other_spellings
from s3_jax.lexicon.spelling import is_number, loose_key, plain_key

# What a data set's publishers call a class -> its official name.
_RENAMED: dict[str, dict[str, str | list[str]]] = {
  "caltech101": {
    "Faces": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
  },
  "eurosat": {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
  },
  # WordNet's words, as Hugging Face's hub has them, where CLIP's names differ
  # from all of them; a list stands for several classes of one word.
  "imagenet": {
    "cock": "rooster",
    "kite": "kite (bird of prey)",
    "whiptail, whiptail lizard": "desert grassland whiptail lizard",
    "African chameleon, Chamaeleo chamaeleon": "chameleon",
    "hognose snake, puff adder, sand viper": "eastern hog-nosed snake",
    "green snake, grass snake": "smooth green snake",
    "garden spider, Aranea diademata": "European garden spider",
    "drake": "duck",
    "crane": ["crane bird", "construction crane"],
    "European gallinule, Porphyrio porphyrio": "common gallinule",
    "redbone": "Redbone Coonhound",
    "kelpie": "Australian Kelpie",
    "Appenzeller": "Appenzeller Sennenhund",
    "Leonberg": "Leonberger",
    "Brabancon griffon": "brussels griffon",
    "Mexican hairless": "Mexican hairless dog (xoloitzcuintli)",
    "cricket": "cricket insect",
    "admiral": "red admiral butterfly",
    "sorrel": "common sorrel horse",
    "bow": "hunting bow",
    "chest": "storage chest",
    "harvester, reaper": "combine harvester",
    "jean, blue jean, denim": "jeans",
    "mailbag, postbag": "messenger bag",
    "maillot": "tights",
    "maillot, tank suit": "one-piece bathing suit",
    "mortar": "mortar and pestle",
    "nail": "metal nail",
    "nipple": "baby pacifier",
    "passenger car, coach, carriage": "railroad car",
    "reel": "fishing casting reel",
    "shoji": "shoji screen / room divider",
    "stole": "scarf",
    "sunglass": "sunglasses",
    "tub, vat": "hot tub",
    "vault": "vaulted or arched ceiling",
    "wing": "airplane wing",
    "wreck": "shipwreck",
    "cup": "tea cup",
    "ear, spike, capitulum": "corn cob",
  },
}

# Folders of the data sets as published that are none of the benchmark's.
_DROPPED = {"caltech101": ("BACKGROUND_Google", "Faces_easy")}


class ClassFinder:
  """Finds the label of a spelling.

  Case, underscores and blanks do not count, nor does punctuation in words; in
  numbers it does. The closest spelling of any class wins over a looser one of
  another; what is left is taken for the one class of which it is another
  number or spelling ("donuts", "aeroplane"). A class is also found by
  its WordNet id, and "apse (indoor)", "/a/apse/indoor", "Audi TTS Coupe 2012"
  find "indoor apse" and "2012 Audi TTS Coupe".

  Attributes:
    classes: how many there are.
    names: of the classes, in label order.
    dropped: folders of the data set that are none of its classes.
    has_numbers: whether a class is called by a number.
  """

  def __init__(
    self,
    title: str,
    names: Sequence[str],
    *,
    ids: Sequence[str | None] = (),
    renamed: Mapping[str, str | list[str]] | None = None,
    dropped: Sequence[str] = (),
    numbered: bool = False,
  ):
    """Indexes the names."""
    self.classes = len(names)
    self.names = tuple(names)
    self.dropped = tuple(dropped)
    self._title = title
    self._numbered = numbered
    self.has_numbers = any(is_number(plain_key(name)) for name in names)
    spellings = [[name] for name in names]
    self._plain = index_names(spellings, plain_key)
    self._loose = index_names(spellings, loose_key)
    self._find_concept = by_concept(spellings)
    for spelling, meant in (renamed or {}).items():
      several = [meant] if isinstance(meant, str) else meant
      keys = [plain_key(name) for name in several]
      labels = {label for key in keys for label in self._plain.get(key, ())}
      if labels:  # a subset of the classes may have none of them
        self._plain[plain_key(spelling)] = tuple(sorted(labels))
    self._plain |= {key: (label,) for label, key in enumerate(ids) if key}

  def find(self, spelling: str) -> tuple[int, ...]:
    """Lists the labels that a spelling may mean, ascending; often one."""
    if self._numbered and spelling.isascii() and spelling.isdecimal():
      label = int(spelling)
      return (label,) if label < self.classes else ()
    variants = _variants(spelling)
    for index, key in ((self._plain, plain_key), (self._loose, loose_key)):
      for variant in variants:
        if labels := index.get(key(variant), ()):
          return labels
    return self._find_concept(variants)

  def label(self, spelling: str, where: str) -> int:
    """Returns the label that a spelling means."""
    labels = self.find(spelling)
    if len(labels) == 1:
      return labels[0]
    if labels:
      raise ValueError(
        f"{where} must name one class, and {spelling!r:.80} is the name of"
        f" classes {' and '.join(map(str, labels))} of {self._title}:"
        " use WordNet ids."
      )
    known = {plain_key(name): name for name in self.names}
    near = difflib.get_close_matches(plain_key(spelling)[:80], known, 1)
    hint = f"; {known[near[0]]!r} is one" if near else ""
    raise ValueError(
      f"{where} must name a class of {self._title}, got {spelling!r:.80}{hint}."
    )


def benchmark_finder(spec: DatasetSpec) -> ClassFinder:
  """Makes the finder of a benchmark's classes."""
  return ClassFinder(
    spec.title,
    official_names(spec),
    ids=wnids(spec),
    renamed=_RENAMED.get(spec.lexicon),
    dropped=_DROPPED.get(spec.name, ()),
    numbered=spec.name == "imagenet_v2",
  )


UNKNOWN = -1
"""A stored class that the data set does not have."""


class MatchedNames(NamedTuple):
  """What stored classes are; `labels` holds UNKNOWN for one that is none."""

  labels: list[int]
  note: str


def match_names(
  finder: ClassFinder,
  names: Sequence[str],
  where: str,
  *,
  advice: str,
  whole: bool = False,
  subset: bool = False,
  others: Sequence[Sequence[str]] = (),
) -> MatchedNames:
  """Maps the names of stored labels to labels of the data set's classes.

  A name that is not one class's own is looked up in `others`. Where several
  classes have it, its index decides, if there are as many names as classes, and
  every name is one that the class of its index has.

  Args:
    finder: of the data set's classes.
    names: in the order of the stored labels.
    where: they are, as the beginning of a message.
    advice: its end: what to do.
    whole: whether every class must be there.
    subset: whether classes beside the data set's may be there.
    others: further names of each class.
  """
  found = [finder.find(name) for name in names]
  own = [labels[0] if len(labels) == 1 else UNKNOWN for labels in found]
  doubtful = [index for index, label in enumerate(own) if label == UNKNOWN]
  labels, note = own, ""
  if doubtful:
    known = index_names(others, loose_key)
    for index in doubtful:
      parts = (names[index], *names[index].split(","))
      found[index] = found[index] or tuple(
        sorted({c for part in parts for c in known.get(loose_key(part), ())})
      )
    labels = [each[0] if len(each) == 1 else UNKNOWN for each in found]
    several = sum(len(each) > 1 for each in found)
    in_order = all(index in each for index, each in enumerate(found))
    if several and in_order and len(names) == finder.classes:
      labels = list(range(len(names)))
      note = f"{several} names of several classes placed by their order"
  missing = sorted(set(range(finder.classes)) - set(labels))
  if missing and whole:
    raise ValueError(
      f"{where} must have the class {finder.names[missing[0]]!r}, and"
      f" {len(missing)} of {finder.classes} classes are missing: {advice}."
    )
  strange = [
    name
    for name, label in zip(names, labels, strict=True)
    if label == UNKNOWN and name not in finder.dropped
  ]
  if strange and not subset:
    raise ValueError(
      f"{where} must have the data set's {finder.classes} classes only, got"
      f" {len(names)} with {strange[0]!r:.60}: {advice}."
    )
  owners: dict[int, str] = {}
  for name, label in zip(names, labels, strict=True):
    if label != UNKNOWN and owners.setdefault(label, name) is not name:
      raise ValueError(
        f"{where} must name each class once, got {owners[label]!r:.60} and"
        f" {name!r:.60} for class {label}: {advice}."
      )
  return MatchedNames(labels, note)


def sole_spellings(spelled: Iterable[str], where: str) -> tuple[str, ...]:
  """Sorts the names that classes are called by, each of which has one."""
  names = tuple(sort_names(list(set(spelled))))
  check_spellings(names, where)
  return names


def sort_names(names: list[str]) -> list[str]:
  """Sorts names; where all are numbers, as numbers: 2 before 10."""
  if all(name.isascii() and name.isdecimal() for name in names):
    return sorted(names, key=lambda name: (int(name), name))
  return sorted(names)


def check_spellings(names: Sequence[str], where: str) -> None:
  """Refuses two names that are spellings of one."""
  pair = twins(names)
  if pair:
    raise ValueError(
      f"{where} must spell each class in one way, got {pair[0]!r} and"
      f" {pair[1]!r}: use one of them."
    )


def twins(names: Sequence[str]) -> tuple[str, str] | None:
  """Returns the first two names that differ in case and blanks alone.

  Two ways to write one number, such as "1" and "1.0", are twins as well.
  """
  seen: dict[str | float, str] = {}
  for name in names:
    plain = plain_key(name)
    key = float(plain) if is_number(plain) else plain
    other = seen.setdefault(key, name)
    if other is not name:
      return other, name
  return None


def _variants(spelling: str) -> list[str]:
  """Lists a spelling and what it may stand for, SUN397's paths among them."""
  variants = other_spellings(spelling)
  if match := re.fullmatch(r"/?[a-z]/(.+)", variants[0]):
    variants.insert(1, " ".join(match[1].split("/")[::-1]))
  return variants
