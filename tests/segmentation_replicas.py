"""Tiny copies of the eight segmentation benchmarks in their real folders.

Names of folders, files and lists, and the kinds of PNG, are those of the data
sets as published and of mmseg's and SCLIP's instructions; the images are noise,
and the masks vertical stripes of classes with an ignored border.
"""

import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s3_jax.data.segmentation_sets import SEGMENTATION_SETS

MASKED = tuple(
  name
  for name, spec in SEGMENTATION_SETS.items()
  if spec.family == "segmentation"
)
# Images of each replica, without their suffixes.
_NAMES = {
  "VOC2012": ("2007_000033", "2007_000042", "2011_003271"),
  "VOC2010": ("2008_000002", "2008_000007", "2010_006086"),
  "coco_stuff164k": ("000000000139", "000000000285", "000000581781"),
  "coco_object": ("000000000139", "000000000285", "000000581781"),
  "cityscapes": (
    "frankfurt/frankfurt_000000_000294",
    "lindau/lindau_000000_000019",
    "munster/munster_000173_000019",
  ),
  "ADEChallengeData2016": (
    "ADE_val_00000001",
    "ADE_val_00000002",
    "ADE_val_00002000",
  ),
}


class SegmentationReplica(NamedTuple):
  """What a reader must find.

  Attributes:
    root: the data set's own folder.
    files: images, relative to the root, in order.
    masks: theirs.
    labels: class indices, 255 where a pixel belongs to none.
  """

  root: pathlib.Path
  files: list[str]
  masks: list[str]
  labels: list[np.ndarray]


def stored_values(name: str, kind: int) -> dict[int, int]:
  """Lists stored value -> class of a kind of masks, worked out by hand.

  Args:
    name: of the data set.
    kind: place of the kind in the spec.

  Returns:
    Some values with their classes; 255 for ignored.
  """
  spec = SEGMENTATION_SETS[name]
  suffix = spec.masks[kind].suffix
  if name in ("voc20", "context59", "ade20k"):
    return {0: 255, 1: 0, 2: 1, spec.classes: spec.classes - 1, 255: 255}
  if name == "coco_object" and suffix == "_instanceTrainIds.png":
    return {0: 0, 1: 1, 2: 2, 80: 80, 255: 0}
  if name == "coco_object" and suffix == "_labelTrainIds.png":
    return {0: 1, 79: 80, 80: 0, 170: 0, 255: 0}
  if name == "coco_object":  # person, stop sign behind a gap, toothbrush, sky
    return {0: 1, 12: 12, 89: 80, 156: 0, 255: 0}
  if name == "coco_stuff" and suffix == ".png":
    return {0: 0, 10: 10, 12: 11, 89: 79, 91: 80, 181: 170, 255: 255}
  if name == "cityscapes" and suffix == "_gtFine_labelIds.png":
    return {7: 0, 8: 1, 11: 2, 33: 18, 0: 255, 4: 255, 9: 255}
  return {0: 0, 1: 1, 2: 2, spec.classes - 1: spec.classes - 1, 255: 255}


def make_segmentation(
  name: str,
  data_dir: pathlib.Path,
  *,
  kind: int = 0,
  size: tuple[int, int] = (24, 32),
  images: int = 3,
) -> SegmentationReplica:
  """Writes a small data set with masks.

  Args:
    name: one of MASKED.
    data_dir: the folder that holds the data sets.
    kind: which of the spec's kinds of masks.
    size: rows and columns of the images.
    images: at most three.

  Returns:
    What the reader must yield, in its order.
  """
  spec = SEGMENTATION_SETS[name]
  root = data_dir / spec.folders[0]
  source, values = spec.masks[kind], stored_values(name, kind)
  names = _NAMES[spec.folders[0]][:images]
  files, masks, labels = [], [], []
  for index, each in enumerate(names):
    files.append(f"{spec.images}/{each}{spec.image_suffix}")
    masks.append(f"{source.folder}/{each}{source.suffix}")
    stored = stripes(list(values), index, size)
    labels.append(np.vectorize(values.get)(stored).astype(np.uint8))
    write(root / files[-1], picture(index, size, spec.image_suffix))
    write(root / masks[-1], png(stored, palette=spec.lexicon == "voc"))
  if spec.listing:
    # A list's own order, and another image that is not on it.
    names = names[::-1]
    files, masks, labels = files[::-1], masks[::-1], labels[::-1]
    write(root / spec.listing, ("\n".join(names) + "\n").encode())
    write(root / spec.images / "2012_000001.jpg", b"not on the list")
  return SegmentationReplica(root, files, masks, labels)


def stripes(
  values: Sequence[int], shift: int, size: tuple[int, int]
) -> np.ndarray:
  """Draws vertical stripes of values."""
  columns = (np.arange(size[1]) * len(values) // size[1] + shift) % len(values)
  return np.tile(np.asarray(values, np.uint8)[columns], (size[0], 1))


def picture(index: int, size: tuple[int, int], suffix: str) -> bytes:
  """Encodes a picture of coloured noise."""
  from PIL import Image

  pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
  buffer = io.BytesIO()
  kind = "PNG" if suffix.endswith(".png") else "JPEG"
  Image.fromarray(pixels).save(buffer, kind)
  return buffer.getvalue()


def png(values: np.ndarray, *, palette: bool = False) -> bytes:
  """Encodes values as a grey PNG, or as one with VOC's colours."""
  from PIL import Image

  image = Image.fromarray(values.astype(np.uint8))
  if palette:
    image = image.convert("P")
    image.putdata(values.ravel().tolist())
    # Colours in which no index can be read by accident.
    image.putpalette([(k * 97 + 13) % 256 for k in range(768)])
  buffer = io.BytesIO()
  image.save(buffer, "PNG")
  return buffer.getvalue()


def write(path: pathlib.Path, data: bytes) -> None:
  """Writes a file and its folders."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data)
