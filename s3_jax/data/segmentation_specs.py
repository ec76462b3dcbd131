"""What is known of a segmentation data set before it is opened.

Readers import this module; `segmentation_sets` holds the table and imports the
readers.
"""

import functools
from typing import NamedTuple

from s3_jax.data.masks import LabelMap, Palette
from s3_jax.data.specs import TfdsSource
from s3_jax.lexicon.synonyms import ClassEntry, read_lexicon


class MaskKind(NamedTuple):
  """One way in which masks may be stored.

  Attributes:
    folder: that holds them, under the data set's own.
    suffix: what follows the image's name without its own suffix.
    labels: what their values mean.
    about: in words, for the line that says what was found.
    palette: the published colours of the values, where masks have any.
  """

  folder: str
  suffix: str
  labels: LabelMap
  about: str
  palette: Palette = ()


class SegmentationSpec(NamedTuple):
  """One test set of images with masks, and where it may be.

  Attributes:
    name: in configs and results; also the key of its protocols.
    title: in tables, as papers write it.
    lexicon: the packaged table that has its class names.
    classes: how many, the background included.
    examples: images of the split as published.
    masks: how they may be stored, in order of preference.
    source: where to get it.
    licence: of the images, as far as their publishers say.
    split: in words, for results.
    folders: names that its folder may have, in order of preference.
    images: folder of the images, under its own.
    image_suffix: how an image's name ends; what is before it names the mask.
    listing: file with one name a line; "" where the folder's files are the set.
    background: whether class 0 is the background.
    drop_first: whether the table's class 0 is no class here.
    subset: key of `Lexicon.subsets` whose classes these are; "" for all.
    also: another number of images that sources give, or 0.
    family: "segmentation" or "embedded".
    tfds: the embedded world's prepared data set, or None.
  """

  name: str
  title: str
  lexicon: str
  classes: int
  examples: int
  masks: tuple[MaskKind, ...]
  source: str
  licence: str
  split: str = "validation"
  folders: tuple[str, ...] = ()
  images: str = ""
  image_suffix: str = ".jpg"
  listing: str = ""
  background: bool = False
  drop_first: bool = False
  subset: str = ""
  also: int = 0
  family: str = "segmentation"
  tfds: TfdsSource | None = None


@functools.cache
def class_entries(
  spec: SegmentationSpec, kinds: str = ""
) -> tuple[ClassEntry, ...]:
  """Lists the classes with the lexicon's texts, in label order.

  Names, descriptors and so on; `kinds` as in "+subtype" asks for synonyms
  beside the common ones.
  """
  table = read_lexicon(f"{spec.lexicon}{kinds}")
  classes = table.classes[int(spec.drop_first) :]
  if spec.subset:
    classes = tuple(table.classes[k] for k in table.subsets[spec.subset])
  if len(classes) == spec.classes - 1 and spec.background:
    background = read_lexicon(f"pascal_context{kinds}").classes[0]
    classes = (background, *classes)
  if len(classes) != spec.classes:
    raise ValueError(
      f"data set {spec.name!r} must have {spec.classes} classes, got"
      f" {len(classes)} in the table {spec.lexicon!r}."
    )
  return classes


# The names that SCLIP's configurations give a class beyond its first.
_BACKGROUND = (
  *("sky", "wall", "tree", "wood", "grass", "road", "sea", "river"),
  *("mountain", "sands", "desk", "bed", "building", "cloud", "lamp", "door"),
  *("window", "wardrobe", "ceiling", "shelf", "curtain", "stair", "floor"),
  *("hill", "rail", "fence"),
)
_PERSON = (
  "person",
  *(
    f"person in {garment}"
    for garment in ("shirt", "jeans", "dress", "sweater", "skirt", "jacket")
  ),
)
_NAMES = {
  "voc": {
    "background": _BACKGROUND,
    "person": _PERSON,
    "television monitor": (
      "television monitor",
      "tv monitor",
      "monitor",
      "television",
      "screen",
    ),
  },
  "coco_object": {
    "background": _BACKGROUND,
    "person": (*_PERSON, "body"),
  },
}


def benchmark_names(spec: SegmentationSpec) -> tuple[tuple[str, ...], ...]:
  """Lists the names with which the benchmark is evaluated.

  References:
    SCLIP: github.com/wangf3014/SCLIP, configs/cls_*.txt. One blank at the end
    of a line of its Context60 list is not kept.
  """
  several = _NAMES.get(spec.lexicon, {})
  return tuple(
    several.get(entry.name, (entry.names[0],)) for entry in class_entries(spec)
  )
