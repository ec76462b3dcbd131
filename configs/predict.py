r"""Says what is on images of one's own.

Command:
  python main.py --config=configs/predict.py --config.images=photos/ \
    --config.classes=cats.txt --config.model=openai/clip-vit-base-patch16

Without options it looks at one pictograph with the embedded checkpoint. Writes
predictions.json, predictions.csv and contact_sheet.html. docs/PREDICT.md says
what images and classes may be, and what the files hold.

Hardware: any; seconds for a few images.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a prediction."""
  config = ml_collections.ConfigDict()
  config.task = "predict"
  config.images = (
    "docs/figures/airplane.png"  # folder, pattern, file, or several
  )
  config.classes = "pictographs"  # names between commas, a file, or a table
  config.model = "s3_jax/pictographs"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.revision = ""  # of a hub repository; default: the zoo's or the newest
  config.template = "a photo of a {}."  # "{}" for texts that are sentences
  config.top = 5  # classes an image
  config.metric = "soft_local_center"
  config.neighbors = 4
  config.scale = "two_witnesses"  # or "gap", or None: every text counts
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.exif_orientation = True  # turn photographs as their tag says
  config.max_pixels = 89_478_485  # larger images are bad files
  config.strict = False  # bad files end in exit code 2, after all is written
  config.contact_sheet = True
  config.dtype = "float32"  # of the towers' matrix products
  config.batch_size = 64
  config.mesh = 0  # devices that share the images; 0 for all
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
