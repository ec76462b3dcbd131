"""The segmentation data sets by name, and how one is opened.

The eight benchmarks of open-vocabulary segmentation in mmseg's folders, and the
scenes of the embedded world.

References:
  mmseg's dataset_prepare.md and SCLIP (github.com/wangf3014/SCLIP): folders,
  lists, class names, conversions of labels.
"""

import functools
import pathlib

from s3_jax.data.drawn_sets import Drawn, drawn_stamps
from s3_jax.data.masks import (
  CITYSCAPES_PALETTE,
  IGNORED,
  VOC_PALETTE,
  label_map,
  plain_labels,
  shifted_labels,
)
from s3_jax.data.readers import masks as mask_reader
from s3_jax.data.readers import prepared_masks
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.records import OpenedDataset, fingerprint
from s3_jax.data.segmentation_specs import (
  MaskKind,
  SegmentationSpec,
  benchmark_names,
  class_entries,
)
from s3_jax.data.specs import TfdsSource

__all__ = [
  "SEGMENTATION_SETS",
  "OpenedMasks",
  "SegmentationSpec",
  "benchmark_names",
  "check_mask_counts",
  "class_entries",
  "find_masks",
  "open_masks",
]

# COCO-Stuff's raw values are its category ids less 1. Of COCO's 91 things 11
# were never annotated (the last of them is value 90); 91 kinds of stuff follow.
_THING_GAPS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_RAW_STUFF = {
  raw: index
  for index, raw in enumerate(r for r in range(182) if r not in _THING_GAPS)
}
_THINGS = 80


def _stuff_of(index: int) -> int:
  """Makes COCO-Object of COCO-Stuff: things from 1 on, all else background."""
  return index + 1 if index < _THINGS else 0


_OBJECT_OF_RAW = {raw: _stuff_of(index) for raw, index in _RAW_STUFF.items()}
_OBJECT_OF_INDEX = {index: _stuff_of(index) for index in range(171)}

# Cityscapes' label ids that are evaluated, in the order of the train ids.
_CITY_IDS = (
  *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22),
  *(23, 24, 25, 26, 27, 28, 31, 32, 33),
)
_CITY = {value: IGNORED for value in (*range(34), IGNORED)}
_CITY |= {value: label for label, value in enumerate(_CITY_IDS)}

_COCO = ("coco_stuff164k", "coco_stuff", "coco_object", "coco", "COCO")
_COCO_SOURCE = (
  "https://cocodataset.org: val2017.zip;"
  " https://github.com/nightrome/cocostuff: stuffthingmaps_trainval2017.zip"
)
_FLICKR = "the photographs are Flickr users', under its terms of use"
_COCO_LICENCE = f"annotations CC BY 4.0; {_FLICKR}"
_COCO_RAW = "raw masks of COCO-Stuff (values 0..181)"


def _coco(kinds: tuple[MaskKind, ...], raw: dict[int, int]):
  """Adds the raw masks where the conversions and the archive leave them."""
  return (
    *kinds,
    *(
      MaskKind(folder, ".png", label_map(raw), _COCO_RAW)
      for folder in ("annotations/val2017", "stuffthingmaps/val2017")
    ),
  )


_OBJECT_KINDS = _coco(
  (
    MaskKind(
      "annotations/val2017",
      "_instanceTrainIds.png",
      # Where void pixels were left at 255 they are background as well.
      label_map({**{k: k for k in range(81)}, IGNORED: 0}),
      "masks of the 80 things",
    ),
    MaskKind(
      "annotations/val2017",
      "_labelTrainIds.png",
      label_map({**_OBJECT_OF_INDEX, IGNORED: 0}),
      "masks of the 171 classes, of which the things are taken",
    ),
  ),
  {**_OBJECT_OF_RAW, IGNORED: 0},
)
_STUFF_KINDS = _coco(
  (
    MaskKind(
      "annotations/val2017",
      "_labelTrainIds.png",
      plain_labels(171),
      "masks of the 171 classes",
    ),
  ),
  {**_RAW_STUFF, IGNORED: IGNORED},
)

