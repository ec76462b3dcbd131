"""The packaged configs by their names, in the groups that a reader looks for.

Needs nothing but the files: `s3-jax` lists them before anything is imported.
"""

import ast
import pathlib
from collections.abc import Mapping

from s3_jax.messages import nearest

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# In a wheel the experiments lie inside the package, in a checkout beside it.
_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")

GROUPS: Mapping[str, tuple[str, ...]] = {
  "Your own images": (
    "predict",
    "serve",
    "segment",
    "own_images",
    "export",
  ),
  "The words for your classes": ("synonyms", "lexicon_report"),
  "See it work, without a download": (
    "demo",
    "pictographs",
    "pictographs_test_time",
    "pictographs_segmentation",
    "sweep",
    "view_sweep",
    "gallery",
    "train_emoji",
    "train_pictographs",
  ),
  "Embeddings that you have": ("embeddings", "evidence"),
  "Benchmarks: classification": (
    "imagenet",
    "imagenet_a",
    "imagenet_v2",
    "imagenet_r",
    "imagenet_sketch",
    "caltech101",
    "dtd",
    "eurosat",
    "fgvc_aircraft",
    "food101",
    "oxford_flowers102",
    "oxford_pets",
    "stanford_cars",
    "sun397",
    "ucf101",
    "suite",
    "test_time",
  ),
  "Benchmarks: segmentation": (
    "voc20",
    "voc21",
    "context59",
    "context60",
    "coco_object",
    "coco_stuff",
    "ade20k",
    "cityscapes",
    "segmentation_suite",
  ),
  "Data, results, checkpoints": (
    "check_data",
    "prepare_data",
    "compare",
    "models",
    "convert",
    "verify",
  ),
}
"""Every packaged config, once."""

