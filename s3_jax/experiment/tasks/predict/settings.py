"""What a prediction needs to know, read from a config and checked."""

import pathlib
from typing import Any, NamedTuple

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.experiment.checkpoint import CheckpointSource, read_checkpoint
from s3_jax.experiment.class_list import ClassList, read_classes
from s3_jax.experiment.methods.spaces import SpaceOptions, read_space_options
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template


class Prediction(NamedTuple):
  """The settings of a prediction, read and checked."""

  images: str | tuple[Any, ...]
  classes: ClassList
  model: CheckpointSource
  template: str
  top: int
  options: SpaceOptions
  exif_orientation: bool
  max_pixels: int
  strict: bool
  contact_sheet: bool
  dtype: str
  batch_size: int
  mesh: int
  cache_dir: pathlib.Path
  config: dict[str, Any]  # as given, for the results


def read_prediction(settings: Settings) -> Prediction:
  """Reads the settings of a prediction; nothing is looked for yet."""
  images = settings.take("images", (str, list, tuple))
  prediction = Prediction(
    images=images if isinstance(images, str) else tuple(images),
    classes=read_classes(settings.take("classes", (str, list, tuple))),
    model=read_checkpoint(settings, "model"),
    template=settings.take("template", str, default=NAME_TEMPLATE),
    top=settings.take("top", int, default=5, minimum=1),
    options=read_space_options(settings),
    exif_orientation=settings.take("exif_orientation", bool, default=True),
    max_pixels=settings.take("max_pixels", int, default=MAX_PIXELS, minimum=1),
    strict=settings.take("strict", bool, default=False),
    contact_sheet=settings.take("contact_sheet", bool, default=True),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    batch_size=settings.take("batch_size", int, minimum=1),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    cache_dir=read_cache_dir(settings),
    config=settings.everything,
  )
  fill_template(prediction.template, "")
  return prediction