_VOC21 = SegmentationSpec(
  name="voc21",
  title="VOC21",
  lexicon="voc",
  classes=21,
  examples=1_449,
  split="2012 validation",
  folders=("VOC2012", "VOCdevkit/VOC2012", "voc2012", "voc"),
  images="JPEGImages",
  listing="ImageSets/Segmentation/val.txt",
  masks=(
    MaskKind(
      "SegmentationClass",
      ".png",
      plain_labels(21),
      "class masks",
      VOC_PALETTE,
    ),
  ),
  background=True,
  source=(
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012:"
    " VOCtrainval_11-May-2012.tar"
  ),
  licence=_FLICKR,
)
_CONTEXT60 = SegmentationSpec(
  name="context60",
  title="Context60",
  lexicon="pascal_context",
  classes=60,
  examples=5_105,
  also=5_104,
  split="2010 validation",
  folders=("VOC2010", "VOCdevkit/VOC2010", "pascal_context", "context"),
  images="JPEGImages",
  listing="ImageSets/SegmentationContext/val.txt",
  masks=(
    MaskKind(
      "SegmentationClassContext", ".png", plain_labels(60), "context masks"
    ),
  ),
  background=True,
  source=(
    "images: http://host.robots.ox.ac.uk/pascal/VOC/voc2010; masks and list:"
    " https://cs.stanford.edu/~roozbeh/pascal-context, converted as mmseg's"
    " pascal_context.py does"
  ),
  licence=_FLICKR,
)

_BENCHMARKS = (
  _VOC21,
  _VOC21._replace(
    name="voc20",
    title="VOC20",
    classes=20,
    split="2012 validation, without background",
    masks=(
      MaskKind(
        "SegmentationClass",
        ".png",
        shifted_labels(20),
        "class masks",
        VOC_PALETTE,
      ),
    ),
    background=False,
    drop_first=True,
  ),
  _CONTEXT60,
  _CONTEXT60._replace(
    name="context59",
    title="Context59",
    classes=59,
    split="2010 validation, without background",
    masks=(
      MaskKind(
        "SegmentationClassContext", ".png", shifted_labels(59), "context masks"
      ),
    ),
    background=False,
    drop_first=True,
  ),
  SegmentationSpec(
    name="coco_object",
    title="COCO-Object",
    lexicon="coco_object",
    background=True,
    classes=81,
    examples=5_000,
    split="2017 validation",
    folders=("coco_object", *(name for name in _COCO if name != "coco_object")),
    images="images/val2017",
    masks=_OBJECT_KINDS,
    source=_COCO_SOURCE,
    licence=_COCO_LICENCE,
  ),
  SegmentationSpec(
    name="coco_stuff",
    title="COCO-Stuff",
    lexicon="coco_stuff",
    classes=171,
    examples=5_000,
    split="164k, 2017 validation",
    folders=_COCO,
    images="images/val2017",
    masks=_STUFF_KINDS,
    source=_COCO_SOURCE,
    licence=_COCO_LICENCE,
  ),
  SegmentationSpec(
    name="cityscapes",
    title="Cityscapes",
    lexicon="cityscapes",
    classes=19,
    examples=500,
    folders=("cityscapes", "Cityscapes"),
    images="leftImg8bit/val",
    image_suffix="_leftImg8bit.png",
    masks=(
      MaskKind(
        "gtFine/val",
        "_gtFine_labelTrainIds.png",
        plain_labels(19),
        "masks of the 19 classes",
        CITYSCAPES_PALETTE,
      ),
      MaskKind(
        "gtFine/val",
        "_gtFine_labelIds.png",
        label_map(_CITY),
        "masks of all labels, of which 19 are classes",
      ),
    ),
    source=(
      "https://www.cityscapes-dataset.com, after signing in:"
      " leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip"
    ),
    licence="research and other purposes that are not commercial",
  ),
  SegmentationSpec(
    name="ade20k",
    title="ADE20K",
    lexicon="ade20k",
    classes=150,
    examples=2_000,
    split="validation, 150 classes",
    folders=("ADEChallengeData2016", "ade/ADEChallengeData2016", "ade20k"),
    images="images/validation",
    masks=(
      MaskKind(
        "annotations/validation",
        ".png",
        shifted_labels(150),
        "masks of the 150 classes",
      ),
    ),
    source=(
      "http://sceneparsing.csail.mit.edu: ADEChallengeData2016.zip, not the"
      " full ADE20K"
    ),
    licence="research and education only; images are their owners'",
  ),
)


