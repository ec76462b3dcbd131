"""What a prediction needs to know."""

from typing import NamedTuple

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.experiment.checkpoint import CheckpointSource
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.settings import (
  CacheDir,
  Classes,
  Dtype,
  Sources,
  Template,
)
from s3_jax.fields import Count, Given, Inline, Whole, raw
from s3_jax.lexicon.prompts import NAME_TEMPLATE


class Prediction(NamedTuple):
  """The settings of a prediction; nothing is looked for yet."""

  config: Given
  images: Sources  # folder, pattern, file, or several
  classes: Classes  # names between commas, a file, or a table
  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]
  template: Template = NAME_TEMPLATE  # "{}" for texts that are sentences
  top: Count = 5  # classes an image
  exif_orientation: bool = True  # turn photographs as their tag says
  max_pixels: Count = MAX_PIXELS  # larger images are bad files
  strict: bool = False  # bad files end in exit code 2, after all is written
  contact_sheet: bool = True  # False: no pages with the pictures
  dtype: Dtype = "float32"  # of the towers' matrix products
  batch_size: Count = 64  # images
  mesh: Whole = 0  # devices that share the images; 0 for all
  cache_dir: CacheDir = raw("")  # default: the user's cache folder
