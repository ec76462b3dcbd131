"""The best classes of images, and the texts that decided.

A prediction has a score, which is the metric's cosine; a probability, which is
the softmax of exp(logit_scale) · score over the classes that were given; and
the text of the class's core that is nearest to the image. Checkpoints that were
trained with a sigmoid, as SigLIP was, get the same softmax: their bias is equal
for all classes and does not change it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from s3_jax.embeddings import probabilities
from s3_jax.space import SynonymousSpace

__all__ = ["Ranking", "nearest_texts", "rank_classes"]


class Ranking(NamedTuple):
  """The best classes of images, the best first.

  Attributes:
    labels: class indices; equal scores go to the lower index.
    scores: of the metric, larger = closer.
    probabilities: over all classes, also those that are not among the best.
    texts: which text of the class is nearest to the image, of those in its
      core; equal cosines go to the lower index.
    cosines: of that text and the image.
  """

  labels: Int[Array | np.ndarray, "images top"]
  scores: Float[Array | np.ndarray, "images top"]
  probabilities: Float[Array | np.ndarray, "images top"]
  texts: Int[Array | np.ndarray, "images top"]
  cosines: Float[Array | np.ndarray, "images top"]


def rank_classes(
  score_fn: Callable[
    [Float[Array, "images dim"]], Float[Array, "images classes"]
  ],
  space: SynonymousSpace,
  embeddings: Float[Array | np.ndarray, "images dim"],
  *,
  logit_scale: float | int,
  top: int,
) -> Ranking:
  """Ranks the classes of every image, and finds the texts that decided.

  References:
    The softmax over classes is CLIP's (arXiv 2103.00020, section 3.1.2). For
    checkpoints trained with a sigmoid (arXiv 2303.15343) it is ours.
  """
  classes = space.mask.shape[0]
  if not 1 <= top <= classes:
    raise ValueError(f"`top` must be in 1..{classes}, got {top}.")
  score = score_fn if isinstance(score_fn, Partial) else Partial(score_fn)
  embeddings = jnp.asarray(embeddings, jnp.float32)
  scale = np.float32(logit_scale)
  return _rank(score, space.points, space.mask, embeddings, scale, top=top)


@functools.partial(jax.jit, static_argnames="top")
def _rank(score, points, mask, embeddings, logit_scale, *, top):
  scores = score(embeddings)
  shares = probabilities(scores, logit_scale)
  best, labels = jax.lax.top_k(scores, top)
  texts, cosines = nearest_texts(points, mask, embeddings, labels)
  return Ranking(
    labels=labels,
    scores=best,
    probabilities=jnp.take_along_axis(shares, labels, axis=1),
    texts=texts,
    cosines=cosines,
  )


def nearest_texts(
  points: Float[Array, "classes synonyms dim"],
  mask: Bool[Array, "classes synonyms"],
  embeddings: Float[Array, "images dim"],
  labels: Int[Array, "images top"],
) -> tuple[Int[Array, "images top"], Float[Array, "images top"]]:
  """Finds which text of a core is nearest to the image, and its cosine."""

  def nearest(image):
    # One image at a time: the texts of `top` classes, never of a whole batch.
    embedding, chosen = image
    cosines = jnp.einsum(
      "csd,d->cs",
      points[chosen],
      embedding,
      precision=jax.lax.Precision.HIGHEST,
    )
    cosines = jnp.where(mask[chosen], cosines, -jnp.inf)
    return jnp.argmax(cosines, axis=1), jnp.max(cosines, axis=1)

  texts, cosines = jax.lax.map(nearest, (embeddings, labels))
  return texts.astype(jnp.int32), jnp.clip(cosines, -1.0, 1.0)
