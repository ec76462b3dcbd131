"""The task "train": the embedded checkpoint from scratch."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from s3_jax.clip.preprocess import preprocess_image
from s3_jax.clip.zoo import ModelSpec
from s3_jax.data.datasets import DATASETS
from s3_jax.data.pictograph_sets import all_images, open_pictographs
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.lexicon.synonyms import load_lexicon, most_frequent_names
from s3_jax.results.plots import plot_training_curve
from s3_jax.training import TrainingOptions, train_checkpoint
from s3_jax.training.loop import Validation


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a training run."""
  lexicon = load_lexicon(settings.take("lexicon", str))
  wanted = DATASETS["validation"].classes
  if len(lexicon.classes) != wanted:
    raise ValueError(
      f"`config.lexicon` must have the {wanted} classes of the validation"
      f" images, got {len(lexicon.classes)}."
    )
  spec = _trainable_spec(settings.section("spec"))
  options = TrainingOptions(
    seed=settings.take("seed", int, minimum=0),
    steps=settings.take("steps", int, minimum=1),
    batch_size=settings.take("batch_size", int, minimum=1),
    optimizer=settings.take("optimizer", str, choices=("muon", "adamw")),
    learning_rate=settings.take("learning_rate", float, minimum=0.0),
    warmup_steps=settings.take("warmup_steps", int, minimum=0),
    weight_decay=settings.take("weight_decay", float, minimum=0.0),
    auxiliary_share=settings.take("auxiliary_share", float, minimum=0.01),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    validate_every=settings.take("validate_every", int, minimum=1),
    save_every=settings.take("save_every", int, minimum=1),
  )
  if options.warmup_steps >= options.steps:
    raise ValueError(
      "`config.warmup_steps` must be less than `steps`, got"
      f" {options.warmup_steps} and {options.steps}."
    )
  if options.save_every % options.validate_every:
    raise ValueError(
      "`config.save_every` must be a multiple of `validate_every`, so that a"
      " resumed run has the same curve, got"
      f" {options.save_every} and {options.validate_every}."
    )
  cache_dir = read_cache_dir(settings)

  def task(folder: pathlib.Path) -> Any:
    source = open_pictographs(DATASETS["validation"], cache_dir / "tfds")
    images, labels = all_images(
      source, functools.partial(preprocess_image, spec)
    )
    prompts = tuple(
      fill_template(NAME_TEMPLATE, name)
      for name in most_frequent_names(lexicon.classes)
    )
    validation = Validation(images, labels, prompts)
    curve = train_checkpoint(folder, spec, lexicon, validation, options)
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


def _trainable_spec(settings: Settings) -> ModelSpec:
  def size(name):
    return settings.take(name, int, minimum=1)

  image_size, vocab_size = size("image_size"), size("vocab_size")
  image_width, text_width = size("image_width"), size("text_width")
  spec = ModelSpec(
    name="s3_jax/pictographs",
    image_size=image_size,
    patch_size=size("patch_size"),
    image_width=image_width,
    image_layers=size("image_layers"),
    image_heads=size("image_heads"),
    image_mlp_dim=4 * image_width,
    text_width=text_width,
    text_layers=size("text_layers"),
    text_heads=size("text_heads"),
    text_mlp_dim=4 * text_width,
    vocab_size=vocab_size,
    context_length=size("context_length"),
    embed_dim=size("embed_dim"),
    activation="quick_gelu",
    layer_norm_eps=1e-5,
    image_mean=(0.5, 0.5, 0.5),
    image_std=(0.25, 0.25, 0.25),
    resize_size=image_size,
    crop_size=image_size,
    interpolation="bicubic",
    school="transformers",
    start_token_id=vocab_size - 2,
    end_token_id=vocab_size - 1,
    pad_token_id=vocab_size - 1,
  )
  settings.finish()
  for whole, part in (
    ("image_size", "patch_size"),
    ("image_width", "image_heads"),
    ("text_width", "text_heads"),
  ):
    if getattr(spec, whole) % getattr(spec, part):
      raise ValueError(
        f"`config.spec.{whole}` must be a multiple of `{part}`, got"
        f" {getattr(spec, whole)} and {getattr(spec, part)}."
      )
  return spec
