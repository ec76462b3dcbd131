"""Classes found by what a folder, a file or a column calls them.

Every benchmark's names are spelled in many ways: with blanks, underscores or
neither, the year first or last, "/a/apse/indoor" for "indoor apse". Labels are
joined by name, never by the order of a listing.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

from s3_jax.data.specs import DatasetSpec, official_names, wnids
from s3_jax.lexicon.matching import by_concept, index_names, other_spellings
from s3_jax.lexicon.spelling import is_number, loose_key, plain_key

# Folders of the data sets as published -> the names that CoOp gave them.
_RENAMED = {
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
    dropped: folders of the data set that are none of its classes.
    has_numbers: whether a class is called by a number.
  """

  def __init__(
    self,
    title: str,
    names: Sequence[str],
    *,
    ids: Sequence[str | None] = (),
    renamed: Mapping[str, str] | None = None,
    dropped: Sequence[str] = (),
    numbered: bool = False,
  ):
    """Indexes the names."""
    self.classes = len(names)
    self.dropped = tuple(dropped)
    self._title = title
    self._names = tuple(names)
    self._numbered = numbered
    self.has_numbers = any(is_number(plain_key(name)) for name in names)
    spellings = [[name] for name in names]
    self._plain = index_names(spellings, plain_key)
    self._loose = index_names(spellings, loose_key)
    self._find_concept = by_concept(spellings)
    for spelling, name in (renamed or {}).items():
      self._plain[plain_key(spelling)] = self._plain[plain_key(name)]
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
    known = {plain_key(name): name for name in self._names}
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
    renamed=_RENAMED.get(spec.name),
    dropped=_DROPPED.get(spec.name, ()),
    numbered=spec.name == "imagenet_v2",
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
