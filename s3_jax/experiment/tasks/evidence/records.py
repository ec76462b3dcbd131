"""What a run of "evidence" measures, as records."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from s3_jax.evaluation.statistics import cluster_interval
from s3_jax.results.document import Column, Table

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


class Gain(NamedTuple):
  """A difference of accuracies with its interval over classes."""

  gain: float
  low: float
  high: float

  def __str__(self) -> str:
    """Shows it in points."""
    gain, low, high = (100 * value for value in self)
    return f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]"


class Measured(NamedTuple):
  """Findings, with what the tables ask of them."""

  findings: Findings
  metric: str
  seed: int

  @property
  def sets(self) -> tuple[str, ...]:
    """The sets as they were read."""
    return tuple(self.findings.labels)

  def correct(
    self, condition: Condition, rule: str, metric: str | None = None
  ) -> Float32[np.ndarray, " images"]:
    """Share of the seeds in which each image was right."""
    return self.findings.correct[condition, rule, metric or self.metric]

  def mean(
    self, condition: Condition, rule: str, metric: str | None = None
  ) -> float:
    """Accuracy."""
    return float(self.correct(condition, rule, metric).mean())

  def difference(
    self,
    name: str,
    a: Float32[np.ndarray, " images"],
    b: Float32[np.ndarray, " images"],
  ) -> Gain:
    """Difference with its interval over classes."""
    low, high = cluster_interval(
      a.astype(np.float64) - b, self.findings.labels[name], seed=self.seed
    )
    return Gain(float(np.mean(a) - np.mean(b)), low, high)

  def conditions(
    self, name: str, kinds: Sequence[str] | None = None
  ) -> list[Condition]:
    """Lists the conditions of a set, the clean one first."""
    found = dict.fromkeys(each for each, _ in self.findings.removed)
    return [Condition(name, "", 0)] + [
      each
      for each in found
      if each.dataset == name
      and each.kind
      and (kinds is None or each.kind in kinds)
    ]


def make_table(
  title: str,
  about: str,
  header: Sequence[str],
  rows: Sequence[Sequence[Any]],
) -> Table:
  """Makes a table whose first column has words."""
  first, *others = header
  columns = [Column(first, words=True), *map(Column, others)]
  return Table(columns, rows, title=title, caption=(about,))
