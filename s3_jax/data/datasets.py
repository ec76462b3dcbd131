"""The data sets by name, and how one is opened.

Fifteen benchmarks, as CoOp and TPT evaluate them, and the six test sets of the
embedded world. docs/DATASETS.md shows the folders that are read.

References:
  CoOp (arXiv 2109.01134): splits, class names, templates. The numbers of images
  are those of its split files and of the data sets' own papers.
"""

import functools
import pathlib

from s3_jax.data import pictographs
from s3_jax.data.readers import READERS
from s3_jax.data.readers.own import open_own
from s3_jax.data.records import OpenedDataset
from s3_jax.data.specs import (
  SHARDS,
  CoopLayout,
  DatasetSpec,
  TfdsSource,
  official_names,
  wnids,
)

__all__ = [
  "DATASETS",
  "AbsentDataset",
  "DatasetSpec",
  "TfdsSource",
  "check_counts",
  "find_dataset",
  "official_names",
  "open_dataset",
  "open_own",
  "wnids",
]

_BENCHMARKS = (
  DatasetSpec(
    name="imagenet",
    title="ImageNet",
    lexicon="imagenet",
    classes=1000,
    examples=50_000,
    split="validation",
    family="imagenet",
    folders=("imagenet", "ImageNet", "ILSVRC2012"),
    coop=CoopLayout(("images/val",)),
    layouts=("coop", "tar", "flat", "csv", "tfds", "folders", *SHARDS),
    tfds=TfdsSource("imagenet2012", "", "validation", "5.1.0"),
    source="https://image-net.org, after signing in: ILSVRC2012_img_val.tar",
    licence="research and education only, not commercial; sign in to agree",
  ),
  DatasetSpec(
    name="imagenet_v2",
    title="ImageNet-V2",
    lexicon="imagenet",
    classes=1000,
    examples=10_000,
    split="test, matched frequency",
    family="imagenet",
    folders=(
      "imagenet_v2",
      "imagenetv2",
      "imagenetv2-matched-frequency-format-val",
    ),
    coop=CoopLayout(("imagenetv2-matched-frequency-format-val",)),
    tfds=TfdsSource("imagenet_v2", "matched-frequency", "test", "3.0.0"),
    source=(
      "https://huggingface.co/datasets/vaishaal/ImageNetV2:"
      " imagenetv2-matched-frequency.tar.gz"
    ),
    licence="MIT, says its page; the photographs are Flickr users'",
  ),
  DatasetSpec(
    name="imagenet_a",
    title="ImageNet-A",
    lexicon="imagenet",
    classes=200,
    examples=7_500,
    subset="imagenet_a",
    family="imagenet",
    folders=("imagenet_a", "imagenet-adversarial", "imagenet-a"),
    coop=CoopLayout(("imagenet-a",)),
    tfds=TfdsSource("imagenet_a", "", "test", "0.1.0"),
    source=(
      "https://github.com/hendrycks/natural-adv-examples: imagenet-a.tar"
    ),
    licence="MIT, says its page; the photographs are their owners'",
  ),
  DatasetSpec(
    name="imagenet_r",
    title="ImageNet-R",
    lexicon="imagenet",
    classes=200,
    examples=30_000,
    subset="imagenet_r",
    family="imagenet",
    folders=("imagenet_r", "imagenet-rendition", "imagenet-r"),
    coop=CoopLayout(("imagenet-r",)),
    tfds=TfdsSource("imagenet_r", "", "test", "0.2.0"),
    source="https://github.com/hendrycks/imagenet-r: imagenet-r.tar",
    licence="MIT, says its page; the pictures are their owners'",
  ),
  DatasetSpec(
    name="imagenet_sketch",
    title="ImageNet-Sketch",
    lexicon="imagenet",
    classes=1000,
    examples=50_889,
    family="imagenet",
    folders=("imagenet_sketch", "imagenet-sketch", "ImageNet-Sketch"),
    coop=CoopLayout(("images",)),
    tfds=TfdsSource("imagenet_sketch", "", "test", "1.0.0"),
    source=(
      "https://github.com/HaohanWang/ImageNet-Sketch, or"
      " https://huggingface.co/datasets/songweig/imagenet_sketch:"
      " ImageNet-Sketch.zip"
    ),
    licence="MIT, says its page; the pictures are their owners'",
  ),
  DatasetSpec(
    name="caltech101",
    title="Caltech101",
    lexicon="caltech101",
    classes=100,
    examples=2_465,
    split="test, CoOp's split",
    folders=("caltech101", "caltech-101", "Caltech101"),
    coop=CoopLayout(
      ("101_ObjectCategories", "caltech-101/101_ObjectCategories", ""),
      "split_zhou_Caltech101.json",
    ),
    source="https://data.caltech.edu/records/mzrjq-6wc02: caltech-101.zip",
    licence="CC BY 4.0",
  ),
  DatasetSpec(
    name="oxford_pets",
    title="OxfordPets",
    lexicon="oxford_pets",
    classes=37,
    examples=3_669,
    template="a photo of a {}, a type of pet.",
    folders=("oxford_pets", "OxfordPets", "oxford-iiit-pet", "oxford_iiit_pet"),
    coop=CoopLayout(("images", ""), "split_zhou_OxfordPets.json"),
    tfds=TfdsSource("oxford_iiit_pet", "", "test", "4.0.0"),
    source="https://www.robots.ox.ac.uk/~vgg/data/pets: images.tar.gz",
    licence="CC BY-SA 4.0",
  ),
  DatasetSpec(
    name="stanford_cars",
    title="StanfordCars",
    lexicon="stanford_cars",
    classes=196,
    examples=8_041,
    folders=("stanford_cars", "StanfordCars", "stanford-cars", "cars196"),
    coop=CoopLayout(("",), "split_zhou_StanfordCars.json"),
    tfds=TfdsSource("cars196", "", "test", "2.1.0"),
    source=(
      "https://huggingface.co/datasets/tanganke/stanford_cars (parquet); its"
      " own host is gone since 2023"
    ),
    licence="research only, not commercial",
  ),
  DatasetSpec(
    name="oxford_flowers102",
    title="Flowers102",
    lexicon="oxford_flowers102",
    classes=102,
    examples=2_463,
    split="test, CoOp's split",
    template="a photo of a {}, a type of flower.",
    folders=("oxford_flowers102", "oxford_flowers", "Flower102", "flowers-102"),
    coop=CoopLayout(("jpg", ""), "split_zhou_OxfordFlowers.json"),
    source=(
      "https://www.robots.ox.ac.uk/~vgg/data/flowers/102: 102flowers.tgz"
    ),
    licence="not stated",
  ),
  DatasetSpec(
    name="food101",
    title="Food101",
    lexicon="food101",
    classes=101,
    examples=30_300,
    split="test, CoOp's split",
    template="a photo of {}, a type of food.",
    folders=("food101", "food-101", "Food101", "food-101/food-101"),
    coop=CoopLayout(("images", ""), "split_zhou_Food101.json"),
    source=(
      "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101:"
      " food-101.tar.gz"
    ),
    licence="scientific fair use only; the photographs are Foodspotting's",
  ),
  DatasetSpec(
    name="fgvc_aircraft",
    title="FGVCAircraft",
    lexicon="fgvc_aircraft",
    classes=100,
    examples=3_333,
    template="a photo of a {}, a type of aircraft.",
    folders=("fgvc_aircraft", "fgvc-aircraft-2013b", "FGVCAircraft"),
    coop=CoopLayout(("images",), "images_variant_test.txt"),
    source=(
      "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft:"
      " fgvc-aircraft-2013b.tar.gz"
    ),
    licence="research only, not commercial",
  ),
  DatasetSpec(
    name="sun397",
    title="SUN397",
    lexicon="sun397",
    classes=397,
    examples=19_850,
    split="test, partition 1",
    folders=("sun397", "SUN397", "SUN397/SUN397"),
    coop=CoopLayout(("SUN397", ""), "split_zhou_SUN397.json"),
    tfds=TfdsSource("sun397", "standard-part1-120k", "test", "4.0.0"),
    source=(
      "https://huggingface.co/datasets/tanganke/sun397 (parquet); its own host"
      " answers 404 since 2025"
    ),
    licence="not stated; research use",
  ),
  DatasetSpec(
    name="dtd",
    title="DTD",
    lexicon="dtd",
    classes=47,
    examples=1_692,
    split="test, CoOp's split",
    template="{} texture.",
    folders=("dtd", "DTD", "dtd/dtd"),
    coop=CoopLayout(("images", ""), "split_zhou_DescribableTextures.json"),
    source="https://www.robots.ox.ac.uk/~vgg/data/dtd: dtd-r1.0.1.tar.gz",
    licence="research only",
  ),
  DatasetSpec(
    name="eurosat",
    title="EuroSAT",
    lexicon="eurosat",
    classes=10,
    examples=8_100,
    split="test, CoOp's split",
    template="a centered satellite photo of {}.",
    folders=("eurosat", "EuroSAT"),
    coop=CoopLayout(("2750", "EuroSAT_RGB", ""), "split_zhou_EuroSAT.json"),
    source="https://github.com/phelber/EuroSAT: EuroSAT.zip (RGB)",
    licence="MIT",
  ),
  DatasetSpec(
    name="ucf101",
    title="UCF101",
    lexicon="ucf101",
    classes=101,
    examples=3_783,
    split="test, list 1, middle frames",
    template="a photo of a person doing {}.",
    folders=("ucf101", "UCF101"),
    coop=CoopLayout(("UCF-101-midframes", ""), "split_zhou_UCF101.json"),
    source=(
      "videos: https://www.crcv.ucf.edu/data/UCF101.php; CoOp's DATASETS.md"
      " links UCF-101-midframes.zip"
    ),
    licence="not stated; the videos are YouTube users'",
  ),
)


