"""How spaces are cut out of texts, and what scores them.

Rows that use one vector a class score by a classifier of `zero_shot`; rows that
use all texts of a class score a `SynonymousSpace` through a point-to-space
metric.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from s3_jax.fields import Count, NonNegative, Rule, Share, Where
from s3_jax.named_classes.cores import (
  TWO_WITNESSES,
  Core,
  Scale,
  build_cores,
)
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace
from s3_jax.storage.text_tables import TextTable
from s3_jax.zero_shot import zero_shot_scores


def _read_scale(scale: Any, where: Where) -> Scale:
  """Also reads numbers and None as a command line gives them: as words."""
  if scale in (TWO_WITNESSES, "gap", None):
    return scale
  if scale == "None":
    return None
  if isinstance(scale, tuple):
    return _read_share(scale, where)
  try:
    number = float(scale)
  except ValueError:
    number = math.nan
  if not (math.isfinite(number) and number >= 0):
    where.refuse(
      'must be "two_witnesses", "gap", ("quantile", q), ("coverage", p), a'
      " number >= 0 or None",
      scale,
    )
  return number


def _read_share(scale: tuple[Any, ...], where: Where) -> tuple[str, float]:
  """Reads a scale rule that comes with a share of deaths or texts."""
  rule, share = scale if len(scale) == 2 else ("", 0)
  is_number = isinstance(share, int | float) and not isinstance(share, bool)
  is_share = is_number and 0 <= share <= 1 and (share or rule == "quantile")
  if rule not in ("quantile", "coverage") or not is_share:
    where.refuse(
      'must be ("quantile", q) with q in [0, 1] or ("coverage", p) with p in'
      " (0, 1]",
      scale,
    )
  return rule, float(share)


class SpaceOptions(NamedTuple):
  """How spaces are pruned and scored."""

  # From an image to a class's space.
  metric: Annotated[str, Rule(choices=POINT_TO_SPACE)]
  neighbors: Count = 4  # texts that the metric local_center averages
  # Which texts belong: "two_witnesses", a rule, a length, or None for all.
  scale: Annotated[
    Scale, Rule(given=str | int | float | tuple | None, read=_read_scale)
  ] = TWO_WITNESSES
  # Part of the complex that is the core; "label": that of the official name.
  keep: Annotated[str, Rule(choices=("largest", "label", "all"))] = "largest"
  # Of the texts that the core must hold, under scale rules.
  min_fraction: Share = 0.5
  min_gap: NonNegative = 0.05  # smallest gap that cuts, of the last merge


def cut_core(table: TextTable, options: SpaceOptions) -> Core:
  """Builds spaces and cuts their cores out."""
  return build_cores(
    table,
    scale=options.scale,
    keep=options.keep,
    min_fraction=options.min_fraction,
    min_gap=options.min_gap,
  )


def build_core(table: TextTable, options: SpaceOptions) -> SynonymousSpace:
  """Builds the spaces of `cut_core` where nobody asks why."""
  return cut_core(table, options).space


class RemovedTexts(NamedTuple):
  """What a core left out of texts of which some are known to be wrong."""

  wrong_removed: int
  wrong_total: int
  right_removed: int
  right_total: int


def count_removed(
  right: Sequence[int],
  mask: Bool[np.ndarray, "classes synonyms"],
  kept: Bool[Array | np.ndarray, "classes synonyms"],
) -> RemovedTexts:
  """Counts what is not kept, where the first texts of each class are right."""
  is_right = mask & (np.arange(mask.shape[1]) < np.array(right)[:, None])
  is_wrong, removed = mask & ~is_right, mask & ~np.asarray(kept)
  counted = (is_wrong & removed, is_wrong, is_right & removed, is_right)
  return RemovedTexts(*(int(texts.sum()) for texts in counted))


def _score_classifier(
  classifier: Float[Array, "classes dim"],
  embeddings: Float[Array, "batch dim"],
) -> Float[Array, "batch classes"]:
  return zero_shot_scores(embeddings, classifier)


def classifier_scorer(classifier: Float[Array, "classes dim"]) -> Partial:
  """Binds a zero-shot classifier."""
  return Partial(_score_classifier, classifier)
