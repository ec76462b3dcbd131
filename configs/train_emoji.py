"""Trains the checkpoint of the drawn world from scratch.

Command:
  python main.py --config=configs/train_emoji.py --workdir=runs/train_emoji

Hardware: two CPU cores, 39 minutes beside other work. Killed at any time, the
same command goes on where the run was. The checkpoint is written to
`WORKDIR/checkpoint`; docs/TRAINING.md has the curve of the one in the package.

Fields: `Training` in s3_jax/experiment/tasks/train.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.train import Training


def get_config() -> ml_collections.ConfigDict:
  """Returns the run's settings."""
  config = make_config(
    "train",
    Training,
    lexicon="emoji",
    steps=8_000,
    batch_size=64,
    learning_rate=0.015,
    warmup_steps=100,
    dtype="float32",
    validate_every=250,
    save_every=250,
  )
  config.spec.update(
    image_tower="resnet",
    image_stages=(1, 2, 2, 1),
    image_size=64,
    patch_size=32,
    image_width=16,
    image_layers=6,
    image_heads=8,
    text_width=128,
    text_layers=2,
    text_heads=2,
    vocab_size=1024,
    context_length=32,
    embed_dim=128,
  )
  return config.lock()
