"""Classes as people name them to the space that answers for them."""

import functools
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from s3_jax.clip import Clip, embed_texts
from s3_jax.clip.text_batches import embed_in_buckets
from s3_jax.embeddings import has_direction, unit_or_nan
from s3_jax.lexicon.given_classes import ClassList, read_classes
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.lexicon.vertices import concept_vertices, distinct_prompts
from s3_jax.messages import one_line
from s3_jax.named_classes.cores import TWO_WITNESSES, Scale, build_cores
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.space import SynonymousSpace
from s3_jax.storage.embedding_files import TextEmbeddings
from s3_jax.storage.text_tables import TextTable, pad_classes, pad_texts

__all__ = ["NamedSpace", "embed_classes"]

_MOST_TEXTS = 256
"""Texts that the text tower takes at once."""


class NamedSpace(NamedTuple):
  """The spaces of classes, and the words that they were made of.

  Attributes:
    space: arrays alone, which pass through `jit` and `device_put`; its `mask`
      says which texts are in the core of their class.
    names: of the classes, in label order.
    texts: of each class, as many as it has, in the order of the space; the
      words before they went into a template. Spellings of one name ("knee pad",
      "kneepads") are one text, called by the first of them.
    logit_scale: natural logarithm of the factor that makes scores logits.
  """

  space: SynonymousSpace
  names: tuple[str, ...]
  texts: tuple[tuple[str, ...], ...]
  logit_scale: float

  @property
  def left_out(self) -> tuple[tuple[str, ...], ...]:
    """The texts of each class that are not in its core."""
    core = np.asarray(self.space.mask)
    return tuple(
      tuple(text for place, text in enumerate(texts) if not core[label, place])
      for label, texts in enumerate(self.texts)
    )

  def __repr__(self) -> str:
    """Says what it is made of, in one line without its arrays."""
    names = ", ".join(self.names[:4])
    more = f", … {len(self.names):,} in all" if len(self.names) > 4 else ""
    texts = sum(map(len, self.texts))
    plural = "" if texts == 1 else "s"
    outside = sum(map(len, self.left_out))
    return (
      f"NamedSpace({one_line(names, most=120)}{more}; {texts:,} text{plural},"
      f" {outside:,} of them outside the core;"
      f" {self.space.points.shape[-1]} dimensions,"
      f" logit_scale {self.logit_scale:.3f})"
    )


def embed_classes(
  clip: Clip | None,
  classes: str | os.PathLike[str] | Iterable[Any] | TextEmbeddings,
  *,
  template: str | Sequence[str] = NAME_TEMPLATE,
  scale: Scale | int = TWO_WITNESSES,
  keep: str = "largest",
  min_fraction: float | int = 0.5,
  min_gap: float | int = 0.05,
  logit_scale: float | int | Float[Array | np.ndarray, ""] | None = None,
  dtype: str = "float32",
) -> NamedSpace:
  """Makes the space of every class from its names.

  The first text of a class counts as its official name. By default the texts
  that topology and the other classes speak against are left out, as
  `two_witnesses` says, which looks at eight classes at least; with the same
  options the result is that of `configs/predict.py`.

  Embeddings of another encoder go the same way: `clip` is None, `classes` maps
  names to arrays, and `classify` is then given embedded images.

  Args:
    clip: the checkpoint, as `load_clip` gives it; None where `classes` holds
      embeddings.
    classes: class name -> its texts, `{"cat": ["cat", "kitten"], ...}`, as many
      as each has; names alone, `["cat", "dog"]` or "cat, dog"; a file with
      classes in any form that docs/PREDICT.md lists; the name of a packaged
      table, such as "imagenet". Or embedded texts: class name -> f32[texts,
      dim], of any length, or what `read_text_embeddings` gives, whose classes
      are called by their first texts where the file does not name them.
    template: what texts are put into, a string with one {}; of several the
      renormalised mean is one vertex. "{}" leaves texts as they are.
    scale: "two_witnesses", or a rule of `build_space`; None keeps every text.
    keep: as for `two_witnesses`.
    min_fraction: as for `two_witnesses`.
    min_gap: as for `two_witnesses`.
    logit_scale: natural logarithm of the factor that makes cosines logits; by
      default the checkpoint's. Embeddings of another encoder need it: log(100)
      for most of CLIP's kind.
    dtype: type in which the text tower's matrices are multiplied, "float32" or
      "bfloat16".

  Returns:
    The spaces with names and texts. A text of an embedded class is called
    "text 0", "text 1", ... after its row.

  Raises:
    ValueError: no class, a name or a text that cannot be read, a list that may
      mean two things, no checkpoint for texts, no `logit_scale` without one,
      embeddings of different sizes, empty or without a direction, a template
      without {}, or an option that is unknown or out of range.

  Warns:
    UserWarning: texts are longer than the checkpoint reads, and are cut.

  References:
    S3 (arXiv 2412.04925); the second witness is ours.
  """
  if logit_scale is None:
    if clip is None:
      raise ValueError(
        "`logit_scale` must be given where `clip` is None: the natural"
        " logarithm of the factor of the encoder's cosines, math.log(100) for"
        " most of CLIP's kind."
      )
    logit_scale = float(clip.params["logit_scale"])
  log_factor = float(logit_scale)
  if not math.isfinite(log_factor):
    raise ValueError(
      f"`logit_scale` must be finite, got {log_factor}: the natural logarithm"
      " of the factor, math.log(100) for most of CLIP's kind."
    )
  if isinstance(classes, TextEmbeddings):
    table = pad_texts(classes)
    texts = table.texts
    names = classes.class_names or tuple(of_class[0] for of_class in texts)
  elif isinstance(classes, Mapping) and any(map(is_array, classes.values())):
    names = tuple(map(str, classes))
    table = _embedded(classes)
    texts = table.texts
  else:
    if clip is None:
      raise ValueError(
        "`clip` must be a checkpoint of `load_clip` where `classes` are words,"
        " got None; of another encoder give {name: f32[texts, dim]}."
      )
    read = read_classes(classes)
    names, texts = read.names, read.concepts
    table = _embed(clip, read, template, dtype)
  core = build_cores(
    table, scale=scale, keep=keep, min_fraction=min_fraction, min_gap=min_gap
  )
  return NamedSpace(core.space, names, texts, log_factor)


