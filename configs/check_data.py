"""Says which benchmarks are on disk, what they lack and where to get them.

Command:
  python main.py --config=configs/check_data.py --config.data_dir=data

`--config.datasets='("dtd", "eurosat")'` looks for these alone.

Hardware: any; some seconds for a data set of 50,000 files, no network.
docs/DATASETS.md shows the folders that are read.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the check."""
  config = ml_collections.ConfigDict()
  config.task = "check_data"
  config.data_dir = "data"  # holds the data sets, each in its own folder
  config.datasets = ()  # keys of data sets; all of them if there are none
  return config.lock()
