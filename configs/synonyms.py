r"""Finds synonyms and visual descriptors of your classes, also without a key.

Commands:
  python main.py --config=configs/synonyms.py --config.offline=True \
    --config.classes="cat, sofa, gray whale" --workdir=runs/words
  python main.py --config=configs/synonyms.py --config.prompt=True \
    --config.classes="cat, sofa, gray whale" --workdir=runs/words
  python main.py --config=configs/synonyms.py --config.paste=answer.txt \
    --config.classes="cat, sofa, gray whale" --workdir=runs/words
  python main.py --config=configs/synonyms.py --config.classes=cats.txt \
    --config.model=NAME --workdir=runs/cats

Hardware: any. The first looks the names up in the packaged tables, the second
prints what to paste into any chat about those that are left, the third takes
the answer. The last asks an OpenAI-compatible endpoint: it needs the extra
`generate`, and reads the key from the environment variable OPENAI_API_KEY. The
tables are runs/words/classes.json and runs/cats/cats.json; docs/LEXICON.md says
the rest.

Fields: `Generation` in s3_jax/experiment/tasks/synonyms/__init__.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.synonyms import Generation


def get_config() -> ml_collections.ConfigDict:
  """Returns the generator's settings."""
  return make_config("synonyms", Generation, classes="pictographs").lock()
