"""Puts the results of several runs side by side.

Command:
  python main.py --config=configs/compare.py \
    --config.results=runs/first,runs/second --workdir=runs/comparison

Prints one table of all data sets and methods, with the differences of
same-named methods to the first run, and what else differs: checkpoint, texts,
images, settings, versions. Where both runs have a predictions.csv for the same
images, the differences are paired. Writes compare.html, .md, .tex and .csv.

Hardware: any; seconds.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.compare import Comparison


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a comparison."""
  # Folders of runs, or results.json files, between commas; the first is
  # compared with.
  return make_config(
    "compare", Comparison, results="runs/first,runs/second"
  ).lock()
