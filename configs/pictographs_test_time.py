"""Test-time adaptation on the embedded world: TS3 against TPS and MTA.

Command:
  python main.py --config=configs/pictographs_test_time.py

Hardware: two CPU cores, about half an hour the first time (1.2 million views);
minutes from the cache. docs/ADAPTATION.md has the table that it prints.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import test_time_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  return test_time_config(
    ("plain", "outline", "contrast", "clutter", "rendering"),
    model="s3_jax/pictographs",
    data_dir="",
    dtype="bfloat16",  # of the products; sums are float32
  ).lock()
