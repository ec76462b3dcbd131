"""The task "train": the embedded checkpoint from scratch."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.zoo import ModelSpec
from s3_jax.data.datasets import DATASETS
from s3_jax.data.pictograph_sets import all_images, open_pictographs
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import CacheDir, Settings
from s3_jax.fields import Count, Inline, Where, raw
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import load_lexicon, most_frequent_names
from s3_jax.results.plots import plot_training_curve
from s3_jax.training import TrainingOptions, train_checkpoint
from s3_jax.training.loop import Validation


class TrainedSpec(NamedTuple):
  """The sizes of the towers that are trained."""

  image_size: Count = 48  # images are rendered at 64 and resized
  patch_size: Count = 6  # pixels
  image_width: Count = 192  # of the image tower
  image_layers: Count = 6  # of the image tower
  image_heads: Count = 3  # of the image tower
  text_width: Count = 128  # of the text tower
  text_layers: Count = 4  # of the text tower
  text_heads: Count = 2  # of the text tower
  vocab_size: Count = 1024  # of the tokenizer
  context_length: Count = 48  # tokens of a text
  embed_dim: Count = 128  # of both towers' embeddings

  def check(self, where: Where) -> None:
    """Refuses sizes that do not divide each other."""
    for whole, part in (
      ("image_size", "patch_size"),
      ("image_width", "image_heads"),
      ("text_width", "text_heads"),
    ):
      if getattr(self, whole) % getattr(self, part):
        raise ValueError(
          f"`{where.path}.{whole}` must be a multiple of `{part}`, got"
          f" {getattr(self, whole)} and {getattr(self, part)}."
        )


class Training(NamedTuple):
  """The settings of a training run."""

  options: Inline[TrainingOptions]
  spec: TrainedSpec = raw({})  # sizes of the towers
  lexicon: str = "pictographs"  # whose names are the captions'
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a training run."""
  training = settings.read(Training)
  lexicon = load_lexicon(training.lexicon)
  wanted = DATASETS["validation"].classes
  if len(lexicon.classes) != wanted:
    raise ValueError(
      f"`config.lexicon` must have the {wanted} classes of the validation"
      f" images, got {len(lexicon.classes)}."
    )
  spec = _model_spec(training.spec)

  def task(folder: pathlib.Path) -> Any:
    source = open_pictographs(
      DATASETS["validation"], training.cache_dir / "tfds"
    )
    images, labels = all_images(
      source, functools.partial(preprocess_image, spec)
    )
    prompts = tuple(
      fill_template(NAME_TEMPLATE, name)
      for name in most_frequent_names(lexicon.classes)
    )
    validation = Validation(images, labels, prompts)
    curve = train_checkpoint(
      folder, spec, lexicon, validation, training.options
    )
    steps = np.asarray([int(row["step"]) for row in curve])
    plot_training_curve(
      steps,
      np.asarray([row["loss"] for row in curve]),
      steps,
      np.asarray([row["validation_accuracy"] for row in curve]),
      folder / "curve.png",
    )
    tell(f"The checkpoint is in {folder / 'checkpoint'}\n")
    return curve

  return task


def _model_spec(sizes: TrainedSpec) -> ModelSpec:
  return ModelSpec(
    **sizes._asdict(),
    name="s3_jax/pictographs",
    image_mlp_dim=4 * sizes.image_width,
    text_mlp_dim=4 * sizes.text_width,
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.5, 0.5),
    image_std=(0.25, 0.25, 0.25),
    resize_size=sizes.image_size,
    crop_size=sizes.image_size,
    interpolation="bicubic",
    school="transformers",
    start_token_id=sizes.vocab_size - 2,
    end_token_id=sizes.vocab_size - 1,
    pad_token_id=sizes.vocab_size - 1,
  )