def _scenes(
  world: str, split: str, count: int, *, classes: int, subset: str = ""
) -> SegmentationSpec:
  name = f"{world}_segmentation" + "_validation" * (split == "validation")
  return SegmentationSpec(
    name=name,
    title=name,
    lexicon=world,
    background=True,
    subset=subset,
    classes=classes,
    examples=count,
    split=split,
    family="embedded",
    masks=(MaskKind("", "", plain_labels(classes), f"masks of the {world}"),),
    tfds=TfdsSource(world, "segmentation", split, "1.0.0"),
    source="drawn on this machine when it is first asked for",
    licence="see NOTICE",
  )


SEGMENTATION_SETS: dict[str, SegmentationSpec] = {
  spec.name: spec
  for spec in (
    *_BENCHMARKS,
    _scenes("pictographs", "test", 300, classes=91),
    _scenes("pictographs", "validation", 100, classes=91),
    _scenes("emoji", "test", 300, classes=201, subset="scenes"),
    _scenes("emoji", "validation", 100, classes=201, subset="scenes"),
  )
}


def find_masks(
  spec: SegmentationSpec, data_dir: pathlib.Path
) -> OpenedMasks | None:
  """Finds a data set on disk and opens it; nothing is decoded yet."""
  if spec.family == "embedded":
    return _open_scenes(spec, data_dir)
  if not data_dir.is_dir():
    raise ValueError(
      f"`data_dir` must be the folder that holds the data sets, got {data_dir},"
      " which is no folder."
    )
  return mask_reader.read(spec, data_dir) or prepared_masks.read(spec, data_dir)


def open_masks(spec: SegmentationSpec, data_dir: pathlib.Path) -> OpenedMasks:
  """Opens a data set that must be there."""
  found = find_masks(spec, data_dir)
  if found is None:
    raise ValueError(
      f"data set {spec.name!r} must lie under {data_dir} in a folder"
      f" {' or '.join(spec.folders)}, and nothing was found"
      f" ({mask_reader.expects(spec)}; or {prepared_masks.expects(spec)}). Get"
      f" it from {spec.source}; docs/SEGMENTATION_DATA.md shows the folders."
    )
  return found


def check_mask_counts(spec: SegmentationSpec, found: OpenedMasks) -> None:
  """Makes sure that a data set holds the images that were published."""
  count = len(found.opened.records) - found.opened.absent
  if count not in (spec.examples, spec.also):
    raise ValueError(
      f"data set {spec.name!r} ({spec.split}) must hold {spec.examples} images,"
      f" got {count} from {found.opened.found}: make it whole."
    )


def _open_scenes(spec: SegmentationSpec, folder: pathlib.Path) -> OpenedMasks:
  assert spec.tfds is not None
  files = [f"{spec.tfds.split}[{index}]" for index in range(spec.examples)]
  identity = ("/".join(spec.tfds), -1, spec.examples, -1)
  opened = OpenedDataset(
    records=Drawn(spec, folder),
    files=files,
    found=f"scenes of {spec.tfds.builder}, drawn by this package",
    layout=spec.tfds.builder,
    fingerprint=fingerprint(spec.tfds.builder, [identity]),
    stamps=functools.partial(drawn_stamps, spec.tfds, folder, spec.examples),
  )
  return OpenedMasks(opened, files, spec.masks[0].labels, 0)
