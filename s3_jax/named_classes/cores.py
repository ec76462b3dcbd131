"""The core of every class's texts, by any rule, and its scorer."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import Partial

from s3_jax.point_to_space import (
  POINT_TO_SPACE,
  point_to_complex,
  point_to_local_center,
  point_to_simplex_center,
)
from s3_jax.space import (
  Evidence,
  SynonymousSpace,
  attach_complex,
  build_space,
  weigh_texts,
)
from s3_jax.storage.text_tables import TextTable

__all__ = ["TWO_WITNESSES", "Core", "Scale", "build_cores", "space_scorer"]

TWO_WITNESSES = "two_witnesses"
"""The scale rule that looks at all classes; the others are `build_space`'s."""

Scale = str | float | tuple[str, float] | None
"""A scale rule: TWO_WITNESSES, or one of `build_space`."""


class Core(NamedTuple):
  """Spaces of kept texts, without a complex, and what spoke for them.

  Attributes:
    space: the spaces.
    evidence: what the two witnesses said; None under another rule.
  """

  space: SynonymousSpace
  evidence: Evidence | None


def build_cores(
  table: TextTable,
  *,
  scale: Scale | int,
  keep: str,
  min_fraction: float | int,
  min_gap: float | int,
) -> Core:
  """Builds spaces and cuts their cores out."""
  rule: Any = {
    "keep": keep,
    "min_fraction": min_fraction,
    "min_gap": min_gap,
  }
  if scale != TWO_WITNESSES:
    space = build_space(table.embeddings, table.mask, scale=scale, **rule)
    return Core(space, None)
  evidence = weigh_texts(
    table.embeddings,
    table.mask,
    forms=table.forms,
    official=table.official,
    **rule,
  )
  return Core(build_space(table.embeddings, evidence.kept), evidence)


@functools.lru_cache(maxsize=256)
def _of_space(
  metric: Callable[..., Any], neighbors: int | None
) -> Callable[..., Any]:
  """One function object a metric, so that its scoring compiles once."""
  options = {} if neighbors is None else {"neighbors": neighbors}

  def score(space, embeddings):
    return metric(embeddings, space, **options)

  return score


def space_scorer(
  space: SynonymousSpace,
  metric: str | Callable[..., Any],
  *,
  neighbors: int,
) -> Partial:
  """Binds a metric, one of POINT_TO_SPACE or a function, to a space."""
  if isinstance(metric, str):
    metric = POINT_TO_SPACE[metric]
  needs_complex = metric in (point_to_complex, point_to_simplex_center)
  if needs_complex and space.simplices is None:
    space = attach_complex(space)
  is_local = metric is point_to_local_center
  return Partial(_of_space(metric, neighbors if is_local else None), space)
