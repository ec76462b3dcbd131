"""TFDS builder of the embedded world's held-out images.

Needs no TensorFlow: images travel as encoded PNG bytes and are stored as
array_record. Configs: one a style, with a test split (and, for `plain`, a
validation split), and `segmentation`, whose masks are PNG too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from s3_jax import hosts
from s3_jax.data import glyphs, pictographs
from s3_jax.data.decoding import encode_png
from s3_jax.lexicon.synonyms import ClassEntry, load_lexicon

SEED = 2412
PER_CLASS = {"validation": 20, "test": 40}
SCENES = {"validation": 100, "test": 300}
SCENE_SIZE = 128


class Pictographs(tfds.core.GeneratorBasedBuilder):
  """Pictographs of DejaVu Sans: classification under shifts, segmentation."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First rendering."}
  BUILDER_CONFIGS = [
    *(
      tfds.core.BuilderConfig(
        name=style, description=f"One pictograph an image, style {style}."
      )
      for style in pictographs.STYLES
    ),
    tfds.core.BuilderConfig(
      name="segmentation",
      description="Two to five pictographs a scene, with a mask.",
    ),
  ]

  @property
  def _style(self) -> str:
    assert self.builder_config is not None  # there is no nameless config
    return self.builder_config.name

  def _info(self) -> tfds.core.DatasetInfo:
    is_scene = self._style == "segmentation"
    return self.dataset_info_from_configs(
      features=drawn_features(
        SCENE_SIZE if is_scene else pictographs.IMAGE_SIZE,
        None if is_scene else load_lexicon("pictographs").classes,
      ),
      description="Pictographs of DejaVu Sans, drawn with numpy.",
      homepage="https://arxiv.org/abs/2412.04925",
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager  # nothing is downloaded
    style = self._style
    if style == "segmentation":
      return {split: self._generate_examples(split) for split in SCENES}
    splits = ("validation", "test") if style == "plain" else ("test",)
    return {split: self._generate_examples(split) for split in splits}

  def _generate_examples(self, split: str) -> Iterator[tuple[int, Any]]:
    lexicon = load_lexicon("pictographs")
    fields = glyphs.glyph_fields(
      tuple(entry.codepoint for entry in lexicon.classes)
    )
    style = self._style
    if style == "segmentation":
      examples, total = _scenes(fields, split), SCENES[split]
    else:
      count = PER_CLASS[split]
      examples = _single(fields, split, style, count)
      total = count * len(fields)
    yield from enumerate(
      hosts.progress_bar(examples, desc=f"draw {style} {split}", total=total)
    )


def drawn_features(
  size: int, classes: Sequence[ClassEntry] | None
) -> tfds.features.FeaturesDict:
  """Features of a drawn image and its class, or of a scene and its mask."""
  image = tfds.features.Image(shape=(size, size, 3), encoding_format="png")
  if classes is None:
    mask = tfds.features.LabeledImage(
      shape=(size, size, 1), labels=256, encoding_format="png"
    )
    return tfds.features.FeaturesDict(
      {"image": image, "segmentation_mask": mask}
    )
  label = tfds.features.ClassLabel(names=[entry.name for entry in classes])
  return tfds.features.FeaturesDict({"image": image, "label": label})


def _single(
  fields: np.ndarray, split: str, style: str, count: int
) -> Iterator[dict[str, Any]]:
  for label in range(len(fields)):
    for index in range(count):
      generator = pictographs.image_generator(SEED, split, style, label, index)
      image = pictographs.render(fields[label], generator, style=style)
      yield {"image": encode_png(image), "label": label}


def _scenes(fields: np.ndarray, split: str) -> Iterator[dict[str, Any]]:
  stream = tuple(SCENES).index(split)
  for index in range(SCENES[split]):
    generator = pictographs.image_generator(
      SEED, "segmentation", "plain", stream, index
    )
    chosen = generator.choice(
      len(fields), size=generator.integers(2, 6), replace=False
    )
    image, mask = pictographs.render_scene(
      [fields[label] for label in chosen],
      [int(label) + 1 for label in chosen],  # 0 is the background
      generator,
      size=SCENE_SIZE,
    )
    yield {"image": encode_png(image), "segmentation_mask": encode_png(mask)}
