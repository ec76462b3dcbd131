r"""ImageNet-Sketch: 50,889 drawings.

Command:
  python main.py --config=configs/imagenet_sketch.py --config.data_dir=DATA \
    --workdir=runs/imagenet_sketch

docs/DATASETS.md says where to get the images and which folders are read. Any
hardware will do; a run that was stopped goes on.

Expected (published, not measured here): 46.09 % top-1 of `class_name` with
OpenAI's ViT-B/16 (M2TPT, table 2, cited at second hand). The run says whether
it came within 0.3 points.
"""

import ml_collections

from s3_jax.experiment.tasks.benchmark.config import benchmark_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return benchmark_config("imagenet_sketch").lock()
