"""Says whether a checkpoint computes what is known of it.

Command:
  python main.py --config=configs/verify.py
    --config.model=openai/clip-vit-base-patch32

Compares cosines between embeddings of texts with stored ones and prints pass or
fail; a failure exits with 2. Of OpenAI's ViT-B/32 24 cosines are known; of
other checkpoints nothing is, and the output says so. For a copy under another
name, `--config.known=openai/ViT-B/32` says whose values it must have.

Hardware: any; seconds after the checkpoint is there.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.verify import Verification


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a verification."""
  return make_config("verify", Verification, model="s3_jax/pictographs").lock()
