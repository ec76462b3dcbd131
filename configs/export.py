r"""Writes a classifier as files that run without this package.

Command:
  python main.py --config=configs/export.py --config.classes=cats.txt \
    --config.model=openai/clip-vit-base-patch16 --workdir=runs/cats

Without options it exports the ninety pictographs of the embedded checkpoint.
Writes classifier.jaxexport, classifier.npz, classifier.json and classify.py;
docs/EXPORT.md says what they hold and how long they can be read.

  python runs/cats/classify.py runs/cats photo.jpg

Hardware: any, a CPU for all platforms; seconds. Needs `flatbuffers`, which the
extra `export` installs.

Fields: `Export` in s3_jax/experiment/tasks/export/__init__.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.export import Export


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of an export."""
  return make_config(
    "export",
    Export,
    model="s3_jax/pictographs",
    classes="pictographs",
    metric="soft_local_center",
  ).lock()
