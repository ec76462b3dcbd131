"""Data sets that are distributed as shards: which files hold the test split.

The hub has `data/test-00000-of-00002.parquet` or `default/test/0000.parquet`;
CLIP_benchmark has `test/0.tar` with `test/nshards.txt` and `classnames.txt`.
"""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from s3_jax.data.readers.listing import count_words, is_hidden
from s3_jax.data.specs import DatasetSpec
from s3_jax.lexicon.documents import read_text, split_lines

CLASS_NAMES = "classnames.txt"

_DEPTH = 4  # folders below that of the data set: the hub's config and split
_SPLITS = {
  "test": "test",
  "testing": "test",
  "val": "validation",
  "valid": "validation",
  "validation": "validation",
  "dev": "validation",
  "eval": "validation",
  "train": "train",
  "training": "train",
}


class SplitShards(NamedTuple):
  """The shards of one split.

  Attributes:
    root: the folder of the data set.
    paths: of the shards, in the order of their numbers.
    split: "test", "validation", "train", or "" where no name says it.
    others: further splits that are there.
  """

  root: pathlib.Path
  paths: tuple[pathlib.Path, ...]
  split: str
  others: tuple[str, ...]

  def name(self, path: pathlib.Path) -> str:
    """Names a shard as reports do."""
    return path.relative_to(self.root).as_posix()

  @property
  def words(self) -> str:
    """Says in a few words what was taken."""
    split = f"split {self.split}" if self.split else "no named split"
    left = f", left out {' and '.join(self.others)}" if self.others else ""
    shards = count_words(len(self.paths), "shard")
    return f"{self.root}: {shards}, {split}{left}"


def preferred_splits(spec: DatasetSpec) -> tuple[str, ...]:
  """Lists the splits that may be a benchmark's, the likeliest first."""
  if spec.split.startswith("validation"):  # CLIP_benchmark calls it test
    return "validation", "test"
  return "test", "validation"


def find_shards(
  root: pathlib.Path, ending: str, *, prefer: Sequence[str]
) -> SplitShards | None:
  """Finds the shards of the first preferred split that is there.

  Where none of them is, the only split is taken, if there is one only.
  """
  if root.is_file():
    single = root.suffix.lower() == ending
    return SplitShards(root.parent, (root,), "", ()) if single else None
  splits: dict[str, list[pathlib.Path]] = {}
  for path in _walk(root, ending):
    splits.setdefault(_split_of(path.relative_to(root)), []).append(path)
  if not splits:
    return None
  chosen = next((word for word in prefer if word in splits), None)
  if chosen is None and len(splits) > 1:
    raise ValueError(
      f"{root} must have a split {' or '.join(prefer)}, got"
      f" {', '.join(map(repr, sorted(splits)))}: keep the one to be read."
    )
  split = chosen or next(iter(splits))
  folders = sorted({path.parent for path in splits[split]})
  if len(folders) > 1:
    raise ValueError(
      f"{root} must hold one data set, got shards of the split {split!r} in"
      f" {folders[0].relative_to(root)} and {folders[1].relative_to(root)}:"
      " keep one of them."
    )
  paths = tuple(sorted(splits[split], key=_order))
  _check_complete(paths)
  others = tuple(sorted(word or "unnamed" for word in splits if word != split))
  return SplitShards(root, paths, split, others)


def _walk(root: pathlib.Path, ending: str) -> list[pathlib.Path]:
  found = []
  for folder, folders, files in os.walk(root):
    depth = len(pathlib.Path(folder).relative_to(root).parts)
    folders[:] = [
      name for name in folders if depth < _DEPTH and not is_hidden(name)
    ]
    found += [
      pathlib.Path(folder, name)
      for name in files
      if name.lower().endswith(ending) and not is_hidden(name)
    ]
  return found


def _split_of(path: pathlib.Path) -> str:
  """Reads the split from a shard's folders, or from its name."""
  for part in (*path.parts[:-1][::-1], path.stem):
    for word in re.split(r"[^a-z]+", part.lower()):
      if word in _SPLITS:
        return _SPLITS[word]
  return ""


def _order(path: pathlib.Path) -> tuple[list[int], str]:
  return [int(number) for number in re.findall(r"\d+", path.stem)], path.name


def _check_complete(paths: Sequence[pathlib.Path]) -> None:
  """Refuses a split of which a shard is lacking, as far as names tell."""
  where = paths[0].parent
  numbers, total = [], None
  for path in paths:
    if match := re.search(r"(\d+)-of-(\d+)", path.stem):
      numbers.append(int(match[1]))
      totals = {int(match[2])} | ({total} if total is not None else set())
      if len(totals) > 1:
        raise ValueError(
          f"{where} must hold the shards of one split, got {path.name} beside"
          f" shards of {total}: keep those that belong together."
        )
      total = int(match[2])
    elif match := re.fullmatch(r"(?:.*\D)?(\d+)", path.stem):
      numbers.append(int(match[1]))
  counted = where / "nshards.txt"
  if total is None and counted.is_file():
    text = read_text(counted).strip()
    if not (text.isascii() and text.isdecimal()):
      raise ValueError(
        f"{counted} must be a number of shards, got {text!r:.40}."
      )
    total = int(text)
  if len(numbers) != len(paths):
    return  # whatever they are called, it is not by number
  if len(set(numbers)) != len(numbers):
    twice = next(each for each in numbers if numbers.count(each) > 1)
    raise ValueError(
      f"{where} must hold each shard once, got number {twice} twice: keep one."
    )
  first = 0 if total is not None else min(numbers)
  last = max(numbers) + 1 if total is None else total
  missing = sorted(set(range(first, last)) - set(numbers))
  if missing or len(numbers) != last - first:
    lacking = f"number {missing[0]} is missing" if missing else "more are there"
    raise ValueError(
      f"{where} must hold {count_words(last - first, 'shard')}, got"
      f" {len(numbers)}, and {lacking}: fetch the split again."
    )


def read_class_names(shards: SplitShards) -> tuple[str, ...]:
  """Reads classnames.txt, which lies beside the shards or above them."""
  folder = shards.paths[0].parent
  above = len(folder.relative_to(shards.root).parts)
  for each in (folder, *folder.parents)[: above + 1]:
    file = each / CLASS_NAMES
    if file.is_file():
      names = tuple(line.strip() for line in split_lines(read_text(file)))
      while names and not names[-1]:
        names = names[:-1]
      if not names or not all(names):
        raise ValueError(
          f"{file} must hold a class name a line, got an empty"
          f" {'file' if not names else 'line'}."
        )
      return names
  return ()
