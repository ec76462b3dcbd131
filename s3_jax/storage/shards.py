"""Shards: what is made of a data set's images, in the cache as it is made.

A shard holds what was made of the images at successive places of a data set,
such as their embeddings or their counted pixels. It is known by what its images
are, not by what they are called. A run that is killed leaves its finished
shards; the next one reads them and makes the rest. Bad images keep their place:
they are listed, with the reason, and are not tried again. One that could not be
read is, by the next run.
"""

import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32

from s3_jax.storage import cache

__all__ = [
  "EMBEDDINGS",
  "PIXELS",
  "Form",
  "Layout",
  "Shard",
  "blank_shard",
  "expected_arrays",
  "is_stored",
  "join_shards",
  "load_shard",
  "put_shard",
  "set_key",
  "store_shard",
  "stored_shards",
]


class Form(NamedTuple):
  """What the shards of a kind hold, and how they are named.

  Attributes:
    name: from the key of what is computed, and the contents of a shard's
      images, to the key of the shard.
    arrays: name -> dtype; each holds an entry of `Layout.shape` an image.
    sums: name -> dtype; each is added up over the good images, and has the axes
      of `Layout.shape` twice.
    listed: whether a file lists what its images are, so that other data sets
      find single images in it.
  """

  name: Callable[[str, Sequence[str]], str]
  arrays: Mapping[str, str]
  sums: Mapping[str, str]
  listed: bool


def _name_embeddings(key: str, contents: Sequence[str]) -> str:
  # One text is faster than many, and as good where all have one length.
  return cache.content_key({"of": key, "contents": " ".join(contents)})


def _name_pixels(key: str, contents: Sequence[str]) -> str:
  return cache.content_key({"pixels of": key, "images": list(contents)})


EMBEDDINGS = Form(_name_embeddings, {"embeddings": "float32"}, {}, True)
PIXELS = Form(
  _name_pixels,
  dict.fromkeys(("intersection", "predicted", "labelled"), "int64"),
  {"pairs": "int64"},
  False,
)


