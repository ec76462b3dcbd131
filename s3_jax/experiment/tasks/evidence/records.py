"""What a run of "evidence" measures, as records."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

COUNTS = (1, 2, 5)
"""Wrong texts of a class."""


class Condition(NamedTuple):
  """What was done to a set."""

  dataset: str
  kind: str  # of `evidence_sets.KINDS`, "" for none
  wrong: int  # texts of each class


class Removed(NamedTuple):
  """How many texts a rule kept and removed, summed over seeds.

  The second four count classes with three right texts or more alone.
  """

  right: int = 0
  right_kept: int = 0
  wrong_texts: int = 0
  wrong_removed: int = 0
  right_3: int = 0
  right_kept_3: int = 0
  wrong_3: int = 0
  wrong_removed_3: int = 0


class Findings(NamedTuple):
  """All that was measured.

  Attributes:
    metrics: that every condition was scored by.
    labels: of the images of each set.
    sizes: texts of each class of each set.
    named: share of images that the official names get right, 0 or 1 an image.
    drawn: share of draws in which one text of each class gets an image right.
    correct: (condition, rule, metric) -> share of the seeds in which each image
      was right.
    removed: (condition, rule) -> counts.
  """

  metrics: tuple[str, ...]
  labels: dict[str, Int[np.ndarray, " images"]]
  sizes: dict[str, Int[np.ndarray, " classes"]]
  named: dict[str, Float32[np.ndarray, " images"]]
  drawn: dict[str, Float32[np.ndarray, " images"]]
  correct: dict[tuple[Condition, str, str], Float32[np.ndarray, " images"]]
  removed: dict[tuple[Condition, str], Removed]


class Table(NamedTuple):
  """A table of the page.

  Attributes:
    title: of the table.
    about: what its numbers are.
    header: of the columns.
    rows: as long as the header.
  """

  title: str
  about: str
  header: tuple[str, ...]
  rows: Sequence[tuple[str, ...]]
