r"""Asks a language model for synonyms and visual descriptors of your classes.

Command:
  python main.py --config=configs/synonyms.py --config.classes=cats.txt \
    --config.model=NAME --workdir=runs/cats

Hardware: any; needs the extra `generate` and an OpenAI-compatible endpoint,
whose key is read from the environment variable OPENAI_API_KEY. The table is
runs/cats/cats.json. --config.dry_run=True shows the prompts and asks nothing;
docs/LEXICON.md says the rest.

Fields: `Generation` in s3_jax/experiment/tasks/synonyms/__init__.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.synonyms import Generation


def get_config() -> ml_collections.ConfigDict:
  """Returns the generator's settings."""
  return make_config("synonyms", Generation, classes="pictographs").lock()