_OF_BENCHMARKS = (
  "DATA --workdir=runs/{name}",
  "DATA --methods=class_name,s3 --model=openai/clip-vit-base-patch32",
  "DATA --batch_size=256 --dtype=bfloat16",
)
_OF_SEGMENTATION = (
  "DATA --workdir=runs/{name}",
  "DATA --protocol=clearclip",
  "DATA --dtype=bfloat16 --pictures=10",
)
_OF_SUITES = (
  "DATA --workdir=runs/{name}",
  "DATA --datasets={some}",
  "DATA --model=openai/clip-vit-large-patch14 --dtype=bfloat16",
)
EXAMPLES: Mapping[str, tuple[str, ...]] = {
  "predict": (
    'PHOTOS --classes="cat, dog" --model=openai/clip-vit-base-patch16',
    "*.jpg --classes=cats.txt --top=3",
    "PHOTOS --classes=imagenet --model=openai/clip-vit-large-patch14",
  ),
  "serve": (
    "",
    '"cat, dog" --model=openai/clip-vit-base-patch16',
    "cats.txt --port=0",
  ),
  "segment": (
    'PHOTOS --classes="sky, tree, road" --model=openai/clip-vit-base-patch16',
    "street.jpg --classes=cityscapes --protocol=clearclip",
    "PHOTOS --classes=rooms.txt --background",
  ),
  "own_images": (
    "FOLDER --workdir=runs/own",
    "FOLDER --lexicon=table.json --methods=class_name,s3",
    "list.csv --model=openai/clip-vit-base-patch32",
  ),
  "export": (
    '"cat, dog" --model=openai/clip-vit-base-patch16 --workdir=runs/pets',
    "cats.txt --text_tower",
    "imagenet --dtype=bfloat16",
  ),
  "synonyms": (
    '"cat, sofa, gray whale" --offline --workdir=runs/words',
    "cats.txt --prompt",
    'cats.txt --model=NAME --domain="a breed of cat" --workdir=runs/cats',
  ),
  "lexicon_report": (
    "--workdir=runs/lexicon",
    "imagenet,dtd --model=openai/clip-vit-base-patch16",
    "imagenet --embeddings=names.npz",
  ),
  "demo": (
    "--workdir=runs/demo",
    "--methods=class_name,local_center --test_sets=fxemoji",
    "--neighbors=8",
  ),
  "pictographs": (
    "--workdir=runs/pictographs",
    "--methods=class_name,local_center --test_sets=plain,outline",
    "--neighbors=8",
  ),
  "pictographs_test_time": (
    "--workdir=runs/test_time",
    "--methods=class_name,ts3",
    "--views=16",
  ),
  "pictographs_segmentation": (
    "--workdir=runs/segmentation",
    "--protocol=clearclip",
    "--pictures=10",
  ),
  "sweep": (
    "--workdir=runs/sweep",
    "--neighbors=1,2,4,8 --metrics=local_center",
    "--dataset=imagenet_v2 --data_dir=DATA",
  ),
  "view_sweep": (
    "--workdir=runs/view_sweep",
    "--learning_rates=0.001,0.005 --steps=1,2",
    "--views=32",
  ),
  "gallery": ("--workdir=runs/gallery", "--labels=0,10,17", "--seed=3"),
  "train_emoji": (
    "--workdir=runs/train",
    "--steps=1000 --warmup_steps=50",
    "--optimizer=adamw --learning_rate=0.001",
  ),
  "train_pictographs": (
    "--workdir=runs/train",
    "--steps=100 --warmup_steps=10",
    "--optimizer=adamw --learning_rate=0.001",
  ),
  "embeddings": (
    "images.npz texts.npz --workdir=runs/embeddings",
    "test_f.pt texts.npz --labels=test_l.pt --classes=imagenet",
    "images.npz texts.npz --methods=class_name,s3 --logit_scale=100",
  ),
  "evidence": (
    "FOLDER --workdir=runs/evidence",
    "FOLDER --sets=imagenet84 --seeds=2",
    "FOLDER --metric=nearest_point",
  ),
  "test_time": (
    "DATA --workdir=runs/test_time",
    "DATA --methods=class_name,ts3",
    "DATA --views=16 --dtype=bfloat16",
  ),
  "check_data": ("DATA", "DATA --datasets=dtd,eurosat", "DATA --debug"),
  "prepare_data": (
    "dtd --data_dir=DATA",
    "dtd,eurosat --data_dir=DATA --to=PREPARED",
    "ucf101 --data_dir=DATA --layout=videos",
  ),
  "compare": (
    "runs/first runs/second",
    "runs/first runs/second runs/third --workdir=runs/comparison",
    "runs/*",
  ),
  "models": ("", "siglip2", "laion --workdir=runs/models"),
  "convert": (
    "openai/clip-vit-base-patch16 CHECKPOINT",
    "ViT-B-32.pt CHECKPOINT --model_spec=openai/ViT-B/32",
    "openai/clip-vit-base-patch16 CHECKPOINT --dtype=float16",
  ),
  "verify": (
    "openai/clip-vit-base-patch32",
    "CHECKPOINT --known=openai/ViT-B/32",
    "CHECKPOINT --debug",
  ),
}
"""Three commands a config, without its name; those of data sets are alike."""


def names() -> tuple[str, ...]:
  """Lists the packaged configs, in the order of the groups."""
  return tuple(name for group in GROUPS.values() for name in group)


def config_file(name: str) -> pathlib.Path:
  """Finds the file of a packaged config.

  Args:
    name: of the config, without what may follow a colon.

  Raises:
    ValueError: if there is no such config.
  """
  if name not in names():
    raise ValueError(
      f"the task must be one of {nearest(names(), name)}, got {name!r};"
      " `s3-jax` lists them."
    )
  folder = next((each for each in _CONFIGS if each.is_dir()), _CONFIGS[0])
  return folder / f"{name}.py"


def about(name: str) -> str:
  """Returns a config's docstring."""
  text = config_file(name).read_text(encoding="utf-8")
  return ast.get_docstring(ast.parse(text)) or ""


def examples(name: str) -> tuple[str, ...]:
  """Returns three commands of a config, without its name."""
  group = next(title for title, held in GROUPS.items() if name in held)
  segments = group.endswith("segmentation")
  if name in EXAMPLES:
    lines = EXAMPLES[name]
  elif name.endswith("suite"):
    lines = _OF_SUITES
  else:
    lines = _OF_SEGMENTATION if segments else _OF_BENCHMARKS
  some = "voc20,cityscapes" if segments else "imagenet,imagenet_a"
  return tuple(line.format(name=name, some=some) for line in lines)
