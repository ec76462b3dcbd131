"""The task "train": the checkpoint of a drawn world from scratch."""

import functools
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.towers import check_spec
from s3_jax.clip.zoo import ModelSpec
from s3_jax.data.datasets import DATASETS
from s3_jax.data.drawn_sets import all_images, open_drawn
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import CacheDir, Settings
from s3_jax.fields import Count, Inline, Rule, Where, raw
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import load_lexicon, most_frequent_names
from s3_jax.results.plots import plot_training_curve
from s3_jax.training import TrainingOptions, train_checkpoint
from s3_jax.training.loop import Validation

VALIDATION = {"pictographs": "validation", "emoji": "emoji_validation"}
"""By the table that names a world's classes, the images to watch a run on."""


class TrainedSpec(NamedTuple):
  """The kind and the sizes of the towers that are trained."""

  # The kind of the image tower.
  image_tower: Annotated[str, Rule(choices=("vit", "resnet"))] = "vit"
  image_stages: tuple[int, ...] = ()  # blocks of each stage; of a ResNet

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
    if self.image_tower == "resnet":
      return  # the tower has rules of its own
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
  # Whose names are the captions'.
  lexicon: Annotated[str, Rule(choices=tuple(VALIDATION))] = "pictographs"
  cache_dir: CacheDir = raw("")  # default: the user's cache folder


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a training run."""
  training = settings.read(Training)
  lexicon = load_lexicon(training.lexicon)
  dataset = DATASETS[VALIDATION[training.lexicon]]
  spec = _model_spec(training.spec, training.lexicon)

  def task(folder: pathlib.Path) -> Any:
    source = open_drawn(dataset, training.cache_dir / "tfds")
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


def _model_spec(sizes: TrainedSpec, world: str) -> ModelSpec:
  is_resnet = sizes.image_tower == "resnet"
  spec = ModelSpec(
    **sizes._asdict(),
    name=f"s3_jax/{world}",
    image_mlp_dim=0 if is_resnet else 4 * sizes.image_width,
    image_pooling="attention" if is_resnet else "class_token",
    pre_norm=not is_resnet,
    image_projection=not is_resnet,
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
  check_spec(spec)
  return spec
