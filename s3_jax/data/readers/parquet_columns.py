"""The columns of parquet files of the hub: which are images, which labels.

References:
  The features `Image` and `ClassLabel` of the library datasets, which stores
  them under "huggingface" in the schema's metadata.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax.data.readers.naming import ClassFinder
from s3_jax.lexicon.documents import parse_json

_IMAGES = ("image", "img", "jpg", "webp", "png", "picture", "photo")
_LABELS = ("label", "labels", "fine_label", "class", "cls", "target")
_LABELS += ("class_name", "classname", "category", "name")


class Column(NamedTuple):
  """A column as the schema and the hub's metadata describe it."""

  name: str
  kind: str  # "bytes", "struct", "index", "text" or ""
  feature: str  # the hub's word, such as "ClassLabel"
  names: tuple[str, ...]


def open_file(path: pathlib.Path) -> Any:
  """Opens a file, which reads the list of its columns and row groups."""
  import pyarrow as pa
  import pyarrow.parquet as pq

  try:
    return pq.ParquetFile(path)
  except (pa.ArrowException, OSError) as error:
    raise ValueError(
      f"{path} must be a whole parquet file, got: {error!s:.120}; fetch it"
      " again."
    ) from error


def describe(path: pathlib.Path) -> list[Column]:
  """Describes the columns of a file."""
  import pyarrow as pa

  with open_file(path) as file:
    schema = file.schema_arrow
  stored = (schema.metadata or {}).get(b"huggingface", b"{}")
  where = f"the metadata of {path}"
  described: Any = parse_json(stored.decode("utf-8", "replace"), where)
  for key in ("info", "features"):
    described = described.get(key) if isinstance(described, dict) else None
  features = described if isinstance(described, dict) else {}
  columns = []
  for field in schema:
    feature = features.get(field.name)
    feature = feature if isinstance(feature, dict) else {}
    names = feature.get("names")
    if not isinstance(names, list) or not all(type(n) is str for n in names):
      names = []
    kind = ""
    value = field.type
    if pa.types.is_dictionary(value):
      value = value.value_type
    if pa.types.is_struct(value):
      inner = [value.field(number).name for number in range(value.num_fields)]
      kind = "struct" if "bytes" in inner else ""
    elif pa.types.is_binary(value) or pa.types.is_large_binary(value):
      kind = "bytes"
    elif pa.types.is_integer(value):
      kind = "index"
    elif pa.types.is_string(value) or pa.types.is_large_string(value):
      kind = "text"
    columns.append(
      Column(
        field.name,
        kind,
        str(feature.get("_type", "")),
        tuple(names) if names and kind == "index" else (),
      )
    )
  return columns


def choose_images(
  columns: Sequence[Column], root: pathlib.Path
) -> Column | None:
  """Finds the column of encoded images; None of a table that has none."""
  found = [column for column in columns if column.kind in ("struct", "bytes")]
  return _choose(found, root, _IMAGES, "images") if found else None


def choose_labels(
  columns: Sequence[Column], root: pathlib.Path, finder: ClassFinder | None
) -> Column:
  """Finds the column whose classes are the data set's.

  Some copies have several: a car's make beside its model.
  """
  found = [column for column in columns if column.names]
  if finder is not None and len(found) > 1:
    known = [sum(map(bool, map(finder.find, each.names))) for each in found]
    pairs = zip(found, known, strict=True)
    found = [each for each, count in pairs if count == max(known)]
  found = found or [
    column
    for column in columns
    if column.kind in ("index", "text") and column.name.lower() in _LABELS
  ]
  if not found:
    raise ValueError(
      f"{root} must have a column of labels, got"
      f" {', '.join(column.name for column in columns):.80}: call it label."
    )
  return _choose(found, root, _LABELS, "labels")


def _choose(
  found: Sequence[Column], root: pathlib.Path, words: Sequence[str], what: str
) -> Column:
  """Takes the only column, or the one that is called by the first word."""
  if len(found) == 1:
    return found[0]
  named = [column for column in found if column.name.lower() in words]
  if not named:
    raise ValueError(
      f"{root} must have one column of {what}, got"
      f" {', '.join(column.name for column in found):.80}: call the one to be"
      f" read {words[0]}."
    )
  return min(named, key=lambda column: words.index(column.name.lower()))
