r"""Segmentation in the embedded world: nothing is downloaded.

Command:
  python main.py --config=configs/pictographs_segmentation.py \
    --workdir=runs/pictographs_segmentation

300 scenes of two to five pictographs on a textured ground, 128 x 128 pixels, 90
classes and the background; drawn on first use. The patches of this small
checkpoint hardly know what they show (docs/SEGMENTATION_RESULTS.md), so that
whole windows of its own size are embedded, which is ours and no paper's
protocol. Resize and thresholds were chosen on the validation scenes
(`--config.dataset=pictographs_segmentation_validation`), each method with the
threshold that is best for it.

Hardware: two CPU cores, some minutes.

Expected: docs/SEGMENTATION_RESULTS.md, measured with this command.

Fields: `Segmentation` in s3_jax/experiment/tasks/segmentation/plan.py.
"""

import ml_collections

from s3_jax.experiment.tasks.segmentation.config import segmentation_config


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return segmentation_config(
    "pictographs_segmentation",
    model="s3_jax/pictographs",
    data_dir="",
    embeddings="windows",
    # The table's names are the benchmark's own: no class has several of those.
    methods=("class_name", "synonyms_max", "nearest_point", "center", "s3"),
    baseline="class_name",
    protocol_changes={
      "short_side": 112,
      "window": 48,  # of the checkpoint's own images
      "stride": 8,
      "pixel_mean": "checkpoint",
      "pixel_std": "checkpoint",
      "logit_factor": 20.0,  # of the checkpoint
    },
    thresholds={
      "class_name": 0.6,
      "synonyms_max": 0.15,
      "nearest_point": 0.6,
      "center": 0.7,
      "s3": 0.7,
    },
    templates=("a photo of a {}.",),
  ).lock()
