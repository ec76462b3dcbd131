"""The fields that the configs of all segmentation benchmarks share."""

import ml_collections


def segmentation_config(dataset: str) -> ml_collections.ConfigDict:
  """Returns a segmentation run on one data set, not yet locked.

  Args:
    dataset: a row of SEGMENTATION_SETS.

  Returns:
    The fields with their defaults, for a config file to change.
  """
  config = ml_collections.ConfigDict()
  config.task = "segmentation"
  config.model = "openai/clip-vit-base-patch16"
  config.model_spec = ""  # a name of the zoo, for a bare file
  config.tokenizer = ""  # default: the file beside the weights
  config.dataset = dataset
  config.data_dir = "data"  # docs/SEGMENTATION_DATA.md shows what may lie there
  config.protocol = "sclip"  # or clearclip, or maskclip
  config.embeddings = "patches"  # "windows": each window as one image (ours)
  config.protocol_changes = ml_collections.ConfigDict()  # field -> value
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
  config.thresholds = ml_collections.ConfigDict()  # method -> its own threshold
  config.baseline = "names_max"
  config.templates = ()  # of the names; default: the 80 of ImageNet
  config.metric = "local_center"  # of s3
  config.neighbors = 4
  config.scale = "gap"  # or a chordal distance, or None
  config.keep = "largest"
  config.min_fraction = 0.5
  config.min_gap = 0.15
  config.pictures = 3  # worst, best, most gained and most lost images of each
  config.dtype = "float32"  # of the towers' matrix products
  config.max_pixels = 89_478_485  # of an image file, all frames together
  config.cache_dir = ""  # default: the user's cache folder
  config.seed = 0
  return config


def segmentation_suite_config(
  datasets: tuple[str, ...],
) -> ml_collections.ConfigDict:
  """Returns a segmentation run on many data sets, not yet locked.

  Args:
    datasets: rows of SEGMENTATION_SETS.

  Returns:
    The fields of `segmentation_config`, with `datasets` for `dataset`.
  """
  config = segmentation_config(datasets[0])
  del config["dataset"]
  config.datasets = datasets
  return config
