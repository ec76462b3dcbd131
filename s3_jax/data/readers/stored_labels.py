"""Labels that lie in shards beside their images, and whose they are.

Labels are joined by the names that the shards bring along. An index alone means
nothing: copies of one data set number its classes in different orders.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from s3_jax.data.readers.listing import count_from_one, count_words
from s3_jax.data.readers.naming import (
  UNKNOWN,
  ClassFinder,
  benchmark_finder,
  check_spellings,
  match_names,
  sole_spellings,
)
from s3_jax.data.readers.split_shards import CLASS_NAMES, SplitShards
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import DatasetSpec, other_names


class StoredImages(NamedTuple):
  """Images with the labels that shards give them.

  Attributes:
    layout: the reader's key.
    shards: where they lie.
    values: of each image, an index or a class's name.
    names: of the classes, in the order of indices; () where no name is known.
    name: says which image a row is.
    open: from the rows to be kept, their labels and what was found.
    note: what else was found.
  """

  layout: str
  shards: SplitShards
  values: Sequence[int | str]
  names: tuple[str, ...]
  name: Callable[[int], str]
  open: Callable[[Sequence[int], Sequence[int], str], OpenedDataset]
  note: str = ""


def open_benchmark(stored: StoredImages, spec: DatasetSpec) -> OpenedDataset:
  """Opens shards of a benchmark."""
  if not stored.names and not _are_words(stored):
    raise ValueError(
      f"data set {spec.name!r} in {stored.shards.root} must name its classes,"
      f" got indices alone, whose order is unknown: put {CLASS_NAMES}, a class"
      " a line in their order, beside the shards."
    )
  return open_stored(
    stored,
    benchmark_finder(spec),
    whole=bool(stored.names),
    subset=bool(spec.subset),
    others=other_names(spec),
  )


def open_stored(
  stored: StoredImages,
  finder: ClassFinder,
  *,
  whole: bool = False,
  subset: bool = False,
  others: Sequence[Sequence[str]] = (),
) -> OpenedDataset:
  """Opens shards whose classes a finder knows."""
  meant: dict[int | str, int]
  names, where = stored.names, f"{stored.shards.root}"
  notes = [stored.note] if stored.note else []
  if names or _are_words(stored):
    words = names or own_names(stored)
    matched = match_names(
      finder,
      words,
      where,
      advice="map its classes' names to these",
      whole=whole,
      subset=subset,
      others=others,
    )
    notes += [matched.note] if matched.note else []
    keys: Sequence[int | str] = range(len(names)) if names else words
    meant = dict(zip(keys, matched.labels, strict=True))
  else:
    words = tuple(map(str, range(finder.classes)))
    meant = {index: index for index in range(finder.classes)}
    known = [value for value in stored.values if isinstance(value, int)]
    note = count_from_one([v for v in known if v in meant], len(meant), where)
    notes += ["labels are indices", *([note] if note else [])]
  kept, labels, left = [], [], Counter[str]()
  for row, value in enumerate(stored.values):
    if value not in meant:
      raise ValueError(
        f"{stored.name(row)} must have a label from 0 to {len(meant) - 1}, got"
        f" {value!r:.40} (-1 is an image without a label): take the labelled"
        " split."
      )
    label = meant[value]
    name = value if isinstance(value, str) else words[value]
    if label != UNKNOWN:
      kept.append(row)
      labels.append(label)
    elif name in finder.dropped:
      left[name] += 1
    else:
      raise ValueError(
        f"{stored.name(row)} must be of one of the data set's"
        f" {finder.classes} classes, got {name!r:.60}: take the data set's own"
        " split."
      )
  if not kept:
    raise ValueError(f"{where} must hold images, got none.")
  if left:
    listed = " and ".join(sorted(left))
    notes.append(f"left out {listed} ({left.total()}), as the benchmark does")
  found = (
    f"{stored.layout} {stored.shards.words}: {count_words(len(kept), 'image')}"
    f", {len(set(labels)):,} of"
    f" {count_words(finder.classes, 'class', 'classes')}"
  )
  return stored.open(kept, labels, "; ".join((found, *notes)))


def own_names(stored: StoredImages) -> tuple[str, ...]:
  """Lists the classes as the shards name them; () where they do not."""
  if stored.names:
    check_spellings(stored.names, f"{stored.shards.root}")
    return stored.names
  words = [value for value in stored.values if isinstance(value, str)]
  return sole_spellings(words, f"{stored.shards.root}")


def _are_words(stored: StoredImages) -> bool:
  return bool(stored.values) and all(isinstance(v, str) for v in stored.values)
