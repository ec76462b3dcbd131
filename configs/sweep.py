r"""Tries k, the scale rule, the metric and the texts on one set of images.

Command:
  python main.py --config=configs/sweep.py --workdir=runs/sweep

Chooses on the embedded world's validation split, never on a test set. With
`--config.dataset=dtd --config.data_dir=DATA
--config.model=openai/clip-vit-base-patch16` it shows what the same choices do
on a benchmark, from the embeddings that a run of configs/dtd.py left in the
cache; the share of classes that the core cuts stands beside each row.

Hardware: two CPU cores, a few minutes. docs/RESULTS.md has the table.

Fields: `Sweep` in s3_jax/experiment/tasks/sweep/spaces.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.sweep.spaces import Sweep


def get_config() -> ml_collections.ConfigDict:
  """Returns the sweep's settings."""
  return make_config(
    "sweep",
    Sweep,
    leave_out=("revision",),
    model="s3_jax/pictographs",
    metrics=(
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
    ),
    neighbors=(1, 2, 3, 4, 5, 6, 8),
    scales=(None, "two_witnesses", "gap", 0.6, 0.8, 1.0, 1.2),
    min_gaps=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3),  # of the first two
  ).lock()
