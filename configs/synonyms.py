r"""Asks a language model for synonyms and visual descriptors of your classes.

Command:
  python main.py --config=configs/synonyms.py --config.classes=cats.txt \
    --config.model=NAME --workdir=runs/cats

Hardware: any; needs the extra `generate` and an OpenAI-compatible endpoint,
whose key is read from the environment variable OPENAI_API_KEY. The table is
runs/cats/cats.json. --config.dry_run=True shows the prompts and asks nothing;
docs/LEXICON.md says the rest.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
  """Returns the generator's settings."""
  config = ml_collections.ConfigDict()
  config.task = "synonyms"
  config.classes = "pictographs"  # names between commas, a file, or a table
  config.domain = ""  # what every class is, such as "a type of pet"
  config.name = ""  # of the table; default: after the file or table
  config.base_url = "http://localhost:8000/v1"
  config.model = ""  # its name at the endpoint; nothing is asked without one
  config.batch = 10  # classes a request, halved at every further try
  # Of the sampling; None leaves one out of the requests.
  config.temperature = config_dict.FieldReference(0.7, field_type=object)
  config.seed = config_dict.FieldReference(0, field_type=object)
  config.attempts = 3  # of a class, and of a request that fails
  config.timeout = 300.0  # seconds a request
  config.max_requests = 1000  # of one run; 0 replays the stored answers
  config.max_tokens = 1_000_000  # of one run, prompts and answers
  config.allow_fallback = False  # plain names where no answer was usable
  config.dry_run = False
  return config.lock()
