"""Tries ways to adapt spaces on one set of views.

Command:
  python main.py --config=configs/view_sweep.py --workdir=runs/view_sweep

Chooses on the embedded world's validation split, never on a test set: 1,800
images of 64 views, embedded once and cached. A learning rate of 0 is S3 without
adaptation.

Hardware: two CPU cores, about ten minutes once the views are in the cache.
docs/ADAPTATION.md has the table.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the sweep's settings."""
  config = ml_collections.ConfigDict()
  config.task = "view_sweep"
  config.model = "s3_jax/pictographs"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.dataset = "validation"
  config.data_dir = ""
  config.layout = "auto"
  config.partial = False
  config.metrics = ("local_center", "soft_local_center", "center")
  config.learning_rates = (0.0, 0.001, 0.0025, 0.005, 0.01)
  config.steps = (1,)
  config.confident_fractions = (0.1, 0.3)
  config.shifts = ("per_class", "shared")
  config.anchored_fractions = (0.1, 0.2, 0.3, 0.5, 1.0)  # of s3_anchored
  config.anchors = (1.0, 2.0, 4.0)
  config.metric = "local_center"  # of s3_anchored; `metrics` are those of TS3
  config.neighbors = 4
  config.scale = "two_witnesses"
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05  # as configs/demo.py
  config.views = 64
  config.augmix = False
  config.seed = 0
  config.dtype = "bfloat16"  # of the products; sums are float32
  config.batch_size = 64  # views
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
