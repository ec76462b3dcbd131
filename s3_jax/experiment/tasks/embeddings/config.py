"""The configs of runs on embeddings: records and their values."""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.embeddings import EmbeddingRun
from s3_jax.experiment.tasks.sweep.embedded import EmbeddingSweep
from s3_jax.point_to_space import POINT_TO_SPACE


def embeddings_config(kind: str) -> ml_collections.ConfigDict:
  """Returns a run on embeddings that lie in files, not yet locked."""
  metrics = tuple(POINT_TO_SPACE)
  if kind == "sweep":
    return make_config(
      "embeddings_sweep",
      EmbeddingSweep,
      metrics=metrics,
      neighbors=(1, 2, 3, 4, 5, 6, 8),
      scales=(None, "gap", 0.6, 0.8, 1.0, 1.2),  # numbers are chordal
      min_gaps=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3),  # of the gap rule
    )
  if kind != "run":
    raise ValueError(
      f'the word behind the colon must be "run" or "sweep", got {kind!r}.'
    )
  return make_config(
    "embeddings",
    EmbeddingRun,
    methods=(
      "class_name",
      "random_synonym",
      "synonyms_mean",
      "synonyms_nearest",
      *metrics,
      "s3",
    ),
    metric="soft_local_center",  # of s3
    compilation_cache_dir="",
  )
