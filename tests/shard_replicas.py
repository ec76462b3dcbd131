"""Tiny copies of data sets in the layouts that hubs distribute."""

import io
import json
import pathlib
import tarfile
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmark_replicas import encoded


class Sample(NamedTuple):
  """An image with its label as stored."""

  image: bytes
  label: int | str


def samples(labels: Sequence[int | str]) -> list[Sample]:
  """Draws an image a label, all of them different."""
  return [
    Sample(encoded(number, number % 9, 16), label)
    for number, label in enumerate(labels)
  ]


def split_up(items: Sequence, shards: int) -> list[Sequence]:
  """Cuts a sequence into runs of nearly equal length."""
  cuts = [len(items) * number // shards for number in range(shards + 1)]
  return [items[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]


def write_parquet(
  folder: pathlib.Path,
  items: Sequence[Sample],
  names: Sequence[str] = (),
  *,
  split: str = "test",
  shards: int = 2,
  pattern: str = "data/{split}-{number:05d}-of-{shards:05d}.parquet",
  image: str = "image",
  label: str = "label",
  further: dict[str, tuple[list, Sequence[str]]] | None = None,
  group: int = 3,
) -> list[pathlib.Path]:
  """Writes shards as the library datasets does, row groups of three."""
  paths = []
  columns = {label: ([item.label for item in items], names), **(further or {})}
  features = {image: {"_type": "Image"}}
  for key, (_, known) in columns.items():
    features[key] = (
      {"names": list(known), "_type": "ClassLabel"}
      if known
      else {"dtype": "int64", "_type": "Value"}
    )
  metadata = {"huggingface": json.dumps({"info": {"features": features}})}
  for number, rows in enumerate(split_up(range(len(items)), shards)):
    table = pa.table(
      {
        image: pa.array(
          [{"bytes": items[row].image, "path": f"{row}.jpg"} for row in rows],
          pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        ),
        **{
          key: [values[row] for row in rows]
          for key, (values, _) in columns.items()
        },
      }
    ).replace_schema_metadata(metadata)
    path = folder / pattern.format(split=split, number=number, shards=shards)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    paths.append(path)
  return paths


def write_webdataset(
  folder: pathlib.Path,
  items: Sequence[Sample],
  names: Sequence[str] = (),
  *,
  split: str = "test",
  shards: int = 2,
  ending: str = "jpg",
  pattern: str = "{split}/{number}.tar",
) -> list[pathlib.Path]:
  """Writes tars as CLIP_benchmark does."""
  paths = []
  for number, rows in enumerate(split_up(range(len(items)), shards)):
    path = folder / pattern.format(split=split, number=number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
      for row in rows:
        add(tar, f"s{row:07d}.cls", str(items[row].label).encode())
        add(tar, f"s{row:07d}.{ending}", items[row].image)
    paths.append(path)
  (paths[0].parent / "nshards.txt").write_text(f"{shards}")
  if names:
    (folder / "classnames.txt").write_text("\n".join(names) + "\n", "utf-8")
  return paths


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
  """Adds a member."""
  member = tarfile.TarInfo(name)
  member.size = len(data)
  tar.addfile(member, io.BytesIO(data))
