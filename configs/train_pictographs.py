"""Trains the embedded checkpoint from scratch.

Command:
  python main.py --config=configs/train_pictographs.py \
    --workdir=runs/train_pictographs

Hardware: two CPU cores, 13.5 minutes (0.32 core hours). Killed at any time,
the same command goes on where the run was. The checkpoint is written to
`WORKDIR/checkpoint`; docs/TRAINING.md has the curve of the one in the package.

Fields: `Training` in s3_jax/experiment/tasks/train.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.train import Training


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  return make_config("train", Training).lock()
