r"""Every method on labelled images of your own.

Command:
  python main.py --config=configs/own_images.py --config.data_dir=FOLDER \
    --config.lexicon=my_table.json --workdir=runs/own

FOLDER has one folder of images a class, or parquet or WebDataset
shards, or is a CSV of (path, label). Without
`lexicon` the folders' names are the classes' names, and a class is a space of
one text; configs/synonyms.py asks a language model for a table with more.
For images without labels there is configs/predict.py.

Hardware: any.

Fields: `Benchmark` in s3_jax/experiment/tasks/benchmark/settings.py.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import benchmark_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return benchmark_config("own").lock()
