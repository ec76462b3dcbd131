"""Says which benchmarks are on disk, what they lack and where to get them.

Command:
  python main.py --config=configs/check_data.py --config.data_dir=data

`--config.datasets=dtd,eurosat` looks for these alone.

Hardware: any; some seconds for a data set of 50,000 files, no network.
docs/DATASETS.md shows the folders that are read.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.check_data import DataCheck


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the check."""
  return make_config("check_data", DataCheck).lock()