def _drawn(
  world: str, name: str, config: str, split: str, count: int, *, classes: int
) -> DatasetSpec:
  return DatasetSpec(
    name=name,
    title=name,
    lexicon=world,
    classes=classes,
    examples=count,
    split=split,
    family="embedded",
    folders=(world,),
    layouts=(world,),
    tfds=TfdsSource(world, config, split, "1.0.0"),
    source="drawn on this machine when it is first asked for",
    licence="see NOTICE",
  )


_pictographs = functools.partial(_drawn, "pictographs", classes=90)
_emoji = functools.partial(_drawn, "emoji", classes=374)

DATASETS: dict[str, DatasetSpec] = {
  **{spec.name: spec for spec in _BENCHMARKS},
  **{
    style: _pictographs(style, style, "test", 3600)
    for style in pictographs.STYLES
  },
  "validation": _pictographs("validation", "plain", "validation", 1800),
  "emoji_validation": _emoji("emoji_validation", "seen", "validation", 1870),
  "emojione": _emoji("emojione", "emojione", "test", 374),
  "fxemoji": _emoji("fxemoji", "fxemoji", "test", 295),
}


def find_dataset(
  spec: DatasetSpec, data_dir: pathlib.Path, *, layout: str = "auto"
) -> OpenedDataset | None:
  """Finds a data set on disk and opens it; no image is read yet."""
  if layout not in ("auto", *spec.layouts):
    raise ValueError(
      f"`layout` of {spec.name!r} must be one of"
      f" {', '.join(('auto', *spec.layouts))}, got {layout!r}."
    )
  if spec.family != "embedded" and not data_dir.is_dir():
    raise ValueError(
      f"`data_dir` must be the folder that holds the data sets, got {data_dir},"
      " which is no folder."
    )
  for key in spec.layouts if layout == "auto" else (layout,):
    opened = READERS[key].read(spec, data_dir)
    if opened is not None:
      return opened
  return None


