"""Draws an embedded world: every class, and some in every style.

Command:
  python main.py --config=configs/gallery.py --workdir=runs/gallery

Hardware: any; seconds. Pictures of both worlds stand in docs/DATA_CARD.md.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.gallery import Gallery


def get_config() -> ml_collections.ConfigDict:
  """Returns the gallery's settings."""
  return make_config("gallery", Gallery).lock()
