r"""The eight benchmarks of open-vocabulary segmentation in one table.

Command:
  python main.py --config=configs/segmentation_suite.py \
    --config.data_dir=DATA --workdir=runs/segmentation_suite

What is not under DATA is left out and named; an average stands only where all
eight were measured. The table holds published rows beside the measured ones,
marked as such.

Hardware: a GPU, or patience: 25,608 images in windows. All methods share one
pass of the image tower; stopped at any time, the same command goes on.

Expected (published, not measured here): 39.06 % mean IoU of `names_max` with
OpenAI's ViT-B/16 under SCLIP's protocol, the mean of the eight figures in the
README of SCLIP's repository.

Fields: `Segmentation` in s3_jax/experiment/tasks/segmentation/plan.py.
"""

import ml_collections

from s3_jax.experiment.tasks.segmentation.config import (
  segmentation_suite_config,
)


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the suite."""
  return segmentation_suite_config(
    (
      "voc21",
      "context60",
      "coco_object",
      "voc20",
      "context59",
      "coco_stuff",
      "cityscapes",
      "ade20k",
    )
  ).lock()
