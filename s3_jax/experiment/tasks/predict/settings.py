"""What a prediction needs to know."""

from typing import Annotated, NamedTuple

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
from s3_jax.fields import Count, Given, Inline, Rule, Where, Whole, raw
from s3_jax.lexicon.prompts import NAME_TEMPLATE

BY_TEXTS = "texts"
"""Refuse images that unrelated names fit as well as the classes' texts."""


def _between(value: float) -> bool:
  return 0 < value < 1


def _read_reject(value: str | float, where: Where) -> str | float:
  """Also reads a share as a command line gives it: as a word."""
  if value in ("", BY_TEXTS):
    return value
  try:
    share = float(value)
  except ValueError:
    share = 0.0
  if not _between(share):
    where.refuse(
      f'must be "{BY_TEXTS}", a share of the images in (0, 1), or "" to answer'
      " all",
      value,
    )
  return share


Reject = Annotated[str | float, Rule(read=_read_reject, flag=object)]


class Prediction(NamedTuple):
  """The settings of a prediction; nothing is looked for yet."""

  config: Given
  images: Sources  # folder, pattern, file, or several
  classes: Classes  # names between commas, a file, or a table
  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]
  template: Template = NAME_TEMPLATE  # "{}" for texts that are sentences
  top: Count = 5  # classes an image
  # "none of these" for images that are near no class: "texts" compares with
  # names of other things, 0.1 refuses a tenth of the images, "" answers all
  reject: Reject = ""
  # of reject="texts": share of images of no class that may get an answer
  false_answers: Annotated[float, Rule("must be in (0, 1)", _between)] = 0.05
  exif_orientation: bool = True  # turn photographs as their tag says
  max_pixels: Count = MAX_PIXELS  # larger images are bad files
  strict: bool = False  # bad files end in exit code 2, after all is written
  contact_sheet: bool = True  # False: no pages with the pictures
  dtype: Dtype = "float32"  # of the towers' matrix products
  batch_size: Count = 64  # images
  mesh: Whole = 0  # devices that share the images; 0 for all
  cache_dir: CacheDir = raw("")  # default: the user's cache folder
