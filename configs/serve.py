r"""Opens a page in the browser: drop pictures, edit classes, see why.

Command:
  python main.py --config=configs/serve.py --config.classes="cat, dog" \
    --config.model=openai/clip-vit-base-patch16

Without options it begins with the pictographs and the embedded checkpoint,
which knows nothing else. Says where it listens, on this computer alone, and
writes nothing. docs/SERVE.md says what the page shows.

Hardware: any; an answer takes a fraction of a second after the first.

Fields: `Serving` in s3_jax/experiment/tasks/serve/__init__.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.serve import Serving


def get_config() -> ml_collections.ConfigDict:
  """Returns the settings of the page."""
  return make_config(
    "serve",
    Serving,
    classes="pictographs",
    model="s3_jax/pictographs",
    metric="soft_local_center",
  ).lock()
