r"""Says what is on images of one's own.

Command:
  python main.py --config=configs/predict.py --config.images=photos/ \
    --config.classes=cats.txt --config.model=openai/clip-vit-base-patch16

Without options it looks at one pictograph with the embedded checkpoint. Writes
predictions.json, predictions.csv and contact_sheet.html. docs/PREDICT.md says
what images and classes may be, and what the files hold.

Hardware: any; seconds for a few images.

Fields: `Prediction` in s3_jax/experiment/tasks/predict/settings.py.
"""

import pathlib

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.predict.settings import Prediction

_EXAMPLE = pathlib.Path("docs/figures/airplane.png")  # of a checkout


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of a prediction."""
  return make_config(
    "predict",
    Prediction,
    images=str(_EXAMPLE) if _EXAMPLE.is_file() else "",
    classes="pictographs",
    model="s3_jax/pictographs",
    metric="soft_local_center",
  ).lock()
