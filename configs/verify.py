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


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a verification."""
  config = ml_collections.ConfigDict()
  config.task = "verify"
  config.model = "s3_jax/pictographs"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.revision = ""  # of a hub repository; default: the zoo's or the newest
  config.known = ""  # whose values; default: those of the model's name
  config.cache_dir = ""  # of fetched files; default: the hub's own cache
  return config.lock()
