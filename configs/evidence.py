r"""Which texts to keep and how to score them, on embeddings of real CLIP.

Command:
  python main.py --config=configs/evidence.py --config.data_dir=FOLDER \
    --workdir=runs/evidence

FOLDER has `sets` and `images`, as docs/EVIDENCE.md describes them, and the page
has the tables that this run writes into evidence.md.

Hardware: two CPU cores, about an hour with eight seeds.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  config = ml_collections.ConfigDict()
  config.task = "evidence"
  config.data_dir = ""
  config.sets = ("imagenet84", "imagenet189", "imagenet1000", "lvis1203")
  config.metric = "soft_local_center"  # the headline's
  config.metrics = (
    "nearest_point",
    "mean_similarity",
    "center",
    "local_center(2)",
    "local_center(4)",
    "soft_local_center",
    "star_center",
    "simplex_center",
    "subspace",
    "affine_hull",
    "convex_hull",
    "complex",
  )
  config.studies = True  # other geometry, 2 to 30 texts, unequal sizes
  config.seeds = 8  # draws of wrong texts
  config.seed = 0
  config.compilation_cache_dir = ""  # keeps compiled programs; default: off
  return config.lock()
