"""The fields that the configs of all segmentation benchmarks share."""

import ml_collections
from ml_collections import config_dict

from s3_jax.experiment.methods.patches import PATCH_METHODS


def segmentation_config(dataset: str) -> ml_collections.ConfigDict:
  """Returns a segmentation run on one data set, not yet locked."""
  config = ml_collections.ConfigDict()
  config.task = "segmentation"
  config.model = "openai/clip-vit-base-patch16"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.dataset = dataset
  config.data_dir = "data"  # docs/SEGMENTATION_DATA.md shows what may lie there
  config.protocol = "sclip"  # or clearclip, or maskclip
  config.embeddings = "patches"  # "windows": each window as one image (ours)
  config.protocol_changes = protocol_changes()
  config.partial = False  # True: another number of images is accepted
  config.strict = False  # True: a bad example makes the run fail at its end
  config.methods = (
    "class_name",
    "names_max",
    "synonyms_max",
    "nearest_point",
    "center",
    "s3",
  )
  config.thresholds = ml_collections.ConfigDict(  # of each method; None: common
    {name: config_dict.placeholder(float) for name in PATCH_METHODS}
  )
  config.baseline = "names_max"
  config.templates = ()  # of the names; default: the 80 of ImageNet
  config.metric = "local_center"  # of s3
  config.neighbors = 4
  config.scale = "two_witnesses"  # or "gap", a distance, or None
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.pictures = 3  # worst, best, most gained and most lost images of each
  config.dtype = "float32"  # of the towers' matrix products
  config.mesh = 0  # devices of each process that share windows; 0 for all
  config.max_pixels = 89_478_485  # of an image file, all frames together
  config.cache_dir = ""  # default: the user's cache folder
  config.compilation_cache_dir = ""  # keeps compiled programs; default: off
  config.seed = 0
  return config


def protocol_changes() -> ml_collections.ConfigDict:
  """Returns the fields of a protocol, none of them changed.

  They exist although they are empty so that a command line can set them.
  """
  changes = ml_collections.ConfigDict()
  changes.attention = config_dict.placeholder(str)
  changes.position_offset = config_dict.placeholder(float)
  changes.short_side = config_dict.placeholder(int)
  changes.long_side = config_dict.placeholder(int)
  changes.window = config_dict.placeholder(int)
  changes.stride = config_dict.placeholder(int)
  changes.padding = config_dict.placeholder(str)
  # Three numbers, or "checkpoint".
  changes.pixel_mean = config_dict.placeholder(object)
  changes.pixel_std = config_dict.placeholder(object)
  changes.logit_factor = config_dict.placeholder(float)
  changes.prob_threshold = config_dict.placeholder(float)
  changes.area_threshold = config_dict.placeholder(float)
  return changes


def segmentation_suite_config(
  datasets: tuple[str, ...],
) -> ml_collections.ConfigDict:
  """Returns a segmentation run on many data sets, not yet locked."""
  config = segmentation_config(datasets[0])
  del config["dataset"]
  config.datasets = datasets
  return config
