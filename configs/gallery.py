"""Draws the embedded world: every class, and some in every style.

Command:
  python main.py --config=configs/gallery.py --workdir=runs/gallery

Hardware: any; seconds. The two pictures stand in docs/DATA_CARD.md.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the gallery's settings."""
  config = ml_collections.ConfigDict()
  config.task = "gallery"
  config.lexicon = "pictographs"
  config.labels = (0, 10, 17, 18, 37, 46, 56, 64, 69, 72, 74, 81)
  config.seed = 7
  return config.lock()
