"""Images to the names of their classes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float32, Int32

from s3_jax.clip import Clip
from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.embeddings import probabilities, unit_or_nan
from s3_jax.evaluation.predictions import nearest_texts
from s3_jax.messages import nearest, short_repr
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.images import embed_pictures, is_embedded
from s3_jax.named_classes.spaces import NamedSpace
from s3_jax.point_to_space import POINT_TO_SPACE

__all__ = ["Predictions", "classify"]

_ROWS = 256
"""Images scored at once; always as many, so that one program is compiled."""

_NO_DIRECTION = "its embedding is zero or not finite"


class Predictions(NamedTuple):
  """What `classify` found on images, a row each.

  Attributes:
    labels: class indices, i32[images]; equal scores go to the lower index; -1
      for an image that cannot be used.
    names: the class of each image; "" for one that cannot be used.
    scores: of the metric, f32[images, classes], cosines, larger = closer; NaN
      for an image that cannot be used, as the two next.
    probabilities: softmax over the classes, f32[images, classes].
    cosines: of the image and its deciding text, f32[images].
    texts: the deciding text of each image: the one in the core of its class
      that is nearest to it; "" for an image that cannot be used.
    problems: why an image cannot be used; "" for all others.
  """

  labels: Int32[np.ndarray, " images"]
  names: tuple[str, ...]
  scores: Float32[np.ndarray, "images classes"]
  probabilities: Float32[np.ndarray, "images classes"]
  cosines: Float32[np.ndarray, " images"]
  texts: tuple[str, ...]
  problems: tuple[str, ...]

  def __repr__(self) -> str:
    """Shows the shapes of arrays, and the first names and texts."""
    return short_repr(self)


def classify(
  clip: Clip | None,
  space: NamedSpace,
  images: Any,
  *,
  metric: str | Callable[..., Any] = "soft_local_center",
  neighbors: int = 4,
  batch_size: int = 64,
  strict: bool = True,
  exif_orientation: bool = True,
  max_pixels: int = MAX_PIXELS,
  dtype: str = "float32",
) -> Predictions:
  """Says which of the classes are on images.

  Files are read and decoded by several threads, a few batches ahead of the
  image tower, and only embeddings stay of them. It runs on one device; for a
  large folder on several, with pages to look at, there is
  `configs/predict.py`, whose numbers are the same.

  Args:
    clip: the checkpoint that embedded the classes; None where images are
      embedded already.
    space: the classes, as `embed_classes` gives them.
    images: a path, a PIL image or an array of pixels, or a sequence of such in
      any mixture. Pixels are u8[rows, cols, 3], or without a last axis if they
      are grey; u8[images, rows, cols, 3] is a sequence. Or embedded images,
      f32[images, dim], of any length.
    metric: a name of `POINT_TO_SPACE`, or a function of embeddings
      f32[images, dim] and a `SynonymousSpace`, such as
      `functools.partial(point_to_local_center, neighbors=2)`.
    neighbors: of the metric "local_center".
    batch_size: images that go through the image tower at once.
    strict: an image that cannot be used is an error that names it. False lists
      it in `problems`, and goes on.
    exif_orientation: turn photographs as their tag says.
    max_pixels: of an image file; larger ones cannot be used.
    dtype: type in which the image tower's matrices are multiplied, "float32" or
      "bfloat16".

  Returns:
    The predictions, in the order of the images.

  Raises:
    ValueError: something is neither an image nor a path, embeddings have
      another size than the classes', there is no checkpoint for pictures, an
      option is unknown or out of range, or, under `strict`, an image cannot be
      used.

  References:
    S3 (arXiv 2412.04925); that the nearest text decides is ours.
  """
  if isinstance(metric, str) and metric not in POINT_TO_SPACE:
    raise ValueError(
      f"`metric` must be a function or one of"
      f" {nearest(POINT_TO_SPACE, metric)}, got {metric!r:.60}."
    )
  if is_embedded(images):
    embeddings = np.atleast_2d(np.asarray(images, np.float32))
    problems = [""] * len(embeddings)
  elif clip is None:
    raise ValueError(
      "`clip` must be a checkpoint of `load_clip` where `images` are pictures,"
      f" got None; embedded images are f32[images, {_size(space)}]."
    )
  elif clip.spec.embed_dim != _size(space):  # known before any work is done
    raise ValueError(
      f"`clip` must embed in the {_size(space)} dimensions of the classes, got"
      f" {clip.spec.embed_dim} of {clip.spec.name}; embed both with one"
      " checkpoint."
    )
  else:
    embeddings, problems = embed_pictures(
      clip,
      images,
      batch_size=batch_size,
      strict=strict,
      exif_orientation=exif_orientation,
      max_pixels=max_pixels,
      dtype=dtype,
    )
  if embeddings.shape[1] != _size(space):
    raise ValueError(
      f"`images` must have the {_size(space)} dimensions of the classes, got"
      f" {embeddings.shape[1]}; embed both with one checkpoint."
    )
  usable = np.isfinite(embeddings).all(axis=1) & embeddings.any(axis=1)
  for row in np.flatnonzero(~usable).tolist():
    problems[row] = problems[row] or _NO_DIRECTION
    if strict:
      raise ValueError(
        f"`images` must be usable, got image {row}: {problems[row]};"
        " strict=False lists such images."
      )
  score = space_scorer(space.space, metric, neighbors=neighbors)
  return _answer(score, space, embeddings, tuple(problems))


def _size(space: NamedSpace) -> int:
  return space.space.points.shape[-1]


def _answer(
  score: Partial,
  space: NamedSpace,
  embeddings: Float32[np.ndarray, "images dim"],
  problems: tuple[str, ...],
) -> Predictions:
  good = np.array([not problem for problem in problems], bool)
  count, classes = len(good), len(space.names)
  scores = np.full((count, classes), np.nan, np.float32)
  labels, places = np.full((2, count), -1, np.int32)
  cosines = np.full(count, np.nan, np.float32)
  rows = np.flatnonzero(good)
  for start in range(0, rows.size, _ROWS):
    chosen = rows[start : start + _ROWS]
    # Filled up with images that are there.
    batch = embeddings[np.resize(chosen, _ROWS)]
    found = _score(score, space.space.points, space.space.mask, batch)
    for array, values in zip(
      (scores, labels, places, cosines), found, strict=True
    ):
      array[chosen] = np.asarray(values)[: chosen.size]
  return Predictions(
    labels=labels,
    names=tuple(space.names[i] if i >= 0 else "" for i in labels.tolist()),
    scores=scores,
    probabilities=np.asarray(probabilities(scores, space.logit_scale)),
    cosines=cosines,
    texts=tuple(
      space.texts[label][place] if label >= 0 else ""
      for label, place in zip(labels.tolist(), places.tolist(), strict=True)
    ),
    problems=problems,
  )


@jax.jit
def _score(score, points, mask, embeddings):
  embeddings = unit_or_nan(embeddings)
  scores = score(embeddings)
  labels = jnp.argmax(scores, axis=1).astype(jnp.int32)
  texts, cosines = nearest_texts(points, mask, embeddings, labels[:, None])
  return scores, labels, texts[:, 0], cosines[:, 0]
