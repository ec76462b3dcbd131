"""Scores of a test set: each process its part of the images, then all of them.

What processes send each other are predictions, confidences and integer counts,
so that the results are those of one process.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from s3_jax import hosts
from s3_jax.evaluation.accumulators import ClassificationCounts
from s3_jax.evaluation.classification import (
  ClassificationResult,
  ScoredImages,
  Scoring,
  summarise,
)
from s3_jax.experiment.embedder import EmbeddedImages

SCORE_ROWS = 900
"""Images scored at once. The hulls' and complexes' temporaries grow with it."""


def score_images(
  scorer: Callable[..., Any],
  test_set: EmbeddedImages,
  *,
  classes: int,
  per_class: bool,
  logit_scale: float,
  mesh: Mesh,
) -> ClassificationResult:
  """Scores every image of a test set against every class."""
  share = hosts.own_share(len(test_set.labels))
  scoring = Scoring(
    scorer,
    classes=classes,
    batch_size=SCORE_ROWS,
    logit_scale=logit_scale,
    mesh=mesh,
    per_class=per_class,
  )
  hosts.raise_on_all(
    lambda: scoring.add(
      test_set.embeddings[share.start : share.stop],
      test_set.labels[share.start : share.stop],
    )
  )
  indices = np.arange(share.start, share.stop)
  counted = gather_counted(scoring.counted(), indices)
  assert len(counted.labels) == len(test_set.labels)  # each image once
  return summarise(counted)


def gather_counted(
  counted: ScoredImages, indices: Int[np.ndarray, " images"]
) -> ScoredImages:
  """Puts what all processes have counted together."""
  parts = hosts.gather_arrays(_flat(counted) | {"indices": indices})
  joined = hosts.concatenate(
    [{name: part[name] for name in _PER_IMAGE} for part in parts]
  )
  indices = np.concatenate([part["indices"] for part in parts])
  order = np.argsort(indices, kind="stable")
  counts = ClassificationCounts(
    *(
      np.sum([part[name] for part in parts], axis=0)
      for name in ClassificationCounts._fields
    )
  )
  return ScoredImages(
    counts, **{name: joined[name][order] for name in _PER_IMAGE}
  )


_PER_IMAGE = tuple(name for name in ScoredImages._fields if name != "counts")


def _flat(counted: ScoredImages) -> dict[str, np.ndarray]:
  arrays = {name: getattr(counted, name) for name in _PER_IMAGE}
  return {**arrays, **counted.counts._asdict()}