def _embed(
  clip: Clip, classes: ClassList, template: str | Sequence[str], dtype: str
) -> TextTable:
  templates = (template,) if isinstance(template, str) else tuple(template)
  if not templates:
    raise ValueError(
      '`template` must be a text with one {}, or several, got none; "{}" leaves'
      " texts as they are."
    )
  vertices = concept_vertices(classes.texts, templates)
  prompts = distinct_prompts([vertices])
  token_ids, is_cut = clip.tokenize.encode(prompts)
  if is_cut.any():
    first = prompts[int(is_cut.argmax())]
    warnings.warn(
      f"texts longer than the {clip.spec.context_length} tokens that"
      f" {clip.spec.name} reads were cut: {int(is_cut.sum()):,} of"
      f" {len(prompts):,}, the first is {first!r:.80}.",
      stacklevel=3,
    )
  embeddings = embed_in_buckets(
    functools.partial(embed_texts, clip.spec, clip.params, dtype=dtype),
    clip.spec,
    token_ids,
    rows=batch_rows(len(prompts), _MOST_TEXTS),
  )
  return embed_vertices(vertices, prompts, embeddings)


def batch_rows(count: int, most: int) -> int:
  """Rounds a batch up to a power of two, so that few programs are compiled."""
  return min(most, 1 << max(count - 1, 0).bit_length())


def is_array(value: Any) -> bool:
  """Says whether a value is an array of any library."""
  return hasattr(value, "shape") and hasattr(value, "dtype")


def _embedded(classes: Mapping[Any, Any]) -> TextTable:
  """Puts embedded texts of one's own into a table."""
  points = [_unit_rows(name, value) for name, value in classes.items()]
  widths = {rows.shape[1] for rows in points}
  if len(widths) > 1:
    raise ValueError(
      "`classes` must hold embeddings of one size, got"
      f" {' and '.join(map(str, sorted(widths)[:3]))} dimensions."
    )
  texts = [[f"text {row}" for row in range(len(rows))] for rows in points]
  return pad_classes(texts, points)


def _unit_rows(
  name: Any, value: Float[Array | np.ndarray, "..."] | Any
) -> Float32[np.ndarray, "texts dim"]:
  rows = np.asarray(value)
  rows = rows[None] if rows.ndim == 1 else rows
  is_float = jnp.issubdtype(rows.dtype, np.floating)
  if rows.ndim != 2 or not is_float or not rows.size:
    raise ValueError(
      f"`classes` must give {name!r:.60} embeddings f32[texts, dim], got"
      f" {rows.dtype}{list(np.shape(value))}."
    )
  rows = rows.astype(np.float32)
  has_direction(rows, name=f"classes[{name!r:.60}]")
  return np.asarray(unit_or_nan(jnp.asarray(rows)))
