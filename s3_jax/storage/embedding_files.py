"""Embeddings in files as people already have them.

Images with labels, texts with names, classes and forms, of any encoder and any
dimension. docs/EMBEDDINGS.md lists the forms of files and the keys in them.
Nothing in a file is executed.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32

from s3_jax.files import texts_sha256
from s3_jax.messages import short_repr
from s3_jax.storage.embedding_content import (
  IMAGE_KEYS,
  LABEL_KEYS,
  TEXT_KEYS,
  Content,
  Part,
  read_content,
  strings,
  unit_rows,
  whole_numbers,
)

__all__ = [
  "ImageEmbeddings",
  "TextEmbeddings",
  "read_image_embeddings",
  "read_text_embeddings",
]

_Path = str | os.PathLike[str]


class ImageEmbeddings(NamedTuple):
  """Embedded images.

  Attributes:
    embeddings: unit rows.
    labels: class indices; None where no file says them.
    files: a name an image; the row's number where no file names it.
    normalized: whether the rows were unit already.
    sha256: of the files.
  """

  embeddings: Float32[np.ndarray, "images dim"]
  labels: Int32[np.ndarray, " images"] | None
  files: tuple[str, ...]
  normalized: bool
  sha256: str

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


class TextEmbeddings(NamedTuple):
  """Embedded texts.

  Attributes:
    embeddings: unit rows.
    names: what each text is; None where no file says it.
    class_index: the class of each text, counted from 0 without a gap; None
      where no file says it.
    forms: the kind of each text, such as its template; None likewise.
    form_names: of these kinds; () where they have no names.
    class_names: of the classes; () where no file says them.
    normalized: whether the rows were unit already.
    sha256: of the files.
  """

  embeddings: Float32[np.ndarray, "texts dim"]
  names: tuple[str, ...] | None
  class_index: Int32[np.ndarray, " texts"] | None
  forms: Int32[np.ndarray, " texts"] | None
  form_names: tuple[str, ...]
  class_names: tuple[str, ...]
  normalized: bool
  sha256: str

  def __repr__(self) -> str:
    """Shows the shapes of its arrays, not their values."""
    return short_repr(self)


def read_image_embeddings(
  path: _Path,
  *,
  labels_path: _Path | None = None,
  json_path: _Path | None = None,
) -> ImageEmbeddings:
  """Reads embedded images of any encoder, with their labels.

  Tip-Adapter's caches are read as they are: `test_f.pt` with `test_l.pt`, and
  `keys_*shots.pt`, which holds an image in each column, with the one-hot
  `values_*shots.pt`.

  Args:
    path: .npz, .npy, .safetensors, .pt or .pth.
    labels_path: a file of the labels alone, or of `image_rows` and their
      labels; in place of labels in `path`. JSON may also be.
    json_path: what lies beside `path` under another name than its stem.

  Returns:
    The images in the file's order, or those of `image_rows`.

  Raises:
    ValueError: a file cannot be read, or what it holds does not fit.
  """
  content = read_content(
    pathlib.Path(path),
    IMAGE_KEYS,
    unnamed="embeddings",
    listed="files",
    json_path=_optional(json_path),
  )
  beside, sha256 = content.parts, content.sha256
  if labels_path is not None:
    beside, digest = read_content(
      pathlib.Path(labels_path),
      LABEL_KEYS,
      unnamed="labels",
      listed="labels",
      others=True,
    )
    if "labels" not in beside:
      raise ValueError(
        f"{labels_path} must hold labels under one of"
        f" {', '.join(LABEL_KEYS['labels'])}, got none of these keys."
      )
    sha256 = texts_sha256((sha256, digest), separator="")
  labels, one_hot = _labels(beside["labels"]) if "labels" in beside else _NONE
  rows = whole_numbers(beside["rows"]) if "rows" in beside else None
  part = _required(content, "embeddings", path)
  wanted = len(labels) if labels is not None and rows is None else None
  if one_hot:
    part = _images_first(part, wanted)
  embeddings, normalized = unit_rows(part)
  files = tuple(map(str, range(len(embeddings))))
  if "files" in content.parts:
    files = strings(content.parts["files"])
    _same_length(content.parts["files"], files, "image", len(embeddings))
  if rows is not None:
    where = beside["rows"].where
    if rows.size and rows.max() >= len(embeddings):
      raise ValueError(
        f"{where} must be rows of {path}, below {len(embeddings)}, got"
        f" {rows.max()}."
      )
    if not rows.size or len(np.unique(rows)) < rows.size:
      raise ValueError(
        f"{where} must name at least one row, and none twice, got"
        f" {rows.size} rows, {len(np.unique(rows))} of them different."
      )
    embeddings = embeddings[rows]
    files = tuple(files[row] for row in rows.tolist())
  if labels is not None:
    _same_length(beside["labels"], labels, "image", len(embeddings))
  return ImageEmbeddings(embeddings, labels, files, normalized, sha256)


_NONE = (None, False)


def _labels(part: Part) -> tuple[Int32[np.ndarray, " images"], bool]:
  """Reads labels, and says whether they were one-hot rows."""
  value = part.value
  if not isinstance(value, np.ndarray) or value.ndim != 2:
    return whole_numbers(part), False
  if value.shape[1] < 2:
    return whole_numbers(part), False
  if value.dtype.kind == "U":
    raise ValueError(f"{part.where} must hold whole numbers, got texts.")
  on = value == 1
  if not (on | (value == 0)).all() or not (on.sum(axis=1) == 1).all():
    raise ValueError(
      f"{part.where} must hold one whole number an image, or one-hot rows, got"
      f" other numbers of the shape {value.shape}."
    )
  return on.argmax(axis=1).astype(np.int32), True


def _images_first(part: Part, images: int | None) -> Part:
  """Turns the keys of Tip-Adapter's cache, which hold images in columns."""
  value = part.value
  if images is None or not isinstance(value, np.ndarray) or value.ndim != 2:
    return part
  if value.shape == (images, images):
    raise ValueError(
      f"{part.where} must not have as many dimensions as images beside one-hot"
      f" labels, got {value.shape}: rows cannot be told from columns; give the"
      " labels as class indices, and images in rows."
    )
  return Part(part.where, value.T) if value.shape[1] == images else part


