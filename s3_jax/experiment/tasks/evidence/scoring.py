"""Images scored by the metrics of a run of "evidence"."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Float32, Int

from s3_jax.experiment.tasks.evidence.sets import EvidenceSet
from s3_jax.named_classes.cores import space_scorer
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace

_ROWS = 1000
"""Images scored at once."""

# Metrics with their k, where there is one: local_center of as many neighbours
# as a class has texts is center, so two numbers stand beside each other.
METRICS: dict[str, tuple[str, int]] = {
  **{name: (name, 4) for name in POINT_TO_SPACE if name != "local_center"},
  "local_center(2)": ("local_center", 2),
  "local_center(4)": ("local_center", 4),
}


def scorer_of(space: SynonymousSpace, name: str) -> Partial:
  """Binds a metric of METRICS to a space: f32[batch, dim] -> scores."""
  metric, neighbors = METRICS[name]
  return space_scorer(space, metric, neighbors=neighbors)


def correct_by(
  space: SynonymousSpace, name: str, given: EvidenceSet
) -> Bool[np.ndarray, " images"]:
  """Says which images a metric gets right."""
  best = _in_parts(_best, scorer_of(space, name), given.images)
  return best == given.labels


def all_scores(
  space: SynonymousSpace, name: str, images: Float32[np.ndarray, "images dim"]
) -> Float32[np.ndarray, "images classes"]:
  """Scores images against every class."""
  return _in_parts(_score, scorer_of(space, name), images)


def _in_parts(function: Any, scorer: Partial, images: np.ndarray) -> np.ndarray:
  starts = range(0, len(images), _ROWS)
  return np.concatenate(
    [np.asarray(function(scorer, images[at : at + _ROWS])) for at in starts]
  )


@jax.jit
def _score(scorer: Partial, images: Any) -> Any:
  return scorer(images)


@jax.jit
def _best(scorer: Partial, images: Any) -> Int[Any, " images"]:
  return jnp.argmax(scorer(images), axis=-1)
