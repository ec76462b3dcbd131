r"""Writes a classifier as files that run without this package.

Command:
  python main.py --config=configs/export.py --config.classes=cats.txt \
    --config.model=openai/clip-vit-base-patch16 --workdir=runs/cats

Without options it exports the ninety pictographs of the embedded checkpoint.
Writes classifier.jaxexport, classifier.npz, classifier.json and classify.py;
docs/EXPORT.md says what they hold and how long they can be read.

  python runs/cats/classify.py runs/cats photo.jpg

Hardware: any, a CPU for all platforms; seconds. Needs `flatbuffers`, which the
extra `export` installs.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of an export."""
  config = ml_collections.ConfigDict()
  config.task = "export"
  config.model = "s3_jax/pictographs"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.revision = ""  # of a hub repository; default: the zoo's or the newest
  config.classes = "pictographs"  # names between commas, a file, or a table
  config.templates = ("a photo of a {}.",)  # averaged, where there are several
  config.metric = "soft_local_center"
  config.neighbors = 4
  config.scale = "two_witnesses"  # or "gap", or None: every text counts
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.exif_orientation = True  # classify.py turns photographs upright
  config.platforms = ("cpu", "cuda", "tpu")  # rocm as well
  config.text_tower = False  # True: text_tower.jaxexport and .npz as well
  config.dtype = "float32"  # of the towers' matrix products
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
