r"""ADE20K: 150 classes, on 2,000 images.

Command:
  python main.py --config=configs/ade20k.py --config.data_dir=DATA \
    --workdir=runs/ade20k

The masks of ADEChallengeData2016, not those of the full set;
docs/SEGMENTATION_DATA.md shows the folders that are read.
`--config.protocol=clearclip` takes another paper's protocol.

Hardware: a GPU, or patience on a few CPU cores; a run that was stopped goes on.

Expected (published, not measured here): 16.45 % mean IoU of `names_max` with
OpenAI's ViT-B/16 under SCLIP's protocol (README of SCLIP's repository, in half
precision). The run says whether it came within half a point.
"""

import ml_collections

from s3_jax.experiment.tasks.segmentation.config import segmentation_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return segmentation_config("ade20k").lock()
