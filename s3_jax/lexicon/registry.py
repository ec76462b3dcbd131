"""The tables that come with the package: whose classes, how many, which bytes.

`names_sha256` is that of the benchmark's official names, written as a JSON list
in class order, so that a name that was changed by mistake is noticed without
the benchmark at hand. A table that was corrected on purpose gets a new
`sha256`; docs/LEXICON.md says how.
"""

import hashlib
import json
from typing import NamedTuple

from s3_jax.lexicon.synonyms import Lexicon


class Table(NamedTuple):
  """One packaged table of a benchmark.

  Attributes:
    classes: how many.
    sha256: of the JSON file.
    names_sha256: of the official names.
    title: what the benchmark is called in papers.
  """

  classes: int
  sha256: str
  names_sha256: str
  title: str


TABLES: dict[str, Table] = {
  "imagenet": Table(
    1000,
    "909fbf5aec681fa268b7b224b74575926b719a4456614b6a4f17d0b3df16024e",
    "6ef5246539bb6543da0958381424e7f7b63b6758af04434f6e8f6da88e0cca70",
    "ImageNet",
  ),
  "sun397": Table(
    397,
    "94041ff16fad48434dc84323cffde1b23aa39262df909c6cb9c970fd58cdf32f",
    "941427a335a45f5f8a484bb6c8865c1a4e1389b5149a2cec37860caf4f2d58b0",
    "SUN397",
  ),
  "eurosat": Table(
    10,
    "03f4209155a0ef82ad2b5e00eb41c3b7cad3aa20f1f0c76854e93f1fad0ff246",
    "4edf3ee841c2c9be743408e7d93dd45b7c543b3616f2e6cfcd9f7b25a0602a37",
    "EuroSAT",
  ),
}


def names_sha256(lexicon: Lexicon) -> str:
  """Hashes the official names of a table, in class order.

  Args:
    lexicon: the table.

  Returns:
    The sha256, hexadecimal.
  """
  names = json.dumps([entry.name for entry in lexicon.classes])
  return hashlib.sha256(names.encode()).hexdigest()