class Layout(NamedTuple):
  """What the shards of a data set look like.

  Attributes:
    key: from `cache.content_key`, of everything beside the images that what is
      stored depends on.
    name: of the data set, for a person who opens a shard.
    contents: what each image is, 64 hexadecimal digits; "" for one that could
      not be read.
    labels: class indices of the images; -1 where they have none.
    unread: index -> why that image could not be read.
    shape: of what is stored of an image: (dim,), (views, dim) or (classes,).
    rows: images of a shard; the last one has fewer.
    form: what is stored.
  """

  key: str
  name: str
  contents: tuple[str, ...]
  labels: Int32[np.ndarray, " images"]
  unread: Mapping[int, str]
  shape: tuple[int, ...]
  rows: int
  form: Form = EMBEDDINGS

  @property
  def total(self) -> int:
    """Images of the data set, >= 1."""
    return len(self.contents)

  @property
  def shards(self) -> int:
    """How many there are."""
    return -(-self.total // self.rows)

  def span(self, number: int) -> Int[np.ndarray, " images"]:
    """Lists the indices of a shard's images."""
    start = number * self.rows
    return np.arange(start, min(start + self.rows, self.total))

  def spans(self, numbers: Iterable[int]) -> Int[np.ndarray, " images"]:
    """Lists the indices of the images of some shards."""
    return np.concatenate([np.arange(0), *map(self.span, numbers)])

  def shard_key(self, number: int) -> str:
    """Names a shard in the cache."""
    start = number * self.rows
    return self.form.name(self.key, self.contents[start : start + self.rows])

  def folder(self, cache_folder: Path) -> Path:
    """Returns where the shards of this key lie."""
    # Those that are searched lie by themselves.
    return cache_folder / self.key[:16] if self.form.listed else cache_folder


class Shard(NamedTuple):
  """What was made of some images of a data set.

  Attributes:
    indices: in the data set.
    labels: class indices.
    arrays: by name, as `Layout.form` says; zeros for bad images.
    reasons: index -> why it is a bad image.
  """

  indices: Int[np.ndarray, " images"]
  labels: Int32[np.ndarray, " images"]
  arrays: dict[str, np.ndarray]
  reasons: dict[int, str]

  @property
  def good(self) -> Bool[np.ndarray, " images"]:
    """False for bad images."""
    return ~np.isin(self.indices, list(self.reasons))

  @property
  def embeddings(self) -> np.ndarray:
    """What a shard of EMBEDDINGS holds: f32[images, ...]."""
    return self.arrays["embeddings"]


def blank_shard(layout: Layout, indices: Int[np.ndarray, " images"]) -> Shard:
  """Makes a shard of which only is known what cannot be read."""
  form, shape = layout.form, layout.shape
  rows = {
    name: np.zeros((indices.size, *shape), dtype)
    for name, dtype in form.arrays.items()
  }
  sums = {name: np.zeros(shape * 2, dtype) for name, dtype in form.sums.items()}
  unread = {
    index: layout.unread[index]
    for index in indices.tolist()
    if not layout.contents[index]
  }
  return Shard(indices, layout.labels[indices], rows | sums, unread)


def put_shard(whole: Shard, part: Shard, form: Form) -> None:
  """Puts a shard where its images are in a larger one."""
  start = int(np.flatnonzero(whole.indices == part.indices[0])[0])
  rows = slice(start, start + part.indices.size)
  for name, values in part.arrays.items():
    if name in form.sums:
      whole.arrays[name][:] += values
    else:
      whole.arrays[name][rows] = values
  whole.reasons.update(part.reasons)


def join_shards(layout: Layout, parts: Sequence[Shard]) -> Shard:
  """Puts a data set together from what several processes have of it."""
  indices = np.concatenate([part.indices for part in parts])
  order = np.argsort(indices, kind="stable")
  if not np.array_equal(indices[order], np.arange(layout.total)):
    raise ValueError(
      f"`parts` must hold each of the {layout.total} images once, got"
      f" {indices.size}, {np.unique(indices).size} of them different."
    )

  def join(name: str) -> np.ndarray:
    arrays = [part.arrays[name] for part in parts]
    if name in layout.form.sums:
      return np.sum(arrays, axis=0)
    return np.concatenate(arrays)[order]

  return Shard(
    np.arange(layout.total),
    layout.labels,
    {name: join(name) for name in parts[0].arrays},
    dict(sorted(pair for part in parts for pair in part.reasons.items())),
  )


def is_stored(folder: Path, layout: Layout, number: int) -> bool:
  """Says whether a shard is in the cache; a damaged one is until it is read."""
  return cache.is_stored(layout.folder(folder), layout.shard_key(number))


def stored_shards(folder: Path, layout: Layout) -> Bool[np.ndarray, " shards"]:
  """Says which shards are in the cache."""
  numbers = range(layout.shards)
  return np.asarray([is_stored(folder, layout, n) for n in numbers], bool)


def load_shard(folder: Path, layout: Layout, number: int) -> Shard | None:
  """Reads a shard; None if there is none to be trusted."""
  shard = blank_shard(layout, layout.span(number))
  entry = cache.load_entry(
    layout.folder(folder),
    layout.shard_key(number),
    expected=expected_arrays(layout, shard.indices.size),
  )
  if entry is None:
    return None
  # Another data set may have it at another place.
  moved = int(shard.indices[0]) - int(entry.metadata.get("first", 0))
  for index, why in json.loads(entry.metadata["bad"]):
    shard.reasons[index + moved] = why
  return shard._replace(
    arrays={name: entry.arrays[name] for name in shard.arrays}
  )


def expected_arrays(layout: Layout, rows: int) -> cache.Expected:
  """Says what the file of a shard of so many images must hold."""
  form, shape = layout.form, layout.shape
  expected = {name: ((rows, *shape), form.arrays[name]) for name in form.arrays}
  expected |= {name: (shape * 2, form.sums[name]) for name in form.sums}
  if form.listed:
    expected |= {"good": ((rows,), "bool"), "contents": ((rows, 32), "uint8")}
  return expected


def store_shard(
  folder: Path,
  layout: Layout,
  shard: Shard,
  *,
  passing: Collection[int] = (),
) -> None:
  """Stores a shard, in which images that may be good in another run lack."""
  contents = [
    "" if index in passing else layout.contents[index]
    for index in shard.indices.tolist()
  ]
  start = int(shard.indices[0])
  first = start if layout.form.listed else 0
  bad = sorted(
    (index - start + first, why)
    for index, why in shard.reasons.items()
    if contents[index - start]
  )
  arrays = dict(shard.arrays)
  about = {"dataset": layout.name, "bad": json.dumps(bad)}
  if layout.form.listed:
    listed = b"".join(bytes.fromhex(each or "00" * 32) for each in contents)
    arrays["good"] = shard.good
    arrays["contents"] = np.frombuffer(listed, np.uint8).reshape((-1, 32))
    whole = set_key(layout.contents)
    about |= {"of": layout.key, "set": whole, "first": first}
  cache.store(
    layout.folder(folder),
    layout.form.name(layout.key, contents),
    arrays,
    about,
  )


@functools.lru_cache(maxsize=4)
def set_key(contents: tuple[str, ...]) -> str:
  """Names a whole data set, by what its images are."""
  return cache.content_key({"set": " ".join(contents)})
