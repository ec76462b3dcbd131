"""TFDS builder of the drawn world's held-out images.

Configs: `seen`, whose validation split shows every drawing of the trained
artists once more; one for each artist whom training never saw, with a test
split; and `segmentation`, whose validation scenes are of the trained artists
and whose test scenes are of the others. Each drawing is shown once, so that an
interval over the images of an artist is one over classes. Images are stored as
PNG in array_record, as those of the pictographs are.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from s3_jax import hosts
from s3_jax.data import emoji
from s3_jax.data.decoding import encode_png
from s3_jax.lexicon.synonyms import load_lexicon

SEED = 20261201
SCENES = {"validation": 100, "test": 300}
SCENE_SIZE = 128
SEEN = "seen"
SEGMENTATION = "segmentation"


class Emoji(tfds.core.GeneratorBasedBuilder):
  """Emoji by several artists: classification by artist, segmentation."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First rendering."}
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(
      name=SEEN, description="New images of the drawings of training."
    ),
    *(
      tfds.core.BuilderConfig(
        name=artist,
        description=f"Drawings of {emoji.ARTISTS[artist].title}, never seen.",
      )
      for artist in emoji.UNSEEN
    ),
    tfds.core.BuilderConfig(
      name=SEGMENTATION, description="Two to five emoji a scene, with a mask."
    ),
  ]

  @property
  def _config(self) -> str:
    assert self.builder_config is not None  # there is no nameless config
    return self.builder_config.name

  def _info(self) -> tfds.core.DatasetInfo:
    from s3_jax.data.pictograph_builder import drawn_features

    is_scene = self._config == SEGMENTATION
    return self.dataset_info_from_configs(
      features=drawn_features(
        SCENE_SIZE if is_scene else emoji.IMAGE_SIZE,
        None if is_scene else load_lexicon("emoji").classes,
      ),
      description="Emoji of several artists; NOTICE has their licences.",
      homepage="https://arxiv.org/abs/2412.04925",
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager  # nothing is downloaded
    if self._config == SEGMENTATION:
      return {split: self._generate_examples(split) for split in SCENES}
    split = "validation" if self._config == SEEN else "test"
    return {split: self._generate_examples(split)}

  def _generate_examples(self, split: str) -> Iterator[tuple[int, Any]]:
    if self._config == SEGMENTATION:
      examples, total = _scenes(split), SCENES[split]
    else:
      artists = emoji.TRAINED if self._config == SEEN else (self._config,)
      examples = _single(artists, split)
      total = sum(len(emoji.drawn_classes(artist)) for artist in artists)
    desc = f"draw emoji, {self._config} {split}"
    yield from enumerate(hosts.progress_bar(examples, desc=desc, total=total))


def _single(artists: tuple[str, ...], split: str) -> Iterator[dict[str, Any]]:
  for artist in artists:
    cells = emoji.drawings(artist)
    for label in emoji.drawn_classes(artist):
      generator = emoji.image_generator(SEED, split, artist, label, 0)
      image = emoji.render(cells[label], generator)
      yield {"image": encode_png(image), "label": label}


def _scenes(split: str) -> Iterator[dict[str, Any]]:
  artists = emoji.TRAINED if split == "validation" else emoji.UNSEEN
  # A mask of bytes has no room for all classes.
  shown = load_lexicon("emoji").subsets["scenes"]
  for index in range(SCENES[split]):
    artist = artists[index % len(artists)]
    generator = emoji.image_generator(SEED, "scenes", artist, 0, index)
    chosen = generator.choice(
      len(shown), size=generator.integers(2, 6), replace=False
    )
    cells = emoji.drawings(artist)
    image, mask = emoji.render_scene(
      [cells[shown[position]] for position in chosen],
      [int(position) + 1 for position in chosen],  # 0 is the ground
      generator,
      size=SCENE_SIZE,
    )
    yield {"image": encode_png(image), "segmentation_mask": encode_png(mask)}
