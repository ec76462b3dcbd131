"""Tiny copies of the fifteen benchmarks in the folders they really have.

Names of folders, files and lists are those of the data sets as published and of
CoOp's and TPT's instructions; the images are coloured squares.
"""

import csv
import io
import json
import pathlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from s3_jax.data.datasets import DATASETS, official_names, wnids
from s3_jax.data.readers import ground_truth, imagenet

BENCHMARKS = tuple(
  name for name, spec in DATASETS.items() if spec.family != "embedded"
)

# What CoOp and TPT call the folders, where it is not the data set's key.
COOP = {
  "imagenet_v2": "imagenetv2",
  "imagenet_a": "imagenet-adversarial",
  "imagenet_r": "imagenet-rendition",
  "imagenet_sketch": "imagenet-sketch",
  "caltech101": "caltech-101",
  "oxford_flowers102": "oxford_flowers",
  "food101": "food-101",
}
TPT = {
  "imagenet": "ImageNet",
  "imagenet_v2": "imagenetv2-matched-frequency-format-val",
  "imagenet_a": "imagenet-a",
  "imagenet_r": "imagenet-r",
  "imagenet_sketch": "ImageNet-Sketch",
  "caltech101": "Caltech101",
  "oxford_pets": "OxfordPets",
  "stanford_cars": "StanfordCars",
  "oxford_flowers102": "Flower102",
  "food101": "Food101",
  "sun397": "SUN397",
  "dtd": "DTD",
  "ucf101": "UCF101",
}
# Of these TPT's paths start from the data set's own folder.
_TPT_ROOTLESS = (
  "caltech101",
  "oxford_pets",
  "stanford_cars",
  "sun397",
  "eurosat",
  "ucf101",
)
_AS_PUBLISHED = {
  "face": "Faces",
  "leopard": "Leopards",
  "motorbike": "Motorbikes",
  "airplane": "airplanes",
  "Annual Crop Land": "AnnualCrop",
  "Herbaceous Vegetation Land": "HerbaceousVegetation",
  "Highway or Road": "Highway",
  "Industrial Buildings": "Industrial",
  "Pasture Land": "Pasture",
  "Permanent Crop Land": "PermanentCrop",
  "Residential Buildings": "Residential",
  "Sea or Lake": "SeaLake",
}
TRUTHS = (*ground_truth.LISTS, ground_truth.OFFICIAL, ground_truth.DEVKIT)


class Replica(NamedTuple):
  """What a reader must find."""

  data_dir: pathlib.Path
  files: list[str]
  labels: list[int]
  images: list[bytes]


class _Image(NamedTuple):
  """An image under the data set's folder."""

  file: str  # as the reader names it
  path: pathlib.Path
  label: int
  data: bytes


def encoded(label: int, index: int, size: int) -> bytes:
  """Encodes a JPEG whose colour is the label's own and whose shade is not."""
  from PIL import Image

  hue = (label * 0.618034) % 1
  pixels = Image.new("HSV", (size, size), (int(255 * hue), 200, 250 - index))
  buffer = io.BytesIO()
  pixels.convert("RGB").save(buffer, "JPEG", quality=90)
  return buffer.getvalue()


