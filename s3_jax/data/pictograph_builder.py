"""TFDS builder of the embedded world's held-out images.

Needs no TensorFlow: images travel as encoded PNG bytes and are stored as
array_record. Configs: one a style, with a test split (and, for `plain`, a
validation split), and `segmentation`, whose masks are PNG too.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from s3_jax.data import pictographs
from s3_jax.lexicon.synonyms import load_lexicon

SEED = 2412
VALIDATION_PER_CLASS = 20
TEST_PER_CLASS = 40
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

  def _info(self) -> tfds.core.DatasetInfo:
    names = [entry.name for entry in load_lexicon("pictographs").classes]
    if self.builder_config.name == "segmentation":
      shape = (SCENE_SIZE, SCENE_SIZE)
      features = {
        "image": tfds.features.Image(
          shape=(*shape, 3), encoding_format="png"
        ),
        "segmentation_mask": tfds.features.LabeledImage(
          shape=(*shape, 1), labels=256, encoding_format="png"
        ),
      }
    else:
      shape = (pictographs.IMAGE_SIZE, pictographs.IMAGE_SIZE)
      features = {
        "image": tfds.features.Image(
          shape=(*shape, 3), encoding_format="png"
        ),
        "label": tfds.features.ClassLabel(names=names),
      }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      description="Pictographs of DejaVu Sans, drawn with numpy.",
      homepage="https://arxiv.org/abs/2412.04925",
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
    del dl_manager  # nothing is downloaded
    style = self.builder_config.name
    if style == "segmentation":
      return {
        split: self._scenes(split, count) for split, count in SCENES.items()
      }
    splits = {"test": self._single("test", TEST_PER_CLASS)}
    if style == "plain":
      splits["validation"] = self._single("validation", VALIDATION_PER_CLASS)
    return splits

  def _generate_examples(self) -> Iterator:
    raise NotImplementedError("The splits bring their own generators.")

  def _single(self, split: str, count: int) -> Iterator:
    style = self.builder_config.name
    lexicon = load_lexicon("pictographs")
    fields = _fields(lexicon)
    for label in range(len(lexicon.classes)):
      for index in range(count):
        generator = pictographs.image_generator(
          SEED, split, style, label, index
        )
        image = pictographs.render(fields[label], generator, style=style)
        yield label * count + index, {"image": _png(image), "label": label}

  def _scenes(self, split: str, count: int) -> Iterator:
    lexicon = load_lexicon("pictographs")
    fields = _fields(lexicon)
    stream = {"validation": 0, "test": 1}[split]
    for index in range(count):
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
      yield index, {"image": _png(image), "segmentation_mask": _png(mask)}


def _fields(lexicon) -> np.ndarray:
  return pictographs.glyph_fields(
    tuple(entry.codepoint for entry in lexicon.classes)
  )


def _png(pixels: np.ndarray) -> io.BytesIO:
  from PIL import Image

  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
  buffer.seek(0)
  return buffer
