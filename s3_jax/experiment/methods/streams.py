"""The methods that learn from the images before one, by name.

They see other test images than the one they answer for. So a result belongs to
an order of arrival, which a seed draws and which is the same on every host.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from s3_jax import hosts
from s3_jax.adaptation import center_space, dmn_scores, tda_scores
from s3_jax.evaluation.classification import ClassificationResult
from s3_jax.experiment.embedder import EmbeddedImages
from s3_jax.experiment.methods.images import Method, MethodPlan
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  official_name,
)
from s3_jax.experiment.scoring import SCORE_ROWS, score_images
from s3_jax.lexicon.vertices import Vertices
from s3_jax.space import SynonymousSpace


class StreamMethod(NamedTuple):
  """One row of a results table that learns from the images before one.

  Attributes:
    base: the method whose scores it adapts.
    adapt: from images, their scores, the spaces, the scale and what is
      remembered to adapted scores and what is remembered then.
  """

  base: Method
  adapt: Callable[..., Any]

  @property
  def vertices(self) -> Callable[[MethodTexts], Vertices]:
    """The prompts of the scores."""
    return self.base.vertices


def _tda(embeddings, scores, space, logit_scale, state):
  del space
  return tda_scores(embeddings, scores, logit_scale, state=state)


def _dmn(embeddings, scores, space, logit_scale, state):
  texts = center_space(space).points[:, 0]
  return dmn_scores(embeddings, scores, texts, logit_scale, state=state)


_NAME = Method(official_name)
_S3 = Method(concepts, None, core=True)

# Keys of the results and of `config.methods`, beside those of METHODS.
STREAM_METHODS: dict[str, StreamMethod] = {
  "tda": StreamMethod(_NAME, _tda),
  "dmn": StreamMethod(_NAME, _dmn),
  "tda_s3": StreamMethod(_S3, _tda),
  "dmn_s3": StreamMethod(_S3, _dmn),
}


def order_of_arrival(images: int, seed: int) -> Int[np.ndarray, " images"]:
  """Draws the order in which the images of a test set arrive."""
  return np.random.default_rng(seed).permutation(images)


def stream_rows(name: str, seeds: Sequence[int]) -> dict[str, int]:
  """Names the row of each seed; that of the first is the method's own."""
  return {
    name if seed == seeds[0] else f"{name}, order {seed}": seed
    for seed in seeds
  }


def stream_orders(
  plan: Iterable[MethodPlan], seeds: Sequence[int]
) -> dict[str, int]:
  """Lists the rows of a plan that depend on an order, with its seed."""
  return {
    row: seed
    for each in plan
    if isinstance(each.method, StreamMethod)
    for row, seed in stream_rows(each.name, seeds).items()
  }


def score_stream(
  method: StreamMethod,
  scorer: Callable[..., Any],
  space: SynonymousSpace,
  test_set: EmbeddedImages,
  *,
  seed: int,
  classes: int,
  logit_scale: float,
  mesh: jax.sharding.Mesh,
) -> ClassificationResult:
  """Adapts the scores of a test set image by image, and counts what is right.

  Every process goes through all images, so that all remember the same.
  """
  order = order_of_arrival(len(test_set.labels), seed)
  scores = np.empty((len(order), classes), np.float32)
  state = None
  with hosts.progress_bar(total=len(order), desc="stream", unit="image") as bar:
    for start in range(0, len(order), SCORE_ROWS):
      rows = order[start : start + SCORE_ROWS]
      batch = test_set.embeddings[rows]
      own = _score(scorer, batch)
      adapted, state = method.adapt(batch, own, space, logit_scale, state)
      scores[rows] = adapted
      bar.update(len(rows))
  return score_images(
    Partial(_as_they_are),
    test_set._replace(embeddings=scores),
    classes=classes,
    per_class=False,
    logit_scale=logit_scale,
    mesh=mesh,
  )


@jax.jit
def _score(
  scorer: Partial, batch: Float[Array, "batch dim"]
) -> Float[Array, "batch classes"]:
  return scorer(batch)


def _as_they_are(
  scores: Float[Array, "batch classes"],
) -> Float[Array, "batch classes"]:
  return scores
