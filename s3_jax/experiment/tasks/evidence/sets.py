"""Ready-made sets of embedded texts and images, and wrong texts put into them.

A folder holds `sets/NAME.npz` (`v` f16[texts, dim], `class_index`, `form`, in
class order with the official name first; `image_rows`, and `y`, their classes),
`sets/NAME.json` ({"texts": the strings of each class}), `images/FILE.npz` (`x`
f16[images, dim]), and `sets/names_a.npz` with `sets/names_a.json`, a pool of
names in the form of the official ones.
"""

import json
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from s3_jax.storage.text_tables import TextTable

SETS = {
  "imagenet84": "imagenet_train4",
  "imagenet189": "imagenet_train4",
  "imagenet1000": "imagenet_train4",
  "lvis1203": "lvis_exemplar_mean5",
}
"""The sets, and the file of their images."""

KINDS = ("no class", "name", "synonym", "sibling")
"""Wrong texts: a name of no class, the official name of another class, another
text of another class, the official names that are nearest to the own one."""


class EvidenceSet(NamedTuple):
  """Embedded texts and images of a set.

  Attributes:
    name: of the set.
    table: the texts; those past the right ones of a class are wrong.
    right: which of them are right.
    images: unit rows.
    labels: their classes.
  """

  name: str
  table: TextTable
  right: Bool[np.ndarray, "classes synonyms"]
  images: Float32[np.ndarray, "images dim"]
  labels: Int[np.ndarray, " images"]


class Pool(NamedTuple):
  """Names that can stand for no class."""

  names: tuple[str, ...]
  embeddings: Float32[np.ndarray, "names dim"]


def read_set(folder: pathlib.Path, name: str) -> EvidenceSet:
  """Reads a set."""
  stored = _arrays(
    folder / "sets" / f"{name}.npz",
    ("v", "class_index", "form", "image_rows", "y"),
  )
  texts = _json(folder / "sets" / f"{name}.json")["texts"]
  images = _arrays(folder / "images" / f"{SETS[name]}.npz", ("x",))["x"]
  label = stored["class_index"].astype(int)
  counts = np.bincount(label, minlength=len(texts))
  if len(counts) != len(texts) or [len(each) for each in texts] != list(counts):
    raise ValueError(
      f"{folder / 'sets' / name}.json must have a text for each row of"
      f" {name}.npz, got {sum(map(len, texts))} for {len(label)}."
    )
  index = np.arange(len(label)) - (np.cumsum(counts) - counts)[label]
  shape = (len(texts), int(counts.max()))
  points = np.zeros((*shape, stored["v"].shape[1]), np.float32)
  forms, mask = np.zeros(shape, np.int32), np.zeros(shape, bool)
  points[label, index] = _unit(stored["v"])
  forms[label, index] = stored["form"]
  mask[label, index] = True
  table = TextTable(tuple(map(tuple, texts)), points, mask, forms)
  return EvidenceSet(
    name,
    table,
    mask.copy(),
    _unit(images[stored["image_rows"]]),
    stored["y"].astype(int),
  )


def read_pool(folder: pathlib.Path) -> Pool:
  """Reads the names that can stand for no class."""
  path = folder / "sets"
  names = tuple(_json(path / "names_a.json"))
  return Pool(names, _unit(_arrays(path / "names_a.npz", ("v",))["v"]))


def with_forms(given: EvidenceSet, forms: tuple[int, ...]) -> EvidenceSet:
  """Leaves only texts of some forms, the same ones in every class."""
  table = given.table
  columns = np.flatnonzero(np.isin(table.forms[0], forms))
  if not (table.forms == table.forms[0]).all():
    raise ValueError(
      f"{given.name} must have the same forms in every class to be cut."
    )
  return given._replace(
    table=TextTable(
      tuple(tuple(of[i] for i in columns) for of in table.texts),
      table.embeddings[:, columns],
      table.mask[:, columns],
      table.forms[:, columns],
    ),
    right=given.right[:, columns],
  )


def with_wrong(
  given: EvidenceSet, pool: Pool, kind: str, count: int, *, seed: int
) -> EvidenceSet:
  """Appends wrong texts to every class."""
  table, draw = given.table, np.random.default_rng(seed)
  classes = len(table.mask)
  names = table.embeddings[:, 0]
  if kind == "no class":
    used = {name_key(text) for of_class in table.texts for text in of_class}
    free = [
      i for i, name in enumerate(pool.names) if name_key(name) not in used
    ]
    chosen = [draw.choice(free, count, replace=False) for _ in range(classes)]
    wrong, forms = pool.embeddings[np.stack(chosen)], 0
  elif kind == "sibling":
    similar = names @ names.T
    # A class of the same name is no sibling.
    similar[(similar > 1 - 1e-4) | np.eye(classes, dtype=bool)] = -2
    wrong, forms = names[np.argsort(-similar, axis=1)[:, :count]], 0
  else:
    label, index = np.nonzero(table.mask)
    wanted = (index == 0) if kind == "name" else (index > 0)
    label, index = label[wanted], index[wanted]
    rows = np.stack(
      [
        draw.choice(np.flatnonzero(label != own), count, replace=False)
        for own in range(classes)
      ]
    )
    wrong = table.embeddings[label[rows], index[rows]]
    forms = table.forms[label[rows], index[rows]]
  return _append(given, wrong, forms)


def _append(given, wrong, forms):
  """Puts wrong texts behind the right ones of each class."""
  table = given.table
  classes, count = wrong.shape[:2]
  texts = table.mask.sum(axis=1)
  width = int(texts.max()) + count
  grow = ((0, 0), (0, width - table.mask.shape[1]))
  points = np.pad(table.embeddings, (*grow, (0, 0)))
  mask, kinds = np.pad(table.mask, grow), np.pad(table.forms, grow)
  right = np.pad(given.right, grow)
  label = np.arange(classes)[:, None]
  index = texts[:, None] + np.arange(count)
  points[label, index] = wrong
  kinds[label, index] = forms
  mask[label, index] = True
  return given._replace(
    table=TextTable(table.texts, points, mask, kinds), right=right
  )


def name_key(text: str) -> str:
  """The form in which names of different vocabularies are compared."""
  bare = re.sub(r"\(.*?\)", "", text.lower())
  return " ".join(re.sub(r"[^a-z0-9]+", " ", bare).split())


def _unit(rows: np.ndarray) -> Float32[np.ndarray, "rows dim"]:
  rows = rows.astype(np.float64)
  length = np.linalg.norm(rows, axis=1, keepdims=True)
  return (rows / np.maximum(length, 1e-12)).astype(np.float32)


def _arrays(path: pathlib.Path, keys: tuple[str, ...]) -> dict[str, Any]:
  try:
    with np.load(path, allow_pickle=False) as stored:
      return {key: stored[key] for key in keys}
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(
      f"`config.data_dir` must hold {path.parent.name}/{path.name} with the"
      f" arrays {', '.join(keys)}: {str(error)[:100]}."
    ) from error


def _json(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_bytes())
  except (OSError, ValueError) as error:
    raise ValueError(
      f"`config.data_dir` must hold {path.parent.name}/{path.name}:"
      f" {str(error)[:100]}."
    ) from error
