"""Lists the checkpoints that can be loaded by name.

Command:
  python main.py --config=configs/models.py --workdir=runs/models

`--config.contains=siglip2` lists those whose name has this word.

Hardware: any; half a minute, no network. docs/MODELS.md is the models.md that
this wrote.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.models import Listing


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the list."""
  return make_config("models", Listing).lock()
