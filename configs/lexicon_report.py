"""Looks the tables of synonyms over: counts, overlaps, words out of place.

Command:
  python main.py --config=configs/lexicon_report.py --workdir=runs/lexicon

and with a checkpoint, whose cosines show which words a class's core leaves out
and which lie nearer to another class:
  python main.py --config=configs/lexicon_report.py \
    --config.model=openai/clip-vit-base-patch16 --workdir=runs/lexicon

Hardware: any; seconds without a checkpoint. Writes lexicon.html, to be read,
and lexicon.json. docs/LEXICON.md tells how to correct a table.

Fields: `LexiconReport` in s3_jax/experiment/tasks/lexicon_report.py.
"""

import ml_collections

from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.lexicon_report import LexiconReport


def get_config() -> ml_collections.ConfigDict:
  """Returns the report's settings."""
  return make_config(
    "lexicon_report",
    LexiconReport,
    leave_out=("model_spec", "tokenizer", "revision", "cache_dir"),
    model="",
  ).lock()