def read_text_embeddings(
  path: _Path, *, json_path: _Path | None = None
) -> TextEmbeddings:
  """Reads embedded texts of any encoder, with their names and classes.

  Args:
    path: .npz, .npy, .safetensors, .pt or .pth.
    json_path: what lies beside `path` under another name than its stem or
      names.json.

  Returns:
    The texts in the file's order.

  Raises:
    ValueError: a file cannot be read, or what it holds does not fit.
  """
  path = pathlib.Path(path)
  content = read_content(
    path,
    TEXT_KEYS,
    unnamed="embeddings",
    listed="names",
    json_path=_optional(json_path),
  )
  parts = content.parts
  embeddings, normalized = unit_rows(_required(content, "embeddings", path))
  names = nested = None
  if "names" in parts:
    part, nested = _flat(parts["names"])
    names = strings(part)
    _same_length(part, names, "text", len(embeddings))
  class_index = nested
  if "class_index" in parts:
    class_index = whole_numbers(parts["class_index"])
    _same_length(parts["class_index"], class_index, "text", len(embeddings))
    if nested is not None and not np.array_equal(class_index, nested):
      raise ValueError(
        f"{parts['class_index'].where} must agree with the lists of"
        f" {parts['names'].where}, got other classes."
      )
  if class_index is not None:
    _check_classes(class_index, path)
  forms, form_names = _forms(parts, len(embeddings))
  return TextEmbeddings(
    embeddings,
    names,
    class_index,
    forms,
    form_names,
    _class_names(parts, class_index),
    normalized,
    content.sha256,
  )