def make_replica(
  name: str,
  data_dir: pathlib.Path,
  *,
  layout: str = "coop",
  images_per_class: int = 1,
  classes: Sequence[int] | None = None,
  size: int = 24,
  truth: str = "validation_labels.txt",
) -> Replica:
  """Writes a small data set in one of the layouts that are read.

  Args:
    name: a key of DATASETS, one of BENCHMARKS.
    data_dir: the folder that holds the data sets; made if it is missing.
    layout: "coop"; "tpt", its other folder names and roots; "folders", one a
      class in `data_dir/NAME`; "csv", `data_dir/NAME/test.csv`; and for
      ImageNet "tar", the official archive, and "flat", what it unpacks to.
    images_per_class: how many.
    classes: labels that have images; all by default. Lists of classes, such as
      FGVCAircraft's, name all of them in any case.
    size: rows and columns of an image.
    truth: which list of labels ImageNet's "tar" and "flat" get, one of TRUTHS;
      "" for none.

  Returns:
    What the reader must yield, in its order.
  """
  spec = DATASETS[name]
  labels = list(range(spec.classes) if classes is None else classes)
  pairs = [(label, i) for i in range(images_per_class) for label in labels]
  if layout in ("tar", "flat"):
    images = _heap(data_dir / "imagenet", layout, pairs, size, truth)
  elif layout == "csv":
    images = list(_in_folders(name, data_dir / name, pairs, size))
    keys = [wnids(spec)[each.label] or _name(name, each) for each in images]
    with open(_made(data_dir / name / "test.csv"), "w", newline="") as file:
      writer = csv.writer(file)
      writer.writerow(("path", "label"))
      writer.writerows(
        (each.file, key) for each, key in zip(images, keys, strict=True)
      )
  elif layout == "folders":
    images = list(_in_folders(name, data_dir / name, pairs, size))
  else:
    names = {"coop": COOP, "tpt": TPT}[layout]
    folder = data_dir / names.get(name, name)
    if not spec.coop.listing:
      part = spec.coop.roots[0] if layout == "coop" else ""
      part = "val" if (name, layout) == ("imagenet", "tpt") else part
      images = list(_in_folders(name, folder / part, pairs, size))
    else:
      images = _listed(name, folder, layout, pairs, size)
  for image in images:
    if layout != "tar":
      _made(image.path).write_bytes(image.data)
  if layout == "folders" or not (spec.coop.listing or layout == "csv"):
    images.sort(key=lambda each: (each.label, each.file))
  if layout in ("tar", "flat"):
    images.sort(key=lambda each: each.file)
  return Replica(
    data_dir,
    [image.file for image in images],
    [image.label for image in images],
    [image.data for image in images],
  )


