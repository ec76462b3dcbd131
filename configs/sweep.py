"""Chooses k and the scale rule on the validation split, never on a test set.

Command:
  python main.py --config=configs/sweep.py --workdir=runs/sweep

Hardware: two CPU cores, a few minutes. docs/RESULTS.md has the table.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the sweep's settings."""
  config = ml_collections.ConfigDict()
  config.task = "sweep"
  config.model = "s3_jax/pictographs"
  config.lexicon = "pictographs"
  config.split = "validation"
  config.template = "a photo of a {}."
  config.metrics = (
    "local_center",
    "soft_local_center",
    "star_center",
    "simplex_center",
    "center",
    "mean_similarity",
    "nearest_point",
    "subspace",
    "affine_hull",
    "convex_hull",
    "complex",
  )
  config.neighbors = (1, 2, 3, 4, 5, 6, 8)
  config.scales = (None, "gap", 0.6, 0.8, 1.0, 1.2)  # numbers are chordal
  config.min_gaps = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # of the gap rule
  config.dtype = "float32"
  config.batch_size = 100
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
