"""Stores downloaded benchmarks as TFDS data sets, without TensorFlow.

Command:
  python main.py --config=configs/prepare_data.py --config.dataset=dtd
    --config.data_dir=data

Several are named with commas: `--config.dataset=dtd,eurosat`. The downloads are
found as an evaluation finds them, in any of the layouts of docs/DATASETS.md;
the images are stored as they are, in the order of the split. The result lies in
`benchmarks/<data set>/1.0.0` under `config.to`, a few large files in place of
thousands of small ones, and `config.data_dir` may name that folder from then
on. A data set that is prepared already is kept.

The eight sets of images with masks (voc21, voc20, context60, context59,
coco_object, coco_stuff, cityscapes, ade20k) lie in `segmentation/<data set>`;
their masks are stored as class indices, 255 where a pixel belongs to none.

UCF101 is made of its videos where CoOp's middle frames are not there: of each
test video the frame at index frames // 2, as JPEG of quality 95. That choice is
ours. Videos that cannot be decoded are listed and end the preparation, unless
`config.allow_empty=True` stores them as empty images, which evaluations count
as bad.

Hardware: any; about as fast as the disk. The videos: some minutes.

Fields: `Preparation` in s3_jax/experiment/tasks/prepare_data.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.prepare_data import Preparation


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a preparation."""
  return make_config("prepare_data", Preparation, dataset="dtd").lock()