def write_truth(kind: str, folder: pathlib.Path, labels: Sequence[int]) -> None:
  """Writes labels of ImageNet's validation images 1, 2, ... as a list.

  Args:
    kind: the list, one of TRUTHS.
    folder: where to.
    labels: of the images, by sorted WordNet id.
  """
  from scipy.io import savemat

  ids = wnids(DATASETS["imagenet"])
  images = [f"ILSVRC2012_val_{n:08d}" for n in range(1, len(labels) + 1)]
  rows = list(zip(images, labels, strict=True))
  lines = {
    "LOC_val_solution.csv": [
      "ImageId,PredictionString",
      *(f"{image},{ids[label]} 1 2 3 4 " for image, label in rows[::-1]),
    ],
    "val.txt": [f"{image}.JPEG {label}" for image, label in rows],
    # Ids run against the order of WordNet's here, and before the inner nodes.
    ground_truth.OFFICIAL: [str(1000 - label) for label in labels],
  }
  text = lines.get(kind, [str(ids[label]) for label in labels])
  if kind == ground_truth.DEVKIT:
    text = lines[ground_truth.OFFICIAL]
  listed = ("\n".join(text) + "\n").encode()
  buffer = io.BytesIO()
  synsets = [
    {"ILSVRC2012_ID": 1000 - n, "WNID": wnid} for n, wnid in enumerate(ids)
  ]
  synsets.append({"ILSVRC2012_ID": 1001, "WNID": "n00001740"})
  if kind in (ground_truth.OFFICIAL, ground_truth.DEVKIT):
    import numpy as np

    table = np.zeros(len(synsets), [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    table[:] = [tuple(row.values()) for row in synsets]
    savemat(buffer, {"synsets": table})
  if kind == ground_truth.DEVKIT:
    with tarfile.open(_made(folder / kind), "w:gz") as tar:
      for name, data in (
        ("ILSVRC2012_devkit_t12/data/meta.mat", buffer.getvalue()),
        (f"ILSVRC2012_devkit_t12/data/{ground_truth.OFFICIAL}", listed),
      ):
        _add(tar, name, data)
    return
  if kind == ground_truth.OFFICIAL:
    folder = folder / "ILSVRC2012_devkit_t12/data"
    _made(folder / "meta.mat").write_bytes(buffer.getvalue())
  _made(folder / kind).write_bytes(listed)


def _made(path: pathlib.Path) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
  member = tarfile.TarInfo(name)
  member.size = len(data)
  tar.addfile(member, io.BytesIO(data))


def _name(name: str, image: _Image) -> str:
  return official_names(DATASETS[name])[image.label]


def _heap(folder, layout, pairs, size, truth) -> list[_Image]:
  """ImageNet's images in an order that is not that of their labels."""
  images = [
    _Image(file, folder / file, label, encoded(label, index, size))
    for number, (label, index) in enumerate(pairs[::-1], 1)
    for file in [f"ILSVRC2012_val_{number:08d}.JPEG"]
  ]
  if truth:
    write_truth(truth, folder, [image.label for image in images])
  if layout == "tar":
    with tarfile.open(_made(folder / imagenet.ARCHIVE), "w") as tar:
      for image in images[::-1]:
        _add(tar, image.file, image.data)
  return images


def _in_folders(name, root, pairs, size) -> Iterator[_Image]:
  spec = DATASETS[name]
  endings = {"imagenet_v2": ".jpeg", "imagenet": ".JPEG"}
  endings["imagenet_sketch"] = ".JPEG"
  for label, index in pairs:
    official = official_names(spec)[label]
    folder = wnids(spec)[label] or str(_AS_PUBLISHED.get(official, official))
    folder = str(label) if name == "imagenet_v2" else folder.replace("/", "_")
    file = f"{folder}/{index:04d}{endings.get(name, '.jpg')}"
    yield _Image(file, root / file, label, encoded(label, index, size))


def _listed(name, folder, layout, pairs, size) -> list[_Image]:
  """Writes the list of test images; its order is not that of the labels."""
  names = official_names(DATASETS[name])
  split = DATASETS[name].coop
  rootless = layout == "tpt" and name in _TPT_ROOTLESS
  root = folder / ("" if rootless else split.roots[0])
  images = [
    _Image(file, root / file, label, encoded(label, index, size))
    for number, (label, index) in enumerate(pairs[::-1], 1)
    for file in [_published(name, names[label], index, number)]
  ]
  if name == "fgvc_aircraft":
    lines = [f"{each.file[:-4]} {names[each.label]}\n" for each in images]
    _made(folder / split.listing).write_text("".join(lines))
    (folder / "variants.txt").write_text("\n".join(names) + "\n")
  else:
    test = [[each.file, each.label, names[each.label]] for each in images]
    position = folder if layout == "coop" else folder.parent / "data_splits"
    text = json.dumps({"train": [], "val": [], "test": test})
    _made(position / split.listing).write_text(text)
  return images


def _published(name: str, official: str, index: int, number: int) -> str:
  """The path of an image as the published data set has it."""
  word = _AS_PUBLISHED.get(official, official)
  parts = official.split(" ")[::-1]
  return {
    "caltech101": f"{word}/image_{index + 1:04d}.jpg",
    "oxford_pets": f"{official.capitalize()}_{index + 1}.jpg",
    "stanford_cars": f"cars_test/{number:05d}.jpg",
    "oxford_flowers102": f"image_{number:05d}.jpg",
    "food101": f"{official}/{1000 + index}.jpg",
    "fgvc_aircraft": f"{number:07d}.jpg",
    "sun397": f"{parts[0][0]}/{'/'.join(parts)}/sun_a{index:03d}.jpg",
    "dtd": f"{official}/{official}_{index + 1:04d}.jpg",
    "eurosat": f"{word}/{word}_{index + 1}.jpg",
    "ucf101": f"{official}/v_{official.replace('_', '')}_g01_c{index:02d}.jpg",
  }[name]
