"""The demo: nine methods on five test sets of the embedded world.

Command:
  python main.py --config=configs/demo.py

Hardware: two CPU cores, about two minutes; the second run takes seconds.
docs/RESULTS.md has the table that it prints and says how it was made.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import benchmark_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  config = benchmark_config("plain")
  del config["dataset"]
  config.model = "s3_jax/pictographs"  # or a folder in Hugging Face's layout
  config.lexicon = "pictographs"
  config.test_sets = ("plain", "outline", "contrast", "clutter", "rendering")
  config.methods = (
    "class_name",  # the official label alone
    "best_name",  # the name that training captions use most
    "templates",  # the official label in seven templates
    "random_synonym",
    "synonyms_mean",  # mean of all names
    "synonyms_nearest",  # the best of all names
    "local_center",  # S3: local center of the Rips core
    "polluted_all",  # the same metric with wrong entries, all kept
    "polluted_core",  # with wrong entries, Rips core only
  )
  config.template = "a photo of a {}."  # of each name
  config.templates = (  # of the method "templates"
    "a photo of a {}.",
    "a picture of a {}.",
    "a drawing of a {}.",
    "an icon of a {}.",
    "a small {}.",
    "the {}.",
    "a clean rendering of a {}.",
  )
  config.metric = "local_center"
  config.neighbors = 4  # this, scale and min_gap: the best of configs/sweep.py
  config.batch_size = 100
  config.figure_classes = (17, 9, 50, 70)  # whose texts are drawn
  return config.lock()
