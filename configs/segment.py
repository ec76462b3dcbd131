r"""Labels the pixels of one's own photographs with one's own classes.

Command:
  python main.py --config=configs/segment.py --config.images=photos/ \
    --config.classes='sky,grass,dog,person' --workdir=runs/segment

Writes overlays/*.png (the image beside its label map, with a legend),
labels/*.png (class indices, 8 bits) and segments.json (the share of each class
in each image). docs/PREDICT.md says what images and classes may be; classes
with synonyms, such as a packaged table or a file, become spaces. With
`--config.background=True` the first class is the background, and
`--config.protocol_changes.prob_threshold=0.1` gives it all pixels of which
nothing is probable.

Hardware: any; a photograph takes some seconds on a few CPU cores.
"""

import ml_collections

from s3_jax.experiment.tasks.segmentation.config import protocol_changes


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a run."""
  config = ml_collections.ConfigDict()
  config.task = "segment"
  config.images = "photos"  # folder, pattern, file, or several
  config.classes = "voc"  # names between commas, a file, or a table
  config.background = False  # True: the first class is the background
  config.model = "openai/clip-vit-base-patch16"  # a ViT with a class token
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.revision = ""  # of a hub repository; default: the zoo's or the newest
  config.protocol = "sclip"  # or clearclip, or maskclip
  config.embeddings = "patches"  # "windows": each window as one image (ours)
  config.protocol_changes = protocol_changes()
  config.method = "s3"  # or synonyms_max: each text alone, the best counts
  config.templates = ()  # of the texts; default: the 80 of ImageNet
  config.metric = "local_center"  # of s3
  config.neighbors = 4
  config.scale = "two_witnesses"  # or "gap", or None: every text counts
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.exif_orientation = True  # turn photographs as their tag says
  config.max_pixels = 89_478_485  # larger images are bad files
  config.strict = False  # bad files end in exit code 2, after all is written
  config.dtype = "float32"  # of the towers' matrix products
  config.cache_dir = ""  # default: the user's cache folder
  return config.lock()