def _flat(
  part: Part,
) -> tuple[Part, Int32[np.ndarray, " texts"] | None]:
  """Joins lists of a class each, and says which class each text is of."""
  value = part.value
  if not isinstance(value, list) or not any(
    isinstance(item, list) for item in value
  ):
    return part, None
  for label, item in enumerate(value):
    if not isinstance(item, list) or not item:
      raise ValueError(
        f"{part.where} must be one list of texts for every class, none empty,"
        f" got {item!r:.40} at {label}."
      )
  labels = np.repeat(np.arange(len(value)), [len(item) for item in value])
  joined = [text for item in value for text in item]
  return Part(part.where, joined), labels.astype(np.int32)


def _check_classes(class_index: Int[np.ndarray, " texts"], path: Any) -> None:
  present = np.unique(class_index)
  absent = np.flatnonzero(present != np.arange(present.size))
  if absent.size:
    raise ValueError(
      f"{path} must have a text for every class from 0 to {present[-1]}, got"
      f" none for {present[-1] + 1 - present.size} of them, the first is"
      f" {absent[0]}: number the classes without a gap."
    )


def _forms(
  parts: dict[str, Part], texts: int
) -> tuple[Int32[np.ndarray, " texts"] | None, tuple[str, ...]]:
  """Reads the kind of each text: numbers, or words that are its names."""
  names: tuple[str, ...] = ()
  if "form_names" in parts:
    names = strings(parts["form_names"])
    if len(set(names)) < len(names):
      raise ValueError(f"{parts['form_names'].where} must not repeat a name.")
  if "forms" not in parts:
    if "template" in parts:  # one for all
      where, value = parts["template"]
      value = value.tolist() if isinstance(value, np.ndarray) else value
      names = names or strings(Part(where, [value]))
    return None, names
  part = parts["forms"]
  value = part.value
  words = isinstance(value, list) and any(isinstance(v, str) for v in value)
  if words or (isinstance(value, np.ndarray) and value.dtype.kind == "U"):
    found = strings(part)
    names = names or tuple(dict.fromkeys(found))
    unknown = [word for word in found if word not in names]
    if unknown:
      raise ValueError(
        f"{part.where} must hold words of `form_names`, got {unknown[0]!r:.40}."
      )
    index = {name: number for number, name in enumerate(names)}
    forms = np.array([index[word] for word in found], np.int32)
  else:
    forms = whole_numbers(part)
    if names and forms.size and forms.max() >= len(names):
      raise ValueError(
        f"{part.where} must be below {len(names)}, the number of"
        f" `form_names`, got {forms.max()}."
      )
  _same_length(part, forms, "text", texts)
  return forms, names


def _class_names(
  parts: dict[str, Part], class_index: Int[np.ndarray, " texts"] | None
) -> tuple[str, ...]:
  """Reads the names of the classes; their numbers elsewhere are no names."""
  if "class_names" not in parts:
    return ()
  part = parts["class_names"]
  value = part.value
  numbers = isinstance(value, list) and all(type(v) is int for v in value)
  if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
    numbers = True
  if numbers:
    return ()
  names = strings(part)
  if class_index is not None:
    _same_length(part, names, "class", int(class_index.max()) + 1)
  return names


def _required(content: Content, part: str, path: _Path) -> Part:
  if part not in content.parts:
    raise ValueError(
      f"{path} must hold {part}, got"
      f" {', '.join(content.parts) or 'nothing'} alone."
    )
  return content.parts[part]


def _same_length(
  part: Part, values: Sequence[Any] | np.ndarray, what: str, wanted: int
) -> None:
  if len(values) != wanted:
    raise ValueError(
      f"{part.where} must have one entry for each {what}, {wanted} in all, got"
      f" {len(values)}."
    )


def _optional(path: _Path | None) -> pathlib.Path | None:
  return None if path is None else pathlib.Path(path)
