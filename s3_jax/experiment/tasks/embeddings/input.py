"""Embeddings that lie in files, as a run takes them: images, classes, texts."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax.data.specs import DatasetSpec
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.settings import Sources, Template
from s3_jax.experiment.tasks.benchmark.sets import own_name
from s3_jax.fields import Rule, Where
from s3_jax.lexicon.given_classes import ClassList, read_classes, shared_texts
from s3_jax.lexicon.matching import match_rows
from s3_jax.lexicon.prompts import fill_template
from s3_jax.messages import nearest, visible
from s3_jax.results.escaping import valid_unicode
from s3_jax.storage.embedding_files import (
  ImageEmbeddings,
  TextEmbeddings,
  read_image_embeddings,
  read_text_embeddings,
)
from s3_jax.storage.text_tables import TextTable, pad_texts

_SHOWN = 3
"""Names that a line of the log shows of a list; results hold all of them."""


def _read_forms(forms: tuple[Any, ...], where: Where) -> tuple[str, ...]:
  for form in forms:
    if not isinstance(form, str | int) or isinstance(form, bool):
      where.refuse("must hold names or numbers of forms", form)
  return tuple(map(str, forms))


File = Annotated[str, Rule("must name a file", bool)]


class EmbeddingSource(NamedTuple):
  """Which files hold the embeddings, and which text is of which class."""

  # Their file: .npz, .npy with a JSON, .safetensors or .pt.
  images: File = "images.npz"
  labels: str = ""  # their file, where the file of images has none
  texts: File = "texts.npz"  # their file, with names and classes
  classes: Sources = ""  # as `read_classes` takes them; default: the texts'
  template: Template = "{}"  # that names of `classes` stand in, in `texts`
  # Kinds of text to take; default: all.
  forms: Annotated[tuple[str, ...], Rule(given=tuple, read=_read_forms)] = ()


class EmbeddedInput(NamedTuple):
  """Images and texts that fit each other.

  Attributes:
    test_set: the images.
    class_names: in label order.
    texts: those that may be used; their `normalized` and `sha256` are the
      file's.
    rows: the texts of each class, the official name first.
    table: the same, padded.
    facts: what results say of the texts.
    missing: names of classes that have no vector.
    model: what results say of what gave the embeddings.
    lines: for the log: what was read, normalised, left out or not found.
  """

  test_set: EmbeddedImages
  class_names: tuple[str, ...]
  texts: TextEmbeddings
  rows: tuple[tuple[int, ...], ...]
  table: TextTable
  facts: dict[str, Any]
  missing: int
  model: dict[str, Any]
  lines: tuple[str, ...]


class _Classes(NamedTuple):
  """Which texts are of which class, and what did not fit."""

  names: tuple[str, ...]
  rows: tuple[tuple[int, ...], ...]
  missing: tuple[tuple[int, str], ...] = ()
  unofficial: tuple[int, ...] = ()
  unused: tuple[int, ...] = ()


def load_input(source: EmbeddingSource) -> EmbeddedInput:
  """Reads the files and puts images, classes and texts together."""
  images = read_image_embeddings(
    source.images, labels_path=source.labels or None
  )
  if images.labels is None:
    raise ValueError(
      f"{source.images} must come with labels, got none: put them under"
      " 'labels' in the file or the JSON beside it, or let `config.labels` name"
      " their file."
    )
  texts = read_text_embeddings(source.texts)
  dim = images.embeddings.shape[1]
  if texts.embeddings.shape[1] != dim:
    turned = texts.embeddings.shape[0] == dim
    raise ValueError(
      "`config.images` and `config.texts` must be of one encoder, got"
      f" {dim} and {texts.embeddings.shape[1]} dimensions"
      + (": the texts seem to lie in columns, turn them." if turned else ".")
    )
  total = len(texts.embeddings)
  lines = [
    _read_line("Images", source.images, images),
    _read_line("Texts", source.texts, texts),
  ]
  count = 0 if texts.class_index is None else int(texts.class_index.max()) + 1
  if source.forms:
    texts = _of_forms(texts, source)
    lines.append(
      f"Texts of the forms {', '.join(source.forms)}:"
      f" {len(texts.embeddings):,} of {total:,}."
    )
  listed = (
    read_classes(source.classes, "`config.classes`") if source.classes else None
  )
  classes = _sort_into_classes(texts, count, listed, source)
  without = [label for label, rows in enumerate(classes.rows) if not rows]
  if without:
    raise ValueError(
      f"{source.texts} must have a text for every class, got none for"
      f" {len(without)} of {len(classes.rows)}, the first is class"
      f" {without[0]} ({classes.names[without[0]]!r:.60})"
      + (
        "; `config.template` says what the names stand in."
        if listed is not None and texts.names is not None
        else "."
      )
    )
  outside = np.flatnonzero(images.labels >= len(classes.rows))
  if outside.size:
    raise ValueError(
      f"labels of {source.labels or source.images} must be in"
      f" 0..{len(classes.rows) - 1}, the classes of the texts, got"
      f" {images.labels[outside[0]]} for image {outside[0]}."
    )
  table = pad_texts(texts, rows=classes.rows)
  lines += _class_lines(classes, texts, table)
  digest = hashlib.sha256((images.sha256 + texts.sha256).encode())
  return EmbeddedInput(
    test_set=_test_set(source, images, len(classes.rows)),
    class_names=classes.names,
    texts=texts,
    rows=classes.rows,
    table=table,
    facts=_facts(classes, texts, listed),
    missing=len(classes.missing),
    model={
      "name": "embeddings",
      "spec": {
        "embed_dim": int(texts.embeddings.shape[1]),
        "images": _file_facts(source.images, images),
        "texts": _file_facts(source.texts, texts) | {"texts": total},
      },
      "sha256": digest.hexdigest(),
      "revision": None,
    },
    lines=tuple(lines),
  )


def _file_facts(
  path: str, read: ImageEmbeddings | TextEmbeddings
) -> dict[str, Any]:
  return {
    "file": valid_unicode(pathlib.Path(path).name),
    "normalized": read.normalized,
    "sha256": read.sha256,
  }


def _read_line(
  what: str, path: str, read: ImageEmbeddings | TextEmbeddings
) -> str:
  rows, dim = read.embeddings.shape
  length = (
    "rows of unit length"
    if read.normalized
    else "rows of other lengths, which were normalised"
  )
  return f"{what}: {visible(path)}, {rows:,} x {dim}, {length}."


def _of_forms(texts: TextEmbeddings, source: EmbeddingSource) -> TextEmbeddings:
  """Leaves texts of other forms out."""
  names = texts.form_names
  known = {str(number): number for number in range(len(names))}
  if texts.forms is not None:
    known |= {str(number): number for number in texts.forms.tolist()}
  known |= {name: number for number, name in enumerate(names)}
  unknown = [form for form in source.forms if form not in known]
  if texts.forms is None or unknown:
    given = (unknown or source.forms)[0]
    has = nearest(names or sorted(known, key=int), given) or "none"
    raise ValueError(
      f"`config.forms` must name forms of {source.texts}, which has {has}, got"
      f" {given!r:.60}."
    )
  numbers = [known[form] for form in source.forms]
  chosen = np.flatnonzero(np.isin(texts.forms, numbers))
  if not chosen.size:
    raise ValueError(
      f"`config.forms` must leave texts of {source.texts}, got none."
    )
  index, given = texts.class_index, texts.names
  return texts._replace(
    embeddings=texts.embeddings[chosen],
    names=None if given is None else tuple(given[row] for row in chosen),
    class_index=None if index is None else index[chosen],
    forms=texts.forms[chosen],
  )


def _sort_into_classes(
  texts: TextEmbeddings,
  count: int,
  listed: ClassList | None,
  source: EmbeddingSource,
) -> _Classes:
  """Says which texts are of which class, as the config or the file does."""
  if listed is None and texts.class_index is None:
    raise ValueError(
      f"`config.classes` must name the classes where {source.texts} has no"
      " 'class_index', and is not set: a class list, a lexicon, or a packaged"
      " table."
    )
  if listed is not None and texts.names is not None:
    asked = [
      [fill_template(source.template, text) for text in of_class]
      for of_class in listed.texts
    ]
    forms = None if texts.forms is None else texts.forms.tolist()
    return _Classes(listed.names, *match_rows(asked, texts.names, forms=forms))
  if texts.class_index is not None:
    order = np.argsort(texts.class_index, kind="stable")
    sizes = np.bincount(texts.class_index, minlength=count)
    rows = tuple(
      tuple(part.tolist()) for part in np.split(order, np.cumsum(sizes)[:-1])
    )
    names = texts.class_names
    if listed is not None:
      names = listed.names
    elif not names:
      names = tuple(_first_name(texts, of_class) for of_class in rows)
    wanted = len(rows)
  else:
    # Vectors without names or classes stand in the order of the classes.
    assert listed is not None
    names, wanted = listed.names, len(texts.embeddings)
    rows = tuple((row,) for row in range(wanted))
  if len(names) != wanted:
    raise ValueError(
      f"`config.classes` must name the {wanted} classes of {source.texts},"
      f" whose vectors have no names, got {len(names)}."
    )
  return _Classes(names, rows)


def _first_name(texts: TextEmbeddings, rows: Sequence[int]) -> str:
  if texts.names is None or not rows:
    return f"class {rows[0] if rows else '?'}"
  return texts.names[rows[0]]


def _class_lines(
  classes: _Classes, texts: TextEmbeddings, table: TextTable
) -> list[str]:
  """Says how the texts fit the classes, and what does not fit."""
  counts = table.mask.sum(1)
  lines = [
    f"Classes: {len(classes.rows):,}, with {counts.sum():,} texts,"
    f" {counts.min()} to {counts.max()} each."
  ]
  if classes.missing:
    some = [text for _, text in classes.missing[:_SHOWN]]
    lines.append(
      f"Names of classes without a vector: {len(classes.missing):,}"
      f" ({_some(some, classes.missing)})."
    )
  if classes.unofficial:
    some = [classes.names[label] for label in classes.unofficial[:_SHOWN]]
    lines.append(
      "Classes whose official name has no vector, so that another name stands"
      f" for it: {len(classes.unofficial):,}"
      f" ({_some(some, classes.unofficial)})."
    )
  if classes.unused and texts.names is not None:
    some = [texts.names[row] for row in classes.unused[:_SHOWN]]
    lines.append(
      f"Vectors that no class uses: {len(classes.unused):,}"
      f" ({_some(some, classes.unused)})."
    )
  shared = shared_texts(table.texts) if texts.names is not None else ()
  if shared:
    text, labels = shared[0]
    lines.append(
      f"Names that several classes share: {len(shared)}, such as {text!r} of"
      f" the classes {', '.join(map(str, labels))}; equal scores go to the"
      " class that comes first."
    )
  return lines


def _some(shown: Sequence[str], all_of_them: Sequence[Any]) -> str:
  more = ", ..." if len(all_of_them) > len(shown) else ""
  return ", ".join(map(repr, shown)) + more


def _facts(
  classes: _Classes, texts: TextEmbeddings, listed: ClassList | None
) -> dict[str, Any]:
  names = texts.names or ()
  return {
    "lexicon_sha256": None if listed is None else listed.sha256,
    "names_without_vector": [
      {"label": label, "name": name} for label, name in classes.missing
    ],
    "classes_without_official_vector": list(classes.unofficial),
    "unused_vectors": [names[row] for row in classes.unused],
  }


def _test_set(
  source: EmbeddingSource, images: ImageEmbeddings, classes: int
) -> EmbeddedImages:
  assert images.labels is not None
  path = pathlib.Path(source.images)
  name = visible(own_name(path))
  spec = DatasetSpec(
    name=name,
    title=name,
    lexicon="",
    classes=classes,
    split="all images",
    family="own",
    template="{}",
    folders=(),
    layouts=(path.suffix.lstrip("."),),
    source=source.images,
  )
  return EmbeddedImages(
    spec, images.embeddings, images.labels, images.files, (), 0, 0
  )