class AbsentDataset(ValueError):
  """A data set that is not there, in any layout."""


def open_dataset(
  spec: DatasetSpec, data_dir: pathlib.Path, *, layout: str = "auto"
) -> OpenedDataset:
  """Opens a data set that must be there."""
  opened = find_dataset(spec, data_dir, layout=layout)
  if opened is not None:
    return opened
  keys = spec.layouts if layout == "auto" else (layout,)
  expected = {key: READERS[key].expects(spec) for key in keys}
  wanted = "; ".join(f"{key}: {it}" for key, it in expected.items() if it)
  raise AbsentDataset(
    f"data set {spec.name!r} must lie under {data_dir} in a folder"
    f" {' or '.join(spec.folders)}, and nothing was found ({wanted}). Get it"
    f" from {spec.source}; docs/DATASETS.md shows the folders."
  )


def check_counts(spec: DatasetSpec, opened: OpenedDataset) -> None:
  """Makes sure that a data set holds the images that were published.

  What is listed and not there counts as absent.
  """
  present = len(opened.records) - opened.absent
  if spec.examples and present != spec.examples:
    # Class folders often hold all of a data set, of which the list takes some.
    listed = opened.layout == "folders" and spec.coop and spec.coop.listing
    hint = f"add {READERS['coop'].expects(spec)}, or " if listed else ""
    raise ValueError(
      f"data set {spec.name!r} ({spec.split}) must hold {spec.examples} images,"
      f" got {present} from {opened.found}: {hint}make it whole."
    )
