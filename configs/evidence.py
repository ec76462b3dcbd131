r"""Which texts to keep and how to score them, on embeddings of real CLIP.

Command:
  python main.py --config=configs/evidence.py --config.data_dir=FOLDER \
    --workdir=runs/evidence

FOLDER has `sets` and `images`, as docs/EVIDENCE.md describes them, and the page
has the tables that this run writes into evidence.md.

Hardware: two CPU cores, about an hour with eight seeds.

Fields: `Evidence` in s3_jax/experiment/tasks/evidence/__init__.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.evidence import Evidence


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the run."""
  return make_config("evidence", Evidence, compilation_cache_dir="").lock()
