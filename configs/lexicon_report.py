"""Looks the tables of synonyms over: counts, overlaps, words out of place.

Command:
  python main.py --config=configs/lexicon_report.py --workdir=runs/lexicon

and with a checkpoint, whose cosines show which words a class's core leaves out
and which lie nearer to another class:
  python main.py --config=configs/lexicon_report.py \
    --config.model=openai/clip-vit-base-patch16 --workdir=runs/lexicon

Hardware: any; seconds without a checkpoint. Writes lexicon.html, to be read,
and lexicon.json. docs/LEXICON.md tells how to correct a table.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  """Returns the report's settings."""
  config = ml_collections.ConfigDict()
  config.task = "lexicon_report"
  config.tables = ()  # names of tables, or paths; () for all packaged ones
  config.model = ""
  config.template = "a photo of a {}."
  config.min_fraction = 0.5
  config.min_gap = 0.05
  config.margin = 0.0  # by how much nearer to another class counts
  return config.lock()
