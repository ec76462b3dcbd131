"""Trains the embedded checkpoint from scratch.

Command:
  python main.py --config=configs/train_pictographs.py \
    --workdir=runs/train_pictographs

Hardware: two CPU cores, 13.5 minutes (0.32 core hours). Killed at any time,
the same command goes on where the run was. The checkpoint is written to
`WORKDIR/checkpoint`; docs/TRAINING.md has the curve of the one in the package.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  config = ml_collections.ConfigDict()
  config.task = "train"
  config.seed = 0
  config.lexicon = "pictographs"

  config.spec = ml_collections.ConfigDict()
  config.spec.image_size = 48  # images are rendered at 64 and resized
  config.spec.patch_size = 6
  config.spec.image_width = 192
  config.spec.image_layers = 6
  config.spec.image_heads = 3
  config.spec.text_width = 128
  config.spec.text_layers = 4
  config.spec.text_heads = 2
  config.spec.vocab_size = 1024
  config.spec.context_length = 48
  config.spec.embed_dim = 128

  config.steps = 500
  config.batch_size = 128
  config.optimizer = "muon"
  config.learning_rate = 0.02
  config.warmup_steps = 50
  config.weight_decay = 0.05
  config.auxiliary_share = 0.8
  config.dtype = "bfloat16"  # of the matrix products; sums are float32
  config.validate_every = 50
  config.save_every = 50
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
