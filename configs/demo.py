"""The demo: nine methods on five test sets of the embedded world.

Command:
  python main.py --config=configs/demo.py

Hardware: two CPU cores, about two minutes; the second run takes seconds.
docs/RESULTS.md has the table that it prints and says how it was made.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  config = ml_collections.ConfigDict()
  config.task = "evaluate"
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
  config.baseline = "class_name"
  config.template = "a photo of a {}."
  config.templates = (
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
  config.scale = "two_witnesses"  # or "gap", or None: every text counts
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.dtype = "float32"  # of the towers' matrix products
  config.batch_size = 100
  config.mesh = 0  # devices of each process that are used; 0 for all
  config.model_axis = 1  # of them share the classes; the rest share images
  config.cache_dir = ""  # default: the user's cache folder
  config.compilation_cache_dir = ""  # keeps compiled programs; default: off
  config.figure_classes = (17, 9, 50, 70)
  config.seed = 0
  return config.lock()
